"""Strings, variables, and what tests compare (RFC 5228 section 2.7; RFC 5229, 5231, 5233, 5183, 5235)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pillarbox.lib.sieve import SieveState, compile_script
from pillarbox.lib.sieve.actions import FileInto, Keep
from pillarbox.lib.sieve.comparators import COMPARATORS, fold_ascii, numeric
from pillarbox.lib.sieve.text import decode_characters
from tests.sieve.asking import NOW, becomes, fits, run


@pytest.mark.parametrize(
    "written, value",
    [
        ("${hex: 24 24}", "$$"),
        ("${hex:41}${hex:42}", "AB"),
        ("${hex:c3}${hex:a4}", "ä"),
        ("${hex:c3}-", "\ufffd-"),
        ("${unicode:e4 1F600}", "ä😀"),
        ("${UniCode: 40}", "@"),
        ("${hex:4\r\n 1}", "\x04\x01"),
        ("${hex:}${hex: x}${hex:123}${unicode:}${hex:41", "${hex:}${hex: x}${hex:123}${unicode:}${hex:41"),
        ("$${hex:41}}", "$A}"),
    ],
)
def test_encoded_characters(written: str, value: str) -> None:
    """RFC 5228 section 2.4.2.4."""
    assert decode_characters(written) == value


def test_encoded_characters_are_undone_before_variables_are_looked_for() -> None:
    assert becomes("${hex:24}{x}", before='set "x" "y";') == "y"


def test_without_require_nothing_is_undone() -> None:
    script = 'require "fileinto"; fileinto "${hex:41}${x}";'
    assert run(script, required=False).actions == (FileInto("${hex:41}${x}"),)


@pytest.mark.parametrize(
    "written, value",
    [
        ("${a}${A}", "xx"),
        ("${b}", ""),
        ("${${a}}", "${x}"),
        ("&${a}-${ a}-${a.}-${-}", "&x-${ a}-${a.}-${-}"),
        ("${a", "${a"),
        ("${99}", ""),
    ],
)
def test_references(written: str, value: str) -> None:
    """RFC 5229 section 3."""
    assert becomes(written, before='set "a" "x";') == value


def test_a_value_is_expanded_once() -> None:
    assert becomes("${b}", before='set "a" "x"; set "b" "$${hex:7b}a}";') == "x"
    assert becomes("${c}", before='set "a" "x"; set "b" "$"; set "c" "${b}{a}";') == "${a}"


@pytest.mark.parametrize(
    "script, value",
    [
        (':lower "v" "ÄBC"', "Äbc"),
        (':upper "v" "äbc ß"', "äBC ß"),
        (':lowerfirst "v" "ABC"', "aBC"),
        (':upperfirst "v" ""', ""),
        (':upperfirst :lower "v" "jOHN"', "John"),
        (r':quotewildcard "v" "a*?\\"', r"a\*\?" + "\\\\"),
        (':quotewildcard :length "v" "**"', "4"),
        (r':quoteregex "v" "a.b[c]"', r"a\.b\[c\]"),
        (':length "v" "äöü😀"', "4"),
        (':encodeurl "v" "a b?ü/~"', "a%20b%3F%C3%BC%2F~"),
        (':upper :encodeurl "v" "ü a"', "%C3%BC%20A"),
    ],
)
def test_modifiers_in_the_order_of_their_precedence(script: str, value: str) -> None:
    """RFC 5229 section 4.1, RFC 5435 section 6."""
    assert becomes("${v}", before=f"set {script};") == value


class TestMatchValues:
    """RFC 5229 section 3.2."""

    def test_they_are_those_of_the_last_match_that_fitted(self) -> None:
        before = 'if string :matches "ab" "?*" {} if string :matches "x" "y*" {}'
        assert becomes("${0}/${1}/${2}/${3}", before=before) == "ab/a/b/"

    def test_tests_that_are_not_asked_leave_them(self) -> None:
        before = 'if anyof (string :matches "one" "*", string :matches "two" "*") {}'
        assert becomes("${1}", before=before) == "one"

    def test_they_keep_the_case_of_the_text(self) -> None:
        assert becomes("${1}", before='if string :matches "GRÜSSE an" "gr*SE ?n" {}') == "ÜS"

    def test_body_leaves_them(self) -> None:
        """RFC 5173 section 6."""
        before = 'if string :matches "x" "*" {} if body :matches "*body*" { set "in" "yes"; }'
        assert becomes("${1}${in}", before=before) == "xyes"

    def test_groups_of_regular_expressions(self) -> None:
        before = 'if string :regex "Foo-bar" "(f)(x)?(o+)-(.*)" {}'
        assert becomes("${0}|${1}|${2}|${3}|${4}", before=before) == "Foo-bar|F||oo|bar"


@pytest.mark.parametrize(
    "left, right, order",
    [("1", "01", 0), ("2", "10", -1), ("10x", "9y", 1), ("a", "99", 1), ("a", "b", 0), ("", "0", 1), ("-1", "5", 1)],
)
def test_numbers_are_compared_by_their_beginning(left: str, right: str, order: int) -> None:
    """RFC 4790 section 9.1."""
    assert COMPARATORS["i;ascii-numeric"].order(left, right) == order


@given(st.text(), st.text(), st.sampled_from(sorted(COMPARATORS)))
def test_equal_strings_are_in_no_order(left: str, right: str, name: str) -> None:
    comparator = COMPARATORS[name]
    assert comparator.order(left, right) == -comparator.order(right, left)
    assert (comparator.fold(left) == comparator.fold(right)) is (comparator.order(left, right) == 0)


@given(st.text())
def test_folding_keeps_places(text: str) -> None:
    folded = fold_ascii(text)
    assert len(folded) == len(text)
    assert all(
        one == other or (one.isascii() and one.lower() == other) for one, other in zip(text, folded, strict=True)
    )


def test_a_long_number_is_one() -> None:
    assert numeric("9" * 100_000) is not None


@pytest.mark.parametrize("state, item, value", [({"phase": "during"}, "PHASE", "during"), ({"name": ""}, "name", "")])
def test_environment(state: dict[str, str], item: str, value: str) -> None:
    """RFC 5183."""
    world = SieveState(now=NOW, environment=state)
    assert fits(f'environment :is "{item}" "{value}"', state=world)
    assert not fits('environment :contains "remote-host" ""', state=world)


@pytest.mark.parametrize(
    "percent, score, tested",
    [(None, "0", False), (0.0, "1", True), (50.0, "5", True), (99.0, "10", True)],
)
def test_spamtest(percent: float | None, score: str, tested: bool) -> None:
    """RFC 5235 section 2."""
    state = SieveState(now=NOW, spam_score=lambda: percent)
    number = ':comparator "i;ascii-numeric"'
    assert fits(f'spamtest :value "eq" {number} "{score}"', state=state)
    assert fits(f'spamtest :percent :value "eq" {number} "{int(percent or 0)}"', state=state)
    assert fits(f'spamtest :percent :count "eq" {number} "{int(tested)}"', state=state)


@pytest.mark.parametrize("score, value", [(0, "0"), (3, "3"), (9, "5"), (-1, "0")])
def test_virustest(score: int, value: str) -> None:
    assert fits(f'virustest :is "{value}"', state=SieveState(now=NOW, virus_score=lambda: score))


def test_either_capability_brings_spamtest() -> None:
    for name in ("spamtest", "spamtestplus"):
        compile_script(f'require "{name}"; if spamtest "5" {{}}', name="s")


@pytest.mark.parametrize(
    "test, held",
    [
        ('address :user "to" "me"', True),
        ('address :detail "to" "lists.python"', True),
        ('address :detail :contains "to" ""', True),
        ('address :user "cc" "two"', True),
        ('address :detail :contains "cc" ""', False),
        ('envelope :detail "to" "lists"', True),
        ('envelope :user "from" "bob"', True),
    ],
)
def test_subaddresses(test: str, held: bool) -> None:
    """RFC 5233."""
    assert fits(test) is held


def test_the_delimiter_is_the_sites() -> None:
    state = SieveState(now=NOW, delimiters="-_")
    assert fits('address :detail "to" "b+c"', "To: a_b+c@example.org\n\n", state=state)


def test_the_null_reverse_path_is_empty_in_every_part() -> None:
    """RFC 5228 section 5.4."""
    for part in ("all", "localpart", "domain", "user"):
        assert fits(f'envelope :{part} "from" ""', envelope={"from": "", "to": "a@b.c"})
    assert not fits('envelope :all :contains "auth" ""')
    assert fits('envelope "auth" "bob"', envelope={"auth": "bob"})


def test_mailboxes_and_annotations() -> None:
    """RFC 5490, RFC 8579."""
    values = {("a", "/private/x"): "Yes", (None, "/shared/y"): ""}
    state = SieveState(
        now=NOW,
        mailbox_exists=lambda name: name in ("a", "b"),
        metadata=lambda mailbox, name: values.get((mailbox, name)),
        special_use=lambda name: ("Spam", "Old") if name == "\\Junk" else (),
    )
    held = (
        'mailboxexists ["a", "b"]',
        'metadata "a" "/PRIVATE/x" "yes"',
        'metadataexists "a" ["/private/x"]',
        'servermetadata "/shared/y" ""',
        'servermetadataexists "/shared/y"',
        r'specialuse_exists "\\Junk"',
        r'specialuse_exists "Old" "\\Junk"',
    )
    failing = (
        'mailboxexists ["a", "c"]',
        'metadata "b" "/private/x" "yes"',
        'metadata :contains "b" "/private/x" ""',
        'metadataexists "a" ["/private/x", "/private/z"]',
        'servermetadataexists "/private/x"',
        r'specialuse_exists ["\\Junk", "\\Sent"]',
        r'specialuse_exists "a" "\\Junk"',
    )
    assert [fits(test, state=state) for test in held] == [True] * len(held)
    assert [fits(test, state=state) for test in failing] == [False] * len(failing)


def test_a_header_is_unfolded_decoded_and_trimmed() -> None:
    message = "A: =?utf-8?q?x_=C3=A4?=\n =?utf-8?q?y?= \nB: one\n\ttwo\nC : 3\n\n"
    assert fits('allof (header "a" "x äy", header "b" "one\ttwo", header "c" "3")', message)


def test_a_header_that_is_missing_is_not_an_empty_one() -> None:
    assert not fits('header :contains "x" ""') and fits('header :contains "x-empty" ""')


def test_a_failing_script_has_no_word_in_flags() -> None:
    assert run('setflag "a"; fileinto "${none}";').actions == (Keep(implicit=True),)
