"""One delivery: from a request to a result for each of its recipients.

Servers are tried in order until every recipient has a verdict or the limits are reached.  A 5xx is a verdict at
once; what is temporary is tried at the next server, and the last word counts.  A reused connection that turns out to
be dead is no one's fault: the message goes over a fresh one, provided that the old one had not been given the content.
"""

from __future__ import annotations

import time
from collections.abc import Iterable

from pillarbox.lib.delivery import DEFERRED, DeliveryRecipient, DeliveryRequest, Result, log_result
from pillarbox.lib.log import log
from pillarbox.lib.smtp.client_reply import ServerReply
from pillarbox.lib.smtp.client_stage import Stage
from pillarbox.lib.smtp.client_transaction import Progress, Transaction
from pillarbox.smtp_client import results
from pillarbox.smtp_client.cache import ConnectionCache
from pillarbox.smtp_client.connection import Connection, ConversationFailed
from pillarbox.smtp_client.connector import Unusable, connect
from pillarbox.smtp_client.destination import BadDestination, Destination, parse_destination
from pillarbox.smtp_client.envelope import Misfit, prepare
from pillarbox.smtp_client.results import local_failure
from pillarbox.smtp_client.route import NoRoute, Router, Server, usable
from pillarbox.smtp_client.settings import Settings


class Deliverer:
    """What the deliveries of one process share."""

    def __init__(self, settings: Settings, router: Router, cache: ConnectionCache) -> None:
        self.settings = settings
        self.router = router
        self.cache = cache

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
        self.reached = False
        """Whether some server could be talked to about the message."""
        self.site = ""

    async def run(self) -> tuple[list[Result], str]:
        """Try every destination in turn."""
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
            self._final(recipient, self.provisional[recipient.n])
        return self.results, self.site

    # --- verdicts

    def _final(self, recipient: DeliveryRecipient, result: Result) -> None:
        self.results.append(result)
        log_result(self.request, recipient, result, connected=self.connected, note=self.note)

    def _settle(self, verdicts: Iterable[tuple[DeliveryRecipient, Result]]) -> None:
        """Take verdicts: final ones end a recipient, temporary ones are kept in case there is no better."""
        waiting = []
        for recipient, result in verdicts:
            if result.status == DEFERRED:
                self.provisional[recipient.n] = result
                waiting.append(recipient)
            else:
                self._final(recipient, result)
        self.waiting = waiting

    def _fail_all(self, dsn: str, text: str, server: Server | None = None, reply: ServerReply | None = None) -> None:
        if server is not None and reply is not None:
            self._settle((r, results.from_reply(r.n, server, reply, dsn, text)) for r in self.waiting)
        else:
            self._settle((r, local_failure(r.n, dsn, text, server)) for r in self.waiting)

    def _defer_all(self, dsn: str, text: str) -> None:
        self._fail_all(f"4{dsn[1:]}", text)

    # --- servers

    async def _try_destination(self, text: str, destination: Destination, last: bool) -> None:
        settings = self.settings
        while (connection := self.cache.take_destination(text)) is not None:
            if await self._use(connection, reused=True):
                break
        if not self.waiting:
            return
        try:
            servers = usable(await self.router.servers(destination), settings.address_limit)
        except NoRoute as failure:
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
                break
            while (connection := self.cache.take_server(server.key)) is not None:
                if await self._use(connection, reused=True):
                    break
            if connection is None:
                await self._try_server(server, text, destination)
            if not self.waiting:
                return
            if number + 1 < len(servers):
                reason = self.provisional[self.waiting[0].n].text
                if not reason.startswith("connect to "):  # logged already
                    log.info(f"{self.request.queue_id}: {reason}")

    async def _try_server(self, server: Server, text: str, destination: Destination) -> None:
        try:
            connection = await connect(
                server, destination.host, self.settings, find_loops=destination.use_mx and not self.settings.lmtp
            )
        except Unusable as failure:
            if failure.answered:
                self.sessions += 1
            self.tried.add(server.key)
            self.connected = time.time()
            self.note = ""
            self._fail_all(failure.dsn, failure.text, server if failure.answered else None, failure.reply)
            if self.waiting and not self.reached:
                self.site = failure.text
            return
        if server.best:
            connection.destination = text
        await self._use(connection, reused=False)

    # --- one server, one message

    async def _use(self, connection: Connection, *, reused: bool) -> bool:
        """Send the message over a connection.  False where a reused one was of no use before it had the content."""
        request, server, client = self.request, connection.server, connection.client
        try:
            prepared = prepare(request, self.waiting, client.capabilities, server)
        except Misfit as misfit:
            self.cache.put(connection)
            self.connected, self.note = 0.0, ""
            self._fail_all(misfit.dsn, misfit.text, server)
            return True
        transaction = Transaction(prepared.mail, prepared.commands, lmtp=client.lmtp)
        failure: ConversationFailed | None = None
        try:
            client.begin(transaction)
            await connection.settle()
            if transaction.progress is Progress.CONTENT:
                await connection.send_content(request.content, self.settings.line_limit)
        except ConversationFailed as error:
            connection.abort()
            failure = error
        except BaseException:
            connection.abort()
            raise
        if reused and _never_began(transaction, failure):
            connection.abort()
            return False
        connection.uses += 1
        self.sessions += 1
        self.tried.add(server.key)
        self.reached, self.site = True, ""
        self.connected = request.taken if reused else connection.ready
        self.note = f"conn_use={connection.uses}" if connection.uses > 1 else ""
        verdicts = list(prepared.misfits)
        farewell = client.unsolicited or _farewell(transaction)
        for number, recipient in enumerate(prepared.recipients):
            verdict = _verdict(recipient.n, number, transaction, server, failure, farewell)
            verdicts.append((recipient, verdict))
        if failure is None:
            self.cache.put(connection)
        self._settle(verdicts)
        return True


