"""Transfer encodings and charsets."""

from __future__ import annotations

import base64
import quopri

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pillarbox.lib.mime.charset import decode_text, find_codec
from pillarbox.lib.mime.decoding import decode_transfer
from tests.feeding import splits, truncations


@given(st.binary(max_size=300), st.integers(1, 7))
def test_base64_equals_the_standard_library(data: bytes, step: int) -> None:
    encoded = base64.encodebytes(data)
    pieces = [encoded[i : i + step] for i in range(0, len(encoded), step)]
    assert b"".join(decode_transfer(b"base64", pieces)) == data


@given(st.binary(max_size=300), st.integers(1, 7))
def test_quoted_printable_equals_the_standard_library(data: bytes, step: int) -> None:
    encoded = quopri.encodestring(data)
    pieces = [encoded[i : i + step] for i in range(0, len(encoded), step)]
    assert b"".join(decode_transfer(b"quoted-printable", pieces)) == quopri.decodestring(encoded)


def test_base64_with_noise_and_padding_inside() -> None:
    for pieces in splits(b"aGV\r\nsbG8=\r\n=?d29ybGQ=!"):
        assert b"".join(decode_transfer(b"base64", pieces)) == b"helloworld"


def test_truncated_base64_gives_what_is_there() -> None:
    encoded = base64.encodebytes(b"some longer text to be cut")
    for cut in truncations(encoded):
        assert b"some longer text to be cut".startswith(b"".join(decode_transfer(b"base64", [cut])))


def test_long_quoted_printable_line_is_not_kept() -> None:
    pieces = [b"=41" * 2001] * 20
    assert b"".join(decode_transfer(b"quoted-printable", pieces)) == b"A" * 40020


def test_other_encodings_pass() -> None:
    assert b"".join(decode_transfer(b"8bit", [b"a", b"\xff"])) == b"a\xff"


@pytest.mark.parametrize("name", ["x-sjis", "iso-8859-8-i", "x-mac-cyrillic", "unknown-8bit", "UTF-8", "us-ascii"])
def test_charset_is_known(name: str) -> None:
    assert find_codec(name)


@pytest.mark.parametrize("name", ["hex", "zlib", "rot13", "x-nonsense", "", "a\0b", "idna"])
def test_charset_is_refused(name: str) -> None:
    assert find_codec(name) is None


def test_gb2312_reads_characters_of_gb18030() -> None:
    assert "".join(decode_text("gb2312", ["镕".encode("gb18030")])) == "镕"


def test_text_in_pieces() -> None:
    for pieces in splits("grüße, 世界".encode()):
        assert "".join(decode_text("utf-8", pieces)) == "grüße, 世界"
