"""What a milter answers, as values; and the parser of each.

A parser takes the data of one packet and raises MilterError for anything that libmilter would not have sent: a missing
end, an index that is none, a reply that is no SMTP reply.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeAlias

from pillarbox.lib.milter import packets
from pillarbox.lib.milter.packets import MilterError, split_texts
from pillarbox.lib.smtp.reply import Reply


# --- decisions
@dataclass(frozen=True, slots=True)
class Continue:
    """Go on."""


@dataclass(frozen=True, slots=True)
class Accept:
    """The milter wants to see no more of this message (at CONNECT and HELO: of this session)."""


@dataclass(frozen=True, slots=True)
class Discard:
    """Take the message and throw it away."""


@dataclass(frozen=True, slots=True)
class Skip:
    """No more steps of this kind for this message."""


@dataclass(frozen=True, slots=True)
class Progress:
    """The milter still works: wait on."""


@dataclass(frozen=True, slots=True)
class Shutdown:
    """End the session."""


@dataclass(frozen=True, slots=True)
class Refuse:
    """Refuse what the step is about."""

    reply: Reply


# --- edits of a message, at its end
@dataclass(frozen=True, slots=True)
class AddHeader:
    """A field behind the others."""

    name: bytes
    value: bytes


@dataclass(frozen=True, slots=True)
class InsertHeader:
    """A field at a position among all fields; 0 is the top."""

    index: int
    name: bytes
    value: bytes


@dataclass(frozen=True, slots=True)
class ChangeHeader:
    """The `index`-th field (from 1) of that name gets a value; an empty one removes it."""

    index: int
    name: bytes
    value: bytes


@dataclass(frozen=True, slots=True)
class AddRecipient:
    """A further recipient; `parameters` are those of RCPT."""

    address: str
    parameters: str = ""


@dataclass(frozen=True, slots=True)
class DeleteRecipient:
    """One recipient less."""

    address: str


@dataclass(frozen=True, slots=True)
class ChangeSender:
    """Another reverse-path; `parameters` are those of MAIL."""

    address: str
    parameters: str = ""


@dataclass(frozen=True, slots=True)
class ReplaceBody:
    """A piece of the new body."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Quarantine:
    """Hold the message."""

    reason: str


Edit: TypeAlias = (
    AddHeader | InsertHeader | ChangeHeader | AddRecipient | DeleteRecipient | ChangeSender | ReplaceBody | Quarantine
)
Answer: TypeAlias = Continue | Accept | Discard | Skip | Progress | Shutdown | Refuse | Edit

REJECTED: Final = Reply(550, "5.7.1", ("Command rejected",))
DEFERRED: Final = Reply(451, "4.7.1", ("Service unavailable - try again later",))

_FIELD_NAME = re.compile(rb"[!-9;-~]{1,998}")
# A reply line as smfi_setreply and smfi_setmlreply write it.
_REPLY_LINE = re.compile(r"([45][0-9]{2})(?:([ -])(?:([45]\.[0-9]{1,3}\.[0-9]{1,3})(?: |$))?(.*))?", re.DOTALL)
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f]")

REPLY_LINES = 32
"""Lines of a reply (MAXREPLIES of libmilter)."""

REPLY_LINE = 980
"""Characters of a line's text (MAXREPLYLEN of libmilter)."""

ADDRESS_LIMIT = 2048
"""Octets of an address with its parameters."""


def parse_reply(data: bytes) -> Reply:
    """The text of SMFIR_REPLYCODE; lines that go on have a hyphen.  `%%` is one percent sign, as for Sendmail."""
    if data[-1:] != b"\0" or b"\0" in data[:-1]:
        raise MilterError("malformed reply: no end")
    text = data[:-1].decode("utf-8", "replace").replace("%%", "%")
    lines = re.split(r"\r?\n", text.rstrip("\r\n"))
    code, enhanced, said = "", "", []
    if len(lines) > REPLY_LINES:
        raise MilterError(f"malformed reply: {len(lines)} lines")
    for line in lines:
        match = _REPLY_LINE.fullmatch(line)
        if match is None or (code and match[1] != code) or (match[3] and match[3][0] != match[1][0]):
            raise MilterError(f"malformed reply: {line[:100]!r}")
        code = match[1]
        enhanced = enhanced or match[3] or ""
        said.append(_UNPRINTABLE.sub("?", match[4] or "")[:REPLY_LINE])
    return Reply(int(code), enhanced, tuple(said))


