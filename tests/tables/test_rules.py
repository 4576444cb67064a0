"""Tables of rules: regexp, pcre and cidr, in files and in braces."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pillarbox.lib.log import log
from pillarbox.lib.tables import STANDARD, LookupFailed, Options, Table

RULES = r"""
# rules
/^foo(.*)$/      bar$1
/^x(a)(b)/i      ${2}-$(1)$$
if !/@/
/^admin/         local admin
/./              local
endif
/(.*)@example\.com$/
    $1@example.net
!/@.*\./         no dot
"""


def table(tmp_path: Path, kind: str, text: str, options: Options | None = None) -> Table:
    (tmp_path / "rules").write_text(text)
    return STANDARD.open(f"{kind}:{tmp_path}/rules", options)


@pytest.mark.parametrize("kind", ["regexp", "pcre"])
@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("FOObar", "barbar"),
        ("xab", "b-a$"),
        ("xAB", "local"),
        ("Admin1", "local admin"),
        ("ann@example.com", "ann@example.net"),
        ("ann@host", "no dot"),
        ("ann@other.example", None),
    ],
)
def test_the_first_rule_that_matches_answers(tmp_path: Path, kind: str, key: str, value: str | None) -> None:
    assert table(tmp_path, kind, RULES).get(key) == value


@pytest.mark.parametrize("kind", ["regexp", "pcre"])
@pytest.mark.parametrize(
    ("rule", "reason"),
    [
        ("/broken( zz", 'no closing regexp delimiter "/"'),
        ("/a/z b", 'unknown regexp option "z"'),
        ("noslash foo", "a pattern between slashes, /pattern/, was expected"),
        ("/(a)/ $2", 'out of range replacement index "2"'),
        ("/(a)/ $x", "bad replacement syntax"),
        ("!/(a)/ $1", "$number found in negative match replacement text"),
        ("/(/ x", "error in regular expression: "),
    ],
)
def test_a_broken_rule_fails_the_look_ups_that_reach_it(tmp_path: Path, kind: str, rule: str, reason: str) -> None:
    rules = table(tmp_path, kind, f"/^before$/ 1\n{rule}\n/^after$/ 2\n")
    with log.capture() as lines:
        assert rules.get("before") == "1"
        with pytest.raises(LookupFailed) as failure:
            rules.get("after")
    assert f"{kind} map {tmp_path}/rules, line 2: {reason}" in str(failure.value)
    assert len(lines) == 1, "one log line when the file is read, not one per look-up"


def test_a_sensitive_result_may_not_hold_part_of_the_key(tmp_path: Path) -> None:
    sensitive = Options(substitution=False)
    with log.capture(), pytest.raises(LookupFailed, match="regular expression substitution is not allowed"):
        table(tmp_path, "regexp", "/(.*)/ |rm $1\n", sensitive).get("x")
    assert table(tmp_path, "regexp", "/(.*)/ costs $$1\n", sensitive).get("x") == "costs $1"


def test_posix_dollar_is_the_very_end_and_perl_dollar_is_not(tmp_path: Path) -> None:
    assert table(tmp_path, "regexp", "/a$/ y\n").get("a\n") is None
    assert table(tmp_path, "pcre", "/a$/ y\n").get("a\n") == "y"
    assert table(tmp_path, "pcre", "/a$/E y\n").get("a\n") is None


def test_blocks_nest_and_end(tmp_path: Path) -> None:
    rules = table(tmp_path, "pcre", "if /a/\nif /b/\n/c/ abc\nendif\n/c/ ac\nendif\n/c/ c\n")
    assert [rules.get(key) for key in ("abc", "ac", "bc", "ab")] == ["abc", "ac", "c", None]


@pytest.mark.parametrize(
    ("text", "warning"),
    [
        ("endif\n", "line 1: ignoring ENDIF without matching IF"),
        ("if /a/\n/b/ c\n", "line 1: IF has no matching ENDIF"),
        ("/a/\n", "line 1: no replacement text: using empty string"),
        ("if /a/ x\nendif\n", 'line 1: ignoring extra text after IF statement: "x"'),
    ],
)
def test_oddities_are_warned_of(tmp_path: Path, text: str, warning: str) -> None:
    with log.capture() as lines:
        table(tmp_path, "regexp", text).get("zzz")
    assert lines == [f"warning: regexp map {tmp_path}/rules, {warning}"]


def test_rules_may_stand_in_the_name() -> None:
    rules = STANDARD.open("pcre:{{/^a{2}$/ two}, {/b/ x, y}}")
    assert [rules.get(key) for key in ("aa", "b", "c")] == ["two", "x, y", None]


NETWORKS = """
10.0.0.1         host
10.0.0.0/8       ten
2001:db8::/32    six
[2001:db9::1]    bracket
if 192.168.0.0/16
192.168.1.0/24   one
endif
!172.16.0.0/12   rest
"""


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("10.0.0.1", "host"),
        ("10.9.9.9", "ten"),
        ("2001:db8::1", "six"),
        ("2001:DB9::1", "bracket"),
        ("192.168.1.9", "one"),
        ("192.168.2.9", "rest"),
        ("172.16.0.1", None),
        ("no address", None),
        ("", None),
    ],
)
def test_networks(tmp_path: Path, key: str, value: str | None) -> None:
    assert table(tmp_path, "cidr", NETWORKS).get(key) == value


@pytest.mark.parametrize(
    ("rule", "reason"),
    [
        ("1.2.3.4/8 x", 'non-null host address bits in "1.2.3.4/8", perhaps you should use "1.0.0.0/8" instead'),
        ("foo bar", 'bad address pattern: "foo"'),
        ("1.2.3.0/33 x", 'bad net/mask pattern: "1.2.3.0/33"'),
        ("1.2.3.4", "no lookup result"),
    ],
)
def test_a_broken_network_fails_the_look_ups_that_reach_it(tmp_path: Path, rule: str, reason: str) -> None:
    networks = table(tmp_path, "cidr", f"10.0.0.0/8 ten\n{rule}\n")
    with log.capture():
        assert networks.get("10.0.0.1") == "ten"
        with pytest.raises(LookupFailed) as failure:
            networks.get("9.9.9.9")
    assert reason in str(failure.value)


def test_tables_of_patterns_say_so(tmp_path: Path) -> None:
    assert table(tmp_path, "regexp", "").patterns
    assert STANDARD.open("unionmap:{pcre:{{/a/ b}}, static:a}").patterns
    assert not STANDARD.open("unionmap:{static:a, pcre:{{/a/ b}}}").patterns  # the first decides, as in Postfix
    assert not STANDARD.open("static:a").patterns


@given(st.text(st.characters(codec="utf-8"), max_size=60), st.sampled_from(["regexp", "pcre", "cidr"]))
def test_anything_as_rules_gives_one_of_the_three_outcomes(text: str, kind: str) -> None:
    with log.capture():
        rules = STANDARD.open(f"{kind}:{{{{{text}}}}}")
        try:
            rules.get("ann@example.com")
            rules.get("192.0.2.1")
        except LookupFailed:
            pass
