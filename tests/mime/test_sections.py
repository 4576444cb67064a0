"""Header fields and body lines out of any bytes, however they are cut."""

from __future__ import annotations

import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pillarbox.lib.mime.sections import Body, Event, Fault, Field, SectionLimits, Sections, line_pieces
from tests.feeding import splits, truncations, with_trailing

LIMITS = SectionLimits(header_size=200, line_length=40, nesting=5, boundary_length=20)

MESSAGE = (
    b"\npreamble\n--out\nContent-Type: text/plain\nX-Folded: one\n two\n\nfirst\n-- \nno delimiter\n"
    b"--out\nContent-Type: message/rfc822\n\nSubject: inside\nContent-Type: multipart/mixed; boundary=in\n\n"
    b"--in\n\nno header\n--in\nContent-Transfer-Encoding: BASE64\n\nAAAA\n--in--\nepilogue\n--out--\nend\n"
)
TYPE = b'Content-Type: multipart/mixed;\n boundary="out"\n'


def read(pieces: list[bytes], *fields: bytes, limits: SectionLimits = LIMITS) -> list[Event]:
    sections = Sections(limits)
    events = [event for field in fields for event in sections.note(field)]
    for piece in pieces:
        events += sections.feed(piece)
    return events + sections.finish()


def essence(events: list[Event]) -> list[tuple[str, bytes]]:
    """Fields one by one; the body text between them in one piece; faults."""
    found: list[tuple[str, bytes]] = []
    for event in events:
        if isinstance(event, Body):
            if found and found[-1][0] == "body":
                found[-1] = ("body", found[-1][1] + event.data)
            else:
                found.append(("body", event.data))
        else:
            found.append((event.kind, event.raw if isinstance(event, Field) else event.text))
    return found


def joined(events: list[Event]) -> bytes:
    return b"".join(
        event.raw if isinstance(event, Field) else event.data for event in events if type(event) is not Fault
    )  # type: ignore[union-attr]


def test_fields_and_bodies_of_all_parts() -> None:
    assert essence(read([MESSAGE], TYPE)) == [
        ("body", b"\npreamble\n--out\n"),
        ("multipart", b"Content-Type: text/plain\n"),
        ("multipart", b"X-Folded: one\n two\n"),
        ("body", b"\nfirst\n-- \nno delimiter\n--out\n"),
        ("multipart", b"Content-Type: message/rfc822\n"),
        ("body", b"\n"),
        ("nested", b"Subject: inside\n"),
        ("nested", b"Content-Type: multipart/mixed; boundary=in\n"),
        ("body", b"\n--in\n\nno header\n--in\n"),
        ("multipart", b"Content-Transfer-Encoding: BASE64\n"),
        ("body", b"\nAAAA\n--in--\nepilogue\n--out--\nend\n"),
    ]


@given(
    st.lists(st.sampled_from([*MESSAGE.splitlines(keepends=True), b"x" * 90, b"Y: " + b"z" * 250, b"\r\n"])),
    st.integers(1, 50),
)
def test_fields_and_lines_know_where_they_stand(lines: list[bytes], step: int) -> None:
    data = b"\n" + b"".join(lines)
    done = 0
    for event in read([data[start : start + step] for start in range(0, len(data), step)], TYPE):
        if isinstance(event, Field):
            assert event.start == done
            done = min(event.end, len(data))
            cut = len(event.raw) >= LIMITS.header_size
            assert cut or data[event.start : event.end] == event.raw[: len(data) - event.start]
        elif isinstance(event, Body) and event.start >= 0:
            assert event.start == done
            done += len(event.data)
            assert data[event.start : done] == event.data
    assert done == len(data)


@pytest.mark.parametrize(
    "line, pieces",
    [
        (b"abcdef\n", [b"abc", b"def\n"]),
        (b"abcdef\r\n", [b"abc", b"def\r\n"]),
        (b"abcdef", [b"abc", b"def"]),
        (b"abcd\n", [b"abc", b"d\n"]),
        (b"ab\n", [b"ab\n"]),
        (b"\n", [b"\n"]),
    ],
)
def test_long_lines_are_looked_at_in_pieces(line: bytes, pieces: list[bytes]) -> None:
    assert list(line_pieces(line, 3)) == pieces
    assert list(line_pieces(line, 0)) == [line]


def test_the_pieces_do_not_matter() -> None:
    expected = essence(read([MESSAGE], TYPE))
    for pieces in splits(MESSAGE):
        assert essence(read(pieces, TYPE)) == expected
    crlf = MESSAGE.replace(b"\n", b"\r\n")
    expected = essence(read([crlf], TYPE))
    for pieces in splits(crlf):
        assert essence(read(pieces, TYPE)) == expected


def test_no_byte_is_lost_or_added() -> None:
    assert joined(read([MESSAGE], TYPE)) == MESSAGE
    for text in (*truncations(MESSAGE), *with_trailing(MESSAGE)):
        found = joined(read([text], TYPE))
        assert found.rstrip(b"\n") == text.rstrip(b"\n") or b"\n\n" in found  # a broken part gets its empty line


