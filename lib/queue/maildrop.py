"""Local submissions: the format of files in maildrop/, as pickup reads them.  `commands/sendmail.py` writes them.

    PBMD1 offset=0000000151 length=0000000000004096         fixed width, 64 bytes with its line feed
    sender alice                                            "" is the null sender; no domain = this system's
    recipient bob@example.net                               once for each
    recipient_notify failure,delay                          optional: NOTIFY and ORCPT of the recipient before
    recipient_orcpt rfc822;bob@example.org
    full_name Alice A.
    envid, ret, body, notify, smtputf8, requiretls, gateway, verp, report   optional, see `Submission`
                                                            an empty line
    <content: `length` bytes from `offset` to the end of the file; lines end in LF>

Anyone may drop a file; nothing in it is believed but what the submitter may decide.  Who that is, the owner says.
The file gets its name only when it is complete; what is incomplete under a final name was cut by a power failure.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

FIRST_LINE_SIZE = 64
ENVELOPE_LIMIT = 4 * 1024 * 1024
"""Bytes of envelope that are read: 20,000 of the longest recipients."""

_FIRST_LINE = re.compile(rb"PBMD1 offset=(\d{10}) length=(\d{16}) *\n")
ORCPT_LIMIT = 600
"""Characters: RFC 3461 section 4.2 says 500 for the address."""

_NOTIFY = frozenset(("never", "success", "failure", "delay"))
_SINGLE = (
    "sender",
    "full_name",
    "envid",
    "ret",
    "body",
    "notify",
    "smtputf8",
    "requiretls",
    "gateway",
    "verp",
    "report",
)


class BadSubmission(Exception):
    """A file that `sendmail` has not written like that; the text says what is wrong."""


@dataclass(frozen=True, slots=True)
class Wishes:
    """What was asked for one recipient (RFC 3461 sections 4.1 and 4.2): see `lib.queue.Recipient`."""

    notify: tuple[str, ...] = ()
    orcpt: str = ""


@dataclass(frozen=True, slots=True)
class Submission:
    """What a file says.  Addresses are as given: neither checked nor qualified.

    `ret` is full, hdrs or "", `body` 7bit, 8bitmime or "", `notify` lower case; `gateway` asks that the header be left
    as it is (`sendmail -G`); `verp` is two delimiters, `default` or "" (`sendmail -XV`); `report` verify (`-bv`),
    record (`-v`) or "".
    """

    sender: str
    recipients: tuple[str, ...]
    offset: int
    length: int
    full_name: str = ""
    envid: str = ""
    ret: str = ""
    body: str = ""
    notify: tuple[str, ...] = ()
    smtputf8: bool = False
    requiretls: bool = False
    gateway: bool = False
    verp: str = ""
    report: str = ""
    wishes: Mapping[int, Wishes] = field(default_factory=dict)
    """By the recipient's position, where they differ from `notify`."""


def read_submission(descriptor: int) -> Submission:
    """Read the envelope of an open maildrop file.  Raises BadSubmission, OSError."""
    first = _FIRST_LINE.fullmatch(os.pread(descriptor, FIRST_LINE_SIZE, 0))
    if first is None:
        raise BadSubmission("the first line is not that of a submission")
    offset, length = int(first[1]), int(first[2])
    size = os.fstat(descriptor).st_size
    if size != offset + length:
        raise BadSubmission(f"the file has {size} bytes, not {offset + length}")
    if not FIRST_LINE_SIZE < offset <= ENVELOPE_LIMIT:
        raise BadSubmission("the envelope is too long")
    text = _pread_all(descriptor, FIRST_LINE_SIZE, offset)
    if not text.endswith(b"\n\n") or b"\0" in text or b"\r" in text:
        raise BadSubmission("the envelope is not lines of printable text")
    values: dict[str, str] = {}
    recipients: list[str] = []
    asked: dict[int, dict[str, str]] = {}
    for line in text[:-2].split(b"\n"):
        name, _, value = line.decode("utf-8", "surrogateescape").partition(" ")
        if name == "recipient":
            recipients.append(value)
        elif name in ("recipient_notify", "recipient_orcpt") and recipients:
            asked.setdefault(len(recipients) - 1, {})[name] = value
        elif name in _SINGLE and name not in values:
            values[name] = value
        else:
            raise BadSubmission(f'"{name[:40]}" is unknown or stands twice')
    return replace(_submission(values, tuple(recipients), offset, length), wishes=_wishes(asked))


def _wishes(asked: dict[int, dict[str, str]]) -> dict[int, Wishes]:
    wishes = {}
    for index, values in asked.items():
        notify = tuple(values["recipient_notify"].split(",")) if "recipient_notify" in values else ()
        orcpt = values.get("recipient_orcpt", "")
        if not _NOTIFY.issuperset(notify) or len(orcpt) > ORCPT_LIMIT or not orcpt.isprintable():
            raise BadSubmission("a wish for a recipient has an unknown value")
        wishes[index] = Wishes(notify, orcpt)
    return wishes


def _submission(values: dict[str, str], recipients: tuple[str, ...], offset: int, length: int) -> Submission:
    if "sender" not in values:
        raise BadSubmission("there is no sender")
    if not recipients:
        raise BadSubmission("there are no recipients")
    notify = tuple(values.get("notify", "").split(",")) if values.get("notify") else ()
    ret, body = values.get("ret", ""), values.get("body", "")
    if ret not in ("", "full", "hdrs") or body not in ("", "7bit", "8bitmime") or not _NOTIFY.issuperset(notify):
        raise BadSubmission("an option has an unknown value")
    verp, report = values.get("verp", ""), values.get("report", "")
    if report not in ("", "verify", "record") or len(verp) not in (0, 2, len("default")):
        raise BadSubmission("an option has an unknown value")
    return Submission(
        sender=values["sender"],
        recipients=recipients,
        offset=offset,
        length=length,
        full_name=values.get("full_name", ""),
        envid=values.get("envid", ""),
        ret=ret,
        body=body,
        notify=notify,
        smtputf8=values.get("smtputf8") == "yes",
        requiretls=values.get("requiretls") == "yes",
        gateway=values.get("gateway") == "yes",
        verp=verp,
        report=report,
    )


def _pread_all(descriptor: int, start: int, end: int) -> bytes:
    pieces = []
    while start < end:
        piece = os.pread(descriptor, end - start, start)
        if not piece:
            raise BadSubmission("the file ends inside the envelope")
        pieces.append(piece)
        start += len(piece)
    return b"".join(pieces)
