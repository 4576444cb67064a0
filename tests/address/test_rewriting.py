"""Addresses in standard form."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pillarbox.lib.address.rewriting import AddressRules

RULES = AddressRules("own.example", "dom.example")


@pytest.mark.parametrize(
    ("address", "standard"),
    [
        ("", ""),
        ("ann", "ann@own.example"),
        ("ann@far.example", "ann@far.example"),
        ("ann@far.example.", "ann@far.example"),
        ("ann@far.example..", "ann@far.example.."),
        ("ann@.", "ann@."),
        ("ann@", "ann@"),
        ("ann@host", "ann@host"),
        ("ann@[192.0.2.1]", "ann@[192.0.2.1]"),
        ("site!ann", "ann@site"),
        ("one!two!ann", "two!ann@one"),
        ("site!ann@far.example", "site!ann@far.example"),
        ("ann%site", "ann@site"),
        ("ann%one%two", "ann%one@two"),
        ("ann%site@far.example", "ann%site@far.example"),
        ("site!ann%two", "ann%two@site"),
        ("@one.example,@two.example:ann@far.example", "ann@far.example"),
        ("@one.example:ann", "ann@own.example"),
        ('"site!ann"', '"site!ann"@own.example'),
        ('"a@b"', '"a@b"@own.example'),
        ('"a@b"@far.example', '"a@b"@far.example'),
    ],
)
def test_standard(address: str, standard: str) -> None:
    assert RULES.standard(address) == standard


def test_what_may_be_switched_off_stays() -> None:
    off = AddressRules("own.example", "", append_at_myorigin=False, swap_bangpath=False, percent_hack=False)
    for address in ("ann", "site!ann", "ann%site"):
        assert off.standard(address) == address
    assert AddressRules("").standard("ann") == "ann"


def test_a_domain_without_dot_may_be_completed() -> None:
    rules = AddressRules("own.example", "dom.example", append_dot_mydomain=True)
    for address, standard in (
        ("ann@host", "ann@host.dom.example"),
        ("host!ann", "ann@host.dom.example"),
        ("ann@[ipv6:1]", "ann@[ipv6:1]"),
        ("ann@", "ann@"),
        ("ann", "ann@own.example"),
        ("ann@far.example", "ann@far.example"),
    ):
        assert rules.standard(address) == standard


@pytest.mark.parametrize(
    ("local", "onward"),
    [
        ("ann", None),
        ("ann%far.example", "ann@far.example"),
        ("ann@far.example", "ann@far.example"),
        ("ann%one%far.example", "ann%one@far.example"),
        ("far.example!ann", "ann@far.example"),
        ('"ann@far.example"', "ann@far.example"),
        ('"a b@far.example"', '"a b"@far.example'),
        ('"ann%far.example"', "ann@far.example"),
        ('"far.example!a b"', '"a b"@far.example'),
        ('"a b"', None),
        ('"@far.example"', None),
        ('"ann@"', None),
    ],
)
def test_where_an_address_here_leads(local: str, onward: str | None) -> None:
    assert RULES.routed(local) == onward


def test_quotes_may_close_the_way() -> None:
    assert AddressRules("own.example", resolve_dequoted=False).routed('"ann@far.example"') is None


@given(st.text(max_size=30) | st.text(alphabet='ab.@!%"\\:,[]', max_size=30))
def test_once_is_enough(address: str) -> None:
    standard = RULES.standard(address)
    assert RULES.standard(standard) == standard
