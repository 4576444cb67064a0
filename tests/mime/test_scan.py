"""The scanner: trees equal those of the standard library, offsets cut the right octets, bad mail gives a tree."""

from __future__ import annotations

import random
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pillarbox.lib.mime import Part, Scanner, find_part, scan_message
from pillarbox.lib.mime.limits import NESTING_LIMIT, PART_LIMIT
from tests.feeding import splits, truncations, with_trailing
from tests.mime.messages import MIXED, crlf, library_shape, library_tree, messages, shape

LIBRARY_MAIL = sorted((Path(re.__file__).parent.parent / "test/test_email/data").glob("msg_*.txt"))

# Messages on which we differ from the standard library on purpose.
DIFFERENT = {
    "msg_36.txt": "message/external-body is content for IMAP, the library reads a message in it",
    "msg_37.txt": "delimiters in a row: the library drops the empty parts between them, section numbers count them",
}


def body(content: bytes, part: Part) -> bytes:
    return crlf(content)[part.body_start : part.end]


def test_tree_of_nested_message() -> None:
    assert shape(scan_message([MIXED])) == library_shape(library_tree(MIXED))


@pytest.mark.parametrize("content", [MIXED, crlf(MIXED)], ids=["LF", "CRLF"])
def test_any_chunking_gives_the_same_tree(content: bytes) -> None:
    expected = scan_message([content])
    for pieces in splits(content):
        assert scan_message(pieces) == expected


def test_line_ends_of_the_store_do_not_matter() -> None:
    assert scan_message([MIXED]) == scan_message([crlf(MIXED)])


def test_truncated_messages_give_a_tree_that_stays_inside() -> None:
    for content in truncations(MIXED):
        part = scan_message([content])
        assert part.end == len(crlf(content))


def test_trailing_bytes_stay_in_the_epilogue() -> None:
    whole = scan_message([MIXED])
    for content in with_trailing(MIXED):
        part = scan_message([content])
        assert part.children == whole.children


def test_bodies_are_cut_out_exactly() -> None:
    part = scan_message([MIXED])
    expected = {
        (1, 1): b"plain\r\ntext",
        (1, 2): b"<p>html</p>",
        (2, 1): b"aGVsbG8=",
    }
    for numbers, text in expected.items():
        found = find_part(part, numbers)
        assert found is not None
        assert body(MIXED, found) == text


def test_lines_count_line_ends_in_the_body() -> None:
    part = scan_message([b"Subject: x\n\none\ntwo\n"])
    assert (part.lines, part.octets) == (2, 10)


def test_parameters_disposition_and_encoding_are_read() -> None:
    part = find_part(scan_message([MIXED]), (2, 1))
    assert part is not None
    assert part.parameters == ((b"name", b"a b.png"),)
    assert part.disposition is not None and part.disposition.parameters == ((b"filename", b"a b.png"),)
    assert part.encoding == b"base64"


def test_message_in_a_message_has_its_envelope() -> None:
    part = find_part(scan_message([MIXED]), (2,))
    assert part is not None and part.envelope is not None
    assert part.envelope.subject == b"inner"


def test_section_numbers_follow_rfc_9051() -> None:
    part = scan_message([MIXED])
    assert find_part(part, ()) is part
    assert find_part(part, (3,)) is None
    assert find_part(part, (1, 3)) is None
    assert find_part(part, (2, 1, 1)) is None
    plain = scan_message([b"\nbody"])
    assert find_part(plain, (1,)) is plain
    assert find_part(plain, (1, 1)) is None
    assert find_part(plain, (2,)) is None


def test_text_in_a_message_in_a_message_is_number_one() -> None:
    content = b"Content-Type: message/rfc822\n\nContent-Type: message/rfc822\n\nSubject: x\n\ntext"
    part = find_part(scan_message([content]), (1, 1, 1))
    assert part is not None and body(content, part) == b"text"


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", ("text/plain", ())),
        (b"\n", ("text/plain", ())),
        (b"no header at all", ("text/plain", ())),
        (b"Content-Type: multipart/mixed\n\n--x\n\n", ("text/plain", ())),
        (b"Content-Type: multipart/mixed; boundary=x\n\nno parts", ("multipart/mixed", (("text/plain", ()),))),
        (b"Content-Type: multipart/mixed; boundary=x\n\n--x", ("multipart/mixed", (("text/plain", ()),))),
        (b"Content-Type: multipart/mixed; boundary=x\n--x\n\na\n--x--", ("multipart/mixed", (("text/plain", ()),))),
        (b"Content-Type: text\n\nx", ("text/plain", ())),
        (b"Content-Type: ; charset=x\n\nx", ("text/plain", ())),
        (
            b"Content-Type: multipart/digest; boundary=x\n\n--x\n\nSubject: a\n\nb\n--x--\n",
            ("multipart/digest", (("message/rfc822", (("text/plain", ()),)),)),
        ),
        (
            b"Content-Type: multipart/mixed; boundary=x\n\n--x\nContent-Type: message/rfc822\n--x--\n",
            ("multipart/mixed", (("message/rfc822", (("text/plain", ()),)),)),
        ),
        (
            b"Content-Type: message/rfc822\nContent-Transfer-Encoding: base64\n\nU3ViamVjdDogeA==",
            ("application/octet-stream", ()),
        ),
        (b"Content-Type: message/rfc822\n\n", ("message/rfc822", (("text/plain", ()),))),
    ],
)
def test_broken_structure(content: bytes, expected: object) -> None:
    assert shape(scan_message([content])) == expected


