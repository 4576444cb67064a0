"""The TRANSACTION state, and the step to UPDATE (RFC 1939 sections 5 and 6).

    action = transaction.command(line)

Numbers are those of the session: 1 is the first message, and they do not change while it lasts.  Messages marked as
deleted are only named in `Update`; the shell removes them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import ClassVar, Protocol, TypeAlias

from pillarbox.pop3d.protocol import replies
from pillarbox.pop3d.protocol.capabilities import USUAL, Terms, capabilities
from pillarbox.pop3d.protocol.languages import lang

ERROR_LIMIT = 20
"""Refused commands before the connection is ended."""

LISTING_PIECE = 500
"""Lines of a listing made at once: a mailbox of 100,000 messages is listed in small pieces."""

_NUMBER = re.compile(rb"[0-9]{1,9}")


class Maildrop(Protocol):
    """The messages as they were at login."""

    def __len__(self) -> int: ...

    def size(self, number: int) -> int:
        """Octets with CRLF line ends."""

    def uidl(self, number: int) -> str:
        """The unique-id."""


@dataclass(frozen=True, slots=True)
class Reply:
    """Send this."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Listing:
    """Send these pieces one after another."""

    pieces: Iterator[bytes]


@dataclass(frozen=True, slots=True)
class Retrieve:
    """Open message `number`; send `data`, then its content byte-stuffed: all, or header and `lines` of the body."""

    number: int
    data: bytes
    lines: int | None = None


@dataclass(frozen=True, slots=True)
class Update:
    """QUIT: remove these messages, then send `UPDATED...` or `NOT_DELETED`, and end."""

    deleted: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Close:
    """Send `data` and end without UPDATE."""

    data: bytes


Action: TypeAlias = Reply | Listing | Retrieve | Update | Close


class Transaction:
    """One session over one maildrop."""

    def __init__(self, maildrop: Maildrop, terms: Terms = USUAL) -> None:
        self._maildrop = maildrop
        self._terms = terms
        self._deleted: set[int] = set()
        self._errors = 0
        self._total = sum(maildrop.size(number) for number in range(1, len(maildrop) + 1))
        self._deleted_size = 0

    def overlong(self) -> Action:
        """A line came that was too long."""
        return self._error(replies.LINE_TOO_LONG)

    def command(self, line: bytes) -> Action:
        """Take one command line, without its line end."""
        verb, *arguments = line.split(b" ")
        name = verb.upper().decode("ascii", "replace")
        if name == "LANG":  # the only one that takes no numbers
            return self._lang(b" ".join(arguments).strip(b" "))
        entry = self._COMMANDS.get(name)
        if entry is None:
            return self._error(replies.WRONG_STATE if name in _EARLIER else replies.UNKNOWN_COMMAND)
        handler, minimum, maximum = entry
        while arguments and not arguments[-1]:
            arguments.pop()  # blanks at the end of a line do no harm, and some clients send them
        numbers = [int(word) for word in arguments if _NUMBER.fullmatch(word)]
        if len(numbers) != len(arguments) or not minimum <= len(numbers) <= maximum:
            return self._error(replies.BAD_ARGUMENTS)
        return handler(self, *numbers)

    def _problem(self, number: int) -> Action | None:
        """Why there is no such message, if there is none."""
        if not 1 <= number <= len(self._maildrop):
            return self._error(replies.NO_MESSAGE)
        if number in self._deleted:
            return self._error(replies.IS_DELETED)
        return None

    def _present(self) -> Iterator[int]:
        return (number for number in range(1, len(self._maildrop) + 1) if number not in self._deleted)

    def _counts(self) -> tuple[int, int]:
        return len(self._maildrop) - len(self._deleted), self._total - self._deleted_size

    # --- commands
    def _stat(self) -> Action:
        return Reply(replies.status(*self._counts()))

    def _list(self, number: int | None = None) -> Action:
        size = self._maildrop.size
        if number is None:
            return _listing(
                replies.listing_follows(*self._counts()),
                (b"%d %d\r\n" % (each, size(each)) for each in self._present()),
            )
        return self._problem(number) or Reply(replies.scan_listing(number, size(number)))

    def _uidl(self, number: int | None = None) -> Action:
        uidl = self._maildrop.uidl
        if number is None:
            return _listing(
                replies.IDENTIFIERS_FOLLOW, (f"{each} {uidl(each)}\r\n".encode() for each in self._present())
            )
        return self._problem(number) or Reply(replies.identifier(number, uidl(number)))

    def _retr(self, number: int) -> Action:
        return self._problem(number) or Retrieve(number, replies.message_follows(self._maildrop.size(number)))

    def _top(self, number: int, lines: int) -> Action:
        return self._problem(number) or Retrieve(number, replies.TOP_FOLLOWS, lines)

    def _dele(self, number: int) -> Action:
        problem = self._problem(number)
        if problem is None:
            self._deleted.add(number)
            self._deleted_size += self._maildrop.size(number)
        return problem or Reply(replies.DELETED)

    def _rset(self) -> Action:
        self._deleted.clear()
        self._deleted_size = 0
        return Reply(replies.reset(*self._counts()))

    def _noop(self) -> Action:
        return Reply(replies.NOOP)

    def _capa(self) -> Action:
        return Reply(replies.listing(replies.CAPABILITIES_FOLLOW, capabilities(self._terms)))

    def _lang(self, argument: bytes) -> Action:
        reply = lang(argument)
        return self._error(replies.NO_LANGUAGE) if reply is None else Reply(reply)

    def _quit(self) -> Action:
        return Update(tuple(sorted(self._deleted)))

    _COMMANDS: ClassVar[dict[str, tuple[Callable[..., Action], int, int]]] = {
        "STAT": (_stat, 0, 0),
        "LIST": (_list, 0, 1),
        "UIDL": (_uidl, 0, 1),
        "RETR": (_retr, 1, 1),
        "TOP": (_top, 2, 2),
        "DELE": (_dele, 1, 1),
        "RSET": (_rset, 0, 0),
        "NOOP": (_noop, 0, 0),
        "CAPA": (_capa, 0, 0),
        "QUIT": (_quit, 0, 0),
    }
    """The method of each command and how many numbers it takes."""

    def _error(self, reply: bytes) -> Action:
        self._errors += 1
        return Close(replies.TOO_MANY_ERRORS) if self._errors >= ERROR_LIMIT else Reply(reply)


_EARLIER = frozenset(("USER", "PASS", "APOP", "AUTH", "STLS", "UTF8"))
"""Commands of the AUTHORIZATION state."""


def _listing(first: bytes, lines: Iterator[bytes]) -> Listing:
    def pieces() -> Iterator[bytes]:
        gathered = [first]
        for line in lines:
            gathered.append(line)
            if len(gathered) >= LISTING_PIECE:
                yield b"".join(gathered)
                gathered.clear()
        yield b"".join(gathered) + replies.TERMINATOR

    return Listing(pieces())
