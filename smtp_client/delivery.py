"""The life of one delivery: from a request to a result for each of its recipients.

    destinations   the next hop, then the fallback relays                      here
    servers        those of a destination in order, kept connections first     route, visits, here
    a connection   made at one of the best servers left                        connector
    a session      one or more messages over it                                session
    verdicts       of each recipient, until all have a final one               ledger

Servers are tried in order until every recipient has a verdict or the limits are reached.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable
from dataclasses import replace
from functools import partial
from itertools import takewhile

from pillarbox.lib.delivery import DeliveryRequest, Result
from pillarbox.lib.log import log
from pillarbox.lib.tables import LookupFailed
from pillarbox.smtp_client.cache import ConnectionCache
from pillarbox.smtp_client.connection import Connection
from pillarbox.smtp_client.connector import Unusable, connect
from pillarbox.smtp_client.destination import BadDestination, Destination, parse_destination, split_destinations
from pillarbox.smtp_client.ledger import Ledger
from pillarbox.smtp_client.login import Logins
from pillarbox.smtp_client.outgoing import Outgoing
from pillarbox.smtp_client.policies import NoPolicy
from pillarbox.smtp_client.protection import UNENCRYPTED, insists
from pillarbox.smtp_client.route import NoRoute, Router, Server, usable
from pillarbox.smtp_client.session import Session
from pillarbox.smtp_client.settings import Settings
from pillarbox.smtp_client.terms import Terms, terms_of
from pillarbox.smtp_client.tls_policy import TlsPolicy
from pillarbox.smtp_client.transport_security import Tls
from pillarbox.smtp_client.visits import Visits


class Deliverer:
    """What the deliveries of one process share."""

    def __init__(
        self,
        settings: Settings,
        router: Router,
        cache: ConnectionCache,
        tls: Tls,
        logins: Logins | None,
        outgoing: Outgoing | None = None,
    ) -> None:
        self.settings = settings
        self.router = router
        self.cache = cache
        self.tls = tls
        self.logins = logins
        """None: the service logs in nowhere."""
        self.outgoing = outgoing
        """None: mail goes out under the names that it has here."""
        self._terms = Terms.of_service(tls.policies.default, settings)

    def terms(self, request: DeliveryRequest) -> Terms:
        """What a request asks of a connection as far as nothing is known of its destination: nearly always the same."""
        if request.sources or request.helo:
            return terms_of(request, self.tls.policies.default, self.settings)
        return self._terms

    def deliver(self, request: DeliveryRequest) -> Awaitable[tuple[list[Result], str]]:
        """Results for all recipients, and why the next hop as a whole is unusable, or ""."""
        return Delivery(self, request).run()


class Delivery:
    """One request on its way."""

    def __init__(self, deliverer: Deliverer, request: DeliveryRequest) -> None:
        self._settings = deliverer.settings
        self._router = deliverer.router
        self._cache = deliverer.cache
        self._request = request
        self._ledger = Ledger(request)
        self._visits = Visits(deliverer.settings.session_limit)
        self._session = Session(request, deliverer.settings, deliverer.cache, self._ledger, self._visits)
        self._tls = deliverer.tls
        self._logins = deliverer.logins
        self._outgoing = deliverer.outgoing
        self._terms = deliverer.terms(request)
        self._open: Destination | None = None
        """The destination whose own policy has not been asked for yet."""

    async def run(self) -> tuple[list[Result], str]:
        """Try every destination in turn."""
        settings, ledger, request = self._settings, self._ledger, self._request
        request.standing.revocable = True
        if self._outgoing is not None and not await self._dress(self._outgoing):
            return ledger.conclude(), ""
        texts = (*split_destinations(request.nexthop), *settings.fallback_relays)
        for number, text in enumerate(texts):
            try:
                destination = parse_destination(text, settings.default_port)
            except BadDestination as error:
                log.warning(f"{request.queue_id}: bad next hop: {error}")
                ledger.defer("4.3.5", f"bad next hop: {error}")
                continue
            try:
                await self._consider(text, destination)
                await self._try_destination(text, destination, last=number == len(texts) - 1)
            except NoPolicy as failure:
                ledger.hope = True
                ledger.defer(failure.dsn, failure.text)
            except LookupFailed as error:
                ledger.hope = True
                ledger.defer("4.3.0", f"Temporary lookup failure: {error}")
                break
            if not ledger.waiting:
                break
        return ledger.conclude(), self._visits.site

    async def _dress(self, outgoing: Outgoing) -> bool:
        """Give the message the names that it bears outside; False where nobody can say which, and it waits."""
        request = self._request
        try:
            told = await outgoing.told(request)
            content = await outgoing.content(request)
        except LookupFailed as error:
            log.warning(f"{request.queue_id}: names outside: {error}")
            self._ledger.hope = True
            self._ledger.defer("4.3.0", "Temporary lookup failure")
            return False
        except (OSError, EOFError) as error:
            self._ledger.defer("4.3.0", f"cannot read the queue file: {error}")
            return False
        self._session.appear(request if content is request.content else replace(request, content=content), told)
        return True

    async def _consider(self, text: str, destination: Destination) -> None:
        """The terms for a destination, as far as they must be known before a server is there.  Raises NoPolicy."""
        policies = self._tls.policies
        policy = await policies.configured(text, destination)
        self._open = destination if policies.open(policy, destination) and not self._request.requiretls else None
        if self._open is None:
            policy = await policies.complete(policy, destination, self._request)
        self._set_terms(policy)

    async def _agreed(self) -> Terms:
        """The terms with what the domain itself demands.  Raises NoPolicy."""
        destination, self._open = self._open, None
        if destination is not None:
            self._set_terms(await self._tls.policies.complete(self._terms.tls, destination, self._request))
        return self._terms

    def _set_terms(self, policy: TlsPolicy) -> None:
        if policy is not self._terms.tls:
            self._terms = terms_of(self._request, policy, self._settings)

    async def _try_destination(self, text: str, destination: Destination, *, last: bool) -> None:
        ledger, visits = self._ledger, self._visits
        place = self._place(text)
        while self._cache.knows(place):
            connection = self._cache.take_destination(place, await self._agreed())
            if connection is None:
                break
            if await self._session.use(connection, reused=True):
                await self._serve_left(connection.server, text, destination)
                break
        if not ledger.waiting:
            return
        servers = visits.ahead(await self._servers(destination, last=last))
        while servers:
            if visits.exhausted:
                ledger.hope = True
                return
            await self._try_servers(servers, text, destination)
            if not ledger.waiting:
                return
            servers = visits.ahead(servers)
            if servers and not ledger.reason.startswith("connect to "):  # logged already
                log.info(f"{self._request.queue_id}: {ledger.reason}")

    async def _servers(self, destination: Destination, *, last: bool) -> list[Server]:
        """Those that may be asked; none where the destination has none, which is then the recipients' verdict."""
        try:
            found = await self._router.servers(destination, authentic=self._terms.tls.authentic)
            reached = [server for server in found if self._terms.reaches(server)]
            if not reached:
                raise NoRoute("4.4.1", f"no source address for connections to {found[0].name}")
        except NoRoute as failure:
            self._ledger.hope = True
            if last:
                self._ledger.fail(failure.dsn, failure.text)
            else:
                self._ledger.defer(failure.dsn, failure.text)  # the fallback relay may know better
            if self._ledger.waiting:
                self._visits.blame(failure.text)
            return []
        servers = usable(reached, self._settings.address_limit, balance=self._settings.balance_families)
        self._ledger.hope = self._ledger.hope or len(servers) < len(found)
        return servers

    async def _try_servers(self, servers: list[Server], text: str, destination: Destination) -> None:
        """One of the best of these: a kept connection to it, else a new one."""
        best = list(takewhile(lambda server: server.rank == servers[0].rank, servers))
        for server in best:
            login = self._logins.find(self._request.sender, text, server) if self._logins else None
            while self._cache.knows_server(server.key):
                connection = self._cache.take_server(server.key, await self._agreed(), login)
                if connection is None:
                    break
                if await self._session.use(connection, reused=True):
                    self._visits.saw(server)
                    await self._serve_left(server, text, destination)
                    return
        connected = await self._connect(best, text, destination)
        if connected is not None:
            await self._serve_left(connected, text, destination)

    async def _serve_left(self, server: Server, text: str, destination: Destination) -> None:
        """Bring the server those recipients that it did not take in the session before (RFC 9422)."""
        for _ in self._request.recipients:  # each session takes one at least
            if not self._ledger.left:
                return
            await self._connect([server], text, destination)
        if self._ledger.left:
            self._ledger.fail("4.4.2", f"lost connection with {server.name}", server)

    async def _connect(self, servers: list[Server], text: str, destination: Destination) -> Server | None:
        """A new connection to one of these, and the message over it; None where there is none."""
        ledger, visits = self._ledger, self._visits
        try:
            connection = await connect(
                servers,
                destination.host,
                self._settings,
                find_loops=destination.use_mx and not self._settings.lmtp,
                terms=self._terms,
                agreed=self._agreed,
                tls=self._tls,
                unreached=visits.saw,
                log_in=partial(self._log_in, text) if self._logins else None,
            )
        except Unusable as failure:
            ledger.connected, ledger.note, ledger.tls = time.time(), "", ""
            server = failure.server
            if failure.answered:
                visits.answered(server)
            if failure.unsafe and insists(self._request):
                ledger.refuse_unsafe(UNENCRYPTED, f"Encryption needed: {failure.text}", server)
                return None
            ledger.hope = True
            ledger.fail(failure.dsn, failure.text, server if failure.answered else None, failure.reply)
            if ledger.waiting:
                visits.blame(failure.text)
            return None
        server, settings = connection.server, self._settings
        connection.keep = settings.cache or destination.host.lower() in settings.cache_destinations
        if server.rank == 0:
            connection.destination = self._place(text)
        await self._session.use(connection, reused=False)
        visits.saw(server)
        return server

    # --- logins

    def _place(self, text: str) -> str:
        """Under what the cache has connections for a next hop."""
        return text if self._logins is None else self._logins.place(text, self._request.sender)

    async def _log_in(self, text: str, connection: Connection) -> None:
        assert self._logins is not None
        credentials = self._logins.find(self._request.sender, text, connection.server)
        if credentials is not None:
            await self._logins.log_in(connection, credentials)
