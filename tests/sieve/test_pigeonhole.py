"""The same scripts and messages, asked of us and of Dovecot's Pigeonhole: the same is done and refused."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from pillarbox.lib.sieve import Limits, SieveError, SieveState, compile_script, execute
from tests.sieve.asking import ENVELOPE, as_message
from tests.sieve.corpus import MESSAGES, REQUIRE, SCRIPTS, TESTS
from tests.sieve.pigeonhole import Outcome, Pigeonhole, ours

_REQUIRE = "require [" + ", ".join(f'"{name}"' for name in REQUIRE.split()) + "];\n"
_STATE = SieveState(now=0, limits=Limits(actions=1000))


@pytest.fixture(scope="module")
def pigeonhole() -> Iterator[Pigeonhole]:
    with Pigeonhole() as found:
        yield found


def theirs(pigeonhole: Pigeonhole, script: str, message: bytes) -> Outcome:
    return pigeonhole.run(script, message, ENVELOPE["from"], ENVELOPE["to"])


def our_own(script: str, message: bytes) -> Outcome:
    try:
        compiled = compile_script(script, name="script")
    except SieveError:
        return Outcome((), failed=True)
    result = execute(compiled, as_message(message), _STATE)
    return Outcome((), failed=True) if result.error else ours(result.actions, False)


@pytest.mark.parametrize("name", sorted(MESSAGES))
def test_the_same_tests_hold(pigeonhole: Pigeonhole, name: str) -> None:
    tests = TESTS.strip().splitlines()
    script = _REQUIRE + "".join(f'if {test} {{ fileinto :copy "{number}"; }}\n' for number, test in enumerate(tests))
    outcomes = [theirs(pigeonhole, script, MESSAGES[name]), our_own(script, MESSAGES[name])]
    assert not outcomes[0].failed, pigeonhole.said
    held = [
        {tests[int(word)] for action in outcome.actions if (word := action.split()[1]).isdigit()}
        for outcome in outcomes
    ]
    assert held[1] - held[0] == set(), "held with us only"
    assert held[0] - held[1] == set(), "held with them only"
    assert len(held[0]) > 20


@pytest.mark.parametrize("script", SCRIPTS.strip().splitlines())
def test_the_same_is_done(pigeonhole: Pigeonhole, script: str) -> None:
    written = _REQUIRE + script.replace("\\n", "\n") + "\n"
    message = MESSAGES["parts" if "foreverypart" in script else "plain"]
    asked = theirs(pigeonhole, written, message)
    assert our_own(written, message) == (Outcome((), failed=True) if asked.failed else asked), pigeonhole.said
