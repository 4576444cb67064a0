"""The SMTP and LMTP server core: the same session however the octets come, and only well-formed replies."""

from __future__ import annotations

import re

from tests.smtp.dialogue import Talk, profile, talk

_REPLIES = re.compile(rb"(?:[2-5][0-9]{2}[- ][^\r\n\0]{0,508}\r\n)*")
_PROFILES = (
    profile(auth=True, etrn=True),
    profile(lmtp=True, size_limit=100),
    profile(bare_newline="reject", strict=True, recipient_limit=2, helo_required=True),
    profile(bare_newline="no", hard_error_limit=3, junk_limit=2, soft_bounce=True),
    profile(size_limit=10, smtputf8=False, verify=False, discarded=frozenset(("CHUNKING", "DSN"))),
)


def _played(data: bytes, step: int, kind: int) -> Talk:
    pieces = [data[start : start + step] for start in range(0, len(data), step)]
    return talk(pieces, _PROFILES[kind % len(_PROFILES)])


def fuzz(data: bytes) -> None:
    """The first octet chooses the service."""
    kind, data = data[:1], data[1:]
    number = kind[0] if kind else 0
    whole = _played(data, max(1, len(data)), number)
    assert _REPLIES.fullmatch(whole.output), whole.output
    for step in (1, 7):
        cut = _played(data, step, number)
        assert cut.output == whole.output and cut.messages == whole.messages
    session = whole.session
    if session.closed:
        assert not session.in_transaction and not session.waiting
    elif not session.in_transaction:
        assert session.recipients == 0 and not session.smtputf8 and session.content_size == 0
