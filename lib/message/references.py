"""What a message refers to: Message-IDs as THREAD compares them (RFC 5256 section 3), and the root of its thread.

Their angle brackets and quotes do not count.
"""

from __future__ import annotations

import re

_IDENTIFIER = re.compile(rb"<([^<>]+)>")
_QUOTED = re.compile(rb'"((?:[^"\\]|\\.)*)"(@.*)', re.DOTALL)
_ESCAPED = re.compile(rb"\\(.)", re.DOTALL)
_BLANKS = re.compile(rb"[ \t\r\n]+")

REFERENCES_LIMIT = 1000
"""References of one message that are followed: the last ones, and programs of people cut them off far earlier."""


def message_ids(value: bytes) -> list[str]:
    """All that a field names."""
    return [_plain(found) for found in _IDENTIFIER.findall(value)]


def _plain(text: bytes) -> str:
    text = _BLANKS.sub(b"", text)
    if text.startswith(b'"') and (quoted := _QUOTED.fullmatch(text)) is not None:
        text = _ESCAPED.sub(rb"\1", quoted[1]) + quoted[2]
    return text.decode("latin-1")


def first_id(value: bytes | None) -> str:
    """The first one, "" for none."""
    found = _IDENTIFIER.search(value) if value else None
    return _plain(found[1]) if found is not None else ""


def references(references: bytes | None, in_reply_to: bytes | None) -> tuple[str, ...]:
    """What a message answers, the direct parent last: References:, or the first of In-Reply-To: where it names none."""
    named = message_ids(references)[-REFERENCES_LIMIT:] if references else []
    if not named and (parent := first_id(in_reply_to)):
        named = [parent]
    return tuple(named)


def thread_root(references: bytes | None, in_reply_to: bytes | None, message_id: bytes | None) -> str:
    """The Message-ID of the thread's first message, as far as this message alone can tell; "" where it cannot.

    That is the first one of References: (RFC 5322 section 3.6.4: the parent's references stand in front), else that of
    In-Reply-To:, else its own.
    """
    return first_id(references) or first_id(in_reply_to) or first_id(message_id)
