"""IMAP URLs (RFC 5092) as CATENATE and URLAUTH have them: what a message or a part of one is called.

    /INBOX;UIDVALIDITY=785799047/;UID=113330/;SECTION=1.5.9/;PARTIAL=0.1024
    imap://joe@example.com/INBOX/;UID=20;EXPIRE=2026-12-01T00:00:00Z;URLAUTH=user+fred:INTERNAL:91354a...

The authority (`imap://user@host`) is left to who calls; a URL without a message is not one of these.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import unquote_to_bytes

from pillarbox.imapd.protocol.cursor import decode_name
from pillarbox.lib.store.interface import INBOX

_URL = re.compile(
    r"(?:imap://(?:(?P<user>[^@/;]*)(?:;AUTH=[^@/]*)?@)?(?P<host>[^/@]+))?"
    r"/(?P<mailbox>[^;]+?)(?:;UIDVALIDITY=(?P<validity>\d{1,10}))?"
    r"/?;UID=(?P<uid>\d{1,10})"
    r"(?:/?;SECTION=(?P<section>[^;]+?))?"
    r"(?:/?;PARTIAL=(?P<start>\d{1,18})(?:\.(?P<length>\d{1,18}))?)?"
    r"(?:;EXPIRE=(?P<expire>[0-9TtZz:.+-]+))?"
    r"(?:;URLAUTH=(?P<access>[^;:]+(?:\+[^;:]*)?)(?::(?P<mechanism>[A-Za-z0-9-]+):(?P<token>[0-9a-fA-F]+))?)?",
    re.IGNORECASE,
)
LIMIT = 4096
"""Characters of a URL."""


@dataclass(frozen=True, slots=True)
class MessageUrl:
    """A message or a part of one; `section` is the section's name as in BODY[...]."""

    mailbox: str
    uid: int
    uid_validity: int | None = None
    section: bytes = b""
    partial: tuple[int, int | None] | None = None
    user: str | None = None
    host: str | None = None
    expire: str | None = None
    access: str | None = None
    mechanism: str | None = None
    token: str | None = None


def parse_url(raw: bytes) -> MessageUrl | None:
    """The URL; None where it names no message."""
    if len(raw) > LIMIT or not raw.isascii():
        return None
    found = _URL.fullmatch(raw.decode("ascii"))
    if found is None or not int(found["uid"]) or b"\r" in raw or b"\n" in raw:
        return None
    name = unquote_to_bytes(found["mailbox"])
    mailbox = decode_name(name)
    partial = None
    if found["start"] is not None:
        partial = int(found["start"]), int(found["length"]) if found["length"] is not None else None
        if partial[1] == 0:
            return None
    return MessageUrl(
        mailbox=INBOX if mailbox.upper() == INBOX else mailbox,
        uid=int(found["uid"]),
        uid_validity=int(found["validity"]) if found["validity"] is not None else None,
        section=unquote_to_bytes(found["section"]) if found["section"] is not None else b"",
        partial=partial,
        user=unquote_to_bytes(found["user"]).decode("utf-8", "replace") if found["user"] is not None else None,
        host=found["host"],
        expire=found["expire"],
        access=found["access"],
        mechanism=found["mechanism"],
        token=found["token"],
    )
