"""Expressions and recipes that Hypothesis makes, by Debian's procmail and by ours.

What is known to differ is not made: repetitions of what can be empty, for which procmail never ends; counts of what
matches at the very end of a text; MATCH behind a left part that is repeated (procmailrc(5), "BUGS").
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.procmail.sides import MESSAGE, Result, ours, real

FEW = settings(max_examples=40, deadline=None, derandomize=True)

INNER = ("a", "b", "A", "-", " ", ".", "[ab]", "[^a]", "[a-c]", "[]a]", "[^-b]", "\\.", "\\$", "\\a")
EDGES = ("^", "$", "\\<", "\\>")
TEXTS = st.text(alphabet="abAB -.$\n", max_size=12)

Made = tuple[str, bool]
"""An expression, and whether it can match nothing."""


def _repeated(made: Made, operator: str) -> Made:
    text, empty = made
    return made if empty else (text + operator, operator in ("*", "?"))


def _one_after_the_other(parts: list[Made]) -> Made:
    return "".join(text for text, _ in parts), all(empty for _, empty in parts)


def _choice(parts: list[Made]) -> Made:
    return "(" + "|".join(text for text, _ in parts) + ")", any(empty for _, empty in parts)


def patterns(*atoms: str) -> st.SearchStrategy[str]:
    def larger(inner: st.SearchStrategy[Made]) -> st.SearchStrategy[Made]:
        series = st.lists(inner, min_size=1, max_size=3).map(_one_after_the_other)
        choice = st.lists(series, min_size=1, max_size=3).map(_choice)
        return series | st.builds(_repeated, choice, st.sampled_from(["", "*", "+", "?"]))

    single = st.tuples(st.sampled_from(atoms), st.just(False))
    leaves = st.builds(_repeated, single, st.sampled_from(["", "", "", "*", "+", "?"]))
    return st.recursive(leaves, larger, max_leaves=6).map(lambda made: made[0])


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"


def both(recipes: str, files: Mapping[str, str] = MappingProxyType({})) -> tuple[Result, Result]:
    with tempfile.TemporaryDirectory() as place:
        theirs = real(Path(place) / "real", recipes, MESSAGE, files, ())
        return theirs, ours(Path(place) / "ours", recipes, MESSAGE, files, ())


def _asked(pairs: list[tuple[str, str]], weight: str) -> str:
    recipes = "LINEBUF=8192\n"
    for pattern, text in pairs:
        recipes += f"V={_quoted(text)}\nX=no MATCH\n:0\n* {weight}V ?? (){pattern}\n{{ X=yes }}\n"
        recipes += 'LOG="[[$X $= $MATCH]]"\n'
    return recipes + ":0\n/dev/null\n"


@FEW
@given(st.lists(st.tuples(patterns(*INNER, *EDGES), TEXTS), min_size=8, max_size=16))
def test_expressions_match_the_same(pairs: list[tuple[str, str]]) -> None:
    theirs, own = both(_asked(pairs, ""))
    assert own.files == theirs.files, (own.log, theirs.log)


@FEW
@given(st.lists(st.tuples(patterns(*INNER), TEXTS), min_size=8, max_size=16))
def test_expressions_match_as_often(pairs: list[tuple[str, str]]) -> None:
    theirs, own = both(_asked(pairs, "1^1 "))
    assert own.files == theirs.files, (own.log, theirs.log)


LEFT = st.lists(st.sampled_from(["a", "b", "-", ".", "^", "[ab]", "[^a]"]), min_size=1, max_size=3).map("".join)


@FEW
@given(
    st.lists(
        st.tuples(st.builds("{}\\/{}".format, LEFT, patterns("a", "b", "-", "[^a]", "[a-c]", ".")), TEXTS),
        min_size=8,
        max_size=16,
    )
)
def test_expressions_keep_the_same(pairs: list[tuple[str, str]]) -> None:
    theirs, own = both(_asked(pairs, ""))
    assert own.files == theirs.files, (own.log, theirs.log)


CONDITIONS = st.lists(
    st.sampled_from(["^Subject", "^X-None", "! ^X-None", "1^0", "-1^0", "3^0 ^From", "B ?? money", "> 100", "< 100"]),
    max_size=2,
)
ACTIONS = st.sampled_from(["one/", "two/", "three/", "mh/.", "/dev/null", "no/such/dir/", "no/such/dir/"])
CHAINED = st.sampled_from(["", "", "A", "a", "E", "e"])


@st.composite
def recipes(draw: st.DrawFn, depth: int = 0) -> str:
    text = ""
    for _ in range(draw(st.integers(1, 4))):
        copy = "c" if draw(st.integers(0, 4)) else ""
        conditions = "".join(f"* {each}\n" for each in draw(CONDITIONS))
        if depth < 2 and draw(st.integers(0, 3)) == 0:
            action = "{\n" + draw(recipes(depth + 1)) + "}"
            copy = ""
        else:
            action = draw(ACTIONS)
        text += f":0 {draw(CHAINED)}{copy}\n{conditions}{action}\n"
        if not draw(st.integers(0, 3)):
            text += 'LOG="[[$=]]"\n'
    return text


@settings(max_examples=100, deadline=None, derandomize=True)
@given(recipes())
def test_recipes_lead_to_the_same_folders(text: str) -> None:
    theirs, own = both("DEFAULT=$HOME/default/\n" + text)
    assert own.files == theirs.files, (own.log, theirs.log)
    assert own.code == theirs.code


SOLID = (
    *("a", "b", "$A", "${A}", "$B", "$N", "${N:-d}", "${N-d}", "${A:+p}", "'q r'", '"x  y"', '"$A"', '"$B z"', "'$A'"),
    *("\\ ", "\\$", '\\"', "`echo o  p`", '"`echo o; echo p`"', "$\\M", "''", '""', "$=", "=", "~", "x#"),
)
WORDS = st.lists(st.sampled_from(SOLID), min_size=1, max_size=4).map("".join)
LINES = st.lists(WORDS.map(lambda word: word.replace("~", "").replace("#", "")), min_size=1, max_size=3).map(" ".join)
ARGUMENTS = {"args": '#!/bin/sh\nfor each in "$@"; do printf "<%s>\\n" "$each"; done > args.out\ncat > /dev/null\n'}


@FEW
@given(st.lists(WORDS, min_size=4, max_size=8), st.lists(LINES, min_size=1, max_size=3))
def test_words_become_the_same(values: list[str], lines: list[str]) -> None:
    # Not in lines: a "#" behind a variable that ends in a blank or is empty, a comment for procmail only.
    text = "LINEBUF=8192\nA=av\nB=' b1  b2 '\nM='m.*['\n"
    for value in values:
        text += f'V=p{value}\nLOG="[[$V]]"\n'
    for line in lines:
        text += f':0 ciw\n| ./args k{line}\nX=`cat args.out`\nLOG="[[$X]]"\n'
    text += ":0\n/dev/null\n"
    theirs, own = both(text, ARGUMENTS)
    assert own.files == theirs.files, (own.log, theirs.log)
