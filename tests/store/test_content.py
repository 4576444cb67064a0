"""A file as it goes over the wire: its short ways give what the long ones give."""

from __future__ import annotations

import os
import re
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pillarbox.lib.store import content as module
from pillarbox.lib.store.content import FileContent
from pillarbox.lib.store.interface import StoreUnavailable
from pillarbox.lib.store.lines import plain_header

STORED = st.lists(st.sampled_from([b"\n", b"\r\n", b"\r", b"\n\n", b"a: b", b"x" * 30])).map(b"".join)


def opened(stored: bytes, size: int = -1) -> FileContent:
    fd = os.memfd_create("message")
    os.write(fd, stored)
    return FileContent(fd, ((0, len(stored)),), size)


def wire(stored: bytes) -> bytes:
    return re.sub(rb"(?<!\r)\n", b"\r\n", stored)


@given(STORED, st.integers(0, 200), st.integers(0, 200))
def test_parts_are_those_of_the_whole(stored: bytes, start: int, length: int) -> None:
    whole = wire(stored)
    with opened(stored) as message:
        assert message.size == len(whole)
        assert message.read() == b"".join(message.chunks()) == whole
        assert message.read(start, length) == b"".join(message.chunks(start, length)) == whole[start : start + length]


@given(STORED)
def test_the_header_ends_with_the_first_empty_line(stored: bytes) -> None:
    whole = wire(stored)
    end = 0 if whole.startswith(b"\r\n") else whole.find(b"\r\n\r\n") + 2
    with opened(stored) as message:
        if whole.startswith(b"\r\n") or end > 1:
            assert message.header() == whole[: end + 2]
        else:
            assert message.header() == whole


@given(STORED)
def test_a_header_by_itself_is_that_of_the_message_or_none(stored: bytes) -> None:
    alone = plain_header(stored)
    with opened(stored) as message:
        assert alone in (None, message.header())
    if b"\r" not in stored and stored.find(b"\n\n") > 0:
        assert alone is not None


def test_a_large_message_comes_in_pieces_that_stay_small() -> None:
    stored = b"line of text\n" * 20_000
    with opened(stored) as message:
        pieces = list(message.chunks())
        assert b"".join(pieces) == wire(stored) == message.read()
        assert max(map(len, pieces)) < 2 * module.PIECE


@pytest.mark.parametrize("count", [1, 20_000])
def test_a_file_that_became_shorter_is_said(count: int) -> None:
    stored = b"line of text\n" * count
    with opened(stored, len(wire(stored)) + 1) as message, pytest.raises(StoreUnavailable):
        message.read()


def test_a_part_of_a_few_octets_costs_a_few(monkeypatch: pytest.MonkeyPatch) -> None:
    stored = b"line of text\n" * 100_000
    read = 0

    def pread(fd: int, count: int, offset: int, real: Callable[[int, int, int], bytes] = os.pread) -> bytes:
        nonlocal read
        data = real(fd, count, offset)
        read += len(data)
        return data

    with opened(stored, len(wire(stored))) as message:
        monkeypatch.setattr(os, "pread", pread)
        parts = range(0, message.size, 700)
        assert b"".join(message.read(start, 700) for start in parts) == wire(stored)
    assert read < len(parts) * (module.MARKS + 700)


def test_what_is_known_of_a_message_that_is_read_octet_by_octet_stays_small() -> None:
    stored = b"line of text\n" * 4000
    with opened(stored) as message:
        assert b"".join(message.read(start, 1) for start in range(message.size)) == wire(stored)
        assert len(message._marks) <= message.size // module.MARKS + 1
