"""Milters for mail that local programs hand in (non_smtpd_milters): they see it as if it came by SMTP from localhost.

What would be a refusal in an SMTP session is raised as `Rejected`: a permanent one is reported to the sender, with a
temporary one the submission waits in maildrop/.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from pillarbox.lib.clients.cleanup import Examined, Rejected
from pillarbox.lib.clients.errors import ServiceUnavailable
from pillarbox.lib.clients.milter import SERVICE, Decision, MilterSession, Peer
from pillarbox.lib.config import Config
from pillarbox.lib.config.parameters import milter as parameters
from pillarbox.lib.config.parameters.content import RECEIVE_OVERRIDE_OPTIONS
from pillarbox.lib.config.parameters.general import MYHOSTNAME
from pillarbox.lib.log import log
from pillarbox.lib.milter.configured import configured_macros, configured_milters, macro_defaults
from pillarbox.lib.queue import Envelope
from pillarbox.lib.queue.edits import Edits

_LOCALHOST = Peer("localhost", "4", 0, "127.0.0.1")
_TRY_LATER = Rejected(451, "4.7.1", "Service unavailable - try again later")


class LocalMilters:
    """The milters of one configuration."""

    def __init__(self, config: Config) -> None:
        off = "no_milters" in config[RECEIVE_OVERRIDE_OPTIONS]
        self._specs = () if off else configured_milters(config, parameters.NON_SMTPD_MILTERS)
        self._lenient = all(spec.default_action == "accept" for spec in self._specs)
        self._path = config.socket_path(SERVICE)
        self._names = configured_macros(config)
        host = config[MYHOSTNAME]
        self._host = host
        self._macros = {
            **macro_defaults(config),
            "j": host,
            "v": config[parameters.MILTER_MACRO_V],
            "daemon_name": config[parameters.MILTER_MACRO_DAEMON_NAME],
            "_": "localhost [127.0.0.1]",
            "client_addr": "127.0.0.1",
            "client_name": "localhost",
            "client_ptr": "localhost",
            "client_resolve": "OK",
        }

    def __bool__(self) -> bool:
        """Whether there are any."""
        return bool(self._specs)

    def show(self, queue_id: str, envelope: Envelope, examined: Examined) -> Edits:
        """Let the milters see a message; their edits.  Raises Rejected."""
        session = MilterSession(self._path, self._specs, self._names)
        try:
            return _Showing(session, queue_id, envelope, self._host, self._macros).run(examined)
        except ServiceUnavailable as error:
            log.warning(f"{queue_id}: {error.reason}")
            if self._lenient:
                return Edits()
            raise _TRY_LATER from None
        finally:
            session.close()


class _Showing:
    """One message on its way through a simulated session."""

    def __init__(
        self, session: MilterSession, queue_id: str, envelope: Envelope, host: str, macros: Mapping[str, str]
    ) -> None:
        self._session = session
        self._queue_id = queue_id
        self._envelope = envelope
        self._host = host
        self._values = {**macros, "i": queue_id}
        self._hold = ""

    def run(self, examined: Examined) -> Edits:
        session, envelope, values = self._session, self._envelope, self._values
        steps = [("helo", (self._host,)), ("mail", (f"<{envelope.sender}>",))]
        steps += [("rcpt", (f"<{recipient.address}>",)) for recipient in envelope.recipients]
        if self._stops("CONNECT", session.open(_LOCALHOST, values)):
            return Edits(discard=True)
        for step, arguments in (*steps, ("data", ())):
            if step == "mail":
                values = {"mail_addr": envelope.sender}
            elif step == "rcpt":
                values = {"rcpt_addr": arguments[0][1:-1]}
            if session.wants(step) and self._stops(step.upper(), session.step(step, arguments, values)):
                return Edits(discard=True)
            values = {}
        if not session.wants("end"):
            return Edits(hold=self._hold)
        decision, edits = session.end(examined, {"i": self._queue_id}, queue_id=self._queue_id)
        try:
            discard = self._stops("END-OF-MESSAGE", decision)
        except Rejected:
            edits.close()
            raise
        if discard:
            edits.close()
            return Edits(discard=True)
        return replace(edits, hold=edits.hold or self._hold)

    def _stops(self, stage: str, decision: Decision) -> bool:
        """Whether the message is to be discarded.  Raises Rejected."""
        if decision.refusal is not None:
            reply = decision.refusal
            text = f"{reply.enhanced} {reply.text}".strip()
            log.info(self._line("milter-reject", stage, text))
            code, enhanced = (451, "4.7.1") if reply.code == 421 else (reply.code, reply.enhanced or "5.7.1")
            raise Rejected(code, enhanced, reply.text)
        if decision.shutdown:
            raise _TRY_LATER
        if decision.hold and not self._hold:
            self._hold = decision.hold
            log.info(self._line("milter-hold", stage, "milter triggers HOLD action"))
        if decision.discard:
            log.info(self._line("milter-discard", stage, "milter triggers DISCARD action"))
        return decision.discard

    def _line(self, action: str, stage: str, text: str) -> str:
        return f"{self._queue_id}: {action}: {stage} from localhost[127.0.0.1]: {text}; from=<{self._envelope.sender}>"
