"""What a command is: its name, the states it may come in, its syntax, and what it does.

`parse` reads the arguments (everything behind the name) and gives the action; a command that is wrong never begins.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Set
from dataclasses import dataclass
from enum import Enum, Flag, auto
from typing import TypeAlias

from pillarbox.imapd.protocol.cursor import Cursor
from pillarbox.imapd.session.context import Session


class State(Flag):
    """The states of a session (RFC 9051 section 3); "not authenticated" is the login part's."""

    AUTHENTICATED = auto()
    SELECTED = auto()


ANY_STATE = State.AUTHENTICATED | State.SELECTED


class Report(Enum):
    """What of others' changes may be told at the end of a command."""

    ALL = auto()
    NOTHING = auto()
    """Expunges must wait (RFC 9051 section 7.5.1), and flags and new messages wait with them."""


@dataclass(frozen=True, slots=True)
class Reply:
    """The tagged OK."""

    text: str
    code: str = ""
    afterwards: Callable[[Session], Awaitable[None]] | None = None
    """What is to be done once the answer stands behind all others."""


Action: TypeAlias = Callable[[Session], Awaitable[Reply]]


@dataclass(frozen=True, slots=True)
class Syntax:
    """Where the arguments stand."""

    cursor: Cursor
    by_uid: bool = False
    """The command came with the prefix UID: message numbers are UIDs."""
    tag: bytes = b""
    enabled: Set[bytes] = frozenset()
    """What the client has enabled, as in `Session.enabled`."""


@dataclass(frozen=True, slots=True)
class Command:
    """A row of the table.  `uid_form` says that it may come with the prefix UID; `plain_form`, without."""

    name: str
    states: State
    parse: Callable[[Syntax], Action]
    report: Report = Report.ALL
    uid_form: bool = False
    plain_form: bool = True
    until_rev2: bool = False
    """IMAP4rev2 has done away with it (RFC 9051 appendix E): unknown once that is enabled."""

    @property
    def takes_numbers(self) -> bool:
        """Whether its form without UID has to do with sequence numbers; EXPUNGE alone has not."""
        return self.uid_form and self.name != "EXPUNGE"
