"""A filter before the queue (smtpd_proxy_filter): it sees each message while the client still waits, and decides.

Each session has at most one connection to it.  Recipients are passed on as they come, and its refusals are the client's
answers; content goes through in a stream, in the one form that no server misreads (CRLF line ends, no lone CR or LF,
dots doubled).  The filter hands the message in again on another port; nothing of it goes to cleanup from here.

Promises: 250 is said only when the filter has said so; a filter that is away, hangs, breaks off or talks nonsense is
451, and the next message begins with a new connection; a message is never ended for the filter unless the client has
ended it.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Final

from pillarbox.lib.config.filter_endpoint import Endpoint
from pillarbox.lib.config.parameters import smtpd_content
from pillarbox.lib.dns import UNKNOWN
from pillarbox.lib.log import log
from pillarbox.lib.smtp import replies
from pillarbox.lib.smtp.client_command import BadAddress, mail_from, rcpt_to, xforward
from pillarbox.lib.smtp.client_content import ContentEncoder
from pillarbox.lib.smtp.client_reply import ServerReply
from pillarbox.lib.smtp.client_transaction import Progress
from pillarbox.lib.smtp.client_transaction import Transaction as Outgoing
from pillarbox.lib.smtp.events import Data, Rcpt
from pillarbox.lib.smtp.reply import Reply
from pillarbox.smtpd.filter_connection import FilterConnection, FilterFailed
from pillarbox.smtpd.filtered_message import GATHER, NO_QUEUE, UNAVAILABLE, BufferedMessage, FilteredMessage
from pillarbox.smtpd.forwarded import client_fields

if TYPE_CHECKING:
    from pillarbox.smtpd.checks import Checks, Verdict
    from pillarbox.smtpd.server import Server
    from pillarbox.smtpd.session import Session
    from pillarbox.smtpd.transaction import Transaction

_LOST: Final = ("hold", "filter", "redirect", "bcc", "release", "deliver_by")
"""What policy may want of a message, and only cleanup could do."""


class ProxyFilter:
    """The settings of one service."""

    def __init__(self, endpoint: Endpoint, name: str, timeout: float, *, speed_adjust: bool) -> None:
        self.endpoint = endpoint
        self.name = name
        self.timeout = timeout
        self.speed_adjust = speed_adjust

    def session(self, session: Session) -> FilterSession:
        """The filter's side of a client's session."""
        return FilterSession(self, session)


def configured_filter(server: Server) -> ProxyFilter | None:
    """Raises ValueError for an address that is none."""
    config = server.config
    address = config[smtpd_content.SMTPD_PROXY_FILTER]
    if not address:
        return None
    options: tuple[str, ...] = config[smtpd_content.SMTPD_PROXY_OPTIONS]
    return ProxyFilter(
        Endpoint.parse(address),
        config[smtpd_content.SMTPD_PROXY_EHLO],
        config[smtpd_content.SMTPD_PROXY_TIMEOUT],
        speed_adjust="speed_adjust" in options,
    )


def checks(server: Server) -> Checks:
    """The filter is asked last: it hears only of what nothing else speaks against."""
    if server.proxy_filter is None or server.proxy_filter.speed_adjust:
        return {}
    return {"RCPT": (_recipient,), "DATA": (_data,)}


def _recipient(session: Session, event: Rcpt) -> Any:
    assert session.filter is not None and session.transaction is not None
    return session.filter.recipient(session.transaction, event)


def _data(session: Session, event: Data) -> Any:
    assert session.filter is not None and session.transaction is not None
    return session.filter.data(session.transaction)


class FilterSession:
    """One client session's conversation with the filter."""

    def __init__(self, settings: ProxyFilter, session: Session) -> None:
        self._settings = settings
        self._session = session
        self._connection: FilterConnection | None = None
        self._outgoing: Outgoing | None = None
        self._owner: Transaction | None = None
        """The client's transaction that `_outgoing` belongs to."""

    # --- what the checks ask
    async def recipient(self, transaction: Transaction, event: Rcpt) -> Verdict:
        """RCPT, and with the first one the connection and MAIL; the refusal that the filter gives."""
        try:
            if self._owner is not transaction:
                if transaction.recipients:  # of them the filter would never hear
                    raise FilterFailed("recipients of the message are no longer known to it")
                refusal = await self._begin(transaction)
                if refusal is not None:
                    self._owner = None
                    return refusal
            connection, outgoing = self._current()
            client = connection.client
            client.add(rcpt_to(transaction.candidate, client.capabilities, notify=event.notify, orcpt=event.orcpt))
            await connection.settle()
            return _refusal(outgoing.recipient_replies[-1])
        except BadAddress as error:
            log.warning(f"proxy {self._settings.endpoint}: {error}")
            return replies.BAD_RECIPIENT
        except FilterFailed as error:
            return self.failed(error)

    async def data(self, transaction: Transaction) -> Verdict:
        """DATA; the refusal that the filter gives."""
        if transaction.discard:
            self._drop()
            return None
        try:
            if self._owner is not transaction:
                raise FilterFailed("the message is no longer known to it")
            connection, outgoing = self._current()
            connection.client.data()
            await connection.settle()
            if outgoing.progress is Progress.CONTENT:
                return None
            refusal = _refusal(outgoing.data_reply)
            if refusal is None:
                raise FilterFailed(f"reply to DATA: {outgoing.data_reply}")
        except FilterFailed as error:
            return self.failed(error)
        self._owner = None
        return refusal

    def _current(self) -> tuple[FilterConnection, Outgoing]:
        assert self._connection is not None and self._outgoing is not None
        if self._outgoing.progress is not Progress.ENVELOPE:
            raise FilterFailed("it has ended the message")
        return self._connection, self._outgoing

    async def _begin(self, transaction: Transaction) -> Reply | None:
        """Connect where there is no connection, and send the envelope's beginning.  Raises FilterFailed."""
        connection = await self._ready()
        client = connection.client
        session, mail = self._session, transaction.mail
        if mail.smtputf8 and "SMTPUTF8" not in client.capabilities:
            raise FilterFailed("it does not offer SMTPUTF8")
        command = mail_from(
            transaction.sender,
            client.capabilities,
            size=mail.size,
            body=mail.body,
            smtputf8=mail.smtputf8,
            ret=mail.ret,
            envid=mail.envid,
        )
        outgoing = Outgoing(command, [], before=xforward(_attributes(session, transaction), client.capabilities))
        self._outgoing, self._owner = outgoing, transaction
        client.open(outgoing)
        await connection.settle()
        return _refusal(outgoing.mail_reply)

    async def _ready(self) -> FilterConnection:
        """A connection between two messages."""
        connection, outgoing = self._connection, self._outgoing
        self._outgoing = self._owner = None
        if connection is not None and outgoing is not None and outgoing.progress is not Progress.DONE:
            if outgoing.progress is Progress.ENVELOPE and not connection.busy:
                connection.client.abandon()
                try:
                    await connection.settle()
                except FilterFailed:
                    pass  # it may have been waiting for us for too long
            else:
                self._drop()
        if connection is not None and not connection.alive:
            self._drop()
        if self._connection is None:
            settings = self._settings
            self._connection = await FilterConnection.connect(settings.endpoint, settings.name, settings.timeout)
        return self._connection

    def failed(self, error: FilterFailed) -> Reply:
        log.warning(f"proxy {self._settings.endpoint}: {error}")
        self._drop()
        return UNAVAILABLE

    def _drop(self) -> None:
        """Close the connection: the filter throws away what it has of a message."""
        connection, self._connection = self._connection, None
        self._outgoing = self._owner = None
        if connection is not None:
            connection.close()

    def close(self) -> None:
        """The client's session is over."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close(politely=True)

    # --- the content
    def open_now(self) -> FilteredMessage:
        """The message of a transaction whose first recipient was taken."""
        return BufferedMessage(self) if self._settings.speed_adjust else FilteredMessage(self)

    async def send(self, content: bytes) -> None:
        """Content, encoded.  Raises FilterFailed."""
        if self._connection is None:
            raise FilterFailed("the connection is gone")
        await self._connection.send(content)

    async def finish(self, content: bytes) -> Reply:
        """The last of the content, the dot included; the filter's answer to the message."""
        connection, outgoing = self._connection, self._outgoing
        if connection is None or outgoing is None or outgoing.progress is not Progress.CONTENT:
            return UNAVAILABLE
        try:
            connection.client.end_content(content)
            await connection.settle()
        except FilterFailed as error:
            if not outgoing.final_replies:
                return self.failed(error)
        self._owner = None
        final = outgoing.final_replies[0]
        if final.code == 421 or final.kind not in (2, 4, 5):
            return self.failed(FilterFailed(f"reply to the message: {final}"))
        return _passed(final)

    async def deliver_whole(self, transaction: Transaction, content: int, length: int) -> Reply:
        """speed_adjust: the whole conversation about one message, from a file; the filter's first refusal or its
        answer to the content."""
        try:
            refusal = await self._begin(transaction)
            for recipient in transaction.recipients:
                if refusal is not None:
                    break
                connection, outgoing = self._current()
                client = connection.client
                client.add(
                    rcpt_to(recipient.address, client.capabilities, notify=recipient.notify, orcpt=recipient.orcpt)
                )
                await connection.settle()
                refusal = _refusal(outgoing.recipient_replies[-1])
            if refusal is None:
                refusal = await self.data(transaction)
            if refusal is not None:
                self._owner = None
                return refusal
            encoder = ContentEncoder(0)
            for start in range(0, length, GATHER):
                await self.send(encoder.encode(os.pread(content, min(GATHER, length - start), start)))
        except BadAddress as error:
            log.warning(f"proxy {self._settings.endpoint}: {error}")
            self._drop()
            return replies.BAD_RECIPIENT
        except FilterFailed as error:
            return self.failed(error)
        return await self.finish(encoder.finish())

    def withdraw(self) -> None:
        """The client has given up, or its message is refused: within content only the end of the connection says so."""
        if self._outgoing is not None and self._outgoing.progress in (Progress.CONTENT, Progress.ENDING):
            self._drop()
        else:
            self._owner = None


