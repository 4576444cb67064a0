"""The format of a queue file: what was written is read; anything else is CorruptQueueFile and nothing but that."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pillarbox.lib.queue import CorruptQueueFile, Envelope, QueueFile, Recipient, compose_header, mark_done
from pillarbox.lib.queue.envelope import NOTIFY
from pillarbox.lib.queue.file import HEADER_SIZE, RECORD_LIMIT, first_line
from tests.feeding import truncations, with_trailing

TEXT = st.text(max_size=30)  # control characters, lone surrogates and all
RECIPIENTS = st.builds(
    Recipient, TEXT, original=TEXT, orcpt=TEXT, notify=st.lists(st.sampled_from(NOTIFY), max_size=3).map(tuple)
)
ENVELOPES = st.builds(
    Envelope,
    sender=TEXT,
    recipients=st.lists(RECIPIENTS, max_size=8).map(tuple),
    arrival=st.floats(0, 2**40, allow_nan=False),
    envid=TEXT,
    ret=TEXT,
    body=TEXT,
    smtputf8=st.booleans(),
    requiretls=st.booleans(),
    client_name=TEXT,
    client_helo=TEXT,
    uid=st.none() | st.integers(0, 2**32),
    full_name=TEXT,
    attributes=st.dictionaries(TEXT, TEXT, max_size=3),
)


def image(envelope: Envelope, content: bytes = b"A: b\n\nc\n") -> bytes:
    """The bytes of a queue file."""
    head, offset = compose_header(envelope)
    return first_line(offset, len(content), len(envelope.recipients)) + head[HEADER_SIZE:] + content


def opened(data: bytes) -> QueueFile:
    """A queue file of these bytes, whose descriptor is the caller's."""
    descriptor = os.memfd_create("queue file")
    os.write(descriptor, data)
    try:
        return QueueFile(descriptor)
    except BaseException:
        os.close(descriptor)
        raise


def read(data: bytes) -> tuple[Envelope, list[Recipient], bytes]:
    file = opened(data)
    try:
        recipients = [stored.recipient for stored in file.recipients()]
        return file.envelope, recipients, os.pread(file.descriptor, file.length + 10, file.offset)
    finally:
        file.close()


ENVELOPE = Envelope(
    "a@x.test", (Recipient("b@y.test"), Recipient("c@z.test", "all@z.test", "rfc822;all", ("never",))), 17.25
)


class TestFormat:
    @given(ENVELOPES, st.binary(max_size=200))
    def test_what_was_written_is_read(self, envelope: Envelope, content: bytes) -> None:
        found, recipients, data = read(image(envelope, content))
        assert tuple(recipients) == envelope.recipients
        assert data == content
        for name in Envelope.__slots__:
            if name != "recipients":
                assert getattr(found, name) == getattr(envelope, name)

    def test_as_documented(self) -> None:
        records = b'{"sender":"a@x.test","arrival":1.5}\nT{"address":"b@y.test"}\n'
        line = b"PBQ1 offset=%010d length=0000000000000006 recipients=0000001" % (80 + len(records))
        written = image(Envelope("a@x.test", (Recipient("b@y.test"),), 1.5), b"hello\n")
        assert written == line.ljust(79) + b"\n" + records + b"hello\n"

    @pytest.mark.parametrize("count", [0, 1, 1000])
    def test_recipients_beyond_what_is_read_ahead(self, count: int) -> None:
        recipients = tuple(Recipient(f"{n}@y.test", orcpt="x" * 100) for n in range(count))
        assert tuple(read(image(Envelope("", recipients, 1.0)))[1]) == recipients

    def test_reading_can_begin_anywhere(self) -> None:
        file = opened(image(Envelope("", tuple(Recipient(f"{n}@y.test") for n in range(500)), 1.0)))
        everyone = list(file.recipients())
        assert list(file.recipients(everyone[300].n)) == everyone[300:]
        file.close()

    def test_a_recipient_is_marked_done_by_one_byte(self) -> None:
        data = image(ENVELOPE)
        file = opened(data)
        second = list(file.recipients())[1]
        mark_done(file.descriptor, second.n)
        assert [stored.done for stored in QueueFile(file.descriptor).recipients()] == [False, True]
        after = os.pread(file.descriptor, 10_000, 0)
        assert [(a, b) for a, b in zip(data, after, strict=True) if a != b] == [(ord("T"), ord("D"))]
        file.close()

    def test_a_record_that_no_reader_would_take_is_not_written(self) -> None:
        for envelope in (Envelope("x" * RECORD_LIMIT, (), 1.0), Envelope("", (Recipient("é" * RECORD_LIMIT),), 1.0)):
            with pytest.raises(ValueError, match="longer than"):
                compose_header(envelope)

    def test_the_longest_record_is_read(self) -> None:
        long = Envelope("x" * (RECORD_LIMIT - 100), (Recipient("y" * (RECORD_LIMIT - 100)),), 1.0)
        assert read(image(long))[1] == list(long.recipients)


