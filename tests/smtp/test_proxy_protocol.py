"""The PROXY protocol: both versions, whole and in pieces, and everything that is not one."""

from __future__ import annotations

import ipaddress
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pillarbox.lib.smtp.proxy_protocol import SIGNATURE, V1_LIMIT, Header, ProxyError, ProxyReader, crc32c
from tests.feeding import splits, truncations, with_trailing

LOCAL, PROXY = 0x20, 0x21
TCP4, TCP6, UNSPECIFIED = 0x11, 0x21, 0x00
ENDS4 = bytes((192, 0, 2, 1, 192, 0, 2, 25)) + struct.pack("!HH", 56324, 25)
ENDS6 = ipaddress.IPv6Address("2001:db8::1").packed + ipaddress.IPv6Address("2001:db8::25").packed + b"\x12\x34\0\x19"


def tlv(kind: int, value: bytes) -> bytes:
    return bytes((kind,)) + struct.pack("!H", len(value)) + value


def v2(command: int, family: int, rest: bytes) -> bytes:
    return SIGNATURE + bytes((command, family)) + struct.pack("!H", len(rest)) + rest


def summed(command: int, family: int, before: bytes, after: bytes = b"") -> bytes:
    empty = v2(command, family, before + tlv(3, b"\0\0\0\0") + after)
    return v2(command, family, before + tlv(3, struct.pack("!I", crc32c(empty))) + after)


CLIENT, SERVER = ("192.0.2.1", 56324), ("192.0.2.25", 25)
HEADERS: dict[str, tuple[bytes, Header]] = {
    "v1 TCP4": (b"PROXY TCP4 192.0.2.1 192.0.2.25 56324 25\r\n", Header(1, CLIENT, SERVER)),
    "v1 TCP6": (
        b"PROXY TCP6 2001:DB8::1 2001:db8:0::25 4660 25\r\n",
        Header(1, ("2001:db8::1", 4660), ("2001:db8::25", 25)),
    ),
    "v1 longest": (
        b"PROXY TCP6 " + b"ffff:" * 7 + b"ffff " + b"ffff:" * 7 + b"ffff 65535 65535\r\n",
        Header(1, ("ffff:" * 7 + "ffff", 65535), ("ffff:" * 7 + "ffff", 65535)),
    ),
    "v1 UNKNOWN": (b"PROXY UNKNOWN\r\n", Header(1)),
    "v1 UNKNOWN with more": (b"PROXY UNKNOWN ffff::1 ffff::2 65535 65535\r\n", Header(1)),
    "v2 TCP4": (v2(PROXY, TCP4, ENDS4), Header(2, CLIENT, SERVER)),
    "v2 TCP6": (v2(PROXY, TCP6, ENDS6), Header(2, ("2001:db8::1", 4660), ("2001:db8::25", 25))),
    "v2 IPv4 in IPv6": (
        v2(PROXY, TCP6, ipaddress.IPv6Address("::ffff:192.0.2.1").packed * 2 + b"\0\1\0\2"),
        Header(2, ("192.0.2.1", 1), ("192.0.2.1", 2)),
    ),
    "v2 LOCAL": (v2(LOCAL, UNSPECIFIED, b""), Header(2)),
    "v2 LOCAL with addresses": (v2(LOCAL, TCP4, ENDS4), Header(2)),
    "v2 LOCAL of another family": (v2(LOCAL, 0x77, b"whatever"), Header(2)),
    "v2 UNSPEC": (v2(PROXY, UNSPECIFIED, b""), Header(2)),
    "v2 TLVs": (
        v2(PROXY, TCP4, ENDS4 + tlv(4, b"\0\0") + tlv(5, b"id") + tlv(0x20, b"") + tlv(2, b"mx.example")),
        Header(2, CLIENT, SERVER, ((4, b"\0\0"), (5, b"id"), (0x20, b""), (2, b"mx.example"))),
    ),
    "v2 CRC": (
        summed(PROXY, TCP4, ENDS4 + tlv(5, b"id"), tlv(4, b"")),
        Header(
            2, CLIENT, SERVER,
            ((5, b"id"), (3, summed(PROXY, TCP4, ENDS4 + tlv(5, b"id"), tlv(4, b""))[-7:-3]), (4, b"")),
        ),
    ),
}  # fmt: skip


def read(pieces: list[bytes]) -> tuple[Header | None, int]:
    reader = ProxyReader()
    used = 0
    for piece in pieces:
        taken = reader.feed(piece)
        used += taken
        if reader.header is not None:
            break
        assert taken == len(piece)
    return reader.header, used


