"""Regular expressions that cannot run away: a pattern and a text take at most their lengths multiplied.

    expression = compile_expression("(a+)+b", True)
    expression.needles                   # one of these stands in all that matches, () where none is known
    expression.search(text, spend)       # whether it matches, by an automaton that is built as texts need it
    expression.groups(text, spend)       # where the match and its groups lie

`spend` gets the steps and may raise.  The match is the leftmost; where alternatives are of different length the first
that fits is taken, as Perl does (POSIX takes the longest: a match value may differ, whether it matches does not).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, TypeAlias

from pillarbox.lib.sieve.limits import STATE, STEP
from pillarbox.lib.sieve.needles import needles
from pillarbox.lib.sieve.regex_syntax import (
    Assertion,
    At,
    Characters,
    Choice,
    ExpressionError,
    Group,
    Repeat,
    Sequence,
    Tree,
    read,
)

__all__ = ["Expression", "ExpressionError", "compile_expression"]

INSTRUCTIONS: Final = 10_000
"""Length of a compiled expression: `(.{255}){255}` is none."""

STEPS: Final = 2000
"""Steps of the automaton that are kept; with more it is begun anew."""

PLACES: Final = 16 * 1024 * 1024
"""Octets to mark where the way to the groups has been."""

Spend: TypeAlias = Callable[[int], None]
Span: TypeAlias = tuple[int, int]


@dataclass(frozen=True, slots=True)
class _Save:
    slot: int


@dataclass(frozen=True, slots=True)
class _Split:
    """Go on at both places, the first preferred."""

    first: int
    second: int


_MATCH: Final = None
_Instruction: TypeAlias = Characters | At | _Save | _Split | None

_OUTSIDE, _WORD, _OTHER = 0, 1, 2  # kinds of what stands beside a place


class Expression:
    """A compiled expression.  Not for several threads at a time."""

    __slots__ = ("_automaton", "_fold", "_program", "_slots", "effort", "needles", "pattern")

    def __init__(self, pattern: str, fold: bool) -> None:
        tree, groups = read(pattern, fold)
        self.pattern = pattern
        self.needles = needles(tree)
        self.effort = (len(self.needles), 0)
        """That of `match.Pattern`."""
        self._fold = fold
        program: list[_Instruction] = []
        _emit(Group(0, tree), program)
        program.append(_MATCH)
        self._program = tuple(program)
        self._slots = 2 * (groups + 1)
        self._automaton = _Automaton(self._program)

    def __reduce__(self) -> tuple[Callable[[str, bool], Expression], tuple[str, bool]]:
        return compile_expression, (self.pattern, self._fold)

    @property
    def size(self) -> int:
        """Its length, compiled."""
        return len(self._program)

    def search(self, text: str, spend: Spend) -> bool:
        """Whether it matches anywhere."""
        return self._automaton.search(text, spend)

    def find(self, text: str, spend: Spend) -> bool | None:
        """`search`, for `match.Pattern`."""
        return self._automaton.search(text, spend) or None

    def spans(self, text: str, found: bool, spend: Spend) -> list[Span]:
        """`groups`, for `match.Pattern`."""
        return self.groups(text, spend)

    def groups(self, text: str, spend: Spend) -> list[Span]:
        """The spans of the leftmost match and of its groups, (-1, -1) for one that took no part; [] for no match."""
        size = len(self._program) * (len(text) + 1)
        spend(size if size <= PLACES else 1 << 60)  # too much of it is too much work
        visited = bytearray(size)  # places that have led nowhere: none is tried twice
        for start in range(len(text) + 1):
            slots = self._follow(text, start, visited, spend)
            if slots is not None:
                return [(slots[at], slots[at + 1]) for at in range(0, self._slots, 2)]
        return []

    def _follow(self, text: str, start: int, visited: bytearray, spend: Spend) -> list[int] | None:
        program, length = self._program, len(text)
        taken = 0
        slots = [-1] * self._slots
        # What to try next: an instruction at a position, or a slot to set back (instruction below 0).
        stack: list[tuple[int, int]] = [(0, start)]
        while stack:
            at, position = stack.pop()
            if at < 0:
                slots[-at - 1] = position
                continue
            while not visited[place := at * (length + 1) + position]:
                visited[place] = 1
                taken += STATE
                if taken >= 1000 * STATE:
                    spend(taken)
                    taken = 0
                instruction = program[at]
                if instruction is None:
                    return slots
                if isinstance(instruction, Characters):
                    if position >= length or not instruction.has(text[position]):
                        break
                    position += 1
                elif isinstance(instruction, _Split):
                    stack.append((instruction.second, position))
                    at = instruction.first
                    continue
                elif isinstance(instruction, _Save):
                    stack.append((-instruction.slot - 1, slots[instruction.slot]))
                    slots[instruction.slot] = position
                elif not _stands(instruction.what, _kind(text, position - 1), _kind(text, position)):
                    break
                at += 1
        spend(taken)
        return None


@lru_cache(maxsize=64)
def compile_expression(pattern: str, fold: bool) -> Expression:
    """The expression; `fold`: A to Z are the same in both cases.  Raises ExpressionError."""
    return Expression(pattern, fold)


def _emit(tree: Tree, program: list[_Instruction]) -> None:
    if len(program) > INSTRUCTIONS:
        raise ExpressionError("Regular expression too big")
    if isinstance(tree, Characters | At):
        program.append(tree)
    elif isinstance(tree, Sequence):
        for each in tree.items:
            _emit(each, program)
    elif isinstance(tree, Group):
        program.append(_Save(2 * tree.number))
        _emit(tree.item, program)
        program.append(_Save(2 * tree.number + 1))
    elif isinstance(tree, Choice):
        _emit_choice(tree, program)
    else:
        _emit_repeat(tree, program)


def _emit_choice(tree: Choice, program: list[_Instruction]) -> None:
    """Each alternative jumps behind the last, by a split whose ways are the same."""
    jumps: list[int] = []
    for each in tree.items[:-1]:
        split = len(program)
        program.append(_MATCH)
        _emit(each, program)
        jumps.append(len(program))
        program.append(_MATCH)
        program[split] = _Split(split + 1, len(program))
    _emit(tree.items[-1], program)
    for jump in jumps:
        program[jump] = _Split(len(program), len(program))


def _emit_repeat(tree: Repeat, program: list[_Instruction]) -> None:
    for _ in range(tree.least):
        _emit(tree.item, program)
    if tree.most is None:
        split = len(program)
        program.append(_MATCH)
        _emit(tree.item, program)
        program.append(_Split(split, split))
        program[split] = _Split(split + 1, len(program))
        return
    splits: list[int] = []
    for _ in range(tree.most - tree.least):
        splits.append(len(program))
        program.append(_MATCH)
        _emit(tree.item, program)
    for split in splits:
        program[split] = _Split(split + 1, len(program))


def _kind(text: str, position: int) -> int:
    if not 0 <= position < len(text):
        return _OUTSIDE
    return _WORD if text[position].isalnum() or text[position] == "_" else _OTHER


def _stands(what: Assertion, before: int, behind: int) -> bool:
    if what == "begin":
        return before == _OUTSIDE
    if what == "end":
        return behind == _OUTSIDE
    if what == "word begins":
        return before != _WORD and behind == _WORD
    if what == "word ends":
        return before == _WORD and behind != _WORD
    return ((before == _WORD) != (behind == _WORD)) == (what == "edge")


_State: TypeAlias = dict[str, "_State | bool"]
"""Characters to the state behind them; True: it has matched."""


class _Automaton:
    """Whether there is a match, one look-up for each character of a text once its states are known.

    A state is the set of places in the program that may be reached, and the kind of the character before.
    """

    __slots__ = ("_meaning", "_program", "_states", "_steps")

    def __init__(self, program: tuple[_Instruction, ...]) -> None:
        self._program = program
        self._clear()

    def _clear(self) -> None:
        self._states: dict[tuple[frozenset[int], int], _State] = {}
        self._meaning: dict[int, tuple[frozenset[int], int]] = {}
        self._steps = 0

    def search(self, text: str, spend: Spend) -> bool:
        spend(STEP * (len(text) + 1))
        state = self._state(frozenset((0,)), _OUTSIDE)
        for position, character in enumerate(text):
            following = state.get(character)
            if following is None:
                spend(STATE * len(self._program))
                if self._steps >= STEPS:
                    places, before = self._meaning[id(state)]
                    self._clear()
                    state = self._state(places, before)
                self._steps += 1
                following = state[character] = self._step(state, character, _kind(text, position))
            if following is True:
                return True
            assert isinstance(following, dict)
            state = following
        places, before = self._meaning[id(state)]
        return self._reachable(places, before, _OUTSIDE) is None

    def _state(self, places: frozenset[int], before: int) -> _State:
        found = self._states.get((places, before))
        if found is None:
            found = {}
            # In this order: a limit of time may break in anywhere, and no state may be left without its meaning.
            self._meaning[id(found)] = (places, before)
            self._states[places, before] = found
        return found

    def _step(self, state: _State, character: str, kind: int) -> _State | bool:
        places, before = self._meaning[id(state)]
        reached = self._reachable(places, before, kind)
        if reached is None:
            return True
        following = {0}  # a match may begin behind any character
        for at in reached:
            instruction = self._program[at]
            if isinstance(instruction, Characters) and instruction.has(character):
                following.add(at + 1)
        return self._state(frozenset(following), kind)

    def _reachable(self, places: frozenset[int], before: int, behind: int) -> set[int] | None:
        """The places that are reached without a character; None where one of them is the match."""
        seen: set[int] = set()
        stack = list(places)
        while stack:
            at = stack.pop()
            if at in seen:
                continue
            seen.add(at)
            instruction = self._program[at]
            if instruction is None:
                return None
            if isinstance(instruction, _Split):
                stack += (instruction.first, instruction.second)
            elif isinstance(instruction, _Save) or (
                isinstance(instruction, At) and _stands(instruction.what, before, behind)
            ):
                stack.append(at + 1)
        return seen
