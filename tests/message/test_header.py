"""Header blocks by byte offsets."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pillarbox.lib.message.header import (
    HeaderReader,
    body_start,
    compose,
    field_value,
    first_value,
    header_end,
    scan,
    unfold,
    values,
)
from tests.feeding import splits, truncations

BLOCK = b"Subject: one\n two\nX-Empty:\nTo : a@b\nReceived: x\n\ty\n"
MESSAGE = BLOCK + b"\nbody\n"


def names(block: bytes) -> list[bytes]:
    return [field.name for field in scan(block)]


def test_fields_with_folding_and_blanks_before_the_colon() -> None:
    assert names(MESSAGE) == [b"Subject", b"X-Empty", b"To", b"Received"]
    assert [field_value(MESSAGE, field) for field in scan(MESSAGE)] == [b"one two", b"", b"a@b", b"x\ty"]


def test_fields_cover_the_block_without_gaps() -> None:
    assert b"".join(MESSAGE[field.start : field.end] for field in scan(MESSAGE)) == BLOCK


def test_the_body_is_no_header() -> None:
    assert header_end(MESSAGE) == len(BLOCK)
    assert MESSAGE[body_start(MESSAGE) :] == b"body\n"
    assert names(b"A: 1\n\nB: 2\n") == [b"A"]


def test_a_line_that_is_no_field_ends_the_header() -> None:
    assert body_start(b"A: 1\nno field here\n") == len(b"A: 1\n")


def test_an_empty_message_has_no_header() -> None:
    for data in (b"", b"\n", b"\r\n", b" leading blank\n", b": no name\n"):
        assert names(data) == []


def test_crlf_is_read_too() -> None:
    data = b"A: 1\r\n 2\r\nB: 3\r\n\r\nbody"
    assert list(values(data, b"a")) == [b"1 2"]
    assert data[body_start(data) :] == b"body"


def test_values_by_name_in_any_case() -> None:
    assert list(values(b"A: 1\na: 2\nB: 3\n", b"A")) == [b"1", b"2"]
    assert first_value(b"A: 1\n", b"b") is None


def test_a_last_line_without_end() -> None:
    assert first_value(b"A: 1\n 2", b"a") == b"1 2"


@given(st.binary(max_size=200))
def test_any_bytes_are_cut_without_loss(data: bytes) -> None:
    end = header_end(data)
    assert b"".join(data[field.start : field.end] for field in scan(data)) + data[end:] == data


def test_a_huge_field_is_linear() -> None:
    block = b"X:" + b" y\n" * 100_000
    assert len(unfold(block[2:])) > 100_000
    assert header_end(b"x" * 1_000_000) == 0


class TestReader:
    @pytest.mark.parametrize("message", [MESSAGE, b"\nbody", b"A: 1\r\n\r\nbody", b"A: 1\nnot a field\n\nmore"])
    def test_the_same_result_however_it_arrives(self, message: bytes) -> None:
        for chunks in splits(message):
            reader = HeaderReader(1000)
            rest = b""
            done = False
            for chunk in chunks:
                if done:
                    rest += chunk
                else:
                    done = reader.feed(chunk)
            if not done:
                reader.close()
            assert reader.block == message[: header_end(message)]
            assert reader.block + reader.rest + rest == message

    def test_truncations_end_quietly(self) -> None:
        for data in truncations(MESSAGE):
            reader = HeaderReader(1000)
            if not reader.feed(data):
                reader.close()
            assert reader.block + reader.rest == data

    def test_the_limit_ends_a_header_that_never_ends(self) -> None:
        reader = HeaderReader(100)
        fed = 0
        while not reader.feed(b"A: 1\n"):
            fed += 5
        assert fed < 100


class TestComposing:
    def test_short_fields_stay_on_one_line(self) -> None:
        assert compose(b"Subject", b"hello  there") == b"Subject: hello  there\n"
        assert compose(b"X", b"") == b"X:\n"

    def test_long_fields_fold_at_blanks(self) -> None:
        field = compose(b"To", b", ".join(b"someone%d@example.org" % i for i in range(20)))
        assert all(len(line) <= 78 for line in field.splitlines())
        assert all(line[:1] in b" \t" for line in field.splitlines()[1:])

    @given(st.binary(max_size=500))
    def test_no_value_makes_a_second_field(self, value: bytes) -> None:
        field = compose(b"X", value)
        assert len(list(scan(field))) == 1
        assert header_end(field) == len(field)
        assert all(len(line) <= 998 for line in field.split(b"\n"))

    @given(st.text(alphabet="ab \t,<>", max_size=300))
    def test_unfolding_gives_the_value_again(self, text: str) -> None:
        value = text.encode().strip(b" \t")
        assert first_value(compose(b"X", value), b"X") == value
