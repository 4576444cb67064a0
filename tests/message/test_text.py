"""Encoded words and xtext."""

from __future__ import annotations

import email.header

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pillarbox.lib.message.encoded_words import decode_words, encode_phrase, encode_words
from pillarbox.lib.message.xtext import decode_utf8_address, decode_xtext, encode_utf8_address, encode_xtext


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (b"plain", "plain"),
        (b"=?utf-8?Q?J=C3=B8rn_x?=", "Jørn x"),
        (b"=?UTF-8?b?SsO4cm4=?= rest", "Jørn rest"),
        (b"=?utf-8?b?SsO4cm4?=", "Jørn"),
        (b"=?iso-8859-1?q?a=E9?= =?iso-8859-1?q?b?=", "aéb"),
        (b"=?utf-8?B?w7g=?=\n =?utf-8?B?w6k=?= =?utf-8?B?w6k=?=", "øéé"),
        (b"=?utf-8?B?w7?= =?utf-8?B?uA==?=", "?"),
        (b"=?utf-8?q?=C3?= =?utf-8?q?=B8?=", "ø"),
        (b"=?utf-8*en?q?x?=", "x"),
        (b"=?gb2312?B?xOO6w4pe?=", None),
        (b"=?no-such?q?x?=", "=?no-such?q?x?="),
        (b"=?zlib?b?eA==?=", "=?zlib?b?eA==?="),
        (b"=?utf-8?x?x?=", "=?utf-8?x?x?="),
        (b"=?utf-8?q?broken", "=?utf-8?q?broken"),
        (b"caf\xc3\xa9", "café"),
        (b"caf\xe9", "café"),
        (b"a =?utf-8?q?b?= c", "a b c"),
    ],
)
def test_decoding(value: bytes, text: str | None) -> None:
    decoded = decode_words(value)
    if text is not None and text != "?":
        assert decoded == text


@given(st.binary(max_size=120))
def test_any_bytes_decode_to_text(value: bytes) -> None:
    decode_words(value)
    decode_words(b"=?utf-8?b?" + value + b"?=")
    decode_words(b"=?" + value + b"?q?x?=")


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=200))
def test_encoded_text_comes_back(text: str) -> None:
    encoded = encode_words(text)
    assert encoded.isascii()
    assert all(len(word) <= 75 for word in encoded.split(b" ") if word.startswith(b"=?"))
    assert decode_words(encoded) == text


@given(st.text(alphabet=st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=80))
def test_the_standard_library_reads_our_words(text: str) -> None:
    parts = email.header.decode_header(encode_words(text).decode())
    joined = "".join(p.decode(c or "ascii") if isinstance(p, bytes) else p for p, c in parts)
    assert joined == text


def test_phrases() -> None:
    assert encode_phrase("Jane Doe") == b"Jane Doe"
    assert encode_phrase('Doe, "J" Jane') == b'"Doe, \\"J\\" Jane"'
    assert encode_phrase("Jørn").startswith(b"=?utf-8?B?")


def test_hostile_words_are_linear() -> None:
    decode_words(b"=?" * 100_000)
    decode_words(b"=?a?q?" * 50_000)
    decode_words(b"?= =?a?q?" * 50_000)


@pytest.mark.parametrize(("text", "encoded"), [("a+b=c d", "a+2Bb+3Dc+20d"), ("é", "+C3+A9"), ("", "")])
def test_xtext(text: str, encoded: str) -> None:
    assert encode_xtext(text) == encoded
    assert decode_xtext(encoded) == text


@pytest.mark.parametrize("text", ["+", "+2", "+2b", "a b", "a=b", "é", "+GG", "a\n"])
def test_what_is_no_xtext(text: str) -> None:
    assert decode_xtext(text) is None


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"])))
def test_every_text_survives_xtext(text: str) -> None:
    assert decode_xtext(encode_xtext(text)) == text
    assert decode_utf8_address(encode_utf8_address(text)) == text


def test_impossible_code_points() -> None:
    assert decode_utf8_address("\\x{D800}") is None
    assert decode_utf8_address("\\x{FFFFFF}") is None