async def finish(session: Session, transaction: Transaction, message: FilteredMessage) -> Reply:
    """The end of a filtered message: its answer, and the line in the log."""
    lost = [name for name in _LOST if getattr(transaction, name)]
    if transaction.edits and not transaction.edits.discard:
        lost.append("what is wanted at its end")
    if lost:
        log.warning(f"with smtpd_proxy_filter a message cannot have: {', '.join(lost)}")
    if transaction.edits.discard:
        message.abort()
        return replies.queued(NO_QUEUE)
    reply = await message.finish(transaction)
    word = "proxy-reject" if reply.failed else "proxy-accept"
    recipient = transaction.recipients[0].address if transaction.recipients else ""
    log.info(
        f"{NO_QUEUE}: {word}: END-OF-MESSAGE: {reply}; from=<{transaction.sender}> to=<{recipient}> "
        f"proto={session.core.protocol} helo=<{session.core.helo_name}>"
    )
    return reply


def _attributes(session: Session, transaction: Transaction) -> dict[str, str]:
    """What XFORWARD tells the filter about the client."""
    fields = client_fields(session, session.core.protocol)
    return {
        "NAME": "" if fields["client_name"] == UNKNOWN else fields["client_name"],
        "ADDR": "" if fields["client_address"] == UNKNOWN else fields["client_address"],
        "PORT": fields["client_port"],
        "PROTO": fields["protocol"],
        "HELO": fields["client_helo"],
        "SOURCE": "LOCAL" if session.trusted else "REMOTE",
    }


def _passed(reply: ServerReply) -> Reply:
    """A reply of the filter as ours; its status codes stand in its text."""
    return Reply(reply.code, "", tuple(replies.printable(line) for line in reply.lines))


def _refusal(reply: ServerReply | None) -> Reply | None:
    """The refusal that a reply is.  Raises FilterFailed for one that makes no sense here."""
    if reply is None or reply.kind not in (2, 4, 5) or reply.code == 421:
        raise FilterFailed(f"reply: {reply}")
    return None if reply.kind == 2 else _passed(reply)
