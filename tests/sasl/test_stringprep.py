"""SASLprep: the examples of RFC 4013 section 3 and what the server makes of passwords."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pillarbox.lib.sasl.stringprep import prepare, prepare_password


@pytest.mark.parametrize(
    ("given_text", "prepared"),
    [
        ("I\u00adX", "IX"),
        ("user", "user"),
        ("USER", "USER"),
        ("\u00aa", "a"),
        ("\u2168", "IX"),
        ("a\u00a0b", "a b"),
        ("", ""),
    ],
)
def test_examples_are_prepared(given_text: str, prepared: str) -> None:
    assert prepare(given_text) == prepared


@pytest.mark.parametrize("text", ["\u0007", "\u0627\u0031", "a\u0627", "\ud800", "\ufffd"])
def test_prohibited_and_mixed_direction_texts_are_refused(text: str) -> None:
    with pytest.raises(ValueError):
        prepare(text)


def test_unassigned_characters_are_refused_only_in_stored_strings() -> None:
    with pytest.raises(ValueError):
        prepare("\u0221")
    assert prepare("\u0221", stored=False) == "\u0221"


def test_every_password_can_be_used() -> None:
    assert prepare_password("\u0007") == "\u0007"


@given(st.text(max_size=20))
def test_preparing_twice_changes_nothing(text: str) -> None:
    try:
        once = prepare(text)
    except ValueError:
        return
    assert prepare(once) == once
