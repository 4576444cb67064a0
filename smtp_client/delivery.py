"""One delivery: from a request to a result for each of its recipients.

Servers are tried in order until every recipient has a verdict or the limits are reached.  A 5xx is a verdict at
once; what is temporary is tried at the next server, and the last word counts.  A reused connection that turns out to
be dead is no one's fault: the message goes over a fresh one, provided that the old one had not been given the content.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import replace

from pillarbox.lib.delivery import BOUNCED, DEFERRED, DeliveryRecipient, DeliveryRequest, Result, log_result
from pillarbox.lib.log import log
from pillarbox.lib.smtp.client_reply import ServerReply
from pillarbox.lib.smtp.client_stage import Stage
from pillarbox.lib.smtp.client_transaction import Progress, Transaction
from pillarbox.smtp_client import results
from pillarbox.smtp_client.cache import ConnectionCache
from pillarbox.smtp_client.connection import Connection, ConversationFailed
from pillarbox.smtp_client.connector import Unusable, connect
from pillarbox.smtp_client.deadline import handed_over
from pillarbox.smtp_client.destination import BadDestination, Destination, parse_destination
from pillarbox.smtp_client.envelope import prepare
from pillarbox.smtp_client.misfit import Misfit
from pillarbox.smtp_client.protection import UNENCRYPTED, insists, level_for
from pillarbox.smtp_client.results import local_failure
from pillarbox.smtp_client.route import NoRoute, Router, Server, usable
from pillarbox.smtp_client.settings import MANDATORY_TLS, Settings
from pillarbox.smtp_client.tables import Tables
from pillarbox.smtp_client.verdict import farewell_of, never_began, verdict

TLS_FAILURES = ("4.7.4", "4.7.5")
"""Codes with which `connect` says that there is no TLS, or none that proves whose it is."""


class Deliverer:
    """What the deliveries of one process share."""

    def __init__(self, settings: Settings, router: Router, cache: ConnectionCache, tables: Tables) -> None:
        self.settings = settings
        self.router = router
        self.cache = cache
        self.tables = tables

    async def deliver(self, request: DeliveryRequest) -> tuple[list[Result], str]:
        """Results for all recipients, and why the next hop as a whole is unusable, or ""."""
        return await Delivery(self, request).run()


class Delivery:
    """One request on its way."""

    def __init__(self, deliverer: Deliverer, request: DeliveryRequest) -> None:
        self.settings = deliverer.settings
        self.router = deliverer.router
        self.cache = deliverer.cache
        self.request = request
        self.waiting: list[DeliveryRecipient] = list(request.recipients)
        """Recipients without a final verdict, in order."""
        self.results: list[Result] = []
        self.provisional: dict[int, Result] = {}
        """The last temporary verdict of those that wait, with what belongs into the log line."""
        self.connected = 0.0
        self.note = ""
        self.sessions = 0
        self.tried: set[str] = set()
        """Servers that have had the message, by their keys."""
        self.level = deliverer.settings.tls_level
        """The TLS level for this message."""
        self.left: list[DeliveryRecipient] = []
        """Of those, the ones that the server at hand has not been told, because of its limits."""
        self.unsafe: dict[int, str] = {}
        """Recipients that wait only because no server protects the message, and the code with which it goes back."""
        self.hope = False
        """Whether there is, or will be, a server that has not been asked."""
        self.reached = False
        """Whether some server could be talked to about the message."""
        self.site = ""

    async def run(self) -> tuple[list[Result], str]:
        """Try every destination in turn."""
        try:
            if self.request.requiretls or self.level in MANDATORY_TLS:
                self.level = level_for(self.request, self.settings)
        except (OSError, EOFError) as error:
            self._defer_all("4.3.0", f"cannot read the queue file: {error}")
            texts = []
        else:
            texts = [self.request.nexthop, *self.settings.fallback_relays]
        for number, text in enumerate(texts):
            last = number == len(texts) - 1
            try:
                destination = parse_destination(text, self.settings.default_port)
            except BadDestination as error:
                log.warning(f"{self.request.queue_id}: bad next hop: {error}")
                self._defer_all("4.3.5", f"bad next hop: {error}")
                continue
            await self._try_destination(text, destination, last)
            if not self.waiting:
                break
        for recipient in self.waiting:
            self._final(recipient, self._last_word(self.provisional[recipient.n]))
        return self.results, self.site

    # --- verdicts

    def _final(self, recipient: DeliveryRecipient, result: Result) -> None:
        self.results.append(result)
        log_result(self.request, recipient, result, connected=self.connected, note=self.note)

    def _settle(self, verdicts: Iterable[tuple[DeliveryRecipient, Result]]) -> None:
        """Take verdicts: final ones end a recipient, temporary ones are kept in case there is no better."""
        ended = []
        for recipient, result in verdicts:
            if result.status == DEFERRED:
                self.provisional[recipient.n] = result
                self.unsafe.pop(recipient.n, None)
            else:
                self._final(recipient, result)
                ended.append(recipient.n)
        if len(ended) == len(self.waiting):
            self.waiting = []
        elif ended:
            gone = set(ended)
            self.waiting = [recipient for recipient in self.waiting if recipient.n not in gone]

    def _fail_all(self, dsn: str, text: str, server: Server | None = None, reply: ServerReply | None = None) -> None:
        """The same verdict for those whose turn it is."""
        turn, self.left = self.left or self.waiting, []
        if server is not None and reply is not None:
            self._settle([(r, results.from_reply(r.n, server, reply, dsn, text)) for r in turn])
        else:
            self._settle([(r, local_failure(r.n, dsn, text, server)) for r in turn])

    def _defer_all(self, dsn: str, text: str) -> None:
        self._fail_all(f"4{dsn[1:]}", text)

    def _refuse_unsafe(self, dsn: str, text: str, server: Server) -> None:
        """This server does not protect the message as its sender wants; if none does it goes back (RFC 8689)."""
        turn = self.left or self.waiting
        self._fail_all(f"4{dsn[1:]}", text, server)
        self.unsafe.update((recipient.n, dsn) for recipient in turn)

    def _last_word(self, result: Result) -> Result:
        """What a recipient's provisional verdict is worth when no server is left."""
        if result.n in self.unsafe and not self.hope:
            return replace(result, status=BOUNCED, dsn=self.unsafe[result.n])
        return result

    # --- servers

    async def _try_destination(self, text: str, destination: Destination, last: bool) -> None:
        settings = self.settings
        while (connection := self.cache.take_destination(text, self.level)) is not None:
            if await self._use(connection, reused=True):
                await self._serve_left(connection.server, text, destination)
                break
        if not self.waiting:
            return
        try:
            found = await self.router.servers(destination)
            servers = usable(found, settings.address_limit)
            self.hope = self.hope or len(servers) < len(found)
        except NoRoute as failure:
            self.hope = True
            if last:
                self._fail_all(failure.dsn, failure.text)
            else:
                self._defer_all(failure.dsn, failure.text)  # the fallback relay may know better
            if self.waiting and not self.reached:
                self.site = failure.text
            return
        servers = [server for server in servers if server.key not in self.tried]
        for number, server in enumerate(servers):
            if settings.session_limit and self.sessions >= settings.session_limit:
                self.hope = True
                break
            while (connection := self.cache.take_server(server.key, self.level)) is not None:
                if await self._use(connection, reused=True):
                    break
            if connection is None:
                await self._try_server(server, text, destination)
            await self._serve_left(server, text, destination)
            if not self.waiting:
                return
            if number + 1 < len(servers):
                reason = self.provisional[self.waiting[0].n].text
                if not reason.startswith("connect to "):  # logged already
                    log.info(f"{self.request.queue_id}: {reason}")

    async def _serve_left(self, server: Server, text: str, destination: Destination) -> None:
        """Bring the server those recipients that it did not take in the session before (RFC 9422)."""
        for _ in self.request.recipients:  # each session takes one at least
            if not self.left:
                return
            await self._try_server(server, text, destination)
        if self.left:
            self._fail_all("4.4.2", f"lost connection with {server.name}", server)

    async def _try_server(self, server: Server, text: str, destination: Destination) -> None:
        try:
            connection = await connect(
                server,
                destination.host,
                self.settings,
                find_loops=destination.use_mx and not self.settings.lmtp,
                level=self.level,
            )
        except Unusable as failure:
            if failure.answered:
                self._count(server)
            else:
                self.tried.add(server.key)
            self.connected = time.time()
            self.note = ""
            if failure.dsn in TLS_FAILURES and insists(self.request):
                self._refuse_unsafe(UNENCRYPTED, f"Encryption needed: {failure.text}", server)
                return
            self.hope = True
            self._fail_all(failure.dsn, failure.text, server if failure.answered else None, failure.reply)
            if self.waiting and not self.reached:
                self.site = failure.text
            return
        if server.best:
            connection.destination = text
        await self._use(connection, reused=False)

    def _count(self, server: Server) -> None:
        """A server has answered; how many may be asked is limited."""
        key = server.key
        if key not in self.tried:
            self.tried.add(key)
            self.sessions += 1

    # --- one server, one session

    async def _use(self, connection: Connection, *, reused: bool) -> bool:
        """Send the message over a connection.  False where a reused one was of no use before it had the content.

        Afterwards `left` has the recipients that need another session.
        """
        asked = False
        while await self._send(connection, reused=reused):
            asked = True
            if not self.left:
                self.cache.put(connection)
                return True
            if not connection.alive or connection.exhausted:
                connection.quit()
                return True
            reused = True
        connection.quit()
        return asked

    async def _send(self, connection: Connection, *, reused: bool) -> bool:
        """One transaction for those whose turn it is; False where the connection was of no use for it."""
        request, server, client = self.request, connection.server, connection.client
        try:
            prepared = await prepare(request, self.left or self.waiting, connection, self.settings)
        except Misfit as misfit:
            self.connected, self.note = 0.0, ""
            if misfit.elsewhere:
                self._count(server)
                self._refuse_unsafe(misfit.dsn, misfit.text, server)
            else:
                self._fail_all(misfit.dsn, misfit.text, server)
            return True
        except (OSError, EOFError):
            self._fail_all("4.3.0", f"local data error while talking to {server.name}", server)
            return True
        if (prepared.left and not prepared.recipients and not prepared.misfits) or (reused and not connection.alive):
            return False
        if not prepared.commands:
            self.left = prepared.left
            self._settle(prepared.misfits)
            return True
        transaction = Transaction(
            prepared.mail,
            prepared.commands,
            client.lmtp,
            chunked=prepared.body.chunked,
            probe=request.probe,
            before=prepared.before,
        )
        failure: ConversationFailed | None = None
        try:
            if connection.alive:
                client.begin(transaction)
            await connection.settle()
            if transaction.progress is Progress.CONTENT:
                if prepared.body.chunked:
                    await connection.send_octets(prepared.body.content)
                else:
                    body = prepared.body
                    await connection.send_content(body.content, self.settings.line_limit, body.whole)
        except ConversationFailed as error:
            connection.abort()
            failure = error
        except BaseException:
            connection.abort()
            raise
        if reused and never_began(transaction, failure):
            connection.abort()
            return False
        connection.uses += 1
        self._count(server)
        self.reached, self.site = True, ""
        self.connected = request.taken if reused else connection.ready
        self.note = f"conn_use={connection.uses}" if connection.uses > 1 else ""
        for reply in transaction.complaints:
            log.warning(f"{request.queue_id}: host {server.name} said: {reply} (in reply to {Stage.XFORWARD.command})")
        verdicts = list(prepared.misfits)
        farewell = client.unsolicited or farewell_of(transaction)
        handed = handed_over(request, client.capabilities, self.settings)
        for number, recipient in enumerate(prepared.recipients):
            result = verdict(recipient.n, number, transaction, server, failure, farewell, handed)
            verdicts.append((recipient, result))
            if result.status == DEFERRED:
                self.hope = True
        self.left = prepared.left
        self._settle(verdicts)
        return True
