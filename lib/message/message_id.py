"""Message identifiers (RFC 5322 section 3.6.4)."""

from __future__ import annotations

import re
import time

_IDENTIFIER = re.compile(rb"<[^<>\s]+>")

LOGGED = 1000
"""Octets of an identifier that are kept for the log."""


def make_message_id(queue_id: str, hostname: str, when: float) -> str:
    """`<20261122033816.QUEUEID@HOST>`, in UTC: unique because queue ids are never reused."""
    return f"<{time.strftime('%Y%m%d%H%M%S', time.gmtime(when))}.{queue_id}@{hostname}>"


def read_message_id(value: bytes) -> str:
    """What a Message-ID field names, for the log: the first bracketed word, else the value as it stands."""
    found = _IDENTIFIER.search(value)
    return (found.group() if found else value.strip())[:LOGGED].decode("utf-8", "backslashreplace")
