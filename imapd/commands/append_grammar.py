"""What stands around the messages of APPEND and REPLACE (RFC 9051, 3516, 4469, 6855, 8508): a reader without I/O.

The messages are not in the command: its text comes in stretches, each up to the next literal of a message.  A stretch
becomes steps, `Begin` of a message, `Octets` that come now, `Url` that names some, and `End` of a message.
"""

from __future__ import annotations

import re
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from typing import TypeAlias

from pillarbox.imapd.protocol.cursor import Cursor
from pillarbox.imapd.protocol.dates import parse_date_time
from pillarbox.imapd.protocol.errors import BadSyntax
from pillarbox.imapd.session.selected import split_flags

PART_LIMIT = 1000
"""Parts of CATENATE in a command."""

_LAST_LITERAL = re.compile(rb"(~?)\{\d+[+-]?\}\r\n\Z")
_COMMAND = re.compile(rb"[^ ]+ (?:APPEND|(?:UID )?REPLACE) ", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Begin:
    """A message begins: append-opts."""

    flags: int
    keywords: frozenset[str]
    date: float | None
    in_parts: bool = False
    """CATENATE: several pieces follow."""


@dataclass(frozen=True, slots=True)
class Octets:
    """A literal of the message follows the stretch.  `alone`: it is all of the message."""

    alone: bool
    binary: bool = False
    """literal8."""
    utf8: bool = False
    """`UTF8 (~{n}...)`, to be enabled first (RFC 6855 section 4)."""


@dataclass(frozen=True, slots=True)
class Url:
    """A part that is somewhere on the server; None: its URL is the literal that follows the stretch."""

    text: bytes | None


@dataclass(frozen=True, slots=True)
class End:
    """The message is complete."""


Step: TypeAlias = "Begin | Octets | Url | End"


@dataclass(frozen=True, slots=True)
class Opening:
    """What stands before the first message."""

    tag: bytes
    mailbox: str
    replaces: int | None = None
    """REPLACE: the number of the message, a UID where `by_uid`."""
    by_uid: bool = False

    @property
    def command(self) -> str:
        return "APPEND" if self.replaces is None else "REPLACE"


def may_carry_messages(command: bytes) -> bool:
    """Whether it is a command of this kind, by its beginning."""
    return _COMMAND.match(command) is not None


def parse_opening(cursor: Cursor) -> Opening:
    """tag SP "APPEND" SP mailbox, or tag SP ["UID" SP] "REPLACE" SP number SP mailbox."""
    tag = cursor.tag()
    cursor.space()
    word = cursor.word()
    by_uid = word == b"UID"
    if by_uid:
        cursor.space()
        word = cursor.word()
    if word == b"APPEND" and not by_uid:
        return parse_append(cursor, tag)
    if word != b"REPLACE":
        cursor.fail("APPEND or REPLACE")
    return parse_replace(cursor, tag, by_uid=by_uid)


def parse_append(cursor: Cursor, tag: bytes) -> Opening:
    """SP mailbox."""
    cursor.space()
    return Opening(tag, cursor.mailbox())


def parse_replace(cursor: Cursor, tag: bytes, *, by_uid: bool) -> Opening:
    """SP seq-number / uniqueid SP mailbox (RFC 8508 section 3.4)."""
    cursor.space()
    number = cursor.nz_number()
    cursor.space()
    return Opening(tag, cursor.mailbox(), number, by_uid)


class AppendReader:
    """1*append-message, in stretches."""

    def __init__(self) -> None:
        self.messages = 0
        self._closing = b""  # what must stand behind the literal that came
        self._catenating = False
        self._first_part = False
        self._alone = False  # the message is the literal that came
        self._parts = 0

    def steps(self, cursor: Cursor) -> Iterator[Step]:
        """A stretch, which ends with a literal (the last of the steps then) or with the command.  Raises BadSyntax."""
        cursor.expect(self._closing)
        self._closing = b""
        if self._alone:
            self._alone = False
            yield End()
        while True:
            if self._catenating:
                if (yield from self._catenate(cursor)):
                    return
            elif cursor.at_end:
                if not self.messages:
                    cursor.fail("a message literal")
                return
            elif (yield from self._begin(cursor)):
                return

    def _begin(self, cursor: Cursor) -> Generator[Step, None, bool]:
        """One append-message; whether the stretch ends."""
        flags, keywords, date = 0, frozenset[str](), None
        cursor.space()
        if cursor.peek(b"("):
            flags, keywords = split_flags(cursor.flag_list())
            cursor.space()
        if cursor.peek(b'"'):
            date = parse_date_time(cursor)
            cursor.space()
        if cursor.accept(b"CATENATE ("):
            self.messages += 1
            self._catenating = self._first_part = True
            yield Begin(flags, keywords, date, in_parts=True)
            return False
        utf8 = cursor.accept(b"UTF8 (")
        binary = cursor.peek(b"~{")
        if not _at_last_literal(cursor) or (utf8 and not binary):
            cursor.fail("a message literal")
        self.messages += 1
        self._closing = b")" if utf8 else b""
        self._alone = True
        yield Begin(flags, keywords, date)
        yield Octets(alone=True, binary=binary and not utf8, utf8=utf8)
        return True

    def _catenate(self, cursor: Cursor) -> Generator[Step, None, bool]:
        """One cat-part, or the end of them; whether the stretch ends."""
        if not self._first_part:
            if cursor.accept(b")"):
                self._catenating = False
                yield End()
                return False
            cursor.space()
        self._first_part = False
        self._parts += 1
        if self._parts > PART_LIMIT:
            raise BadSyntax("too many parts")
        if cursor.accept(b"TEXT "):
            binary = cursor.peek(b"~{")
            if not _at_last_literal(cursor):
                cursor.fail("a literal")
            yield Octets(alone=False, binary=binary)
            return True
        cursor.expect(b"URL ")
        if _at_last_literal(cursor):
            yield Url(None)
            return True
        yield Url(cursor.astring())
        return False


def _at_last_literal(cursor: Cursor) -> bool:
    """Whether the announcement of the literal stands here with which the stretch ends."""
    return _LAST_LITERAL.match(cursor.data, cursor.position) is not None


def is_message(command: bytes) -> bool:
    """Whether the literal that `command` ends with is of a message (and not, say, the mailbox's name)."""
    if not may_carry_messages(command):
        return False
    cursor = Cursor(command)
    last: Step | None = None
    try:
        parse_opening(cursor)
        for step in AppendReader().steps(cursor):
            last = step
    except BadSyntax:
        return False
    return isinstance(last, Octets)
