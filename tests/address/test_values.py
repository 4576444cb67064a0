"""Addresses as values, domains, extensions."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pillarbox.lib.address import Address, normalize_domain, same_domain, split_extension
from pillarbox.lib.address.address import split_address
from pillarbox.lib.address.domain import is_domain, is_literal, literal_address, to_ascii, to_unicode


@pytest.mark.parametrize(
    ("address", "text"),
    [
        (Address("a", "b.c"), "a@b.c"),
        (Address("a b", "b.c"), '"a b"@b.c'),
        (Address('a"b', "b.c"), '"a\\"b"@b.c'),
        (Address("a..b", "b.c"), '"a..b"@b.c'),
        (Address("", "b.c"), '""@b.c'),
        (Address("root"), "root"),
        (Address(""), ""),
    ],
)
def test_writing_quotes_only_what_must_be(address: Address, text: str) -> None:
    assert str(address) == text


def test_properties() -> None:
    assert Address("a", "[192.0.2.1]").is_literal
    assert not Address("é", "b.c").is_ascii


@pytest.mark.parametrize(
    ("text", "parts"), [("a@b", ("a", "b")), ('"x@y"@b', ('"x@y"', "b")), ("root", ("root", "")), ("", ("", ""))]
)
def test_cheap_split(text: str, parts: tuple[str, str]) -> None:
    assert split_address(text) == parts


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("Example.ORG", "example.org."),
        ("bücher.example", "xn--bcher-kva.example"),
        ("BÜCHER.example", "XN--BCHER-KVA.example"),
        ("bu\u0308cher.example", "bücher.example"),
        ("bücher。example", "bücher.example"),
        ("[IPv6:2001:DB8:0:0::1]", "[ipv6:2001:db8::1]"),
    ],
)
def test_one_domain_in_two_spellings(first: str, second: str) -> None:
    assert same_domain(first, second)


@pytest.mark.parametrize(("first", "second"), [("a.example", "b.example"), ("[127.0.0.1]", "127.0.0.1"), ("", "a")])
def test_different_domains(first: str, second: str) -> None:
    assert not same_domain(first, second)


@given(st.text(max_size=60))
def test_normalizing_any_text_twice_changes_nothing(text: str) -> None:
    once = normalize_domain(text)
    if is_domain(text):
        assert normalize_domain(once) == once


def test_label_conversion() -> None:
    assert to_ascii("bücher.example") == "xn--bcher-kva.example"
    assert to_unicode("xn--bcher-kva.example") == "bücher.example"
    assert to_unicode("xn--\x80") == "xn--\x80"
    assert to_ascii("ü" * 80 + ".example") is None
    assert to_ascii("\ud800.x") is None


@pytest.mark.parametrize("text", ["a", "a.b", "1.2", "a-b.c", "_dmarc.x", "xn--bcher-kva.example", "b" * 63])
def test_domain_names(text: str) -> None:
    assert is_domain(text)


@pytest.mark.parametrize(
    "text", ["", ".", "a.", ".a", "a..b", "-a", "a-", "a b", "a\n", "[1.2.3.4]", "b" * 64, "a" * 254]
)
def test_not_domain_names(text: str) -> None:
    assert not is_domain(text)


def test_literals() -> None:
    assert is_literal("[127.0.0.1]") and literal_address("[127.0.0.1]") == "127.0.0.1"
    assert literal_address("[IPv6:0::1]") == "::1"
    assert literal_address("127.0.0.1") is None
    assert is_literal("[tag:x]") and literal_address("[tag:x]") is None
    assert not is_literal("[tag:x]y]") and not is_literal("[]") and not is_literal("[127.1]")


@pytest.mark.parametrize(
    ("local", "delimiters", "parts"),
    [
        ("user+ext", "+", ("user", "ext")),
        ("user+a+b", "+", ("user", "a+b")),
        ("user-a+b", "+-", ("user", "a+b")),
        ("user+", "+", ("user", "")),
        ("user", "+", ("user", None)),
        ("+ext", "+", ("+ext", None)),
        ("user+ext", "", ("user+ext", None)),
        ("Postmaster", "o", ("Postmaster", None)),
        ("MAILER-DAEMON", "-", ("MAILER-DAEMON", None)),
        ("double-bounce", "-", ("double-bounce", None)),
        ("owner-list", "-", ("owner-list", None)),
        ("list-request", "-", ("list-request", None)),
        ("owner-list", "n", ("ow", "er-list")),
    ],
)
def test_extensions(local: str, delimiters: str, parts: tuple[str, str | None]) -> None:
    assert split_extension(local, delimiters) == parts