def _field(texts: list[bytes]) -> tuple[bytes, bytes]:
    if len(texts) != 2:
        raise MilterError("a header field that is no name and value")
    name, value = texts
    if not _FIELD_NAME.fullmatch(name):
        raise MilterError(f"a header field with the name {name[:100]!r}")
    return name, value


def _indexed(data: bytes) -> tuple[int, bytes, bytes]:
    if len(data) < 4:
        raise MilterError("a position that is cut short")
    index = int.from_bytes(data[:4], "big", signed=True)
    if index < 0:
        raise MilterError(f"position {index}")
    return index, *_field(split_texts(data[4:]))


def _addresses(data: bytes, most: int) -> list[str]:
    texts = split_texts(data)
    if not 1 <= len(texts) <= most or len(data) > ADDRESS_LIMIT:
        raise MilterError("an address that is none")
    found = []
    for text in texts:
        try:
            word = text.decode("utf-8")
        except UnicodeDecodeError:
            raise MilterError(f"an address with octets {text[:100]!r}") from None
        if _UNPRINTABLE.search(word):
            raise MilterError(f"an address with control characters {text[:100]!r}")
        found.append(word.strip())
    return found


def _add_header(data: bytes) -> Answer:
    return AddHeader(*_field(split_texts(data)))


def _insert_header(data: bytes) -> Answer:
    return InsertHeader(*_indexed(data))


def _change_header(data: bytes) -> Answer:
    return ChangeHeader(*_indexed(data))


def _add_recipient(data: bytes) -> Answer:
    return AddRecipient(*_addresses(data, 1))


def _add_recipient_with(data: bytes) -> Answer:
    return AddRecipient(*_addresses(data, 2))


def _delete_recipient(data: bytes) -> Answer:
    return DeleteRecipient(*_addresses(data, 1))


def _change_sender(data: bytes) -> Answer:
    return ChangeSender(*_addresses(data, 2))


def _quarantine(data: bytes) -> Answer:
    texts = split_texts(data)
    if len(texts) != 1:
        raise MilterError("a quarantine without a reason")
    return Quarantine(_UNPRINTABLE.sub("?", texts[0].decode("utf-8", "replace"))[:REPLY_LINE])


_WITH_DATA: Final[dict[bytes, Callable[[bytes], Answer]]] = {
    packets.REPLY_CODE: lambda data: Refuse(parse_reply(data)),
    packets.ADD_HEADER: _add_header,
    packets.INSERT_HEADER: _insert_header,
    packets.CHANGE_HEADER: _change_header,
    packets.ADD_RECIPIENT: _add_recipient,
    packets.ADD_RECIPIENT_WITH: _add_recipient_with,
    packets.DELETE_RECIPIENT: _delete_recipient,
    packets.CHANGE_SENDER: _change_sender,
    packets.REPLACE_BODY: ReplaceBody,
    packets.QUARANTINE: _quarantine,
}
_WITHOUT_DATA: Final[dict[bytes, Answer]] = {
    packets.CONTINUE: Continue(),
    packets.ACCEPT: Accept(),
    packets.REJECT: Refuse(REJECTED),
    packets.TEMPORARY_FAILURE: Refuse(DEFERRED),
    packets.DISCARD: Discard(),
    packets.SKIP: Skip(),
    packets.PROGRESS: Progress(),
    packets.SHUTDOWN: Shutdown(),
    packets.CONNECTION_FAILURE: Shutdown(),
}


def parse_answer(command: bytes, data: bytes) -> Answer:
    """The value of one packet.  Raises MilterError."""
    plain = _WITHOUT_DATA.get(command)
    if plain is not None:
        if data:
            raise MilterError(f"{len(data)} bytes behind an answer {command!r} that has none")
        return plain
    parse = _WITH_DATA.get(command)
    if parse is None:
        raise MilterError(f"unknown answer {command!r}")
    return parse(data)
