"""What an rcfile consists of, read once and then carried out (`interpreter`).

All texts are octets as the characters 0 to 255: a file may be in any encoding.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Literal:
    """Text that stands for itself."""

    text: str


@dataclass(frozen=True, slots=True)
class Variable:
    """`$name`, `${name:-other}` and so on.  A quoted one is not split at blanks.

    `operator` is one of "", `-`, `:-`, `+`, `:+`; `disarmed` is `$\\name`, whose magic characters are quoted.
    """

    name: str
    quoted: bool
    operator: str = ""
    other: Word = ()
    disarmed: bool = False


@dataclass(frozen=True, slots=True)
class Output:
    """`command` in backquotes: what it prints."""

    command: str
    quoted: bool


Part = Literal | Variable | Output
Word = tuple[Part, ...]
"""Parts that stand together; an empty one that was quoted holds an empty Literal."""


@dataclass(frozen=True, slots=True)
class Assignment:
    """`NAME=value`; with `value` None the variable is removed."""

    line: int
    name: str
    value: Word | None


@dataclass(frozen=True, slots=True)
class Flags:
    """The letters of a recipe, each by its meaning (procmailrc(5))."""

    header: bool = False
    """H: conditions look at the header."""
    body: bool = False
    """B: at the body."""
    case: bool = False
    """D"""
    chained: str = ""
    """A, a, E or e: what must have become of the recipe before."""
    feed_header: bool = True
    """h"""
    feed_body: bool = True
    """b"""
    filtering: bool = False
    """f"""
    copy: bool = False
    """c"""
    wait: bool = False
    """w or W"""
    quiet: bool = False
    """W"""
    ignore_errors: bool = False
    """i"""
    raw: bool = False
    """r"""


@dataclass(frozen=True, slots=True)
class Mailbox:
    """Deliver into files or directories."""

    words: tuple[Word, ...]


@dataclass(frozen=True, slots=True)
class Forward:
    """`!`: send on."""

    words: tuple[Word, ...]


@dataclass(frozen=True, slots=True)
class Pipe:
    """`|`: a command as it is written; with `variable` what it prints is caught."""

    command: str
    variable: str = ""


@dataclass(frozen=True, slots=True)
class Block:
    """`{ ... }`"""

    statements: tuple[Statement, ...]


Action = Mailbox | Forward | Pipe | Block


@dataclass(frozen=True, slots=True)
class Condition:
    """One condition as it is written, without the asterisk."""

    line: int
    text: str


@dataclass(frozen=True, slots=True)
class Recipe:
    """`:0` and what follows.  `lock` is None without a second colon, () where the name is left to procmail."""

    line: int
    flags: Flags
    lock: Word | None
    conditions: tuple[Condition, ...]
    action: Action


Statement = Assignment | Recipe


@dataclass(frozen=True, slots=True)
class RcFile:
    """One file."""

    name: str
    statements: tuple[Statement, ...]
