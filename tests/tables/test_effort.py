"""Expressions that take too long: which they are, and what becomes of a look-up in them."""

from __future__ import annotations

import re
import threading
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pillarbox.lib.log import log
from pillarbox.lib.system.processor_time import Budget, OutOfTime, limited
from pillarbox.lib.tables import STANDARD, LookupFailed, Options
from pillarbox.lib.tables.effort import UNBOUNDED, effort, longest

HOSTILE = "a" * 60 + "!"


@pytest.mark.parametrize(
    ("pattern", "degree"),
    [
        ("abc", 1),
        (r"^foo(.*)$", 2),
        (r"^.*@([^@]+)\.example$", 3),
        ("(a|b)*c", 2),
        (r"(\d{1,3}\.){3}\d", 1),
        ("(.*)\\1", 3),
        ("(?=a*)b*", 3),
        ("(a+)+$", UNBOUNDED),
        ("(a|aa)+$", UNBOUNDED),
        ("(a?){50}a{50}", UNBOUNDED),
        ("(?x) ( a+ ) +", UNBOUNDED),
        ("([a-z]+)*@", UNBOUNDED),
    ],
)
def test_the_degree_of_a_pattern(pattern: str, degree: int) -> None:
    assert effort(re.compile(pattern)).degree == degree


def test_optional_parts_multiply() -> None:
    assert longest([effort(re.compile("a?" * 30 + "a" * 30))]) == 0


def test_simple_tables_are_asked_without_a_bound() -> None:
    assert longest([effort(re.compile("^foo.*bar$"))]) >= 500
    assert longest([effort(re.compile(f"^user{n}@example$")) for n in range(1000)]) >= 256
    assert longest([]) > 100_000


@given(st.text("ab()*+?|{1,2}.$", max_size=9))
@settings(max_examples=300)
def test_what_is_called_short_is_short(pattern: str) -> None:
    """No pattern that is asked without a bound needs much: the search runs to its end here."""
    try:
        compiled = re.compile(pattern)
    except (re.error, OverflowError):
        return
    length = min(longest([effort(compiled)]), 2000)
    with limited(Budget(5)):
        compiled.search("ab" * (length // 2))
        compiled.search("a" * (length - 1) + "b")


@pytest.mark.parametrize("kind", ["regexp", "pcre"])
@pytest.mark.parametrize("rule", ["/^(a+)+$/ x", "if /^(a|aa)+$/\n/b/ x\nendif", "!/(a*)*!!/ x"])
def test_a_hostile_key_ends_in_a_temporary_error_that_names_the_rule(tmp_path: Path, kind: str, rule: str) -> None:
    (tmp_path / "rules").write_text(f"/^z/ y\n\n# comment\n{rule}\n")
    table = STANDARD.open(f"{kind}:{tmp_path}/rules", Options(time_limit=0.05))
    with log.capture(), pytest.raises(LookupFailed, match=f"{kind} map {tmp_path}/rules, line 4: .* of 61 characters"):
        table.get(HOSTILE)
    assert table.get("zzz") == "y"


def test_inline_rules_are_bounded_too() -> None:
    table = STANDARD.open("pcre:{{/^(a+)+$/ x}}", Options(time_limit=0.05))
    with log.capture(), pytest.raises(LookupFailed, match=r"used up 0\.05 s"):
        table.get(HOSTILE)


def test_where_a_message_has_a_budget_that_one_holds() -> None:
    table = STANDARD.open("pcre:{{/^(a+)+$/ x}}")
    with pytest.raises(OutOfTime), limited(Budget(0.05)):
        table.get(HOSTILE)


def test_a_thread_without_help_fails_rather_than_hang() -> None:
    table = STANDARD.open("pcre:{{/^(a+)+$/ x}}")
    found: list[str] = []

    def ask() -> None:
        try:
            table.get(HOSTILE)
        except LookupFailed as error:
            found.append(error.reason)

    thread = threading.Thread(target=ask)
    thread.start()
    thread.join()
    assert "needs the main thread" in found[0]
