"""What is known while one script is compiled: what it requires, which variables are global, where it was included.

    scope.block(commands)        # nodes
    scope.test(test)             # a node

`if`, `elsif` and `else` are put together here; every other command and test is found in the registry.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from pillarbox.lib.sieve.call import Call
from pillarbox.lib.sieve.conditions import Fail, FailedTest, If, certain
from pillarbox.lib.sieve.errors import SieveError
from pillarbox.lib.sieve.limits import EXPRESSIONS, INCLUDES
from pillarbox.lib.sieve.node import Block, CommandNode, TestNode
from pillarbox.lib.sieve.registry import COMMANDS, TESTS
from pillarbox.lib.sieve.signature import Rule, sort_arguments
from pillarbox.lib.sieve.syntax import Command, Place, String, Test
from pillarbox.lib.sieve.text import Piece, Text, Variable, decode_characters, pieces

IncludeSource = Callable[[str, str], str | None]
"""Gives the text of a script by location (`personal` or `global`) and name, None where there is none."""

CORE: Final = frozenset(("comparator-i;octet", "comparator-i;ascii-casemap"))
"""What may be required and changes nothing (RFC 5228 section 2.7.3)."""


@dataclass(slots=True)
class Inclusions:
    """What all scripts of one compilation share."""

    source: IncludeSource
    compiled: dict[tuple[str, str], Block | None] = field(default_factory=dict)
    count: int = 0
    expressions: int = 0
    body_keys: int = 0

    def room(self, size: int) -> bool:
        """Count a regular expression; whether there is room for it."""
        self.expressions += size
        return self.expressions <= EXPRESSIONS

    def another(self) -> bool:
        """Count one; whether it is still allowed."""
        self.count += 1
        return self.count <= INCLUDES


class Scope:
    """One script being compiled."""

    def __init__(
        self,
        name: str,
        available: frozenset[str],
        inclusions: Inclusions,
        *,
        open_scripts: tuple[tuple[str, str], ...] = (),
    ) -> None:
        self.name = name
        self.available = available
        self.extensions: set[str] = set()
        self.shared: set[str] = set()
        self.inclusions = inclusions
        self.open_scripts = open_scripts
        self.loops: list[str] = []

    def error(self, place: Place, expected: str, *, unknown: bool = False) -> SieveError:
        """The error at a place of this script."""
        return SieveError(self.name, *place, expected, unknown=unknown)

    # --- strings
    def text(self, string: String) -> Text:
        """The string with what the required extensions make of it."""
        value = string.value
        if "${" not in value:
            return Text(value)
        if "encoded-character" in self.extensions:
            try:
                value = decode_characters(value)
            except ValueError as error:
                raise self.error(string.place, str(error)) from None
        if "variables" not in self.extensions:
            return Text(value)
        found: list[Piece] = [
            self.variable(piece.name, string.place) if isinstance(piece, Variable) else piece for piece in pieces(value)
        ]
        if len(found) == 1 and isinstance(found[0], str):
            return Text(found[0])
        return Text(None, tuple(found))

    def variable(self, name: str, place: Place) -> Variable:
        """The variable of this name, which may begin with a namespace."""
        namespace, dot, bare = name.rpartition(".")
        if not dot:
            return Variable(name, name in self.shared)
        if namespace != "global" or "include" not in self.extensions:
            raise self.error(place, f"expected a variable, not one of the unknown namespace '{namespace}'")
        return Variable(bare, True)

    # --- commands
    def script(self, commands: tuple[Command, ...]) -> Block:
        """A whole script: `require` first (RFC 5228 section 3.2)."""
        position = 0
        while position < len(commands) and commands[position].name == "require":
            self._require(commands[position])
            position += 1
        return self.block(commands[position:])

    def _require(self, command: Command) -> None:
        rule = COMMANDS["require"]
        self._check_shape(command, rule, command.block is not None)
        strings = sort_arguments(rule, command, self.name, frozenset()).positional["extensions"]
        for string in (strings,) if isinstance(strings, String) else getattr(strings, "strings", ()):
            if string.value not in self.available and string.value not in CORE:
                raise self.error(string.place, f'expected an extension that is available, not "{string.value}"')
            self.extensions.add(string.value)

    def block(self, commands: tuple[Command, ...]) -> Block:
        """Commands in their order; `elsif` and `else` become part of their `if`."""
        found: list[CommandNode] = []
        position = 0
        while position < len(commands):
            command = commands[position]
            position += 1
            if command.name == "if":
                chain = [command]
                while position < len(commands) and commands[position].name in ("elsif", "else"):
                    chain.append(commands[position])
                    position += 1
                    if chain[-1].name == "else":
                        break
                found.append(self._if(chain))
            else:
                found.append(self.command(command))
        return tuple(found)

    def _if(self, chain: list[Command]) -> CommandNode:
        """Blocks behind a test that `ihave` makes false are not compiled: they use what is not there."""
        branches: list[tuple[TestNode | None, Block]] = []
        for command in chain:
            rule = COMMANDS[command.name]
            self._check_shape(command, rule, command.block is not None)
            sort_arguments(rule, command, self.name, frozenset())
            test = self.test(command.tests[0]) if command.tests else None
            truth = True if test is None else certain(test)
            if truth is False:
                continue
            branches.append((test, self.block(command.block or ())))
            if truth is True:
                break
        return If(chain[0].place.line, tuple(branches))

    def command(self, command: Command) -> CommandNode:
        """One command."""
        try:
            if command.name in ("elsif", "else"):
                raise self.error(command.place, f"expected 'if' before '{command.name}'")
            if command.name == "require":
                raise self.error(command.place, "expected 'require' only at the beginning of the script")
            rule = self._rule(COMMANDS.get(command.name), command, "command")
            self._check_shape(command, rule, command.block is not None)
            node: CommandNode = rule.build(self._call(rule, command))
            return node
        except SieveError as error:
            return Fail(command.place.line, self._later(error))

    def test(self, test: Test) -> TestNode:
        """One test."""
        try:
            rule = self._rule(TESTS.get(test.name), test, "test")
            self._check_tests(test, rule)
            node: TestNode = rule.build(self._call(rule, test))
            return node
        except SieveError as error:
            return FailedTest(self._later(error))

    def _later(self, error: SieveError) -> str:
        """What is unknown is an error when it is reached, where the script asks with `ihave` (RFC 5463 section 4)."""
        if not error.unknown or "ihave" not in self.extensions:
            raise error
        return error.expected

    def _rule(self, rule: Rule | None, node: Command | Test, kind: str) -> Rule:
        if rule is None:
            raise self.error(node.place, f"expected a {kind}, not '{node.name}'", unknown=True)
        if rule.extension and self.extensions.isdisjoint(wanted := rule.extension.split()):
            raise self.error(node.place, f"expected require \"{wanted[0]}\" for '{node.name}'", unknown=True)
        return rule

    def _call(self, rule: Rule, node: Command | Test) -> Call:
        found = sort_arguments(rule, node, self.name, frozenset(self.extensions))
        return Call(self, node, {**found.positional, **found.tags})

    def _check_shape(self, command: Command, rule: Rule, has_block: bool) -> None:
        if has_block and not rule.block:
            raise self.error(command.place, f"expected ';' behind '{command.name}', not a block")
        if rule.block and not has_block:
            raise self.error(command.place, f"expected a block in braces behind '{command.name}'")
        self._check_tests(command, rule)

    def _check_tests(self, node: Command | Test, rule: Rule) -> None:
        least, most = rule.tests
        if len(node.tests) < least:
            raise self.error(node.place, f"expected a test behind '{node.name}'")
        if len(node.tests) > most:
            what = "only one test" if most else "no test"
            raise self.error(node.tests[most].place, f"expected {what} behind '{node.name}'")
        if node.tests and node.listed != (most > 1):
            how = "in parentheses" if most > 1 else "without parentheses"
            raise self.error(node.tests[0].place, f"expected a test {how} behind '{node.name}'")
