"""Messages without transfer encodings; what a whole message becomes is what Dovecot 2.3 answers to BINARY[]."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given

from pillarbox.lib.mime import find_part, scan_message
from pillarbox.lib.mime.decoded import UnknownEncoding, decoded_stretches, read_decoded
from tests.mime.messages import crlf, messages

SINGLE = b"""Subject: single
MIME-Version: 1.0
Content-Type: text/plain
Content-Transfer-Encoding: quoted-printable

caf=C3=A9
"""
MIXED = b"""Subject: parts
MIME-Version: 1.0
Content-Type: multipart/mixed; boundary=b

pre
--b
Content-Type: text/plain; charset=utf-8
Content-Transfer-Encoding: quoted-printable

caf=C3=A9
--b
Content-Type: image/png
Content-Transfer-Encoding: base64

AAECAw==
--b--
"""
OUTER = b"Subject: outer\nMIME-Version: 1.0\nContent-Type: message/rfc822\n\n" + SINGLE


def decoded(content: bytes, numbers: tuple[int, ...] = (), step: int = 1 << 16) -> bytes:
    """What BINARY[numbers] gives of a message that is read in pieces."""

    def read(start: int, size: int) -> Iterator[bytes]:
        return (content[at : min(at + step, start + size)] for at in range(start, start + size, step))

    part = find_part(scan_message([content]), numbers)
    assert part is not None
    return b"".join(read_decoded(decoded_stretches(part, with_header=not numbers), read))


@pytest.mark.parametrize(
    ("message", "numbers", "expected"),
    [
        (SINGLE, (), SINGLE.replace(b"quoted-printable", b"binary").replace(b"=C3=A9", b"\xc3\xa9")),
        (SINGLE, (1,), b"caf\xc3\xa9\n"),
        (
            MIXED,
            (),
            MIXED.replace(b"quoted-printable", b"binary")
            .replace(b"base64", b"binary")
            .replace(b"=C3=A9", b"\xc3\xa9")
            .replace(b"AAECAw==", b"\0\1\2\3"),
        ),
        (MIXED, (2,), b"\0\1\2\3"),
        (OUTER, (), OUTER.replace(b"quoted-printable", b"binary").replace(b"=C3=A9", b"\xc3\xa9")),
        (OUTER, (1,), SINGLE.replace(b"quoted-printable", b"binary").replace(b"=C3=A9", b"\xc3\xa9")),
        (OUTER, (1, 1), b"caf\xc3\xa9\n"),
    ],
)
@pytest.mark.parametrize("step", [1, 1 << 16])
def test_parts_are_decoded_wherever_they_are(
    message: bytes, numbers: tuple[int, ...], expected: bytes, step: int
) -> None:
    assert decoded(crlf(message), numbers, step) == crlf(expected)


def test_one_part_that_nobody_can_decode_is_too_many() -> None:
    with pytest.raises(UnknownEncoding):
        decoded(crlf(MIXED.replace(b"base64", b"x-unknown")))
    assert decoded(crlf(MIXED.replace(b"base64", b"x-unknown")), (1,)) == b"caf\xc3\xa9"


@given(messages())
def test_where_nothing_is_encoded_all_stays(message: str) -> None:
    content = crlf(message.encode())
    assert decoded(content) == content
