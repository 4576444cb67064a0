"""Control structures and tests of tests (RFC 5228 sections 3 and 5), `ihave` and `error` (RFC 5463)."""

from __future__ import annotations

from dataclasses import dataclass

from pillarbox.lib.sieve.call import Call
from pillarbox.lib.sieve.errors import RuntimeFault
from pillarbox.lib.sieve.limits import TEST
from pillarbox.lib.sieve.node import Block, Stop, TestNode, run_block
from pillarbox.lib.sieve.run import Run
from pillarbox.lib.sieve.signature import STRING, STRINGS, Positional, Rule
from pillarbox.lib.sieve.text import Text


@dataclass(frozen=True, slots=True)
class If:
    """`if`, `elsif` and `else`: the first branch whose test holds; None always does."""

    line: int
    branches: tuple[tuple[TestNode | None, Block], ...]

    def act(self, run: Run) -> None:
        for test, block in self.branches:
            run.spend(TEST)
            if test is None or test.holds(run):
                run_block(block, run)
                return


@dataclass(frozen=True, slots=True)
class End:
    """`stop`."""

    line: int

    def act(self, run: Run) -> None:
        raise Stop


@dataclass(frozen=True, slots=True)
class Constant:
    """`true`, `false`, and `ihave` (`asked`), whose answer is known when the script is compiled."""

    value: bool
    asked: bool = False

    def holds(self, run: Run) -> bool:
        return self.value


@dataclass(frozen=True, slots=True)
class AllOf:
    """`allof`: asks no further behind the first that does not hold."""

    tests: tuple[TestNode, ...]

    def holds(self, run: Run) -> bool:
        run.spend(TEST * len(self.tests))
        return all(test.holds(run) for test in self.tests)


@dataclass(frozen=True, slots=True)
class AnyOf:
    """`anyof`: asks no further behind the first that holds."""

    tests: tuple[TestNode, ...]

    def holds(self, run: Run) -> bool:
        run.spend(TEST * len(self.tests))
        return any(test.holds(run) for test in self.tests)


@dataclass(frozen=True, slots=True)
class Not:
    """`not`."""

    test: TestNode

    def holds(self, run: Run) -> bool:
        return not self.test.holds(run)


@dataclass(frozen=True, slots=True)
class Fail:
    """A command that is not there, in a script that asks with `ihave`: an error where it is reached."""

    line: int
    expected: str

    def act(self, run: Run) -> None:
        raise RuntimeFault(self.expected)


@dataclass(frozen=True, slots=True)
class FailedTest:
    """A test that is not there, likewise."""

    expected: str

    def holds(self, run: Run) -> bool:
        raise RuntimeFault(self.expected)


@dataclass(frozen=True, slots=True)
class Error:
    """`error`: the script gives up with a text."""

    line: int
    text: Text

    def act(self, run: Run) -> None:
        raise RuntimeFault(self.text.get(run))


def certain(test: TestNode) -> bool | None:
    """What the test always gives because of an `ihave`; None where that does not decide."""
    if isinstance(test, Constant):
        return test.value if test.asked else None
    if isinstance(test, Not):
        truth = certain(test.test)
        return None if truth is None else not truth
    if isinstance(test, AllOf | AnyOf):
        decisive = isinstance(test, AnyOf)
        truths = [certain(each) for each in test.tests]
        if decisive in truths:
            return decisive
        return None if None in truths else not decisive
    return None


def _all_of(call: Call) -> TestNode:
    """Behind an `ihave` that fails the rest may use what is not there, and is never asked."""
    return AllOf(_until(call, False))


def _any_of(call: Call) -> TestNode:
    return AnyOf(_until(call, True))


def _until(call: Call, decisive: bool) -> tuple[TestNode, ...]:
    found: list[TestNode] = []
    for each in call.node.tests:
        found.append(call.scope.test(each))
        if certain(found[-1]) is decisive:
            break
    return tuple(found)


def _ihave(call: Call) -> Constant:
    wanted = call.constants("capabilities")
    there = all(name in call.scope.available for name in wanted)
    if there:
        call.scope.extensions.update(wanted)
    return Constant(there, asked=True)


COMMANDS = {
    "require": Rule(lambda call: None, positional=(Positional("extensions", STRINGS),)),
    "if": Rule(lambda call: None, tests=(1, 1), block=True),
    "elsif": Rule(lambda call: None, tests=(1, 1), block=True),
    "else": Rule(lambda call: None, block=True),
    "stop": Rule(lambda call: End(call.line)),
    "error": Rule(lambda call: Error(call.line, call.text("message")), "ihave", (Positional("message", STRING),)),
}
TESTS = {
    "true": Rule(lambda call: Constant(True)),
    "false": Rule(lambda call: Constant(False)),
    "not": Rule(lambda call: Not(call.tests()[0]), tests=(1, 1)),
    "allof": Rule(_all_of, tests=(1, 1_000_000)),
    "anyof": Rule(_any_of, tests=(1, 1_000_000)),
    "ihave": Rule(_ihave, "ihave", (Positional("capabilities", STRINGS),)),
}
