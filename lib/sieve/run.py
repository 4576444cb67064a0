"""What changes while a script runs: variables, flags, the header, the actions so far, and what is left of limits."""

from __future__ import annotations

from collections.abc import Callable

from pillarbox.lib.sieve.actions import Action, Discard, FileInto, Keep, Notify, Redirect, Reject, Remember, Vacation
from pillarbox.lib.sieve.comparators import Comparator
from pillarbox.lib.sieve.errors import RuntimeFault
from pillarbox.lib.sieve.haystack import LONG, MANY, Haystack
from pillarbox.lib.sieve.header import Header
from pillarbox.lib.sieve.parts import Content, Entity
from pillarbox.lib.sieve.state import SieveMessage, SieveState
from pillarbox.lib.sieve.text import Piece, Variable

HAYSTACKS = 1024
"""Long texts that are kept in the form in which keys are looked for in them."""


class Run:
    """One message going through one script."""

    __slots__ = (
        "_haystacks",
        "_many",
        "_work",
        "actions",
        "cancelled",
        "content",
        "flags",
        "growth",
        "header",
        "included",
        "limits",
        "line",
        "match_values",
        "message",
        "parts",
        "remember",
        "shared",
        "state",
        "variables",
    )

    def __init__(self, message: SieveMessage, state: SieveState, *, body_keys: int = 0) -> None:
        """`body_keys`: how many are looked for in the body, about."""
        self.message = message
        self.state = state
        self.limits = state.limits
        self.line = 0
        self.header = Header(message.header)
        self.content = Content(message, state.limits)
        self.parts: list[Entity] = []  # those of the loops that are running, the innermost last
        self.variables: dict[str, str] = {}
        self.shared: dict[str, str] = {}
        self.match_values: tuple[str, ...] = ()
        self.flags: tuple[str, ...] = ()
        self.actions: list[Action] = []
        self.cancelled = False  # the implicit keep
        self.remember: list[Remember] = []
        self.included: set[tuple[str, str]] = set()
        self.growth = 0
        self._work = state.limits.work
        self._many = body_keys >= MANY
        self._haystacks: dict[tuple[str, str], Haystack] = {}

    # --- limits
    def spend(self, amount: int) -> None:
        """Count work, in characters looked at.  Raises RuntimeFault when it is too much."""
        self._work -= amount
        if self._work < 0:
            raise RuntimeFault("the script takes too long")

    # --- strings
    def expand(self, pieces: tuple[Piece, ...]) -> str:
        """A string with its variables filled in, cut at the limit (RFC 5229 section 3)."""
        out: list[str] = []
        for piece in pieces:
            if isinstance(piece, str):
                out.append(piece)
            elif isinstance(piece, int):
                out.append(self.match_values[piece] if piece < len(self.match_values) else "")
            else:
                out.append(self.value(piece))
        text = "".join(out)
        self.spend(len(text))
        return text[: self.limits.variable_size]

    def value(self, variable: Variable) -> str:
        """The value of a variable, "" where it was never set."""
        return (self.shared if variable.shared else self.variables).get(variable.name, "")

    def assign(self, variable: Variable, value: str) -> None:
        """Set a variable; what is longer than it may be is cut.  Raises RuntimeFault for too many."""
        space = self.shared if variable.shared else self.variables
        if variable.name not in space and len(space) >= self.limits.variables:
            raise RuntimeFault(f"more than {self.limits.variables} variables")
        space[variable.name] = value[: self.limits.variable_size]

    def fold(self, comparator: Comparator, text: str) -> str:
        """What the comparator makes of a text; that of a long one is kept for the next test that looks at it."""
        return comparator.fold(text) if len(text) < LONG else self._long(comparator, text).text

    def search_in(self, comparator: Comparator, text: str) -> Callable[[str], bool]:
        """Whether keys, folded as the comparator folds, stand in a text; a long one is prepared for the next test."""
        return comparator.fold(text).__contains__ if len(text) < LONG else self._long(comparator, text).has

    def _long(self, comparator: Comparator, text: str) -> Haystack:
        found = self._haystacks.get((comparator.name, text))
        if found is None:
            if len(self._haystacks) >= HAYSTACKS:
                self._haystacks.clear()
            found = self._haystacks[comparator.name, text] = Haystack(comparator.fold(text), many=self._many)
        return found

    # --- where tests look
    @property
    def part(self) -> Entity:
        """The part that the innermost loop is at, or the message (RFC 5703 section 3.1)."""
        return self.parts[-1] if self.parts else self.content.root

    # --- actions
    def add(self, action: Action) -> None:
        """Do something.  The same thing twice is done once (RFC 5228 section 2.10.3).  Raises RuntimeFault."""
        for position, each in enumerate(self.actions):
            if _same(each, action):
                # Only its flags and ways may have changed since.
                self.actions[position] = _newer(each, action)
                return
        if isinstance(action, Discard):
            self.actions.append(action)
            return
        if sum(not isinstance(each, Discard) for each in self.actions) >= self.limits.actions:
            raise RuntimeFault(f"more than {self.limits.actions} actions")
        if isinstance(action, Redirect):
            redirects = sum(isinstance(each, Redirect) for each in self.actions)
            if redirects >= self.limits.redirects:
                raise RuntimeFault(f"more than {self.limits.redirects} redirects")
        for each in self.actions:
            _refuse_conflict(each, action)
        self.actions.append(action)

    def outcome(self) -> tuple[Action, ...]:
        """The actions with the implicit keep, where nothing has cancelled it."""
        if self.cancelled:
            return tuple(self.actions)
        kept = Keep(self.flags, implicit=True, header=self.header.block())
        for position, each in enumerate(self.actions):
            if _same(each, kept):
                return (*self.actions[:position], each, *self.actions[position + 1 :])
        return (*self.actions, kept)


_STORING = (Keep, FileInto, Redirect)


def _inbox(action: Keep | FileInto) -> str:
    return "INBOX" if isinstance(action, Keep) or action.mailbox.upper() == "INBOX" else action.mailbox


def _same(one: Action, other: Action) -> bool:
    """Whether they come to the same."""
    if isinstance(one, Keep | FileInto) and isinstance(other, Keep | FileInto):
        special = {each.special_use for each in (one, other) if isinstance(each, FileInto)} - {""}
        return _inbox(one) == _inbox(other) and not special
    if isinstance(one, Redirect) and isinstance(other, Redirect):
        return one.address == other.address
    return isinstance(one, Discard | Notify) and one == other


def _newer(one: Action, other: Action) -> Action:
    if isinstance(one, Keep) and isinstance(other, Keep | FileInto):
        return Keep(other.flags, header=one.header)
    if isinstance(one, FileInto) and isinstance(other, Keep | FileInto):
        copy, create = isinstance(other, FileInto) and other.copy, isinstance(other, FileInto) and other.create
        return FileInto(one.mailbox, other.flags, one.copy and copy, one.create or create, header=one.header)
    return one


def _refuse_conflict(one: Action, other: Action) -> None:
    """Raises RuntimeFault for what cannot be done both (RFC 5429 section 2.4, RFC 5230 section 4.7)."""
    for first, second in ((one, other), (other, one)):
        if isinstance(first, Reject):
            if isinstance(second, Reject):
                raise RuntimeFault("the message is rejected twice")
            if isinstance(second, Vacation):
                raise RuntimeFault("a rejected message gets no vacation answer")
            if isinstance(second, _STORING):
                raise RuntimeFault("a rejected message can neither be kept nor sent on")
    if isinstance(one, Vacation) and isinstance(other, Vacation):
        raise RuntimeFault("a second vacation answer")