def _never_began(transaction: Transaction, failure: ConversationFailed | None) -> bool:
    """Whether a kept connection had died, or the server left, before it looked at the message.

    421 to MAIL on a kept connection says that the server was about to go anyway.
    """
    reply = transaction.mail_reply
    if reply is None:
        return failure is None or failure.stage in (Stage.RSET, Stage.MAIL)
    return reply.code == 421


def _farewell(transaction: Transaction) -> ServerReply | None:
    """The 421 with which a server left in the middle of an envelope."""
    for reply in transaction.recipient_replies:
        if reply is not None and reply.code == 421:
            return reply
    return None


def _verdict(
    n: int,
    number: int,
    transaction: Transaction,
    server: Server,
    failure: ConversationFailed | None,
    farewell: ServerReply | None,
) -> Result:
    """What a finished or broken transaction means for its recipient `number`: the first thing that went wrong."""
    if transaction.mail_reply is not None and not transaction.mail_accepted:
        return results.said(n, server, transaction.mail_reply, Stage.MAIL)
    reply = transaction.recipient_replies[number]
    if reply is not None and reply.kind != 2:
        return results.said(n, server, results.as_temporary(reply), Stage.RCPT)
    if reply is not None:
        data = transaction.data_reply
        if data is not None and data.kind != 3:
            return results.said(n, server, data, Stage.DATA)
        final = transaction.final_reply(number)
        if final is not None:
            if final.kind == 2:
                return results.sent(n, server, final)
            return results.said(n, server, final, Stage.END_OF_DATA)
    if farewell is not None:
        stage = Stage.RCPT if transaction.data_reply is None else Stage.BODY
        return results.said(n, server, farewell, stage)
    if failure is not None:
        return local_failure(n, failure.dsn, failure.text, server)
    return local_failure(n, "4.4.2", f"lost connection with {server.name} while {Stage.DATA.doing}", server)
