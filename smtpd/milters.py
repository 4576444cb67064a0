"""Milters as checks: what the client says is told to the service `milter`, whose decision may refuse it.

They come last in each stage: they see what the server's own rules have let pass.  At the end of a message cleanup
shows the content to the milters, and gets their edits with the commit.  Without milters there is no check at all.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from pillarbox.lib.clients import ServiceUnavailable
from pillarbox.lib.clients.cleanup import AsyncMessage
from pillarbox.lib.clients.milter import SERVICE, AsyncMilterSession, Decision, Peer
from pillarbox.lib.config.milters import MilterSpec
from pillarbox.lib.config.parameters import milter as parameters
from pillarbox.lib.config.parameters.content import RECEIVE_OVERRIDE_OPTIONS
from pillarbox.lib.dns import UNKNOWN
from pillarbox.lib.log import log
from pillarbox.lib.milter.configured import configured_macros, configured_milters, milters_of
from pillarbox.lib.queue.edits import Edits
from pillarbox.lib.smtp import replies
from pillarbox.lib.smtp.events import Data, End, Hello, Mail, Rcpt, Unknown
from pillarbox.lib.smtp.reply import Reply
from pillarbox.smtpd.milter_macros import Macros

if TYPE_CHECKING:
    from pillarbox.smtpd.checks import Checks, Verdict
    from pillarbox.smtpd.server import Server
    from pillarbox.smtpd.session import Session


class MilterReply(Reply):
    """A refusal that a milter wants; logged as `milter-reject`."""

    __slots__ = ()

    @property
    def action(self) -> str:
        """See `Reply`."""
        return "milter-reject"


UNAVAILABLE: Final = MilterReply(451, "4.7.1", ("Service unavailable - try again later",))
PUT_OFF: Final = MilterReply(421, "4.7.1", UNAVAILABLE.lines)
CLOSING: Final = MilterReply(421, "4.7.0", ("Server closing connection",))


def checks(server: Server) -> Checks:
    """The checks, where any client may have a milter."""
    config = server.config
    if server.proxy_filter is not None or "no_milters" in server.overrides.split():
        return {}  # before the queue the filter has the content, and cleanup sees none of it
    specs = configured_milters(config, parameters.SMTPD_MILTERS)
    maps = bool(config[parameters.SMTPD_MILTER_MAPS])
    if not (specs or maps) or "no_milters" in config[RECEIVE_OVERRIDE_OPTIONS]:
        return {}
    milters = Milters(server, specs, maps)
    return {
        "CONNECT": (milters.connect,),
        "HELO": (_hello,),
        "MAIL": (_mail,),
        "RCPT": (_rcpt,),
        "DATA": (_data,),
        "END-OF-MESSAGE": (_end,),
        "UNKNOWN": (_unknown,),
    }


class Milters:
    """What all sessions of a process share."""

    def __init__(self, server: Server, specs: Sequence[MilterSpec], maps: bool) -> None:
        config = server.config
        self._config = config
        self._specs = specs
        self._maps = maps
        self.path = config.socket_path(SERVICE)
        self.names = configured_macros(config)
        self.macros = Macros(config)

    def connect(self, session: Session, event: Any) -> Any:
        """CONNECT: the session gets its milters."""
        return self._connect(session)

    async def _connect(self, session: Session) -> Verdict:
        if session.milters is not None:  # somebody else is the client now
            session.milters.close()
            session.milters = None
        specs = self._specs
        if self._maps:
            found = await self._mapped(session)
            if found is None:
                session.log_decision(PUT_OFF.action, "CONNECT", str(PUT_OFF))
                return PUT_OFF
            specs = found
        if not specs:
            return None
        await session.name_settled()
        session.milters = milters = SessionMilters(self, session, specs)
        return await milters.connect()

    async def _mapped(self, session: Session) -> Sequence[MilterSpec] | None:
        """smtpd_milter_maps; None where nobody knows."""
        address = session.client.address
        try:
            value = await session.server.lookup.get(parameters.SMTPD_MILTER_MAPS.name, address)
            return self._specs if value is None else milters_of(self._config, value)
        except ServiceUnavailable as error:
            log.warning(f"smtpd_milter_maps: {address}: {error.reason}")
        except ValueError as error:
            log.warning(f"smtpd_milter_maps: {address}: {error}")
        return None


class SessionMilters:
    """The milters of one session.  Each method says what speaks against going on, and notes the rest in the
    transaction: hold, discard, edits."""

    def __init__(self, shared: Milters, session: Session, specs: Sequence[MilterSpec]) -> None:
        self._shared = shared
        self._session = session
        self._specs = specs
        self._client = AsyncMilterSession(shared.path, specs, shared.names)
        self._lenient = all(spec.default_action == "accept" for spec in specs)
        self._deferred = False
        self._in_message = False

    def wants(self, step: str) -> bool:
        """Whether a step must be told now."""
        transaction = self._session.transaction
        if transaction is not None and transaction.discard:
            return False
        if self._client.lost:
            return not self._lenient or step == "mail"
        return self._client.wants(step)

    # --- steps
    async def connect(self) -> Verdict:
        """Who is there.  A temporary refusal waits until MAIL: who is greeted so comes again."""
        try:
            decision = await self._open()
        except ServiceUnavailable as error:
            log.warning(error.reason)
            return None  # looked at in MAIL
        verdict = self._verdict("CONNECT", decision)
        if verdict is None:
            return None
        self._session.log_decision(verdict.action, "CONNECT", str(verdict))
        if verdict.code == 421:
            return verdict
        if verdict.code < 500:
            self._deferred = True
            return None
        return MilterReply(554, verdict.enhanced, verdict.lines)  # RFC 5321 section 3.1

    async def _open(self) -> Decision:
        session, client = self._session, self._session.client
        family = "6" if ":" in client.address else "4" if client.address != UNKNOWN else "U"
        address = f"IPv6:{client.address}" if family == "6" else client.address
        name = client.name if client.name != UNKNOWN else f"[{client.address}]"
        return await self._client.open(
            Peer(name, family, client.port, address), self._shared.macros.connection(session)
        )

    async def hello(self, name: str) -> Verdict:
        """HELO and EHLO."""
        if self._deferred:
            return None
        return await self._tell("helo", "EHLO", (name,), self._shared.macros.hello(self._session))

    async def mail(self, event: Mail) -> Verdict:
        """MAIL; where the service has gone since, a new session with it begins here."""
        if self._client.lost and not await self._again():
            return None if self._lenient else UNAVAILABLE
        arguments = _arguments(event.sender, event.parameters)
        values = await self._shared.macros.sender(self._session)
        self._in_message = True
        try:
            return self._verdict("MAIL", await self._client.step("mail", arguments, values))
        except ServiceUnavailable as error:
            # It has gone since the last message: nothing is lost by beginning anew.
            if not await self._again():
                return self._unavailable(error)
        return await self._tell("mail", "MAIL", arguments, values)

    async def _again(self) -> bool:
        session = self._session
        self._client = AsyncMilterSession(self._shared.path, self._specs, self._shared.names)
        try:
            decision = await self._open()
            goes_on = decision.refusal is None and not decision.shutdown
            if goes_on and session.core.helo_name and self._client.wants("helo"):
                decision = await self._client.step(
                    "helo", (session.core.helo_name,), self._shared.macros.hello(session)
                )
        except ServiceUnavailable as error:
            log.warning(error.reason)
            return False
        return True

    async def recipient(self, event: Rcpt) -> Verdict:
        """RCPT, of a recipient that nothing else speaks against."""
        values = await self._shared.macros.recipient(self._session)
        return await self._tell("rcpt", "RCPT", _arguments(event.recipient, event.parameters), values)

    async def refused(self, event: Rcpt, reply: Reply) -> None:
        """RCPT, of a recipient that was refused (SMFIP_RCPT_REJ)."""
        values = self._shared.macros.refused(self._session, reply.enhanced, reply.text)
        try:
            await self._client.step("rcpt", _arguments(event.recipient, event.parameters), values, refused=True)
        except ServiceUnavailable as error:
            log.warning(error.reason)

    async def data(self) -> Verdict:
        """DATA, or the first BDAT."""
        return await self._tell("data", "DATA", (), self._shared.macros.message(self._session))

    async def unknown(self, line: str) -> Verdict:
        """A command that the server does not know."""
        return await self._tell("unknown", "UNKNOWN", (line,), {})

    async def end(self) -> Verdict:
        """The message is complete: let the milters see it."""
        transaction = self._session.transaction
        assert transaction is not None
        message = transaction.message
        if not isinstance(message, AsyncMessage):
            return None  # cleanup has failed; it is said at the commit
        if not message.examinable:
            log.warning(f"{message.queue_id}: milters want to see a message that was begun without them")
            return UNAVAILABLE
        try:
            examined = await message.examine()
        except ServiceUnavailable as error:
            log.warning(f"{message.queue_id}: queue file write error: {error.reason}")
            return replies.WRITE_ERROR
        if examined is None:
            return None  # cleanup's answer is there already
        try:
            decision, edits = await self._client.end(
                examined,
                self._shared.macros.message(self._session),
                queue_id=message.queue_id,
                binary=transaction.mail.body == "binarymime",
            )
        except ServiceUnavailable as error:
            return self._unavailable(error)
        finally:
            examined.close()
        self._in_message = False
        transaction.edits = edits
        verdict = self._verdict("END-OF-MESSAGE", decision)
        if transaction.discard:
            transaction.edits = Edits(discard=True)
        return verdict

    async def _tell(self, step: str, stage: str, arguments: Sequence[str], values: dict[str, str]) -> Verdict:
        try:
            return self._verdict(stage, await self._client.step(step, arguments, values))
        except ServiceUnavailable as error:
            return self._unavailable(error)

    def _unavailable(self, error: ServiceUnavailable) -> Verdict:
        log.warning(error.reason)
        return None if self._lenient else UNAVAILABLE

    def _verdict(self, stage: str, decision: Decision) -> MilterReply | None:
        session, transaction = self._session, self._session.transaction
        refusal = decision.refusal
        if refusal is not None:
            return MilterReply(refusal.code, refusal.enhanced, refusal.lines)
        if decision.shutdown:
            return CLOSING
        if transaction is not None:
            if decision.discard:
                transaction.discard = True
                session.log_decision("milter-discard", stage, "milter triggers DISCARD action")
            if decision.hold and not transaction.hold:
                transaction.hold = decision.hold
                session.log_decision("milter-hold", stage, "milter triggers HOLD action")
        return None

    # --- ends
    def abort(self) -> None:
        """The message is over, and the milters have not seen its end."""
        if self._in_message:
            self._in_message = False
            self._client.abort()

    def close(self) -> None:
        """The session is over."""
        self._client.close()


def _arguments(path: str, parameters: str) -> tuple[str, ...]:
    """A command as milters get it: the path, then each parameter."""
    return (f"<{path}>", *parameters.split())


def _hello(session: Session, event: Hello) -> Any:
    milters = session.milters
    return milters.hello(event.name) if milters is not None and milters.wants("helo") else None


def _mail(session: Session, event: Mail) -> Any:
    milters = session.milters
    return milters.mail(event) if milters is not None and milters.wants("mail") else None


def _rcpt(session: Session, event: Rcpt) -> Any:
    milters = session.milters
    return milters.recipient(event) if milters is not None and milters.wants("rcpt") else None


def _data(session: Session, event: Data) -> Any:
    milters = session.milters
    return milters.data() if milters is not None and milters.wants("data") else None


def _end(session: Session, event: End) -> Any:
    milters = session.milters
    return milters.end() if milters is not None and milters.wants("end") else None


def _unknown(session: Session, event: Unknown) -> Any:
    milters = session.milters
    return milters.unknown(event.line) if milters is not None and milters.wants("unknown") else None
