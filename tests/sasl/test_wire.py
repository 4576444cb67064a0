"""SASL's base64 lines."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pillarbox.lib.sasl import (
    RESPONSE_LIMIT,
    SaslAborted,
    SaslSyntaxError,
    decode_initial,
    decode_response,
    encode,
)


def test_a_star_aborts() -> None:
    with pytest.raises(SaslAborted):
        decode_response(b"*")


@pytest.mark.parametrize(
    "line", [b"=", b"a", b"!!!!", b"YQ==YQ==", b"YQ", b" YQ==", b"YQ==\r", b"Y Q=", b"**", b"\xff"]
)
def test_what_is_no_base64_is_refused(line: bytes) -> None:
    with pytest.raises(SaslSyntaxError):
        decode_response(line)


def test_an_equal_sign_is_an_empty_initial_response() -> None:
    assert decode_initial(b"=") == b""
    assert decode_initial(b"YQ==") == b"a"


def test_an_empty_line_is_an_empty_response() -> None:
    assert decode_response(b"") == b""


def test_a_line_of_the_limit_is_taken_and_a_longer_one_refused() -> None:
    line = base64.b64encode(bytes(RESPONSE_LIMIT // 4 * 3))
    assert len(line) == RESPONSE_LIMIT
    assert decode_response(line) == bytes(RESPONSE_LIMIT // 4 * 3)
    with pytest.raises(SaslSyntaxError):
        decode_response(line + b"AAAA")


@given(st.binary(max_size=100))
def test_what_is_encoded_decodes(data: bytes) -> None:
    line = encode(data)
    assert b"\n" not in line
    assert decode_response(line) == data