def attempt(data: bytes) -> bool:
    """Whether a file can be read; any other exception than CorruptQueueFile is a bug."""
    try:
        read(data)
    except CorruptQueueFile as error:
        assert str(error)
        return False
    return True


class TestCorruption:
    def test_a_file_that_is_cut(self) -> None:
        assert not any(attempt(data) for data in truncations(image(ENVELOPE)))

    def test_what_lies_behind_the_content_is_no_part_of_it(self) -> None:
        """A file that was written over may be longer than its message."""
        for data in (*with_trailing(image(ENVELOPE, b"content")), image(ENVELOPE, b"content") + bytes(5000)):
            assert read(data)[2][:7] == b"content"
            file = opened(data)
            assert file.length == 7
            file.close()

    def test_a_file_in_the_making(self) -> None:
        head, _ = compose_header(ENVELOPE)
        assert not attempt(head + b"content")

    @given(st.binary(max_size=300))
    def test_noise(self, data: bytes) -> None:
        assert not attempt(data)

    @given(st.data())
    def test_a_file_with_wrong_bytes_in_it(self, data: st.DataObject) -> None:
        right = bytearray(image(ENVELOPE))
        for _ in range(data.draw(st.integers(1, 4))):
            right[data.draw(st.integers(0, len(right) - 1))] = data.draw(st.integers(0, 255))
        attempt(bytes(right))

    @given(st.integers(0, 10**10 - 1), st.integers(0, 10**4), st.integers(0, 10**7 - 1), st.integers(0, 400))
    def test_numbers_that_do_not_fit(self, offset: int, length: int, recipients: int, size: int) -> None:
        attempt(first_line(offset, length, recipients) + b'{"sender":"","arrival":1}\n' + b"x" * size)

    @pytest.mark.parametrize("offset", range(0, 130, 7))
    def test_an_offset_inside_the_envelope(self, offset: int) -> None:
        rest = b'{"sender":"","arrival":1}\nT{"address":"a"}\n'
        attempt(first_line(offset, HEADER_SIZE + len(rest) - offset, 1) + rest)

    @pytest.mark.parametrize(
        "envelope",
        [
            b"",
            b"{}",
            b"[]",
            b'{"sender":""}',
            b'{"sender":"","arrival":NaN}',
            b'{"sender":"","arrival":Infinity}',
            b'{"sender":"","arrival":1e400}',
            b'{"sender":"","arrival":-5}',
            b'{"sender":"","arrival":' + b"9" * 4000 + b"}",
            b'{"sender":"","arrival":' + b"9" * 5000 + b"}",
            b'{"sender":"","arrival":true}',
            b'{"sender":7,"arrival":1}',
            b'{"sender":"","arrival":1,"smtputf8":"yes"}',
            b'{"sender":"","arrival":1,"attributes":{"a":[]}}',
            b'{"sender":"","arrival":1,"colour":"red"}',
            b"[" * 50_000,
            b"\xff",
        ],
    )
    def test_an_envelope_that_is_none(self, envelope: bytes) -> None:
        body = envelope + b"\n"
        assert not attempt(first_line(HEADER_SIZE + len(body), 0, 0) + body)

    @pytest.mark.parametrize(
        "record",
        [
            b"",
            b"T",
            b'X{"address":"a"}',
            b'T{"address":7}',
            b'T{"address":"a","notify":["x"]}',
            b"T[]",
            b'D{"addr":"a"}',
        ],
    )
    def test_a_recipient_that_is_none(self, record: bytes) -> None:
        body = b'{"sender":"","arrival":1}\n' + record + b"\n"
        assert not attempt(first_line(HEADER_SIZE + len(body), 0, 1) + body)

    def test_a_record_without_an_end(self) -> None:
        body = b'{"sender":"","arrival":1}\nT{"address":"' + b"x" * 200_000
        assert not attempt(first_line(HEADER_SIZE + len(body), 0, 1) + body)


def test_a_directory_is_no_queue_file(tmp_path: Path) -> None:
    descriptor = os.open(tmp_path, os.O_RDONLY)
    with pytest.raises((CorruptQueueFile, IsADirectoryError)):
        QueueFile(descriptor)
    os.close(descriptor)
