"""Composing a delivery status notification as a stream: multipart/report with text, report and original.

Promises: constant memory, whatever the size of the original and the number of recipients; every field that came from
outside is made printable and stays on its own line; the report parses as RFC 3464 says, in RFC 6533 form where
addresses are not ASCII.  Lines end in LF.

Does not decide who gets a report: see the bounce program.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from pillarbox.lib.message.date import format_date
from pillarbox.lib.message.dsn.kind import Kind
from pillarbox.lib.message.dsn.template import RETRY_UNTIL, Template
from pillarbox.lib.message.dsn.wording import DIAGNOSTIC_LIMIT, notification, printable
from pillarbox.lib.message.header import compose as compose_field

_STATUS = re.compile(r"[245]\.\d{1,3}\.\d{1,3}")


@dataclass(frozen=True, slots=True)
class ReportedRecipient:
    """What happened to one recipient.

    `status` is an enhanced status code; `text` our words for it; `action` "" = the usual one of the kind of report.
    `remote_mta` and `diagnostic` as in RFC 3464 sections 2.3.5 and 2.3.6, with or without their type prefix.
    `orcpt` is "type;address" as the sender gave it; `retry_until` in seconds since the epoch, 0 = not said.
    """

    address: str
    status: str
    text: str
    original: str = ""
    orcpt: str = ""
    action: str = ""
    remote_mta: str = ""
    diagnostic: str = ""
    last_attempt: float = 0.0
    retry_until: float = 0.0


@dataclass(frozen=True, slots=True)
class Original:
    """The message that the report is about.

    `header` is its header block.  `content` gives all of it, in chunks, anew on each call; None = it is not at hand.
    `eight_bit`: whether it may hold octets above 127.
    """

    header: bytes
    size: int
    content: Callable[[], Iterable[bytes]] | None = None
    eight_bit: bool = False


@dataclass(frozen=True, slots=True)
class Report:
    """All about a report but its recipients and the original.

    `to` gets it; `sender` is the envelope sender of the original; `queue_id` and `arrival` are the original's;
    `when` is now; `return_body` says whether the whole original is wanted and small enough.  `words` is the
    administrator's template for the kind, parameters expanded; None = ours.
    """

    kind: Kind
    host: str
    mail_name: str
    queue_id: str
    to: str
    sender: str
    arrival: float
    when: float
    envid: str = ""
    return_body: bool = True
    smtputf8: bool = False
    retry_until: float = 0.0
    words: Template | None = None

    @property
    def template(self) -> Template:
        """The template in force."""
        return self.kind.built_in if self.words is None or self.kind.for_postmaster else self.words

    @property
    def subject(self) -> str:
        """The Subject field's value."""
        chosen = self.words or self.kind.built_in
        return chosen.postmaster_subject if self.kind.for_postmaster else chosen.subject

    @property
    def eight_bit(self) -> bool:
        """Whether the report itself, apart from the original, needs octets above 127."""
        return self.smtputf8 or not self.template.body.isascii()

    @property
    def boundary(self) -> str:
        """Occurs in no original: the queue id is ours and new."""
        return f"{self.queue_id}.{int(self.when)}/{self.host}"


def compose(
    report: Report, recipients: Callable[[], Iterable[ReportedRecipient]], original: Original
) -> Iterator[bytes]:
    """The report in pieces.  `recipients` is called more than once: for the text, then for the report."""
    boundary = report.boundary.encode()
    eight_bit = report.eight_bit or (original.eight_bit and _returns_content(report, original))
    yield from _top(report, boundary, eight_bit)
    yield b"--" + boundary + b"\n"
    yield from _notification(report, recipients, original.size)
    yield b"\n--" + boundary + b"\n"
    yield from _delivery_report(report, recipients())
    if original.header or original.content is not None:
        yield b"--" + boundary + b"\n"
        yield from _returned(report, original)
    yield b"\n--" + boundary + b"--\n"


def _returns_content(report: Report, original: Original) -> bool:
    return report.kind.with_body and report.return_body and original.content is not None


def _top(report: Report, boundary: bytes, eight_bit: bool) -> Iterator[bytes]:
    yield compose_field(b"Date", format_date(report.when).encode())
    yield compose_field(b"From", report.template.author(report.host).encode())
    yield compose_field(b"Subject", report.subject.encode())
    yield compose_field(b"To", _utf8(report.to))
    # RFC 3834 section 5: a report answers its message; a copy for the postmaster answers nobody.
    automatic = "auto-generated" if report.kind.for_postmaster else "auto-replied"
    yield f"Auto-Submitted: {automatic}\nMIME-Version: 1.0\n".encode()
    yield b'Content-Type: multipart/report; report-type=delivery-status;\n\tboundary="' + boundary + b'"\n'
    if eight_bit:
        yield b"Content-Transfer-Encoding: 8bit\n"
    yield b"\nThis is a MIME-encapsulated message.\n\n"


