"""Content with edits: read from anywhere it is the text in which they are made."""

from __future__ import annotations

import os

from hypothesis import given
from hypothesis import strategies as st

from pillarbox.lib.delivery import Content
from pillarbox.lib.delivery.content import Edit, EditedContent


@given(
    st.binary(max_size=40),
    st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6), st.binary(max_size=5)), max_size=6),
    st.integers(1, 50),
)
def test_edits_are_made(text: bytes, steps: list[tuple[int, int, bytes]], count: int) -> None:
    edits: list[Edit] = []
    expected, position = b"", 0
    for skipped, length, new in steps:
        start = min(position + skipped, len(text))
        end = min(start + length, len(text))
        edits.append(Edit(start, end, new))
        expected += text[position:start] + new
        position = end
    expected += text[position:]
    fd = os.memfd_create("message")
    try:
        os.write(fd, b"envelope" + text + b"behind")
        content = EditedContent(Content(fd, 8, len(text)), edits)
        assert content.size == len(expected)
        assert b"".join(content.chunks(count)) == expected
        for start in range(len(expected) + 1):
            assert content.read(start, count) == expected[start : start + count]
    finally:
        os.close(fd)
