"""Fuzz target: the mail that scripts send, made of what strangers have written into a header."""

from __future__ import annotations

import email
import email.policy

from pillarbox.lib.message.header import header_end
from pillarbox.lib.sieve.mailto import parse_mailto
from pillarbox.lib.sieve_box.replies import Letterhead, notification, vacation_reply
from pillarbox.lib.sieve_box.vacation import named_recipients, why_not

HEAD = Letterhead(1_800_000_000.0, "<r@mx.example.com>", "Ann <ann@example.com>")
KNOWN = {
    *("date", "from", "to", "cc", "subject", "message-id", "auto-submitted", "precedence", "in-reply-to"),
    *("references", "mime-version", "content-type", "content-transfer-encoding", "x-priority", "importance"),
}


def fuzz(data: bytes) -> None:
    """The first line is the script's words, the rest the header of the message that is answered."""
    first, _, rest = data.partition(b"\n")
    text = first.decode("utf-8", "replace")
    header = rest[: header_end(rest)]
    assert isinstance(why_not(header, "bob@example.org", named_recipients(header)), str)
    reply = vacation_reply(HEAD, to="bob@example.org", subject=text, reason=text, mime=False, answered=header)
    _look_at(reply, KNOWN)
    _look_at(vacation_reply(HEAD, to="bob@x", subject="", reason=text, mime=True, answered=header), None)
    try:
        uri = parse_mailto("mailto:" + text)
    except ValueError:
        return
    letter = notification(HEAD, uri=uri, owner="ann@example.com", message=text, importance=1, about=header)
    _look_at(letter, KNOWN | {name.lower() for name, _ in uri.fields})


def _look_at(letter: bytes, known: set[str] | None) -> None:
    head, empty, _ = letter.partition(b"\n\n")
    assert empty and b"\r" not in head and b"\0" not in head
    names = {name.lower() for name in email.message_from_bytes(letter, policy=email.policy.compat32)}
    if known is None:
        names = {name for name in names if not name.startswith("content-")}
        known = KNOWN
    assert names <= known, names - known
