"""ENVELOPE and its addresses."""

from __future__ import annotations

from email.utils import getaddresses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pillarbox.lib.mime.addresses import GROUP_END, MISSING_HOST, Address, parse_addresses
from pillarbox.lib.mime.envelope import parse_envelope
from tests.feeding import truncations, with_trailing


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b"a@x.org", [Address(None, None, b"a", b"x.org")]),
        (b"<a@x.org>", [Address(None, None, b"a", b"x.org")]),
        (b"Ann B <a@x.org>", [Address(b"Ann B", None, b"a", b"x.org")]),
        (b'"B, Ann" <a@x.org>', [Address(b"B, Ann", None, b"a", b"x.org")]),
        (b'"B \\"q\\" A" <a@x.org>', [Address(b'B "q" A', None, b"a", b"x.org")]),
        (b"a@x.org (Ann B)", [Address(b"Ann B", None, b"a", b"x.org")]),
        (b"a@x.org (Ann (nested) B)", [Address(b"Ann (nested) B", None, b"a", b"x.org")]),
        (b"Ann\r\n B\r\n <a@x.org>", [Address(b"Ann B", None, b"a", b"x.org")]),
        (b'"a b"@x.org', [Address(None, None, b"a b", b"x.org")]),
        (b"a@[192.0.2.1]", [Address(None, None, b"a", b"[192.0.2.1]")]),
        (b"<@r.org,@s.org:a@x.org>", [Address(None, b"@r.org,@s.org", b"a", b"x.org")]),
        (b"a@x.org, b@y.org", [Address(None, None, b"a", b"x.org"), Address(None, None, b"b", b"y.org")]),
        (b", ,a@x.org,,", [Address(None, None, b"a", b"x.org")]),
        (b"local", [Address(None, None, b"local", MISSING_HOST)]),
        (b"two words", [Address(None, None, b"two words", MISSING_HOST)]),
        (b"N <>", [Address(b"N", None, b"", MISSING_HOST)]),
        (b"N <a@x.org, b@y.org", [Address(b"N", None, b"a", b"x.org"), Address(None, None, b"b", b"y.org")]),
        (b"undisclosed-recipients:;", [Address(None, None, b"undisclosed-recipients", None), GROUP_END]),
        (
            b"G one: a@x.org, B <b@y.org>; c@z.org",
            [
                Address(None, None, b"G one", None),
                Address(None, None, b"a", b"x.org"),
                Address(b"B", None, b"b", b"y.org"),
                GROUP_END,
                Address(None, None, b"c", b"z.org"),
            ],
        ),
        (b"G: a@x.org", [Address(None, None, b"G", None), Address(None, None, b"a", b"x.org"), GROUP_END]),
        (b"=?utf-8?q?J=C3=BCrgen?= <j@x.org>", [Address(b"=?utf-8?q?J=C3=BCrgen?=", None, b"j", b"x.org")]),
        (b"J\xfcrgen <j@x.org>", [Address(b"J\xfcrgen", None, b"j", b"x.org")]),
        (b"", []),
    ],
)
def test_addresses(value: bytes, expected: list[Address]) -> None:
    assert list(parse_addresses(value)) == expected


_ADDRESS = st.builds(
    lambda name, local, host: f"{name} <{local}@{host}>" if name else f"{local}@{host}",
    st.sampled_from(["", "Ann", "Ann B", '"B, Ann"', "A (c) B"]),
    st.from_regex(r"[a-z0-9.+_-]{1,10}", fullmatch=True).filter(lambda text: ".." not in text and text[0] != "."),
    st.from_regex(r"[a-z]{1,8}(\.[a-z]{2,5}){1,2}", fullmatch=True),
)


@given(st.lists(_ADDRESS, min_size=1, max_size=5))
def test_addresses_equal_the_standard_library(items: list[str]) -> None:
    value = ", ".join(items)
    theirs = [address for _, address in getaddresses([value])]
    ours = [f"{(a.mailbox or b'').decode()}@{(a.host or b'').decode()}" for a in parse_addresses(value.encode())]
    assert ours == theirs


@given(st.binary(max_size=120))
def test_any_octets_give_addresses(value: bytes) -> None:
    depth = 0
    for address in parse_addresses(value):
        if address == GROUP_END:
            depth -= 1
        elif address.host is None:
            depth += 1
        assert depth in (0, 1), "groups must open and close in turn"
    assert depth == 0


def test_addresses_cut_short_or_followed_by_noise() -> None:
    value = b'G one: "A \\" b" (c) <@r.org:a@x.org>, b@[1.2.3.4];'
    for cut in truncations(value):
        parse_addresses(cut)
    for longer in with_trailing(value):
        parse_addresses(longer)


HEADER = (
    b"Received: from x\r\nDate: Mon, 1 Jan 2024 00:00:00 +0000\r\nSUBJECT: a\r\n  folded\r\nFrom: A <a@x.org>\r\n"
    b"To: b@y.org\r\nTo: c@z.org\r\nMessage-ID: <1@x>\r\nIn-Reply-To:\r\n <0@x>\r\n\r\n"
)


@pytest.mark.parametrize("header", [HEADER, HEADER.replace(b"\r\n", b"\n")], ids=["CRLF", "LF"])
def test_envelope_fields(header: bytes) -> None:
    envelope = parse_envelope(header)
    assert envelope.date == b"Mon, 1 Jan 2024 00:00:00 +0000"
    assert envelope.subject == b"a  folded"
    assert envelope.message_id == b"<1@x>"
    assert envelope.in_reply_to == b"<0@x>"
    assert [address.mailbox for address in envelope.to] == [b"b", b"c"]
    assert envelope.cc == ()


def test_sender_and_reply_to_default_to_from() -> None:
    envelope = parse_envelope(HEADER)
    assert envelope.sender == envelope.from_ == envelope.reply_to


def test_missing_fields_differ_from_empty_ones() -> None:
    assert parse_envelope(b"\n").subject is None
    assert parse_envelope(b"Subject:\n\n").subject == b""


_ONE = st.sampled_from(
    [b"a@b", b" a@b ", b"<a@b>", b"Ann B <a@b>", b'"Yonder, Y" <y@z>', b'"" <a@b>', b"\r\n x.y@z.w", b"A  B\r\n <a@b>"]
)


@given(st.lists(_ONE, min_size=1, max_size=6))
def test_lists_of_plain_addresses_are_read_as_any_other_list(parts: list[bytes]) -> None:
    value = b",".join(parts)
    other = parse_addresses(value + b",<@r:last@x>")  # a route, which only the reader of everything knows
    assert parse_addresses(value) == other[:-1]
    assert [one for part in parts for one in parse_addresses(part)] == list(other[:-1])
