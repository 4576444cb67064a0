"""Variable envelope return paths, as Postfix writes them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pillarbox.lib.address import parse_mailbox
from pillarbox.lib.address.verp import good_delimiters, verp_sender


@pytest.mark.parametrize(
    ("sender", "recipient", "written"),
    [
        ("owner@list.test", "user@domain.test", "owner+user=domain.test@list.test"),
        ("owner@list.test", "user", "owner+user@list.test"),
        ("owner", "user@domain.test", "owner+user=domain.test"),
        ("owner-list+x@list.test", "a+b@domain.test", "owner-list+x+a+b=domain.test@list.test"),
        ('"an owner"@list.test', "user@domain.test", '"an owner+user=domain.test"@list.test'),
        ("owner@list.test", '"a \\"b"@domain.test', '"owner+a \\"b=domain.test"@list.test'),
        ("owner@list.test", "user@[192.0.2.1]", '"owner+user=[192.0.2.1]"@list.test'),
        ("", "user@domain.test", ""),
    ],
)
def test_the_recipient_becomes_part_of_the_sender(sender: str, recipient: str, written: str) -> None:
    assert verp_sender(sender, "+=", recipient) == written


def test_other_delimiters() -> None:
    assert verp_sender("owner@list.test", "-=", "user@domain.test") == "owner-user=domain.test@list.test"


@pytest.mark.parametrize(
    ("delimiters", "good"), [("+=", True), ("-=", True), ("==", True), ("+", False), ("+=-", False), ("+!", False)]
)
def test_which_delimiters_may_be_asked_for(delimiters: str, good: bool) -> None:
    assert good_delimiters(delimiters, "-=+") is good


LOCAL = st.text(st.characters(min_codepoint=32, max_codepoint=126), min_size=1, max_size=20).map(
    lambda text: '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
)


@given(LOCAL, LOCAL)
def test_what_comes_out_is_an_address_again(owner: str, user: str) -> None:
    parse_mailbox(verp_sender(f"{owner}@list.test", "+=", f"{user}@domain.test"))
