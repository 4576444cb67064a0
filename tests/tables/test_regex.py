"""POSIX and Perl patterns in Python's clothes."""

from __future__ import annotations

import re
import warnings

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pillarbox.lib.tables import perl_regex, posix_regex


@pytest.mark.parametrize(
    ("pattern", "matching", "other"),
    [
        ("^foo$", "foo", "foo\n"),
        ("a.c", "a\nc", "ac"),
        ("[[:digit:]]{3}", "a123", "12"),
        ("[[:alpha:]_-]+$", "ab_-", "ab1"),
        ("[]x]", "]", "y"),
        ("[^]x]$", "y", "]"),
        (r"[a\]+$", "a\\", "]"),
        ("a**b", "aaab", "c"),
        ("(a|bc)*?d", "abcd", "e"),
        ("x{2,}", "xx", "x"),
        ("^x{,1}$", "x", "xx"),
        ("a)", "a)", "a"),
        (r"\.com$", "x.com", "xacom"),
        (r"\<word\>", "a word.", "swords"),
        (r"(a)\1", "aa", "ab"),
        ("[a&&b]", "&", "c"),
        ("a++", "aa", "b"),
        ("[[.-.]]", "-", "."),
    ],
)
def test_extended_syntax(pattern: str, matching: str, other: str) -> None:
    compiled = re.compile(posix_regex.translate(pattern), re.DOTALL)
    assert compiled.search(matching)
    assert not compiled.search(other)


@pytest.mark.parametrize(
    ("pattern", "matching", "other"),
    [
        (r"\(ab\)\{2\}", "abab", "ab"),
        ("a+b", "a+b", "aab"),
        ("*a", "*a", "b"),
        ("a^b$c", "a^b$c", "abc"),
        (r"a\|b", "b", "c"),
        ("$*b$", "$$b", "a"),
        ("(a)", "(a)", "a"),
    ],
)
def test_basic_syntax(pattern: str, matching: str, other: str) -> None:
    compiled = re.compile(posix_regex.translate(pattern, extended=False), re.DOTALL)
    assert compiled.search(matching)
    assert not compiled.search(other)


@pytest.mark.parametrize(
    "pattern", ["(", "{", "a{", "a{x", "[a", "*a", "a{2,1}", "a{99999}", "[[:foo:]]", "[b-a]", "a\\", "(?:a)"]
)
def test_a_malformed_posix_pattern_is_refused(pattern: str) -> None:
    with pytest.raises(ValueError):
        posix_regex.translate(pattern)


@pytest.mark.parametrize(
    ("pattern", "matching", "other"),
    [
        (r"^a\z", "a", "a\n"),
        (r"^a\Z", "a\n", "ab"),
        (r"\Qa.b\E$", "a.b", "axb"),
        ("x(?i)y|z", "xY", "X"),
        ("x(?i)y|z", "Z", "Xy"),
        ("(?<n>a|b)\\k<n>$", "bb", "ab"),
        ("[[:upper:]\\d]+$", "A1", "a"),
        ("a(?#comment)b", "ab", "a"),
        (r"\x{41}\h", "A ", "A"),
        ("(?>a+)b", "aab", "aa"),
        ("a++$", "aa", "b"),
        (r"^(a)\g{-1}$", "aa", "a"),
        ("[[]a]", "[a]", "a"),
        ("a{,2}$", "a{,2}", "aa"),
        ("a{", "a{", "a"),
        (r"^\w\d[\w-]$", "a1-", "ä1-"),
        (r"^\B$", "", "a"),
        ("(?P<n>a|b)(?P=n)$", "bb", "ab"),
        (r"a\Kb", "ab", "b"),
    ],
)
def test_perl_syntax(pattern: str, matching: str, other: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        compiled = re.compile(perl_regex.translate(pattern))
    assert compiled.search(matching)
    assert not compiled.search(other)


@pytest.mark.parametrize("pattern", ["(?R)", "(?1)", "(*FAIL)", "(?|a)", ")", "[a", "a\\", r"\C"])
def test_what_python_cannot_say_is_refused(pattern: str) -> None:
    with pytest.raises(ValueError):
        perl_regex.translate(pattern)


@given(st.text("ab.*+?|(){}[]^$\\-:,1&~ <\n", max_size=12))
def test_a_translation_compiles_or_is_refused(pattern: str) -> None:
    for translate in (posix_regex.translate, perl_regex.translate):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                re.compile(translate(pattern))
            except (ValueError, re.error, OverflowError):
                pass


@given(st.text(st.characters(codec="utf-8"), max_size=20))
def test_escaped_text_matches_itself(text: str) -> None:
    escaped = "".join(f"[{c}]" if c in ".*+?|(){}$[" else f"\\{c}" if c in "^\\" else c for c in text)
    assert re.fullmatch(posix_regex.translate(escaped), text, re.DOTALL)
