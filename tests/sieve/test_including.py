"""Scripts in scripts (RFC 6609)."""

from __future__ import annotations

import pytest

from pillarbox.lib.sieve import SieveError, compile_script
from pillarbox.lib.sieve.actions import Discard, FileInto, Keep
from tests.sieve.asking import everything, run

NEED = 'require ["include", "variables", "fileinto", "imap4flags"];'


def done(script: str, **scripts: str) -> object:
    found = {("personal", name): NEED + text for name, text in scripts.items()}
    found |= {("global", name): NEED + text for name, text in scripts.items() if name.startswith("g")}
    found.pop(("personal", "gone"), None)
    return run(script, scripts=found)


def test_its_actions_are_done_in_their_place() -> None:
    result = done('fileinto "a"; include "one"; fileinto "c";', one='fileinto "b";')
    assert result.actions == (FileInto("a"), FileInto("b"), FileInto("c"))  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "script, scripts, wanted",
    [
        ('include "one"; fileinto "x";', {"one": 'return; fileinto "y";'}, [FileInto("x")]),
        ('include "one"; fileinto "x";', {"one": 'stop; fileinto "y";'}, [Keep(implicit=True)]),
        ('return; discard;', {}, [Keep(implicit=True)]),
        ('include :global "gone"; discard;', {"gone": 'fileinto "y";'}, [FileInto("y"), Discard()]),
        ('include :personal "one";', {"one": "discard;"}, [Discard()]),
        ('include :optional "none"; discard;', {}, [Discard()]),
        ('include "one"; include "one";', {"one": 'setflag "a"; keep;'}, [Keep(("a",))]),
        ('include :once "one"; include :once "one"; discard;', {"one": 'addflag "a"; fileinto "f${x}";'},
         [FileInto("f", ("a",)), Discard()]),
        # each script has its own variables, those of `global` are common
        ('set "v" "out"; include "one"; fileinto "${v}";', {"one": 'fileinto "in${v}"; set "v" "x";'},
         [FileInto("in"), FileInto("out")]),
        ('global "v"; set "v" "out"; include "one"; fileinto "${v}";', {"one": 'global ["v"]; set "v" "${v}x";'},
         [FileInto("outx")]),
        ('include "one"; fileinto "${global.v}";', {"one": 'global "v"; set "v" "in";'}, [FileInto("in")]),
        ('set "global.v" "out"; include "one";', {"one": 'fileinto "${global.v}";'}, [FileInto("out")]),
        # match values too
        ('if string :matches "out" "*" {} include "one"; fileinto "${1}";',
         {"one": 'if string :matches "in" "*" {} fileinto "${1}";'}, [FileInto("in"), FileInto("out")]),
    ],
)  # fmt: skip
def test_what_is_done(script: str, scripts: dict[str, str], wanted: list[object]) -> None:
    result = done(script, **scripts)
    assert (list(result.actions), result.error) == (wanted, "")  # type: ignore[attr-defined]


def test_a_script_that_is_not_there_is_an_error_when_it_is_reached() -> None:
    assert run('discard; stop; include "none";').actions == (Discard(),)
    result = run('discard;\ninclude "none";')
    assert result.error == 'test:3: expected a personal script called "none"'


def test_an_error_in_it_is_told_with_its_name_and_place() -> None:
    with pytest.raises(SieveError) as caught:
        done('include "one";', one="keep;\n  frobnicate;")
    assert str(caught.value) == "one:2:3: expected a command, not 'frobnicate'"


def test_it_requires_what_it_uses_itself() -> None:
    with pytest.raises(SieveError, match='one:1:1: expected require "fileinto"'):
        run('include "one";', scripts={("personal", "one"): 'fileinto "x";'})


def test_scripts_cannot_include_each_other_in_a_circle() -> None:
    with pytest.raises(SieveError, match="expected no script that includes itself"):
        done('include "one";', one='include "two";', two='include "one";')


def test_their_nesting_and_number_have_limits() -> None:
    chain = {f"s{number}": f'include "s{number + 1}";' for number in range(20)}
    with pytest.raises(SieveError, match="at most 10 scripts inside each other"):
        done('include "s0";', **chain)
    with pytest.raises(SieveError, match="at most 255 included scripts"):
        done('include "one";' * 300, one="keep;")


def test_a_chain_that_includes_many_times_ends() -> None:
    wide = {f"s{number}": f'include "s{number + 1}";' * 25 for number in range(9)}
    assert done('include "s0";' * 25, **wide, s9="").error.endswith("takes too long")  # type: ignore[attr-defined]


def test_deep_blocks_in_scripts_that_include_each_other_are_done_or_refused() -> None:
    inside = {f"s{number}": "foreverypart {" * 30 + f'include "s{number + 1}";' + "}" * 30 for number in range(9)}
    need = 'require ["include", "foreverypart", "variables"];'
    scripts = {("personal", name): need + text for name, text in inside.items()}
    try:
        result = run('include "s0";', scripts=scripts | {("personal", "s9"): "discard;"})
    except SieveError as error:
        assert "nesting" in str(error)
    else:
        assert result.actions


def test_the_compiled_script_names_what_it_includes() -> None:
    script = compile_script(
        everything() + 'include "a"; include :global :optional "b"; include "a";', name="s", include=lambda _l, _n: ""
    )
    assert script.includes == (("personal", "a"), ("global", "b"))