def test_inner_multipart_without_end_stops_at_the_outer_delimiter() -> None:
    content = MIXED.replace(b"--out-in--\n", b"")
    outer = scan_message([content])
    assert [child.subtype for child in outer.children] == [b"alternative", b"rfc822"]


def test_same_boundary_inside_and_outside() -> None:
    content = (
        b"Content-Type: multipart/mixed; boundary=x\n\n--x\nContent-Type: multipart/mixed; boundary=x\n\n"
        b"--x\n\na\n--x--\n--x\n\nb\n--x--\n"
    )
    part = scan_message([content])
    assert [body(content, child) for child in part.children[1:]] == [b"b"]
    assert body(content, part.children[0].children[0]) == b"a"


def test_part_that_is_empty_between_two_delimiters() -> None:
    content = b"Content-Type: multipart/mixed; boundary=x\n\n--x\n\n--x--\n"
    child = scan_message([content]).children[0]
    assert (child.octets, child.lines) == (0, 0)


def test_nesting_stops_at_the_limit() -> None:
    content = b"".join(
        b"Content-Type: multipart/mixed; boundary=b%d\n\n--b%d\n" % (i, i) for i in range(NESTING_LIMIT * 3)
    )
    part, depth = scan_message([content]), 1
    while part.children:
        part, depth = part.children[0], depth + 1
    assert depth <= NESTING_LIMIT + 1


def test_number_of_parts_stops_at_the_limit() -> None:
    content = b"Content-Type: multipart/mixed; boundary=x\n\n" + b"--x\n\n\n" * (PART_LIMIT + 100)
    assert len(scan_message([content]).children) < PART_LIMIT + 1


def test_memory_does_not_grow_with_the_message() -> None:
    scanner = Scanner()
    scanner.feed(b"Content-Type: multipart/mixed; boundary=x\n\n--x\n")
    for line in (b"X-Long: " + b"y" * 70 + b"\n", b"z" * 65536, b"--" * 32768):
        for _ in range(200):
            scanner.feed(line)
        held = len(scanner._buffer) + sum(map(len, scanner._header or []))
        assert held < 600_000, f"the scanner holds {held} octets"
    assert scanner.finish().end > 200 * 65536


@pytest.mark.parametrize("path", LIBRARY_MAIL, ids=lambda path: path.name)
def test_tree_equals_the_standard_library_on_its_own_mail(path: Path) -> None:
    content = path.read_bytes()
    tree = library_tree(content)
    if path.name in DIFFERENT or tree.defects or any(part.defects for part in tree.walk()):
        scan_message([content])
        return
    ours = shape(scan_message([content]))
    theirs = library_shape(tree)
    if "delivery-status" in str(theirs):
        return
    assert ours == theirs


@given(messages())
def test_random_structures_equal_the_standard_library(text: str) -> None:
    content = text.encode()
    assert shape(scan_message([content])) == library_shape(library_tree(content))


@given(messages(), st.randoms(use_true_random=False))
def test_random_structures_survive_damage(text: str, chance: random.Random) -> None:
    content = bytearray(text.encode())
    for _ in range(chance.randint(1, 8)):
        at = chance.randrange(len(content) + 1)
        content[at : at + chance.randint(0, 3)] = chance.choice([b"", b"\n", b"--", b"\0", b"\r", b"\xff", b"\n--b0"])
    data = bytes(content)
    whole = scan_message([data])
    assert whole == scan_message([data[i : i + 1] for i in range(len(data))])
    check_inside(whole)


@given(st.binary(max_size=300))
def test_random_octets_give_a_tree(data: bytes) -> None:
    check_inside(scan_message([data]))


def check_inside(part: Part) -> None:
    assert part.header_start <= part.body_start <= part.end
    for child in part.children:
        assert part.body_start <= child.header_start and child.end <= part.end
        check_inside(child)


class LookingAtAll(Scanner):
    """Does not know how delimiters begin."""

    def _aim(self) -> None:
        pass


@given(
    st.lists(st.sampled_from([b"a", b"ab", b"abc", b"b", b"x" * 80, b"x" * 79 + b"y"]), min_size=1, max_size=3),
    st.lists(
        st.sampled_from(
            [b"--a", b"--ab", b"--abc", b"--b", b"--a--", b"--ab--", b"--abc--", b"--x", b"text", b"", b"--"]
        )
        | st.builds(b"--%b".__mod__, st.sampled_from([b"x" * 80, b"x" * 79 + b"y", b"x" * 80 + b"--"])),
        max_size=12,
    ),
    st.integers(1, 50),
)
def test_boundaries_that_begin_alike_are_told_apart(boundaries: list[bytes], lines: list[bytes], step: int) -> None:
    opening = [b"Content-Type: multipart/mixed; boundary=%b\r\n\r\n--%b" % (each, each) for each in boundaries]
    content = b"\r\n".join([*opening, *lines, *(b"--%b--" % each for each in reversed(boundaries))]) + b"\r\n"
    whole = scan_message([content])
    assert whole == scan_message([content[at : at + step] for at in range(0, len(content), step)], wire=True)
    plain = LookingAtAll()
    plain.feed(content)
    assert whole == plain.finish()
