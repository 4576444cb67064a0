"""What cleanup does to the header block of a new message.

Only whole fields are added in front or cut out; nothing else of the message is ever re-written.
"""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from datetime import datetime
from email.utils import format_datetime
from functools import lru_cache

from pillarbox.lib.config import Config
from pillarbox.lib.config.parameters.cleanup import (
    ALWAYS_ADD_MISSING_HEADERS,
    HOPCOUNT_LIMIT,
    MESSAGE_DROP_HEADERS,
)
from pillarbox.lib.config.parameters.general import MYHOSTNAME, MYORIGIN
from pillarbox.lib.queue import Envelope

_MESSAGE_ID = re.compile(rb"^(?:resent-)?message-id[ \t]*:[ \t]*((?:[^\n]|\n[ \t])*)", re.IGNORECASE | re.MULTILINE)
_RECEIVED = re.compile(rb"^received:", re.IGNORECASE | re.MULTILINE)

LOCAL_ORIGINS = ("pickup", "local")
"""Programs whose messages are local submissions and get the header fields that are missing (RFC 6409 section 8)."""


@lru_cache(maxsize=4)
def _field(names: Sequence[str]) -> re.Pattern[bytes]:
    alternatives = b"|".join(re.escape(name.encode()) for name in names)
    return re.compile(rb"^(?:" + alternatives + rb")[ \t]*:[^\n]*\n(?:[ \t][^\n]*\n)*", re.IGNORECASE | re.MULTILINE)


def _has(header: bytes, name: str) -> bool:
    return _field((name,)).search(header) is not None


def message_id(header: bytes) -> str:
    """The message id for the log, or ""."""
    match = _MESSAGE_ID.search(header)
    return b" ".join(match[1].split()).decode("utf-8", "replace") if match else ""


class HeaderRules:
    """The header rules of one configuration."""

    def __init__(self, config: Config) -> None:
        self._drop = _field(tuple(name.lower() for name in config[MESSAGE_DROP_HEADERS]) or ("x-never",))
        self._hop_limit = config[HOPCOUNT_LIMIT]
        self._always_add = config[ALWAYS_ADD_MISSING_HEADERS]
        self._hostname = config[MYHOSTNAME]
        self._origin = config[MYORIGIN]

    def too_many_hops(self, header: bytes) -> bool:
        """Whether the message has been through so many hosts that it must be running in a circle."""
        return len(_RECEIVED.findall(header)) > self._hop_limit

    def apply(self, header: bytes, envelope: Envelope, queue_id: str) -> bytes:
        """The header block (each line with its LF, without the empty line) as it goes into the queue file."""
        if self._drop.search(header):
            header = self._drop.sub(b"", header)
        if envelope.origin in LOCAL_ORIGINS or self._always_add or envelope.attributes.get("complete_header"):
            header += self._missing(header, envelope, queue_id)
        return header

    def _missing(self, header: bytes, envelope: Envelope, queue_id: str) -> bytes:
        resent = "Resent-" if _has(header, "resent-from") or _has(header, "resent-to") else ""
        added = []
        if not _has(header, f"{resent}message-id"):
            stamp = time.strftime("%Y%m%d%H%M%S", time.gmtime(envelope.arrival))
            added.append(f"{resent}Message-ID: <{stamp}.{queue_id}@{self._hostname}>\n")
        if not _has(header, f"{resent}date"):
            added.append(f"{resent}Date: {_date(envelope.arrival)}\n")
        if not _has(header, f"{resent}from"):
            added.append(f"{resent}From: {self._from(envelope)}\n")
        return "".join(added).encode("utf-8")

    def _from(self, envelope: Envelope) -> str:
        if not envelope.sender:
            return f"MAILER-DAEMON@{self._origin} (Mail Delivery System)"
        name = envelope.full_name
        if not name:
            return envelope.sender
        if not re.fullmatch(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~ -]+", name):
            name = '"' + name.replace("\\", "\\\\").replace('"', '\\"') + '"'
        return f"{name} <{envelope.sender}>"


def _date(seconds: float) -> str:
    return format_datetime(datetime.fromtimestamp(seconds).astimezone())
