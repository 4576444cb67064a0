"""Queue ids: the form of Postfix's long ids, and nothing else passes for one."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pillarbox.lib.queue import decode_id, encode_id, is_queue_id

MOMENTS = st.integers(0, 2**40 * 1_000_000)
INODES = st.integers(1, 2**64 - 1)
ALPHABET = "0123456789BCDFGHJKLMNPQRSTVWXYZbcdfghjklmnpqrstvwxyz"


@given(MOMENTS, INODES)
def test_an_id_says_time_and_inode(microseconds: int, inode: int) -> None:
    assert decode_id(encode_id(microseconds, inode)) == (microseconds, inode)


@given(MOMENTS, INODES)
def test_an_id_is_made_of_digits_and_consonants(microseconds: int, inode: int) -> None:
    queue_id = encode_id(microseconds, inode)
    assert set(queue_id) <= set(ALPHABET)
    assert is_queue_id(queue_id)
    assert re.fullmatch(r"[0-9A-Za-z]{10,}z[0-9A-Za-y]+", queue_id)


@given(st.integers(0, 2**31 * 1_000_000), st.integers(0, 2**31 * 1_000_000), INODES)
def test_ids_sort_by_time(one: int, other: int, inode: int) -> None:
    if one != other:
        earlier, later = sorted((one, other))
        assert encode_id(earlier, inode)[:10] < encode_id(later, inode)[:10]


@given(st.lists(st.tuples(MOMENTS, INODES), unique=True, max_size=20))
def test_different_files_have_different_ids(files: list[tuple[int, int]]) -> None:
    assert len({encode_id(*file) for file in files}) == len(files)


def test_the_example_in_the_documentation() -> None:
    microseconds, inode = decode_id("4jXFYl6dnjzKD6m")
    assert encode_id(microseconds, inode) == "4jXFYl6dnjzKD6m"
    assert 2026 <= 1970 + microseconds / 1e6 / 31556952 < 2027


@pytest.mark.parametrize(
    "text",
    ["", "a", ".", "..", "../x", "4jXFYl6dnj", "4jXFYl6dnjz", "4jXFYl6dnjAKD6m", "4jXFYl6dnjzKD6m\n",
     " 4jXFYl6dnjzKD6m", "4jXFYl6dnjzKD6m/x", "4jXFYl6dnjzKDzm\0", "4" * 20 + "z" + "4" * 20, "4jXFYl6dnjz٣",
     "é" * 12, "4aXFYl6dnjzKD6m"],
)  # fmt: skip
def test_what_is_no_id(text: str) -> None:
    assert not is_queue_id(text)
    with pytest.raises(ValueError, match="is not a queue id"):
        decode_id(text)


@given(st.text(max_size=40))
def test_what_passes_for_an_id_can_stand_in_a_file_name(text: str) -> None:
    if is_queue_id(text):
        assert text.isascii() and text.isalnum()
