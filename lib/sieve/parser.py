"""The grammar of a script (RFC 5228 section 8.2): tokens in, the syntax tree out, or a SieveError with its place."""

from __future__ import annotations

from pillarbox.lib.sieve.errors import SieveError
from pillarbox.lib.sieve.lexer import Token, tokens
from pillarbox.lib.sieve.limits import NESTING
from pillarbox.lib.sieve.syntax import Argument, Command, Number, String, StringList, Tag, Test


def parse(text: str, name: str) -> tuple[Command, ...]:
    """The commands of the script called `name`.  Raises SieveError."""
    return _Parser(tokens(text, name), name).script()


class _Parser:
    """Recursive descent, one method for each rule."""

    def __init__(self, found: list[Token], name: str) -> None:
        self._tokens = found
        self._name = name
        self._position = 0
        self._depth = 0

    def script(self) -> tuple[Command, ...]:
        commands = self._commands()
        if self._next.kind != "end":
            raise self._expected("a command")
        return commands

    @property
    def _next(self) -> Token:
        return self._tokens[self._position]

    def _take(self, kind: str, expected: str) -> Token:
        token = self._next
        if token.kind != kind:
            raise self._expected(expected)
        self._position += 1
        return token

    def _expected(self, what: str) -> SieveError:
        token = self._next
        return SieveError(self._name, *token.place, f"expected {what}, not {token.describe()}")

    def _deeper(self) -> None:
        self._depth += 1
        if self._depth > NESTING:
            raise SieveError(self._name, *self._next.place, f"expected at most {NESTING} levels of nesting")

    def _commands(self) -> tuple[Command, ...]:
        found = []
        while self._next.kind == "identifier":
            found.append(self._command())
        return tuple(found)

    def _command(self) -> Command:
        name = self._take("identifier", "a command")
        arguments = self._arguments()
        listed, tests = self._next.kind == "(", self._tests()
        block = None
        if self._next.kind == "{":
            self._position += 1
            self._deeper()
            block = self._commands()
            self._depth -= 1
            self._take("}", "a command or '}'")
        elif self._next.kind == ";":
            self._position += 1
        else:
            raise self._expected("an argument, ';' or '{'")
        return Command(name.text, arguments, tests, block, name.place, listed)

    def _tests(self) -> tuple[Test, ...]:
        if self._next.kind == "identifier":
            return (self._test(),)
        if self._next.kind != "(":
            return ()
        self._position += 1
        self._deeper()
        found = [self._test()]
        while self._next.kind == ",":
            self._position += 1
            found.append(self._test())
        self._depth -= 1
        self._take(")", "',' or ')'")
        return tuple(found)

    def _test(self) -> Test:
        name = self._take("identifier", "a test")
        arguments = self._arguments()
        self._deeper()
        listed, tests = self._next.kind == "(", self._tests()
        self._depth -= 1
        return Test(name.text, arguments, tests, name.place, listed)

    def _arguments(self) -> tuple[Argument, ...]:
        found: list[Argument] = []
        while True:
            token = self._next
            if token.kind == "tag":
                found.append(Tag(token.text, token.place))
            elif token.kind == "number":
                found.append(Number(token.value, token.place))
            elif token.kind == "string":
                found.append(String(token.text, token.place))
            elif token.kind == "[":
                found.append(self._list())
                continue
            else:
                return tuple(found)
            self._position += 1

    def _list(self) -> StringList:
        opening = self._take("[", "a list of strings")
        found = [self._string()]
        while self._next.kind == ",":
            self._position += 1
            found.append(self._string())
        self._take("]", "',' or ']'")
        return StringList(tuple(found), opening.place)

    def _string(self) -> String:
        token = self._take("string", "a string")
        return String(token.text, token.place)
