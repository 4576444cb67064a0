"""Base subjects, message identifiers, and the shapes of threads (RFC 5256)."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pillarbox.imapd.search.collation import casemap
from pillarbox.imapd.search.subject import base_subject
from pillarbox.imapd.search.threads import ALGORITHMS, Letter, Node, format_threads
from pillarbox.lib.message.references import first_id, references

SUBJECTS = {
    "Lunch": ("Lunch", False),
    "Re: Lunch": ("Lunch", True),
    "RE:Fwd: fw : Lunch": ("Lunch", True),
    "[list] Lunch": ("Lunch", False),
    "[list] Re: [other] Lunch": ("Lunch", True),
    "Re[2]: Lunch": ("Lunch", True),
    "Re [more] : Lunch": ("Lunch", True),
    "Lunch (fwd)": ("Lunch", True),
    "Lunch (FWD) (fwd)  ": ("Lunch", True),
    "[Fwd: Lunch]": ("Lunch", True),
    "[fwd: Re: Lunch (fwd)]": ("Lunch", True),
    "[fwd: [fwd: Lunch]]": ("Lunch", True),
    "[just a blob]": ("[just a blob]", False),
    "[one] [two]": ("[two]", False),
    "Re: [one] [two]": ("[two]", True),
    "a  b\tc": ("a b c", False),
    "Re:": ("", True),
    "": ("", False),
    "rent: high": ("rent: high", False),
    "=?utf-8?q?Re=3A_Gr=C3=BC=C3=9Fe?=": ("Grüße", True),
}


@pytest.mark.parametrize("subject", SUBJECTS)
def test_base_subject(subject: str) -> None:
    assert base_subject(subject.encode()) == SUBJECTS[subject]


@given(st.text(st.sampled_from("reRfwd:[]() x"), max_size=40))
def test_the_base_subject_of_a_base_subject_is_itself(subject: str) -> None:
    base = base_subject(subject.encode()).base
    again = base_subject(base.encode()).base
    assert again == base or base.startswith("["), "only what would leave nothing stays"


LONG = {
    "[a]": "[a]",
    "Re: ": "",
    "[fwd: ": "[fwd:" + " [fwd:" * 59_999,
    " (fwd)": "",
    "[a] re": "re" + "[a] re" * 59_999,
    "]": "]" * 60_000,
}


@pytest.mark.parametrize("piece", LONG)
def test_long_subjects_are_read_in_linear_time(piece: str) -> None:
    """In quadratic time this would take hours."""
    assert base_subject((piece * 60_000).encode()).base == LONG[piece]


def test_casemap_orders_without_case_and_accents_together() -> None:
    words = ["Zebra", "apple", "Éclair", "echo", "_x", "straße"]
    assert sorted(words, key=casemap) == ["apple", "echo", "Éclair", "straße", "Zebra", "_x"]


def test_identifiers_are_compared_without_their_quotes() -> None:
    assert first_id(b' junk <"01KF8JCEOCBS0045PS"@xxx.yyy.com> <b@c>') == first_id(b"<01KF8JCEOCBS0045PS@xxx.yyy.com>")
    assert first_id(b"none") == "" == first_id(None)


def test_in_reply_to_counts_where_references_name_nothing() -> None:
    assert references(b"<a@x> <b@x>", b"<c@x>") == ("a@x", "b@x")
    assert references(b"garbage", b"Your letter of Monday <c@x> <d@x>") == ("c@x",)
    assert references(None, None) == ()


# --- shapes
def letters(text: str) -> list[Letter]:
    """One message a line: `id subject references...`; dates ascend."""
    result = []
    for number, line in enumerate(text.split("\n")):
        identifier, subject, *named = line.split()
        base = base_subject(subject.replace("_", " ").encode())
        result.append(Letter(number, casemap(base.base), base.reply, identifier, tuple(named)))
    return result


def shape(algorithm: str, messages: list[Letter]) -> str:
    return format_threads(ALGORITHMS[algorithm.encode()](messages), range(1, len(messages) + 1)).decode()


SHAPES = {
    "an answer hangs on its letter": ("a A\nb Re:_A a", "(1 2)"),
    "answers to one letter are siblings": ("a A\nb B a\nc C a\nd D b", "(1 (2 4)(3))"),
    "a letter that is missing is left out": ("b B a\nc C a b", "(1 2)"),
    "two answers to a missing letter are siblings": ("b B a\nc C a", "((1)(2))"),
    "a missing letter between two": ("a A\nc C a b", "(1 2)"),
    "missing letters above each other": ("x X a b c\ny Y a b d", "((1)(2))"),
    "rings are not closed": ("a A b\nb B a", "(2 1)"),
    "a letter that refers to itself": ("a A a", "(1)"),
    "what a letter says of its parent overrides": ("a A\nc C a\nb B a\nd D a b c\nc2 C2 b", "(1 (2 4)(3 5))"),
    "answers by subject alone": ("a Lunch\nb Re:_Lunch", "(1 2)"),
    "the same subject twice": ("a Lunch\nb Lunch", "((1)(2))"),
    "two answers by subject": ("a Re:_Lunch\nb Re:_Lunch", "((1)(2))"),
    "an answer before its letter": ("a Re:_Lunch\nb Lunch", "(2 1)"),
    "an identifier that two have": ("a A\na B\nb C a", "(1 3)(2)"),
    "a dummy takes in others of its subject": ("b Re:_A x\nc Re:_A x\nd A", "((1)(2)(3))"),
}


@pytest.mark.parametrize("case", SHAPES)
def test_references(case: str) -> None:
    text, wanted = SHAPES[case]
    assert shape("REFERENCES", letters(text)) == wanted


def test_ordered_subject_has_two_levels() -> None:
    assert shape("ORDEREDSUBJECT", letters("a X\nb Y\nc Re:_X\nd X b")) == "(1 (3)(4))(2)"


def test_refs_does_not_look_at_subjects_and_puts_the_latest_thread_last() -> None:
    assert shape("REFS", letters("a A\nb A\nc Re:_A a")) == "(2)(1 3)"


def test_a_thread_may_be_as_deep_as_the_mailbox() -> None:
    deep = [Letter(0, "", False, str(n), (str(n - 1),) if n else ()) for n in range(50_000)]
    for messages in (deep, deep[::-1]):
        for algorithm in ("REFERENCES", "REFS"):
            assert shape(algorithm, messages).count(" ") == 49_999


def _positions(roots: Iterable[Node]) -> list[int]:
    result, waiting = [], list(roots)
    while waiting:
        node = waiting.pop()
        waiting += node.children
        if node.position >= 0:
            result.append(node.position)
        else:
            assert len(node.children) > 1, "a dummy joins several"
    return sorted(result)


NAMES = st.sampled_from("abcdef")
LETTERS = st.lists(
    st.builds(
        Letter,
        sent=st.integers(0, 5),
        subject=st.sampled_from(["", "X", "Y"]),
        reply=st.booleans(),
        identifier=st.sampled_from(["", *"abcdef"]),
        references=st.lists(NAMES, max_size=4).map(tuple),
    ),
    max_size=12,
)


@given(LETTERS, st.sampled_from(sorted(ALGORITHMS)))
def test_every_message_is_in_one_thread_once(messages: list[Letter], algorithm: bytes) -> None:
    roots = ALGORITHMS[algorithm](messages)
    assert _positions(roots) == list(range(len(messages)))
    text = format_threads(roots, range(len(messages))).decode()
    assert text.count("(") == text.count(")")
