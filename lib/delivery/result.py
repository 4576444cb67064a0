"""What became of one recipient, and how that is said in the log (Postfix's delivery line)."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

from pillarbox.lib.delivery.request import DeliveryRecipient, DeliveryRequest
from pillarbox.lib.ipc import Attributes, ProtocolError
from pillarbox.lib.log import log

SENT, DEFERRED, BOUNCED = "sent", "deferred", "bounced"

ENTRUSTED, RELAYED, TRACED, EXPANDED = "entrusted", "relayed", "traced", "expanded"
"""How a message was handed over: to a system, or as a message, that brings the reports itself; to a system that sends
none; with a report that was asked for by other means than NOTIFY=SUCCESS (RFC 2852 section 4.1.4); to several new
recipients, of whose successes nobody hears (RFC 3461 section 5.2.7.2)."""

HANDED = ("", ENTRUSTED, RELAYED, TRACED, EXPANDED)


@dataclass(frozen=True, slots=True)
class Result:
    """The outcome for the recipient number `n`.

    `dsn` is the enhanced status code (RFC 3463), `text` what happened in words, `relay` who took or refused it
    (`local`, `virtual`, `host[address]:port`, `none`), `remote_mta` and `diagnostic` what RFC 3464 section 2.3 wants.
    """

    n: int
    status: str
    dsn: str
    text: str
    relay: str = "none"
    remote_mta: str = ""
    diagnostic: str = ""
    handed: str = ""
    """What a success was, where another system took the message over: one of the words below; "" otherwise."""

    def wanted(self, notify: tuple[str, ...]) -> bool:
        """Whether the sender is to be told of a success; `notify` is what NOTIFY says (RFC 3461 section 5.2.3)."""
        if self.handed == TRACED:
            return "never" not in notify
        return "success" in notify and self.handed != ENTRUSTED

    def frame(self) -> dict[str, object]:
        """The members that travel."""
        members: dict[str, object] = {"n": self.n, "status": self.status, "dsn": self.dsn, "text": self.text}
        if self.relay:
            members["relay"] = self.relay
        if self.remote_mta:
            members["remote_mta"] = self.remote_mta
        if self.diagnostic:
            members["diagnostic"] = self.diagnostic
        if self.handed:
            members["handed"] = self.handed
        return members


def parse_result(frame: Attributes) -> Result:
    """A result that an agent sent.  Raises ProtocolError."""
    status = frame.text("status")
    if status not in (SENT, DEFERRED, BOUNCED):
        raise ProtocolError(f'a delivery status is not "{status}"')
    handed = frame.text("handed") if "handed" in frame else ""
    if handed not in HANDED:
        raise ProtocolError(f'a message is not handed over as "{handed}"')
    return Result(
        n=frame.integer("n"),
        status=status,
        dsn=frame.text("dsn"),
        text=frame.text("text"),
        relay=frame.text("relay", "none"),
        remote_mta=frame.text("remote_mta") if "remote_mta" in frame else "",
        diagnostic=frame.text("diagnostic") if "diagnostic" in frame else "",
        handed=handed,
    )


def format_delay(seconds: float) -> str:
    """A delay with two significant digits and at most two decimals, whole from 10 s on, as Postfix logs it; what a
    clock that was set back makes negative is none."""
    if seconds < 0.005:
        return "0"
    if seconds >= 9.95:
        return f"{seconds:.0f}"
    if seconds >= 0.995:
        return f"{seconds:.1f}".removesuffix(".0")
    return f"{seconds:.2f}".rstrip("0")


def softened(result: Result) -> Result:
    """A failure as a reason to wait, for soft_bounce; other results as they are."""
    if result.status != BOUNCED:
        return result
    return replace(result, status=DEFERRED, dsn=f"4{result.dsn[1:]}")


def _word(request: DeliveryRequest, result: Result) -> str:
    """The status as the log says it; of a probe, what it means for mail that might follow."""
    if not request.probe:
        return "SOFTBOUNCE" if request.soft_bounce and result.status == BOUNCED else result.status
    return "deliverable" if result.status == SENT else "undeliverable"


def log_result(
    request: DeliveryRequest,
    recipient: DeliveryRecipient,
    result: Result,
    *,
    connected: float = 0.0,
    note: str = "",
    tls: str = "",
    now: float | None = None,
) -> None:
    """Log one recipient's line.

    `connected` is when the connection to the next hop was ready (0 where there is none); the four delays are: before
    the queue manager, in it, connection set-up, transmission.  `note` stands behind the relay, as `conn_use=2`; `tls`
    says how the connection was protected.
    """
    now = time.time() if now is None else now
    dsn = softened(result).dsn if request.soft_bounce and not request.probe else result.dsn
    connected = connected or request.taken
    delays = (
        request.active - request.arrival,
        request.taken - request.active,
        connected - request.taken,
        now - connected,
    )
    original = f", orig_to=<{recipient.original}>" if recipient.original not in ("", recipient.address) else ""
    log.info(
        f"{request.queue_id}: to=<{recipient.address}>{original}, relay={result.relay}{', ' + note if note else ''}, "
        f"delay={format_delay(now - request.arrival)}, "
        f"delays={'/'.join([format_delay(delay) for delay in delays])}, "
        f"{f'tls={tls}, ' if tls else ''}dsn={dsn}, status={_word(request, result)} ({result.text})"
    )
