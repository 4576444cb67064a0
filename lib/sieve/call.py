"""One use of a command or a test while it is compiled: its arguments by name, and where to complain."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pillarbox.lib.sieve.errors import SieveError
from pillarbox.lib.sieve.node import Block, TestNode
from pillarbox.lib.sieve.syntax import Argument, Command, Number, String, StringList, Test
from pillarbox.lib.sieve.text import Text, Texts, texts

if TYPE_CHECKING:
    from pillarbox.lib.sieve.scope import Scope


class Call:
    """What a rule's `build` gets."""

    def __init__(self, scope: Scope, node: Command | Test, arguments: dict[str, Argument]) -> None:
        self.scope = scope
        self.node = node
        self._arguments = arguments

    @property
    def line(self) -> int:
        """Where it stands."""
        return self.node.place.line

    def has(self, name: str) -> bool:
        """Whether the tag, or the optional argument, is there."""
        return name in self._arguments

    def one_of(self, *names: str) -> str:
        """Which of these tags is there; "" for none."""
        return next((name for name in names if name in self._arguments), "")

    def number(self, name: str, default: int = 0) -> int:
        """A number."""
        found = self._arguments.get(name)
        return found.value if isinstance(found, Number) else default

    def text(self, name: str) -> Text:
        """A string; the empty one where it is not there."""
        found = self._arguments.get(name)
        return self.scope.text(found) if isinstance(found, String) else Text("")

    def texts(self, name: str) -> Texts:
        """A list of strings; an empty one where it is not there."""
        return texts(tuple(self.scope.text(each) for each in self._strings(name)))

    def constants(self, name: str) -> tuple[str, ...]:
        """A list of strings in which no variable may stand.  Raises SieveError."""
        return tuple(self._constant(each, name) for each in self._strings(name))

    def constant(self, name: str, default: str = "") -> str:
        """A string in which no variable may stand.  Raises SieveError."""
        strings = self._strings(name)
        return self._constant(strings[0], name) if strings else default

    def error(self, expected: str, name: str = "") -> SieveError:
        """The error at this argument, or at the command itself."""
        found = self._arguments.get(name)
        return self.scope.error(found.place if found is not None else self.node.place, expected)

    def tests(self) -> tuple[TestNode, ...]:
        """Its tests."""
        return tuple(self.scope.test(each) for each in self.node.tests)

    def block(self) -> Block:
        """Its block."""
        assert isinstance(self.node, Command) and self.node.block is not None
        return self.scope.block(self.node.block)

    def _strings(self, name: str) -> tuple[String, ...]:
        found = self._arguments.get(name)
        if isinstance(found, StringList):
            return found.strings
        return (found,) if isinstance(found, String) else ()

    def _constant(self, string: String, name: str) -> str:
        constant = self.scope.text(string).constant
        if constant is None:
            raise self.scope.error(string.place, f"expected a string without variables ({name})")
        return constant