def _notification(report: Report, recipients: Callable[[], Iterable[ReportedRecipient]], size: int) -> Iterator[bytes]:
    template = report.template
    charset = "utf-8" if report.smtputf8 and template.charset.lower() == "us-ascii" else template.charset
    yield f"Content-Description: Notification\nContent-Type: text/plain; charset={charset}\n".encode()
    if report.eight_bit:
        yield b"Content-Transfer-Encoding: 8bit\n"
    until = format_date(report.retry_until) if report.retry_until else "its time in the queue is over"
    body = template.body.replace("$myhostname", report.host).replace(f"${RETRY_UNTIL}", until)
    yield b"\n" + body.encode("utf-8", "surrogateescape")
    for words in notification(report, recipients, size):
        # An administrator's charset need not have what an address has.
        yield _utf8(words) if charset.lower() == "utf-8" else words.encode("ascii", "backslashreplace")


def _delivery_report(report: Report, recipients: Iterable[ReportedRecipient]) -> Iterator[bytes]:
    kind = b"message/global-delivery-status" if report.smtputf8 else b"message/delivery-status"
    yield b"Content-Description: Delivery report\nContent-Type: " + kind + b"\n"
    if report.smtputf8:
        yield b"Content-Transfer-Encoding: 8bit\n"
    yield b"\n"

    def field(name: str, value: str) -> bytes:
        words = printable(value)
        octets = _utf8(words) if report.smtputf8 else words.encode("ascii", "backslashreplace")
        return compose_field(name.encode(), octets)

    def typed(address: str) -> str:
        return f"{'rfc822' if address.isascii() or not report.smtputf8 else 'utf-8'}; {address}"

    # RFC 3464 section 2.2
    if report.envid:
        yield field("Original-Envelope-Id", report.envid)
    yield field("Reporting-MTA", f"dns; {report.host}")
    yield field(f"X-{report.mail_name}-Queue-ID", report.queue_id)
    if report.sender:
        yield field(f"X-{report.mail_name}-Sender", typed(report.sender))
    yield field("Arrival-Date", format_date(report.arrival))
    # RFC 3464 section 2.3
    for recipient in recipients:
        yield b"\n"
        if recipient.orcpt:
            yield field("Original-Recipient", recipient.orcpt.replace(";", "; ", 1))
        elif recipient.original and recipient.original != recipient.address:
            yield field("Original-Recipient", typed(recipient.original))
        yield field("Final-Recipient", typed(recipient.address))
        yield field("Action", recipient.action or report.kind.action)
        yield field("Status", recipient.status if _STATUS.fullmatch(recipient.status) else _unknown(report.kind))
        if recipient.remote_mta:
            yield field("Remote-MTA", _with_type(recipient.remote_mta, "dns"))
        diagnostic = recipient.diagnostic or recipient.text
        default = "smtp" if recipient.diagnostic else f"X-{report.mail_name}"
        yield field("Diagnostic-Code", _with_type(diagnostic[:DIAGNOSTIC_LIMIT], default))
        if recipient.last_attempt:
            yield field("Last-Attempt-Date", format_date(recipient.last_attempt))
        if recipient.retry_until:
            yield field("Will-Retry-Until", format_date(recipient.retry_until))
    yield b"\n"


def _returned(report: Report, original: Original) -> Iterator[bytes]:
    """The original, whole or its header (RFC 6522 section 3: the third part)."""
    whole = _returns_content(report, original)
    if whole:
        kind = "message/global" if report.smtputf8 else "message/rfc822"
        name = report.kind.returned
    else:
        kind = "message/global-headers" if report.smtputf8 else "text/rfc822-headers"
        name = f"{report.kind.returned} Headers"
    yield f"Content-Description: {name}\nContent-Type: {kind}\n".encode()
    if report.smtputf8 or (whole and original.eight_bit):
        yield b"Content-Transfer-Encoding: 8bit\n"
    yield b"\n"
    if not whole:
        yield original.header if original.header.isascii() or report.smtputf8 else _ascii_header(original.header)
        return
    assert original.content is not None
    last = b""
    for chunk in original.content():
        yield chunk
        last = chunk[-1:] or last
    if last != b"\n":
        yield b"\n"


def _ascii_header(header: bytes) -> bytes:
    """Raw 8-bit octets in a header part that is declared 7-bit become `?`; a report must pass everywhere."""
    return bytes(octet if octet < 128 else 0x3F for octet in header)


def _unknown(kind: Kind) -> str:
    return {"failed": "5.0.0", "delayed": "4.0.0"}.get(kind.action, "2.0.0")


def _with_type(value: str, default: str) -> str:
    """`type; text` as it is, else with the default type in front."""
    head, semicolon, tail = value.partition(";")
    if semicolon and re.fullmatch(r"(?:dns|smtp|x-[A-Za-z0-9\-]+)", head.strip(), re.IGNORECASE):
        return f"{head.strip()}; {tail.strip()}"
    return f"{default}; {value}"


def _utf8(text: str) -> bytes:
    return text.encode("utf-8", "replace")
