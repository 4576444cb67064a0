"""IMAP URLs (RFC 5092) as CATENATE and URLAUTH have them: what a message or a part of one is called.

    /INBOX;UIDVALIDITY=785799047/;UID=113330/;SECTION=1.5.9/;PARTIAL=0.1024
    imap://joe@example.com/INBOX/;uid=20;expire=2026-12-01T00:00:00Z;urlauth=user+fred:internal:91354a...

The authority (`imap://user@host`) is left to who calls; a URL without a message is not one of these.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import unquote_to_bytes

from pillarbox.imapd.protocol.cursor import decode_name
from pillarbox.lib.store.interface import INBOX

_URL = re.compile(
    r"(?:imap://(?:(?P<user>[^@/;]*)(?:;AUTH=[^@/]*)?@)?(?P<host>[^/@]+))?"
    r"/(?P<mailbox>[^;?]+?)(?:;UIDVALIDITY=(?P<validity>\d{1,10}))?"
    r"/?;UID=(?P<uid>\d{1,10})"
    r"(?:/?;SECTION=(?P<section>[^;]+?))?"
    r"(?:/?;PARTIAL=(?P<start>\d{1,18})(?:\.(?P<length>\d{1,18}))?)?"
    r"(?P<rest>;(?:EXPIRE|URLAUTH)=.*)?",
    re.IGNORECASE,
)
# iurlauth of RFC 5092 section 11, with what may still be missing of it.
_URLAUTH = re.compile(
    r"(?:;EXPIRE=(?P<expire>[0-9TZ:.+-]+))?"
    r";URLAUTH=(?P<access>(?:submit|user)\+[^;:/]+|authuser|anonymous)"
    r"(?::(?P<mechanism>[A-Za-z0-9.-]+):(?P<token>[0-9a-f]{32,}))?",
    re.IGNORECASE,
)
_DATE_TIME = re.compile(
    r"(?P<minute>\d{4}-\d\d-\d\dT\d\d:\d\d):(?P<second>\d\d)(?P<fraction>\.\d{1,20})?(?P<zone>Z|[+-]\d\d:\d\d)",
    re.IGNORECASE,
)
LIMIT = 4096
"""Characters of a URL."""


@dataclass(frozen=True, slots=True)
class Authorization:
    """Who may use a URL, and until when (RFC 4467 section 3); the token is there once the URL is authorized."""

    rump: bytes
    """The URL up to the access identifier, octet for octet: what the token is made of."""
    kind: str
    """Of access: submit, user, authuser or anonymous."""
    userid: str = ""
    """Behind `submit+` and `user+`."""
    expires: float | None = None
    """Seconds since the epoch."""
    mechanism: str = ""
    """In upper case, "" for a URL that has only the access identifier."""
    token: bytes = b""


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
    authorization: Authorization | None = None


def parse_url(raw: bytes) -> MessageUrl | None:
    """The URL; None where it names no message, or is none."""
    if len(raw) > LIMIT or not raw.isascii() or b"\r" in raw or b"\n" in raw:
        return None
    text = raw.decode("ascii")
    found = _URL.fullmatch(text)
    if found is None or not int(found["uid"]):
        return None
    authorization = None
    if found["rest"] is not None:
        authorization = _parse_authorization(raw, found.start("rest"))
        if authorization is None:
            return None
    mailbox = decode_name(unquote_to_bytes(found["mailbox"]))
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
        user=_unquoted(found["user"]) if found["user"] is not None else None,
        host=found["host"],
        authorization=authorization,
    )


def _parse_authorization(raw: bytes, start: int) -> Authorization | None:
    found = _URLAUTH.fullmatch(raw.decode("ascii"), start)
    if found is None:
        return None
    expires = None
    if found["expire"] is not None:
        expires = _seconds(found["expire"])
        if expires is None:
            return None
    kind, _, userid = found["access"].partition("+")
    mechanism, token = found["mechanism"] or "", found["token"] or ""
    if len(token) % 2:
        return None
    return Authorization(
        rump=raw[: found.end("access")],
        kind=kind.lower(),
        userid=_unquoted(userid),
        expires=expires,
        mechanism=mechanism.upper(),
        token=bytes.fromhex(token),
    )


def _seconds(text: str) -> float | None:
    """date-time (RFC 3339 section 5.6) as seconds since the epoch; a leap second is the one before it."""
    found = _DATE_TIME.fullmatch(text.upper())
    if found is None:
        return None
    second = "59" if found["second"] == "60" else found["second"]
    try:
        whole = datetime.fromisoformat(f"{found['minute']}:{second}{found['zone']}").timestamp()
    except ValueError:
        return None
    return whole + float(found["fraction"] or 0)


def _unquoted(text: str) -> str:
    return unquote_to_bytes(text).decode("utf-8", "replace")
