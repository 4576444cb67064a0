"""Content-Transfer-Encoding undone in pieces (RFC 2045 section 6), for SEARCH and BINARY.

Lenient as readers of mail must be: octets outside the base64 alphabet are skipped, a wrong `=XX` stays as it is.
"""

from __future__ import annotations

import binascii
import re
import string
from collections.abc import Iterable, Iterator

_BASE64 = (string.ascii_letters + string.digits + "+/").encode()
_NOT_BASE64 = bytes(octet for octet in range(256) if octet not in _BASE64)
_PADDING_STOP = re.compile(rb"=[^A-Za-z0-9+/]*")
IDENTITY = frozenset({b"7bit", b"8bit", b"binary"})
KNOWN = IDENTITY | {b"base64", b"quoted-printable"}


def decode_base64(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Base64 in pieces; several padded runs behind each other are decoded each."""
    rest = b""
    for chunk in chunks:
        *runs, last = _PADDING_STOP.split(chunk)
        for run in runs:
            rest += run.translate(None, _NOT_BASE64)
            yield _base64(rest, flush=True)
            rest = b""
        rest += last.translate(None, _NOT_BASE64)
        usable = len(rest) & ~3
        if usable:
            yield binascii.a2b_base64(rest[:usable])
            rest = rest[usable:]
    yield _base64(rest, flush=True)


def _base64(data: bytes, *, flush: bool) -> bytes:
    if flush and len(data) % 4 == 1:
        data = data[:-1]  # a single character left over holds no octet
    return binascii.a2b_base64(data + b"=" * (-len(data) % 4)) if data else b""


def decode_quoted_printable(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Quoted-printable in pieces, cut at line ends where there are any."""
    rest = b""
    for chunk in chunks:
        text = rest + chunk
        cut = text.rfind(b"\n") + 1
        if not cut:
            # A line without end: cut where no escape is split.
            cut = max(0, len(text) - 2) if len(text) > 4096 else 0
            if cut and (equals := text.rfind(b"=", cut - 2, cut)) >= 0:
                cut = equals
        rest = text[cut:]
        if cut:
            yield binascii.a2b_qp(text[:cut])
    if rest:
        yield binascii.a2b_qp(rest)


def decode_transfer(encoding: bytes, chunks: Iterable[bytes]) -> Iterator[bytes]:
    """The octets of a body; one of an unknown encoding comes as it is (callers that must know ask `KNOWN`)."""
    if encoding == b"base64":
        return decode_base64(chunks)
    if encoding == b"quoted-printable":
        return decode_quoted_printable(chunks)
    return iter(chunks)