@given(
    st.lists(
        st.sampled_from(
            [
                *(b"--out", b"--in", b"--", b"\n", b"\r\n", b"\n\n", b"Content-Type: multipart/digest; boundary=in"),
                *(b"A: b", b" x", b"x" * 50, b"A:" + b"y" * 250, b"", b"Content-Type: message/rfc822", b"\xff\0"),
            ]
        ),
        max_size=25,
    ),
    st.lists(st.integers(1, 60), max_size=20),
)
def test_any_bytes_in_any_pieces(parts: list[bytes], cuts: list[int]) -> None:
    data = b"".join(parts)
    pieces, rest = [], data
    for cut in cuts:
        pieces.append(rest[:cut])
        rest = rest[cut:]
    pieces.append(rest)
    whole = read([data], TYPE)
    assert essence(read(pieces, TYPE)) == essence(whole)
    for event in whole:
        if isinstance(event, Field):
            assert len(event.raw) <= LIMITS.header_size + 1 and event.raw.endswith(b"\n")
        elif isinstance(event, Body) and not event.data.endswith(b"\n") and event is not whole[-1]:
            assert len(event.data) == LIMITS.line_length


def test_a_long_line_comes_in_pieces_that_do_not_depend_on_the_input() -> None:
    line = bytes(range(97, 123)) * 5 + b"\n"
    for pieces in splits(b"\n" + line):
        events = [event for event in read(pieces) if isinstance(event, Body)]
        assert b"".join(event.data for event in events) == b"\n" + line
        if len(pieces) > 2:
            assert [len(event.data) for event in events] == [1, 40, 40, 40, 11]


def test_a_delimiter_line_that_is_too_long_counts() -> None:
    events = read([b"\n--out" + b" " * 100 + b"\nSubject: x\n\nbody\n"], TYPE)
    assert ("multipart", b"Subject: x\n") in essence(events)


def test_a_field_beyond_the_limit_is_cut() -> None:
    for pieces in splits(b"\n--out\nX: " + b"y" * 500 + b"\n more\nY: z\n\nbody\n"):
        fields = [event.raw for event in read(pieces, TYPE) if isinstance(event, Field)]
        assert fields == [b"X: " + b"y" * 197 + b"\n", b"Y: z\n"]
    for pieces in splits(b"\n--out\nX: y\n" + b" continued here\n" * 50 + b"Y: z\n\nbody\n"):
        first, second = (event.raw for event in read(pieces, TYPE) if isinstance(event, Field))
        assert len(first) in (200, 201) and second == b"Y: z\n"


def test_a_header_that_is_broken_off_gets_its_empty_line() -> None:
    events = read([b"\n--out\nSubject: x\nnot a field\n--out\n--out--\n"], TYPE)
    assert joined(events) == b"\n--out\nSubject: x\n\nnot a field\n--out\n--out--\n"


def test_offsets_begin_anew_in_each_part() -> None:
    bodies = [event for event in read([b"\n0123456789\n--out\n\nab\n--out--\n"], TYPE) if isinstance(event, Body)]
    assert [(event.data, event.offset) for event in bodies] == [
        (b"\n", 0),
        (b"0123456789\n", 1),
        (b"--out\n", 0),
        (b"\n", 0),
        (b"ab\n", 1),
        (b"--out--\n", 0),
    ]


def test_encodings() -> None:
    bodies = [event for event in read([MESSAGE], TYPE, b"Content-Transfer-Encoding: 8bit\n") if isinstance(event, Body)]
    assert {event.data: event.encoding for event in bodies}[b"AAAA\n"] == b"base64"
    assert {event.data: event.encoding for event in bodies}[b"preamble\n"] == b"7bit", "a multipart's preamble"


@pytest.mark.parametrize(
    ("fields", "faults"),
    [
        ((TYPE, b"Content-Transfer-Encoding: base64\n"), [b"base64"]),
        ((TYPE, b"Content-Transfer-Encoding: 8bit\n"), []),
        ((b"Content-Type: message/partial\n", b"Content-Transfer-Encoding: 8bit\n"), [b"8bit"]),
        ((b"Content-Type: message/rfc822\n", b"Content-Transfer-Encoding: 8bit\n"), []),
        ((b"Content-Type: message/rfc822\n", b"Content-Transfer-Encoding: quoted-printable\n"), [b"quoted-printable"]),
        ((b"Content-Type: text/plain\n", b"Content-Transfer-Encoding: base64\n"), []),
    ],
)
def test_encoding_domains(fields: tuple[bytes, ...], faults: list[bytes]) -> None:
    assert [event.text for event in read([b"\nx\n"], *fields) if isinstance(event, Fault)] == faults


def test_nesting() -> None:
    text = b"\n" + b"".join(b"--b%d\nContent-Type: multipart/mixed; boundary=b%d\n\n" % (n, n + 1) for n in range(10))
    faults = [
        event for event in read([text], b"Content-Type: multipart/mixed; boundary=b0\n") if isinstance(event, Fault)
    ]
    assert [fault.kind for fault in faults] == ["nesting"] * 6 or len(faults) == 1
    assert faults[0].text == b"Content-Type: multipart/mixed; boundary=b5\n"


def test_every_boundary_of_a_type_counts() -> None:
    found = essence(read([b"\n--two\nSubject: x\n\n"], b"Content-Type: multipart/mixed; boundary=one; boundary=two\n"))
    assert ("multipart", b"Subject: x\n") in found


def test_without_mime_all_is_body() -> None:
    events = read([MESSAGE], TYPE, limits=SectionLimits(mime=False))
    assert essence(events) == [("body", MESSAGE)]


def test_memory_does_not_grow_with_the_message() -> None:
    sections = Sections(SectionLimits())
    sections.note(TYPE)
    sections.feed(b"\n")
    line = b"x" * 70 + b"\n"
    chunks = (line * 900, b"y" * 65536, b"--out\nX: " + b"z" * 300_000, b"\n\n" + line)
    for chunk in chunks:
        sections.feed(chunk)
    tracemalloc.start()
    for _ in range(200):
        for chunk in chunks:
            sections.feed(chunk)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 3_000_000
