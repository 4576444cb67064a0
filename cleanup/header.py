"""What cleanup does to the header block of a new message.

Only whole fields are added in front or cut out; nothing else of the message is ever re-written.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache

from pillarbox.lib.config import Config
from pillarbox.lib.config.parameters.cleanup import (
    ALWAYS_ADD_MISSING_HEADERS,
    HOPCOUNT_LIMIT,
    MESSAGE_DROP_HEADERS,
)
from pillarbox.lib.config.parameters.general import MYHOSTNAME, MYORIGIN
from pillarbox.lib.message.date import format_date
from pillarbox.lib.message.message_id import make_message_id, read_message_id
from pillarbox.lib.message.trace import count_hops
from pillarbox.lib.queue import Envelope

_MESSAGE_ID = re.compile(rb"^message-id[ \t]*:((?:[^\n]|\n[ \t])*)", re.IGNORECASE | re.MULTILINE)

# Whole fields with their continuation lines (RFC 5322 section 2.2); one call for the whole block.
_FIELDS = re.compile(rb"(?>[!-9;-~]++[ \t]*+:[^\n]*+\n(?:[ \t][^\n]*+\n)*+)*+")
_ONE_FIELD = re.compile(rb"[^\n]*\n(?:[ \t][^\n]*\n)*")
_CONTROLS = re.compile(r"[\x00-\x1f\x7f]")

LOCAL_ORIGINS = ("pickup", "local")
"""Programs whose messages are local submissions and get the header fields that are missing (RFC 6409 section 8)."""


@lru_cache(maxsize=4)
def _field(names: Sequence[str]) -> re.Pattern[bytes]:
    alternatives = b"|".join(re.escape(name.encode()) for name in names)
    return re.compile(rb"^(?:" + alternatives + rb")[ \t]*:[^\n]*\n(?:[ \t][^\n]*\n)*", re.IGNORECASE | re.MULTILINE)


def _has(header: bytes, name: str) -> bool:
    return _field((name,)).search(header) is not None


def message_id(header: bytes) -> str:
    """The message id for the log, `<>` where there is none."""
    match = _MESSAGE_ID.search(header)
    return read_message_id(match[1]) if match else "<>"


def fields_end(block: bytes) -> int:
    """Where the header fields at the beginning of `block` end: what follows is the empty line, or no header at all."""
    match = _FIELDS.match(block)
    return match.end() if match else 0


def count_fields(header: bytes) -> int:
    """How many fields a header block has."""
    return header.count(b"\n") - header.count(b"\n ") - header.count(b"\n\t")


def cut_fields(header: bytes, limit: int) -> bytes:
    """The header block with every field cut after `limit` bytes (header_size_limit in postconf(5))."""
    if len(header) <= limit or not limit:
        return header

    def cut(match: re.Match[bytes]) -> bytes:
        field = match[0]
        return field if len(field) <= limit + 1 else field[:limit].rstrip(b"\n") + b"\n"

    return _ONE_FIELD.sub(cut, header)


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
        return count_hops(header) > self._hop_limit

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
            identifier = make_message_id(queue_id, self._hostname, envelope.arrival)
            added.append(f"{resent}Message-ID: {identifier}\n")
        if not _has(header, f"{resent}date"):
            added.append(f"{resent}Date: {format_date(envelope.arrival)}\n")
        if not _has(header, f"{resent}from"):
            added.append(f"{resent}From: {self._from(envelope)}\n")
        return "".join(added).encode("utf-8", "replace")

    def _from(self, envelope: Envelope) -> str:
        if not envelope.sender:
            return f"MAILER-DAEMON@{self._origin} (Mail Delivery System)"
        # Neither may end the field and begin another one.
        sender = _CONTROLS.sub("?", envelope.sender)
        name = _CONTROLS.sub(" ", envelope.full_name).strip()
        if not name:
            return sender
        if not re.fullmatch(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~ -]+", name):
            name = '"' + name.replace("\\", "\\\\").replace('"', '\\"') + '"'
        return f"{name} <{sender}>"
