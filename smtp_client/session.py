"""The message and one connection: its transactions there, until every recipient whose turn it is has been named.

A reused connection that turns out to be dead is no one's fault: the message goes over another one, provided that the
old one had not been given the content.
"""

from __future__ import annotations

import time

from pillarbox.lib.delivery import DEFERRED, DeliveryRequest
from pillarbox.lib.log import log
from pillarbox.lib.smtp.client_stage import Stage
from pillarbox.lib.smtp.client_transaction import Progress, Transaction
from pillarbox.smtp_client.cache import ConnectionCache
from pillarbox.smtp_client.connection import Connection, ConversationFailed
from pillarbox.smtp_client.deadline import handed_over
from pillarbox.smtp_client.envelope import Prepared, prepare
from pillarbox.smtp_client.ledger import Ledger
from pillarbox.smtp_client.misfit import Misfit
from pillarbox.smtp_client.outgoing import Told
from pillarbox.smtp_client.settings import Settings
from pillarbox.smtp_client.verdict import farewell_of, never_began, verdict
from pillarbox.smtp_client.visits import Visits


class Session:
    """Brings one request over connections; what it learns goes into the ledger and the visits."""

    def __init__(
        self, request: DeliveryRequest, settings: Settings, cache: ConnectionCache, ledger: Ledger, visits: Visits
    ) -> None:
        self._request = request
        self._settings = settings
        self._cache = cache
        self._ledger = ledger
        self._visits = visits
        self._told: Told | None = None

    def appear(self, request: DeliveryRequest, told: Told | None) -> None:
        """What servers are to see: the content of `request`, and in the envelope what `told` says."""
        self._request, self._told = request, told

    async def use(self, connection: Connection, *, reused: bool) -> bool:
        """Send the message over a connection.  False where a reused one was of no use before it had the content.

        Afterwards `ledger.left` has the recipients that need another session.
        """
        asked = False
        while await self._send(connection, reused=reused):
            asked = True
            if not self._ledger.left:
                self._cache.put(connection)
                return True
            if not connection.alive or connection.exhausted:
                connection.quit()
                return True
            reused = True
        connection.quit()
        return asked

    async def _send(self, connection: Connection, *, reused: bool) -> bool:
        """One transaction for those whose turn it is; False where the connection was of no use for it."""
        ledger, server = self._ledger, connection.server
        try:
            prepared = await prepare(self._request, ledger.turn, connection, self._settings, self._told)
        except Misfit as misfit:
            ledger.connected, ledger.note, ledger.tls = 0.0, "", ""
            if misfit.elsewhere:
                self._visits.answered(server)
                ledger.refuse_unsafe(misfit.dsn, misfit.text, server)
            else:
                ledger.fail(misfit.dsn, misfit.text, server)
            return True
        except (OSError, EOFError):
            ledger.fail("4.3.0", f"local data error while talking to {server.name}", server)
            return True
        alive = connection.alive
        if (prepared.left and not prepared.recipients and not prepared.misfits) or (reused and not alive):
            return False
        if not prepared.commands:
            ledger.left = prepared.left
            ledger.settle(prepared.misfits)
            return True
        transaction = Transaction(
            prepared.mail,
            prepared.commands,
            connection.client.lmtp,
            chunked=prepared.body.chunked,
            probe=self._request.probe,
            to_data=self._settings.probe_to_data and not prepared.body.chunked,
            before=prepared.before,
        )
        failure = await self._converse(connection, transaction, prepared, alive=alive)
        if reused and never_began(transaction, failure):
            connection.abort()
            return False
        connection.uses += 1
        self._visits.talked(server)
        ledger.connected = self._request.taken if reused else connection.ready
        ledger.tls = connection.tls_status if self._settings.tls_status else ""
        ledger.note = f"conn_use={connection.uses}" if connection.uses > 1 else ""
        self._settle(connection, transaction, prepared, failure)
        return True

    async def _converse(
        self, connection: Connection, transaction: Transaction, prepared: Prepared, *, alive: bool
    ) -> ConversationFailed | None:
        """Envelope and content; what broke the conversation off, if anything did."""
        try:
            if alive:
                connection.client.begin(transaction)
            await connection.settle()
            if transaction.progress is Progress.CONTENT:
                self._request.standing.give()
                body = prepared.body
                if body.chunked:
                    await connection.send_octets(body.content)
                else:
                    pause = self._pause() if connection.mangled else 0.0
                    await connection.send_content(body.content, self._settings.line_limit, body.whole, pause=pause)
        except ConversationFailed as error:
            connection.abort()
            return error
        except BaseException:
            connection.abort()
            raise
        return None

    def _pause(self) -> float:
        """Seconds between the content and the dot: firewalls of old see no end that comes in one packet with it."""
        settings = self._settings
        late = time.time() - self._request.arrival > settings.pix_threshold
        return settings.pix_delay if late and "delay_dotcrlf" in settings.pix_workarounds else 0.0

    def _settle(
        self,
        connection: Connection,
        transaction: Transaction,
        prepared: Prepared,
        failure: ConversationFailed | None,
    ) -> None:
        ledger, server, client = self._ledger, connection.server, connection.client
        for reply in transaction.complaints:
            log.warning(
                f"{self._request.queue_id}: host {server.name} said: {reply} (in reply to {Stage.XFORWARD.command})"
            )
        verdicts = list(prepared.misfits)
        farewell = client.unsolicited or farewell_of(transaction)
        handed = handed_over(self._request, client.capabilities, self._settings)
        for number, recipient in enumerate(prepared.recipients):
            result = verdict(recipient.n, number, transaction, server, failure, farewell, handed)
            verdicts.append((recipient, result))
            if result.status == DEFERRED:
                ledger.hope = True
        ledger.left = prepared.left
        ledger.settle(verdicts)
