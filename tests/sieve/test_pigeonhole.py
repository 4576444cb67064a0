"""The same scripts and messages, asked of us and of Dovecot's Pigeonhole: the same is done and refused."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest

from pillarbox.lib.sieve import Limits, SieveError, SieveState, compile_script, execute
from tests.sieve.asking import ENVELOPE, as_message
from tests.sieve.corpus import INCLUDING, MESSAGES, REQUIRE, SCRIPTS, TESTS
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


class Made:
    """Scripts put together by chance out of what each of the two knows.

    Left out is where they are known to differ: Pigeonhole's `body :raw` does not find the body of a message whose
    header was edited, and a second `fileinto` without `:copy` does not cancel the implicit keep there.
    """

    ACTIONS = (
        'fileinto "{0}";',
        'fileinto :copy "copy {0}";',
        'fileinto "${{1}}-${{v}}";',
        'redirect :copy "{0}@example.net";',
        "keep;",
        "discard;",
        "stop;",
        'addflag ["f{0}", "\\\\Seen"];',
        'removeflag "\\\\seen";',
        'set "v" "${{v}}{0}";',
        'set :upper "v" "x${{0}}";',
        'if string :matches "{0}.${{v}}" "*.*" {{ set "v" "${{2}}${{1}}"; }}',
    )

    def __init__(self, seed: int) -> None:
        self._chance = random.Random(seed)
        self._tests = [test for test in TESTS.strip().splitlines() if not test.startswith(("mailbox", "environment"))]
        self.text = "".join(self._command(0) for _ in range(8))

    def _test(self, depth: int) -> str:
        kind = self._chance.randrange(6)
        if depth > 2 or kind < 3:
            return self._chance.choice(self._tests)
        if kind == 3:
            return f"not {self._test(depth + 1)}"
        tests = ", ".join(self._test(depth + 1) for _ in range(self._chance.randrange(1, 4)))
        return f"{'allof' if kind == 4 else 'anyof'} ({tests})"

    def _command(self, depth: int) -> str:
        if depth > 2 or self._chance.random() < 0.4:
            return self._chance.choice(self.ACTIONS).format(self._chance.randrange(10)) + "\n"
        words = ["if", *["elsif"] * self._chance.randrange(3)]
        text = "".join(f"{word} {self._test(0)} {{ {self._block(depth)} }}\n" for word in words)
        return text + (f"else {{ {self._block(depth)} }}\n" if self._chance.random() < 0.5 else "")

    def _block(self, depth: int) -> str:
        return "".join(self._command(depth + 1) for _ in range(self._chance.randrange(3)))


@pytest.mark.parametrize("seed", range(40))
def test_scripts_made_by_chance(pigeonhole: Pigeonhole, seed: int) -> None:
    script = _REQUIRE + Made(seed).text
    message = MESSAGES[("plain", "encoded", "parts", "crlf")[seed % 4]]
    asked = theirs(pigeonhole, script, message)
    assert our_own(script, message) == (Outcome((), failed=True) if asked.failed else asked), script + pigeonhole.said


@pytest.mark.parametrize("script, scripts", INCLUDING)
def test_the_same_scripts_are_included(pigeonhole: Pigeonhole, script: str, scripts: dict[str, str]) -> None:
    need = 'require ["include", "variables", "fileinto", "imap4flags"];\n'
    pigeonhole.place({name: need + text for name, text in scripts.items()})
    asked = theirs(pigeonhole, need + script, MESSAGES["plain"])
    try:
        compiled = compile_script(
            need + script, name="s", include=lambda _location, name: need + scripts[name] if name in scripts else None
        )
    except SieveError:
        assert asked.failed
        return
    result = execute(compiled, as_message(MESSAGES["plain"]), _STATE)
    assert bool(result.error) == asked.failed, pigeonhole.said
    assert asked.failed or ours(result.actions, False) == asked