@pytest.mark.parametrize("name", HEADERS)
def test_a_header_is_read_however_it_comes(name: str) -> None:
    data, header = HEADERS[name]
    for pieces in splits(data):
        assert read(pieces) == (header, len(data)), pieces


@pytest.mark.parametrize("name", HEADERS)
def test_nothing_behind_the_header_is_used(name: str) -> None:
    data, header = HEADERS[name]
    for longer in with_trailing(data):
        for pieces in splits(longer):
            assert read(pieces) == (header, len(data)), pieces


@pytest.mark.parametrize("name", HEADERS)
def test_half_a_header_is_none(name: str) -> None:
    data, _ = HEADERS[name]
    for beginning in truncations(data):
        assert read([beginning]) == (None, len(beginning))


def flipped(data: bytes, position: int) -> bytes:
    return data[:position] + bytes((data[position] ^ 1,)) + data[position + 1 :]


GOOD_SUM = summed(PROXY, TCP4, ENDS4)
BROKEN: dict[str, bytes] = {
    "a client": b"EHLO client.example\r\n",
    "TLS": b"\x16\x03\x01\x02\x00",
    "lower case": b"proxy TCP4 192.0.2.1 192.0.2.25 56324 25\r\n",
    "two blanks": b"PROXY TCP4  192.0.2.1 192.0.2.25 56324 25\r\n",
    "bare LF": b"PROXY TCP4 192.0.2.1 192.0.2.25 56324 25\n",
    "lone CR": b"PROXY UNKNOWN a\rb\r\n",
    "UDP": b"PROXY UDP4 192.0.2.1 192.0.2.25 56324 25\r\n",
    "no address": b"PROXY TCP4 192.0.2.256 192.0.2.25 56324 25\r\n",
    "IPv6 as TCP4": b"PROXY TCP4 2001:db8::1 192.0.2.25 56324 25\r\n",
    "IPv4 as TCP6": b"PROXY TCP6 192.0.2.1 192.0.2.25 56324 25\r\n",
    "port too large": b"PROXY TCP4 192.0.2.1 192.0.2.25 65536 25\r\n",
    "port with zeros": b"PROXY TCP4 192.0.2.1 192.0.2.25 056 25\r\n",
    "no port": b"PROXY TCP4 192.0.2.1 192.0.2.25\r\n",
    "more at the end": b"PROXY TCP4 192.0.2.1 192.0.2.25 56324 25 x\r\n",
    "endless v1": b"PROXY UNKNOWN " + b"x" * 200,
    "v1 longer than allowed": b"PROXY UNKNOWN " + b"x" * (V1_LIMIT - 15) + b"\r\n",
    "version 3": SIGNATURE + b"\x31\x11\0\x0c" + ENDS4,
    "unknown command": v2(0x22, TCP4, ENDS4),
    "short addresses": v2(PROXY, TCP4, ENDS4[:-1]),
    "no addresses": v2(PROXY, TCP6, b""),
    "UDP in v2": v2(PROXY, 0x12, ENDS4),
    "a UNIX socket": v2(PROXY, 0x31, b"\0" * 216),
    "unknown family": v2(PROXY, 0x77, ENDS4),
    "TLV cut in its length": v2(PROXY, TCP4, ENDS4 + b"\4\0"),
    "TLV cut in its value": v2(PROXY, TCP4, ENDS4 + b"\4\0\2\0"),
    "TLV cut in LOCAL": v2(LOCAL, UNSPECIFIED, b"\4\0\2\0"),
    "CRC of three octets": v2(PROXY, TCP4, ENDS4 + tlv(3, b"\0\0\0")),
    "CRC wrong": flipped(GOOD_SUM, len(GOOD_SUM) - 1),
    "address changed under the CRC": flipped(GOOD_SUM, 19),
    "CRC wrong in LOCAL": v2(LOCAL, UNSPECIFIED, tlv(3, b"\0\0\0\0")),
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_is_no_header_is_refused_however_it_comes(name: str) -> None:
    for pieces in splits(BROKEN[name]):
        with pytest.raises(ProxyError):
            read(pieces)


def test_the_checksum_is_castagnolis() -> None:
    assert crc32c(b"123456789") == 0xE3069283
    assert crc32c(bytes(32)) == 0x8A9136AA
    assert crc32c(b"") == 0


@given(st.binary(max_size=80), st.sampled_from([b"", b"PROXY ", SIGNATURE, SIGNATURE + b"\x21\x11"]))
def test_any_octets_give_a_header_or_a_refusal(data: bytes, start: bytes) -> None:
    results = []
    for pieces in ([start + data], [bytes((octet,)) for octet in start + data]):
        try:
            results.append(read(pieces))
        except ProxyError as error:
            results.append((None, str(error)))
    assert results[0] == results[1]
