"""Regular expressions and wildcards: the same as a plain matcher finds, in a number of steps that has a bound."""

from __future__ import annotations

import pickle
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pillarbox.lib.sieve.regex import ExpressionError, compile_expression
from pillarbox.lib.sieve.wildcards import compile_wildcards


class Steps:
    """Counts what is spent."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self, amount: int) -> None:
        self.count += amount


@pytest.mark.parametrize(
    "pattern, text, groups",
    [
        ("abc", "xabcx", ["abc"]),
        ("a.c", "a\nc", ["a\nc"]),
        ("^abc$", "abc", ["abc"]),
        ("^b", "ab", None),
        ("a$", "ab", None),
        ("", "x", [""]),
        ("(a)(b)?", "ac", ["a", "a", None]),
        ("(a|ab)(c|bcd)", "abcd", ["abcd", "a", "bcd"]),
        ("a{2,3}", "xaaaax", ["aaa"]),
        ("a{2}", "a", None),
        ("a{2,}b", "aaab", ["aaab"]),
        ("x{0,1}y", "y", ["y"]),
        ("(ab)+", "ababa", ["abab", "ab"]),
        ("[[:digit:]]+", "ab123", ["123"]),
        ("[^]a]", "]ab", ["b"]),
        ("[a-c-]+", "x-b-", ["-b-"]),
        (r"\(x\)", "(x)", ["(x)"]),
        (r"\bword\b", "a word.", ["word"]),
        (r"\bword\b", "swords", None),
        (r"\<in", "bin in", ["in"]),
        (r"\w+\W\w+", "ab-cd", ["ab-cd"]),
        ("(^|,)x", "a,x", [",x", ","]),
        ("a{,2}", "a{,2}", ["a{,2}"]),
        ("ä+", "xääx", ["ää"]),
        ("a**", "aa", ["aa"]),
        ("(a*)*", "aab", ["aa", "aa"]),
        ("()", "x", ["", ""]),
        ("a||b", "b", [""]),
    ],
)
def test_what_matches(pattern: str, text: str, groups: list[str | None] | None) -> None:
    expression = compile_expression(pattern, False)
    assert expression.search(text, Steps()) is (groups is not None)
    found = [text[start:end] if start >= 0 else None for start, end in expression.groups(text, Steps())]
    assert found == (groups or [])


@pytest.mark.parametrize(
    "pattern, text, found",
    [
        ("HELLO", "hello", True),
        ("[a-c]x", "BX", True),
        ("[^a]", "A", False),
        ("ä", "Ä", False),
        ("[[:upper:]]", "a", True),
    ],
)
def test_case_of_ascii_letters_only(pattern: str, text: str, found: bool) -> None:
    assert compile_expression(pattern, True).search(text, Steps()) is found


_BROKEN = (
    "(",
    ")",
    "a)",
    "[a",
    "*a",
    "a|*",
    "\\",
    "a{2,1}",
    "a{999}",
    "(a)\\1",
    "^*",
    "[[:x:]]",
    "((a{255}){255}){255}",
)


@pytest.mark.parametrize("pattern", [*_BROKEN, "a" + "*" * 60, "(" * 60 + ")" * 60])
def test_no_expression(pattern: str) -> None:
    with pytest.raises(ExpressionError):
        compile_expression(pattern, False)


@pytest.mark.parametrize(
    "pattern, text",
    [
        ("(a+)+$", "a" * 5000 + "b"),
        ("(a|a)*b", "a" * 5000),
        ("(.*)(.*)(.*)(.*)x", "a" * 5000),
        ("(x+x+)+y", "x" * 5000),
        ("^(([a-z])+.)+[A-Z]([a-z])+$", "a" * 5000),
        (".*" * 20 + "z", "y" * 5000),
    ],
)
def test_steps_are_bounded_by_the_lengths_multiplied(pattern: str, text: str) -> None:
    steps = Steps()
    expression = compile_expression(pattern, False)
    assert expression.search(text, steps) is False
    assert expression.groups(text[-500:], steps) == []
    assert steps.count < 500 * len(text) * len(pattern)


def _never_empty(pattern: str) -> bool:
    """Whether it finds nothing that is empty: how often that is repeated differs from engine to engine."""
    return all(
        found.end() > found.start() for found in re.finditer(pattern.replace("$", r"\Z"), "a b\nc ab", re.DOTALL)
    )


_PATTERN = st.recursive(
    st.sampled_from(["a", "b", ".", "[ab]", "[^a]", "^", "$", r"\b", "c"]),
    lambda inner: st.one_of(
        st.tuples(inner, inner).map("".join),
        st.tuples(inner, inner).map(lambda two: f"({two[0]}|{two[1]})"),
        st.tuples(inner.filter(_never_empty), st.sampled_from(["*", "+", "?", "{1,2}"])).map(
            lambda two: f"({two[0]}){two[1]}"
        ),
    ),
    max_leaves=8,
)


@given(_PATTERN, st.text("abc \n", max_size=12))
def test_the_same_as_re_finds(pattern: str, text: str) -> None:
    expression = compile_expression(pattern, False)
    theirs = re.compile(pattern.replace("$", r"\Z"), re.DOTALL).search(text)
    assert expression.search(text, Steps()) is (theirs is not None)
    spans = expression.groups(text, Steps())
    assert [spans[0]] == [theirs.span()] if theirs else spans == []


@given(st.text(), st.text())
def test_any_text_is_an_expression_or_none(pattern: str, text: str) -> None:
    try:
        expression = compile_expression(pattern, True)
    except ExpressionError:
        return
    assert expression.search(text, Steps()) is bool(expression.groups(text, Steps()))
    assert pickle.loads(pickle.dumps(expression)).pattern == pattern


def test_an_automaton_forgets_what_it_has_no_room_for() -> None:
    expression = compile_expression("(a|b).{12}x", False)
    text = "".join("ab"[(number * number // 7 + number // 3) % 2] for number in range(20_000))
    steps = Steps()
    assert expression.search(text, steps) is False
    assert expression.search(text + "bbbbbbbbbbbbbx", steps) is True
    assert expression._automaton._steps <= 2000


def naive(key: str, text: str) -> bool:
    """Wildcards by their definition (RFC 5228 section 2.7.1)."""
    if not key:
        return not text
    if key[0] == "*":
        return any(naive(key[1:], text[start:]) for start in range(len(text) + 1))
    if key[0] == "?":
        return bool(text) and naive(key[1:], text[1:])
    if key[0] == "\\" and len(key) > 1:
        key = key[1:]
    return text[:1] == key[0] and naive(key[1:], text[1:])


@given(st.text("ab*?\\", max_size=7), st.text("ab*?\\\n", max_size=8))
def test_wildcards_by_their_definition(key: str, text: str) -> None:
    expression = compile_wildcards(key)
    places = expression.find(text, Steps())
    assert (places is not None) is naive(key, text)
    if places is not None:
        assert all(0 <= start <= end <= len(text) for start, end in expression.spans(text, places, Steps()))


@pytest.mark.parametrize(
    "key, text, values",
    [
        ("*.*", "a.b.c", ["a", "b.c"]),
        ("*b*", "abab", ["a", "ab"]),
        ("?*?", "abcd", ["a", "bc", "d"]),
        ("*a", "aaa", ["aa"]),
        ("*a*a", "xaaya", ["x", "ay"]),
        ("a?c", "abc", ["b"]),
        ("\\*?", "*x", ["x"]),
        ("**", "ab", ["", "ab"]),
    ],
)
def test_a_star_stands_for_as_little_as_it_can(key: str, text: str, values: list[str]) -> None:
    expression = compile_wildcards(key)
    places = expression.find(text, Steps())
    assert places is not None
    assert [text[start:end] for start, end in expression.spans(text, places, Steps())] == [text, *values]


def test_many_stars_take_no_longer_than_their_lengths_multiplied() -> None:
    """With going back this would not end before the tests do."""
    steps = Steps()
    assert compile_wildcards("*a" * 100 + "b").find("a" * 20_000, steps) is None
    key = "*" + "a?" * 100 + "b*"
    assert compile_wildcards(key).find("a" * 20_000, steps) is None
    assert steps.count <= 10 * 20_000 * len(key)


def test_an_automaton_that_was_broken_off_goes_on() -> None:
    """Limits of work and of time end a search anywhere; the expression is used again for the next message."""

    class Enough(Exception):
        pass

    expression = compile_expression("(a|b)[ab]{3}c", False)
    for most in range(0, 40_000, 500):
        left = [most]

        def spend(amount: int, left: list[int] = left) -> None:
            left[0] -= amount
            if left[0] < 0:
                raise Enough

        try:
            expression.search("ababab" * 5 + "aaaac", spend)
        except Enough:
            pass
        assert expression.search("xabbbc", Steps()) and not expression.search("xabbb", Steps())
