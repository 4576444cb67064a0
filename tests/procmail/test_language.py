"""The language by itself: however a text arrives, whatever an expression is like, wherever a file is cut."""

from __future__ import annotations

import contextlib
import random
import re
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pillarbox.lib.procmail import RecipeError, parse_rcfile
from pillarbox.lib.procmail.automaton import STATE_LIMIT, Automaton
from pillarbox.lib.procmail.mail import CHUNK, HEADER_LIMIT, Letter, Mail, mail_of
from pillarbox.lib.procmail.matching import EXTRACT_LIMIT, expression
from pillarbox.lib.procmail.parser import SIZE_LIMIT
from pillarbox.lib.procmail.pattern import PatternError, parse_pattern
from pillarbox.lib.procmail.score import INFINITY, Weight, for_matches, for_size, shown
from pillarbox.lib.procmail.words import WordError, read_words
from tests.feeding import splits, truncations, with_trailing

CORPUS = "\n".join(path.read_text() for path in sorted(Path(__file__).with_name("corpus").glob("words.txt")))
RECIPES = "".join(case.partition("\n")[2] for case in CORPUS.split("=== ")[1:])


def found(pattern: str, pieces: Sequence[bytes]) -> bool:
    return expression(pattern, False).found_in(lambda: pieces)


# --- expressions


@pytest.mark.parametrize("pattern", ["^Subject:.*b", "a$b", "^^a", "b^^", "(a|b)+c", "x*", "\\<c\\>", "nothing"])
def test_a_text_in_pieces_is_the_text(pattern: str) -> None:
    text = b"a\nSubject: a b\nc a\nb"
    whole = list(expression(pattern, False).searching().matches([text]))
    for pieces in splits(text):
        assert list(expression(pattern, False).searching().matches(pieces)) == whole


@pytest.mark.parametrize("pattern", ["(a*)*b", "((a?)+)+c", "(x+x+)+y", "(.*)*(.*)*z", "(a|a|a|ab)*c"])
def test_no_expression_is_a_trap(pattern: str) -> None:
    """Backtracking needs ages for these, and procmail itself never ends with some; counted in states, not seconds."""
    automaton = Automaton(parse_pattern(pattern).left, floating=True)
    assert not list(automaton.matches([b"ax" * 5000]))
    assert len(automaton._rows) < 20


def test_the_states_of_an_expression_have_a_ceiling() -> None:
    automaton = Automaton(parse_pattern("a" + "(a|b)" * 14 + "c").left, floating=True)
    letters = random.Random(1)
    text = bytes(letters.choice(b"aaabbbbbbbbbbaaaaaaaaac") for _ in range(40000))
    matches = re.findall(rb"a[ab]{14}c", text)
    assert len(matches) > 100
    assert list(automaton.matches([text])) == [True] * len(matches)
    assert len(automaton._rows) <= STATE_LIMIT
    assert automaton.made > STATE_LIMIT, "the test makes more states than are kept"


@pytest.mark.parametrize("pattern", ["(", "a)", "(a|(b)", "(" * 200 + ")" * 200, "(a\\/b)", "a|b\\/c"])
def test_what_cannot_be_read_says_what_was_expected(pattern: str) -> None:
    with pytest.raises(PatternError):
        parse_pattern(pattern)


def test_an_expression_has_a_ceiling() -> None:
    with pytest.raises(PatternError, match="shorter"):
        expression("a" * 30000, False)


def test_what_is_kept_has_a_ceiling() -> None:
    text = [b"a" * 65536] * 100
    kept = expression("^\\/a+", False).extract(lambda: text)
    assert kept is not None and len(kept) == EXTRACT_LIMIT


@given(st.binary(max_size=60))
def test_any_octets_are_an_expression_or_a_mistake(data: bytes) -> None:
    with contextlib.suppress(PatternError):
        found(data.decode("latin-1"), [b"some text\n", data])


# --- files


def test_a_file_cut_anywhere_is_read_or_has_a_mistake() -> None:
    data = RECIPES.encode("latin-1")
    for part in (*truncations(data), *with_trailing(data)):
        text = part.decode("latin-1")
        try:
            parse_rcfile(text, "rc")
        except RecipeError as error:
            assert 1 <= error.line <= text.count("\n") + 1
            assert str(error).startswith(f"rc:{error.line}: ")


@given(st.text(alphabet=":0{}#*|!=\"'`\\$ABabc \n", max_size=80))
def test_any_text_is_recipes_or_a_mistake(text: str) -> None:
    with contextlib.suppress(RecipeError):
        parse_rcfile(text, "rc")


def test_a_file_has_a_ceiling() -> None:
    with pytest.raises(RecipeError):
        parse_rcfile("#" * (SIZE_LIMIT + 1), "rc")


def test_blocks_have_a_ceiling() -> None:
    with pytest.raises(RecipeError, match="blocks within each other"):
        parse_rcfile(":0\n{\n" * 1000 + "}\n" * 1000, "rc")


@pytest.mark.parametrize("text", ["'a", '"a', "`a", "${", "${a", "${a:b}", "${1-" * 30])
def test_a_word_that_cannot_be_read_says_what_was_expected(text: str) -> None:
    with pytest.raises(WordError):
        read_words(text)


# --- mails


@pytest.mark.parametrize(
    ("text", "header"),
    [
        (b"A: b\n\nbody\n", b"A: b\n\n"),
        (b"A: b\n", b"A: b\n"),
        (b"\nbody\n", b"\n"),
        (b"", b""),
        (b"A: b\n\n", b"A: b\n\n"),
        (b"A: b", b"A: b"),
    ],
)
def test_a_mail_is_divided_at_its_first_empty_line(text: bytes, header: bytes) -> None:
    for size in (1, 2, 3, 100):
        mail = mail_of(lambda start, count, size=size: text[start : start + min(count, size)], len(text))
        assert (mail.header, b"".join(mail.body())) == (header, text[len(header) :])
        assert mail.size == len(text)


def test_a_header_without_an_end_has_a_ceiling() -> None:
    size = 3 * HEADER_LIMIT
    mail = mail_of(lambda start, count: b"x" * min(count, size - start), size)
    assert len(mail.header) <= HEADER_LIMIT + CHUNK
    assert len(mail.header) + sum(map(len, mail.body())) == size


@pytest.mark.parametrize("body", [b"", b"From a\n", b"x\nFrom a\nFrom", b">From a\n\n", b"x"])
def test_quoting_does_not_depend_on_the_pieces(body: bytes) -> None:
    header = b"From s  Thu\nA: b\n\n"
    whole = b"".join(Letter(Mail(header, lambda: [body], len(body))).quoted())
    for pieces in splits(body):
        mail = Mail(header, lambda pieces=pieces: pieces, len(body))
        assert b"".join(Letter(mail).quoted()) == whole
    assert b"\nFrom " not in whole


# --- scores


def test_scores_are_bounded() -> None:
    assert for_matches(Weight(1, 10), [True] * 400) == INFINITY + 1
    assert for_matches(Weight(-1, 10), [True] * 400) == -INFINITY - 1
    assert for_size(Weight(1, 1e6), 10, 2, True) == INFINITY
    assert shown(1e30) == 2147483647
    assert shown(0.1) == 1
    assert shown(-0.5) == 0
