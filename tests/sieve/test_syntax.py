"""Tokens and grammar (RFC 5228 section 8): what is read, and where the fault is said to be."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pillarbox.lib.sieve.errors import SieveError
from pillarbox.lib.sieve.lexer import tokens
from pillarbox.lib.sieve.limits import NESTING, SCRIPT_SIZE
from pillarbox.lib.sieve.parser import parse
from pillarbox.lib.sieve.syntax import Number, Place, String, StringList, Tag
from tests.feeding import truncations, with_trailing

_SCRIPT = """\
# a comment
require ["fileinto", "reject"]; /* another
one */
If allof (HEADER :Contains ["From", "Sender"] "a\\"b\\\\c", not size :over 10K)
{ fileinto "a
b"; } else { reject text: # behind
..dot
.x
.
; }
"""


def test_a_script_becomes_a_tree() -> None:
    require, condition, other = parse(_SCRIPT, "s")
    assert [require.name, condition.name, other.name] == ["require", "if", "else"]
    assert require.arguments == (
        StringList((String("fileinto", Place(2, 10)), String("reject", Place(2, 22))), Place(2, 9)),
    )
    header, negation = condition.tests[0].tests
    assert header.name == "header" and header.arguments[0] == Tag("contains", Place(4, 18))
    assert header.arguments[2] == String('a"b\\c', Place(4, 47))
    assert negation.tests[0].arguments == (Tag("over", Place(4, 67)), Number(10240, Place(4, 73)))
    assert condition.block and condition.block[0].arguments == (String("a\r\nb", Place(5, 12)),)
    assert other.block and other.block[0].arguments == (String(".dot\r\n.x\r\n", Place(6, 21)),)


@pytest.mark.parametrize(
    "written, value",
    [
        ('"plain"', "plain"),
        (r'"\a\"\\"', 'a"\\'),
        ('"${x}"', "${x}"),
        ('"two\nlines"', "two\r\nlines"),
        ('"two\r\nlines"', "two\r\nlines"),
        ("text:\n.\n", ""),
        ("text:\r\nx\r\n.\r\n", "x\r\n"),
        ("text:   # more\nx\n.", "x\r\n"),
        ("TEXT:\nx\n..\n.\n", "x\r\n.\r\n"),
        ('"ä€😀"', "ä€😀"),
    ],
)
def test_strings(written: str, value: str) -> None:
    token, end = tokens(written, "s")
    assert (token.kind, token.text, end.kind) == ("string", value, "end")


@pytest.mark.parametrize("written, value", [("0", 0), ("12", 12), ("1K", 1024), ("2m", 2 << 20), ("3G", 3 << 30)])
def test_numbers(written: str, value: int) -> None:
    assert tokens(written, "s")[0].value == value


@pytest.mark.parametrize(
    "script, line, column, expected",
    [
        ("keep", 1, 5, "expected an argument, ';' or '{', not the end of the script"),
        ("keep;\n  stop}", 2, 7, "expected an argument, ';' or '{', not '}'"),
        ("keep;\n}", 2, 1, "expected a command, not '}'"),
        ("if true { keep;", 1, 16, "expected a command or '}', not the end of the script"),
        ("if allof (true", 1, 15, "expected ',' or ')', not the end of the script"),
        ("if allof (true,) {}", 1, 16, "expected a test, not ')'"),
        ('x ["a" "b"];', 1, 8, "expected ',' or ']', not a string"),
        ("x [];", 1, 4, "expected a string, not ']'"),
        ('\n\nx "open;', 3, 3, "expected a closing '\"' for this string"),
        ("x /* open", 1, 3, "expected '*/' that ends this comment"),
        ("x text:\nabc\n", 3, 1, "expected a line with a single '.' that ends 'text:'"),
        ("x 1X;", 1, 4, "expected the end of the number, or one of K, M, G"),
        ("x 99999999999999999999;", 1, 3, f"expected a number of at most {2**63 - 1}"),
        ("x 9223372036854775807G;", 1, 3, f"expected a number of at most {2**63 - 1}"),
        ("x @;", 1, 3, "expected a command, not '@'"),
        ("x \0;", 1, 3, "expected text, not a NUL character"),
        ("ä;", 1, 1, "expected a command, not 'ä'"),
        ("if true {" * (NESTING + 1), 1, 9 * NESTING + 9, f"expected at most {NESTING} levels of nesting"),
        ("if " + "not " * 1000 + "true {}", 1, 4 * NESTING + 8, f"expected at most {NESTING} levels of nesting"),
        ("#" * (SCRIPT_SIZE + 1), 1, SCRIPT_SIZE + 1, f"expected a script of at most {SCRIPT_SIZE} characters"),
    ],
)
def test_faults(script: str, line: int, column: int, expected: str) -> None:
    with pytest.raises(SieveError) as caught:
        parse(script, "name")
    assert (caught.value.line, caught.value.column, caught.value.expected) == (line, column, expected)
    assert str(caught.value) == f"name:{line}:{column}: {expected}"


def test_fifteen_levels_are_no_fault() -> None:
    parse("if true {" * 15 + "}" * 15, "s")
    parse("if " + "not " * 15 + "true {}", "s")


def test_a_byte_order_mark_is_passed_over() -> None:
    assert parse("\ufeffkeep;", "s")[0].name == "keep"


def test_beginnings_and_more_behind() -> None:
    for part in (*truncations(_SCRIPT.encode()), *with_trailing(_SCRIPT.encode())):
        try:
            parse(part.decode("utf-8", "replace"), "s")
        except SieveError as error:
            assert 1 <= error.line <= 24 and error.column >= 1


@given(st.text())
def test_any_text_is_a_script_or_has_a_fault(text: str) -> None:
    try:
        parse(text, "s")
    except SieveError as error:
        assert error.line <= text.count("\n") + 1


_WORDS = (*_SCRIPT.split(), ";", "{", "}", "(", ")", "[", "]", ",", '"', "text:", "\n", "\n.\n")


@given(st.lists(st.sampled_from(_WORDS)))
def test_any_order_of_words_is_a_script_or_has_a_fault(words: list[str]) -> None:
    try:
        parse(" ".join(words), "s")
    except SieveError as error:
        assert error.expected.startswith("expected ")
