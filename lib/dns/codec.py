"""DNS messages: a query into octets, octets into a response (RFC 1035 section 4, EDNS0 of RFC 6891).

Fast because several look-ups go with every message: what nobody asked for is stepped over unread.  A record type
is one row in `RECORD_READERS`.  Reading raises `BadMessage` for anything malformed and never anything else.
"""

from __future__ import annotations

import ipaddress
import socket
import struct
from collections.abc import Callable
from typing import NamedTuple

from pillarbox.lib.dns.names import BadName, KnownNames, decode_name, encode_name
from pillarbox.lib.dns.types import MX, TLSA, RecordType

UDP_PAYLOAD = 1232
"""Octets that a server may send in one datagram without fear of fragments (the DNS flag day 2020 value)."""

RECORD_LIMIT = 100
"""Records of one answer that are looked at; more is an accident or an attack."""

_HEADER = struct.Struct("!6H")
_QUESTION = struct.Struct("!2H")
_RECORD = struct.Struct("!2HIH")
_OPT_DO = b"\0" + struct.pack("!HHIH", RecordType.OPT, UDP_PAYLOAD, 0x8000, 0)  # RFC 3225: the DO bit

_QR, _TC, _RD, _AD = 0x8000, 0x0200, 0x0100, 0x0020
_CLASS_IN = 1


class BadMessage(ValueError):
    """Octets that are no DNS response."""


class Record(NamedTuple):
    """One record of the answer or authority section; `value` by its reader, None where the type has none."""

    name: str
    type: int
    ttl: int
    value: object


class Response(NamedTuple):
    """A parsed response.  `question` is the question section as sent, for comparison with one's own."""

    id: int
    rcode: int
    truncated: bool
    authenticated: bool
    question: bytes
    answers: tuple[Record, ...]
    negative_ttl: int | None
    """Seconds for which a "no" may be remembered (RFC 2308 section 5): from the SOA record, None without one."""
    message: bytes = b""
    """All of it, as it came, for whoever wants to see what is stepped over here."""


def encode_question(name: str, record_type: int) -> bytes:
    """A question section of one question.  Raises BadName."""
    return encode_name(name) + _QUESTION.pack(record_type, _CLASS_IN)


def encode_query(query_id: int, question: bytes, edns: bool = True) -> bytes:
    """A recursive query; with `edns` it asks for DNSSEC and offers `UDP_PAYLOAD`.

    AD is set too: RFC 6840 section 5.7, the client understands the bit in the answer.
    """
    if edns:
        return _HEADER.pack(query_id, _RD | _AD, 1, 0, 0, 1) + question + _OPT_DO
    return _HEADER.pack(query_id, _RD | _AD, 1, 0, 0, 0) + question


def _ipv4(message: bytes, start: int, end: int, known: KnownNames) -> str:
    if end - start != 4:
        raise BadMessage("an A record of a wrong size")
    return f"{message[start]}.{message[start + 1]}.{message[start + 2]}.{message[start + 3]}"


def _ipv6(message: bytes, start: int, end: int, known: KnownNames) -> str:
    if end - start != 16:
        raise BadMessage("an AAAA record of a wrong size")
    if message[start : start + 12] == b"\0" * 10 + b"\xff\xff":
        return str(ipaddress.IPv6Address(message[start:end]))  # not the dotted form of inet_ntop
    return socket.inet_ntop(socket.AF_INET6, message[start:end])


def _name(message: bytes, start: int, end: int, known: KnownNames) -> str:
    name, behind = decode_name(message, start, known)
    if behind != end:
        raise BadMessage("a name that does not fill its record")
    return name


def _mx(message: bytes, start: int, end: int, known: KnownNames) -> MX:
    if end - start < 3:
        raise BadMessage("an MX record of a wrong size")
    return MX(message[start] << 8 | message[start + 1], _name(message, start + 2, end, known))


def _txt(message: bytes, start: int, end: int, known: KnownNames) -> bytes:
    """The character strings of one record joined, as SPF and DKIM want them (RFC 7208 section 3.3)."""
    parts = []
    while start < end:
        behind = start + 1 + message[start]
        if behind > end:
            raise BadMessage("a text beyond its record")
        parts.append(message[start + 1 : behind])
        start = behind
    return b"".join(parts)


def _tlsa(message: bytes, start: int, end: int, known: KnownNames) -> TLSA:
    if end - start < 4:
        raise BadMessage("a TLSA record of a wrong size")
    return TLSA(message[start], message[start + 1], message[start + 2], message[start + 3 : end])


RECORD_READERS: dict[int, Callable[[bytes, int, int, KnownNames], object]] = {
    RecordType.A: _ipv4,
    RecordType.AAAA: _ipv6,
    RecordType.MX: _mx,
    RecordType.TXT: _txt,
    RecordType.PTR: _name,
    RecordType.CNAME: _name,
    RecordType.NS: _name,
    RecordType.TLSA: _tlsa,
}


def _skip_name(message: bytes, offset: int) -> int:
    while True:
        octet = message[offset]
        if octet == 0:
            return offset + 1
        if octet >= 0xC0:
            return offset + 2
        if octet >= 0x40:
            raise BadMessage("a reserved label type")
        offset += octet + 1


def _soa_minimum(message: bytes, start: int, end: int, ttl: int) -> int:
    behind = _skip_name(message, _skip_name(message, start))
    if end - behind != 20:
        raise BadMessage("an SOA record of a wrong size")
    return min(ttl, int.from_bytes(message[end - 4 : end], "big"))


def decode_response(message: bytes) -> Response:
    """The response in `message`.  Raises BadMessage."""
    try:
        return _decode(message)
    except (BadName, IndexError, struct.error) as error:
        raise BadMessage(str(error)) from None


def _decode(message: bytes) -> Response:
    query_id, flags, questions, answer_count, authority_count, _ = _HEADER.unpack_from(message)
    if not flags & _QR:
        raise BadMessage("a query, not a response")
    if questions > 1:
        raise BadMessage("more than one question")
    truncated = bool(flags & _TC)
    offset = 12
    if questions:
        offset = _skip_name(message, offset) + 4
        if offset > len(message):
            raise BadMessage("a question that is cut off")
    question = message[12:offset]
    known: KnownNames = {}
    answers: list[Record] = []
    negative_ttl: int | None = None
    if not truncated:  # RFC 2181 section 9: what came with TC is not used
        size = len(message)
        for number in range(answer_count + authority_count):
            wanted = number < answer_count and len(answers) < RECORD_LIMIT
            if wanted:
                name, offset = decode_name(message, offset, known)
            else:
                offset = _skip_name(message, offset)
            kind, class_, ttl, length = _RECORD.unpack_from(message, offset)
            start = offset + 10
            offset = start + length
            if offset > size:
                raise BadMessage("a record that is cut off")
            if ttl >= 1 << 31:  # RFC 2181 section 8
                ttl = 0
            if class_ != _CLASS_IN:
                continue
            if wanted:
                reader = RECORD_READERS.get(kind)
                answers.append(Record(name, kind, ttl, reader(message, start, offset, known) if reader else None))
            elif kind == RecordType.SOA and negative_ttl is None and number >= answer_count:
                negative_ttl = _soa_minimum(message, start, offset, ttl)
    return Response(
        query_id, flags & 0xF, truncated, bool(flags & _AD), question, tuple(answers), negative_ttl, message
    )
