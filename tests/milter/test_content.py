"""Header and body on their way to a milter and back."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from pillarbox.lib.milter import AddHeader, ChangeHeader, HeaderList, HeaderTooLarge, InsertHeader
from pillarbox.lib.milter.body import BodyReader, wire_chunks
from pillarbox.lib.milter.packets import BODY_CHUNK
from tests.feeding import splits

ID = "4jXFYl6dnjzKD6m"
OWN = f"Received: from a (b [192.0.2.1])\n\tby mx.example (Pillarbox) with ESMTP id {ID};\n\tdate\n".encode()
BLOCK = OWN + b"Received: by elsewhere id OTHER\nSubject:  two  blanks\nTo: a,\n b\nX-A: 1\nx-a: 2\n"


def header(block: bytes = BLOCK) -> HeaderList:
    return HeaderList(block, ID, 100_000)


def lines(fields: HeaderList) -> list[bytes]:
    return fields.block().removeprefix(OWN).split(b"\n")[:-1]


class TestHeader:
    def test_what_milters_see(self) -> None:
        assert list(header().shown(leading_space=False)) == [
            (b"Received", b"by elsewhere id OTHER"),
            (b"Subject", b"two  blanks"),
            (b"To", b"a,\n b"),
            (b"X-A", b"1"),
            (b"x-a", b"2"),
        ]

    def test_with_leading_blanks_where_that_is_agreed(self) -> None:
        assert (b"Subject", b"  two  blanks") in list(header().shown(leading_space=True))

    def test_our_own_received_is_found_wherever_it_is(self) -> None:
        fields = header(b"X-Prepended: 1\n" + BLOCK)
        assert [name for name, _ in fields.shown(leading_space=False)][:2] == [b"X-Prepended", b"Received"]

    def test_adding(self) -> None:
        fields = header()
        fields.add(AddHeader(b"X-B", b"one\n\ttwo"), leading_space=False)
        assert lines(fields)[-2:] == [b"X-B: one", b"\ttwo"]

    @pytest.mark.parametrize(("index", "before"), [(0, OWN), (1, OWN), (2, b"Received: by else"), (3, b"Subject")])
    def test_inserting(self, index: int, before: bytes) -> None:
        fields = header()
        fields.insert(InsertHeader(index, b"X-B", b"v"), leading_space=False)
        assert b"X-B: v\n" + before in fields.block()

    def test_inserting_far_behind_is_appending(self) -> None:
        fields = header()
        fields.insert(InsertHeader(900, b"X-B", b"v"), leading_space=True)
        assert lines(fields)[-1] == b"X-B:v"

    def test_changing_the_second_of_a_name(self) -> None:
        fields = header()
        fields.change(ChangeHeader(2, b"X-A", b"new"), leading_space=False)
        assert lines(fields)[-2:] == [b"X-A: 1", b"X-A: new"]

    def test_removing(self) -> None:
        fields = header()
        fields.change(ChangeHeader(1, b"x-a", b""), leading_space=False)
        fields.change(ChangeHeader(7, b"x-a", b""), leading_space=False)
        assert lines(fields)[-1] == b"x-a: 2"

    def test_changing_what_is_not_there_adds_it(self) -> None:
        fields = header()
        fields.change(ChangeHeader(3, b"X-A", b"third"), leading_space=False)
        assert lines(fields)[-1] == b"X-A: third"

    def test_our_own_received_cannot_be_changed(self) -> None:
        fields = header()
        fields.change(ChangeHeader(1, b"Received", b""), leading_space=False)
        assert fields.block().startswith(OWN)
        assert b"elsewhere" not in fields.block()

    @pytest.mark.parametrize(
        ("value", "written"),
        [
            (b"a\r\nb", b"X-B: a\n\tb\n"),
            (b"a\nBcc: evil", b"X-B: a\n\tBcc: evil\n"),
            (b"a\r\n\r\nbody", b"X-B: a\n\tbody\n"),
            (b"a\rb", b"X-B: a\n\tb\n"),
            (b"a\n \n c", b"X-B: a\n c\n"),
            (b"a\n", b"X-B: a\n"),
            (b"", b"X-B: \n"),
        ],
    )
    def test_no_value_becomes_a_second_field_or_ends_the_header(self, value: bytes, written: bytes) -> None:
        fields = HeaderList(b"", ID, 1000)
        fields.add(AddHeader(b"X-B", value), leading_space=False)
        assert fields.block() == written

    def test_a_copy_is_its_own(self) -> None:
        fields = header()
        twin = fields.copy()
        twin.add(AddHeader(b"X-B", b"v"), leading_space=False)
        twin.change(ChangeHeader(1, b"Received", b""), leading_space=False)
        assert fields.block() == BLOCK
        assert twin.block().startswith(OWN)

    def test_there_are_bounds(self) -> None:
        fields = HeaderList(b"A: b\n", ID, 100)
        with pytest.raises(HeaderTooLarge):
            fields.add(AddHeader(b"X-B", b"v" * 100), leading_space=False)
        with pytest.raises(HeaderTooLarge):
            HeaderList(b"a: b\n" * 20_001, ID, 1 << 20)


@pytest.fixture
def file(tmp_path: Path) -> Iterator[int]:
    descriptor = os.open(tmp_path / "content", os.O_RDWR | os.O_CREAT)
    yield descriptor
    os.close(descriptor)


class TestBody:
    def test_lines_end_in_crlf_on_the_wire(self, file: int) -> None:
        os.write(file, b"head\n\na\nb\nleftover")
        assert list(wire_chunks(file, 6, 4, binary=False)) == [b"a\r\nb\r\n"]

    def test_chunks_fit_into_packets(self, file: int) -> None:
        content = b"\n" * 200_000
        os.write(file, content)
        chunks = list(wire_chunks(file, 0, len(content), binary=False))
        assert max(map(len, chunks)) <= BODY_CHUNK
        assert b"".join(chunks) == b"\r\n" * 200_000

    def test_binary_content_stays_as_it_is(self, file: int) -> None:
        content = bytes(range(256)) * 1000
        os.write(file, content)
        chunks = list(wire_chunks(file, 0, len(content), binary=True))
        assert b"".join(chunks) == content and max(map(len, chunks)) == BODY_CHUNK

    def test_nothing_behind_the_end_is_read(self, file: int) -> None:
        os.write(file, b"short")
        assert list(wire_chunks(file, 0, 5_000, binary=False)) == [b"short"]
        assert list(wire_chunks(file, 9, -1, binary=False)) == []

    @pytest.mark.parametrize(
        ("sent", "stored"),
        [
            (b"a\r\nb\r\n", b"a\nb\n"),
            (b"a\nb\n", b"a\nb\n"),
            (b"a\r\n.\r\nb", b"a\n.\nb\n"),
            (b"a\rb\r\n", b"a\rb\n"),
            (b"a\r\r\n", b"a\r\n"),
            (b"a\r", b"a\r\n"),
            (b"", b""),
        ],
    )
    def test_a_new_body_has_the_queues_line_ends(self, sent: bytes, stored: bytes) -> None:
        for pieces in splits(sent):
            reader = BodyReader(binary=False)
            assert b"".join(map(reader.feed, pieces)) + reader.finish() == stored
        reader = BodyReader(binary=True)
        assert reader.feed(sent) + reader.finish() == sent
