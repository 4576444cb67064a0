"""The PROXY protocol, versions 1 and 2: what a load balancer says about a connection before its first octet.

    reader = ProxyReader()
    used = reader.feed(data)        # so many octets of `data` belong to the header
    if reader.header is not None:   # complete; what follows is the client's

The format is that of "The PROXY protocol" (HAProxy, versions 1 & 2, 2.7).  Promises: the same header however it is
cut; never an octet more is used than the header has, so that TLS may follow at once; a header that breaks the format
in any way raises ProxyError; what is kept is at most one header (64 kB by the format's own length field).  Whether the
sender may be believed is not decided here.
"""

from __future__ import annotations

import ipaddress
import re
import struct
from dataclasses import dataclass
from typing import Final

from pillarbox.lib.smtp.networks import plain_address

V1_LIMIT: Final = 107
"""Octets of the longest header of version 1, with its CRLF (section 2.1)."""

SIGNATURE: Final = b"\r\n\r\n\x00\r\nQUIT\n"
"""How version 2 begins (section 2.2)."""

TYPE_CRC32C: Final = 0x03
"""The TLV with a checksum over the whole header (section 2.2.3)."""

_V1_START: Final = b"PROXY "
_V1: Final = re.compile(rb"PROXY (TCP4|TCP6) ([0-9A-Fa-f:.]{2,39}) ([0-9A-Fa-f:.]{2,39}) ([0-9]{1,5}) ([0-9]{1,5})\r\n")
_V1_UNKNOWN: Final = re.compile(rb"PROXY UNKNOWN(?: [^\r\n]*)?\r\n")
_V2_FIXED: Final = 16  # octets before the addresses
_LOCAL, _PROXY = 0, 1
_UNSPECIFIED: Final = 0x00
_FAMILIES: Final = {0x11: (4, 4), 0x21: (6, 16)}  # TCP over IPv4 and IPv6: version, octets of an address
_LENGTHS: Final = {0x00: 0, 0x11: 12, 0x12: 12, 0x21: 36, 0x22: 36, 0x31: 216, 0x32: 216}


class ProxyError(Exception):
    """The header is missing or broken; the text says how."""


@dataclass(frozen=True, slots=True)
class Header:
    """A complete header.

    `source` and `destination` are addresses with ports; both None where the sender speaks for itself (LOCAL, a health
    check) or does not know (UNKNOWN): then the connection's own ends count.  `tlvs` are those of version 2, in order.
    """

    version: int
    source: tuple[str, int] | None = None
    destination: tuple[str, int] | None = None
    tlvs: tuple[tuple[int, bytes], ...] = ()


class ProxyReader:
    """Reads one header."""

    __slots__ = ("_buffer", "header")

    def __init__(self) -> None:
        self._buffer = b""
        self.header: Header | None = None
        """The header, once it is complete."""

    def feed(self, data: bytes) -> int:
        """Read on; how many octets of `data` belong to the header.  Raises ProxyError."""
        if self.header is not None or not data:
            return 0
        before, buffer = len(self._buffer), self._buffer + data
        if buffer.startswith(SIGNATURE[: len(buffer)]):
            end = self._v2_end(buffer)
        elif buffer.startswith(_V1_START[: len(buffer)]):
            end = self._v1_end(buffer)
        else:
            raise ProxyError("no PROXY header")
        if end > len(buffer):
            self._buffer = buffer
            return len(data)
        header = buffer[:end]
        self.header = _v2(header) if header.startswith(SIGNATURE) else _v1(header)
        self._buffer = b""
        return end - before

    @staticmethod
    def _v1_end(buffer: bytes) -> int:
        """Where the header ends; beyond the buffer where it is not complete."""
        end = buffer.find(b"\n", 0, V1_LIMIT) + 1
        if not end and len(buffer) >= V1_LIMIT:
            raise ProxyError("the PROXY header has no end")
        return end or V1_LIMIT + 1

    @staticmethod
    def _v2_end(buffer: bytes) -> int:
        if len(buffer) < _V2_FIXED:
            return _V2_FIXED
        return _V2_FIXED + int.from_bytes(buffer[14:16])


def _v1(header: bytes) -> Header:
    """Section 2.1."""
    if _V1_UNKNOWN.fullmatch(header):
        return Header(1)
    match = _V1.fullmatch(header)
    if match is None:
        raise ProxyError("the PROXY header is not well-formed")
    family = ipaddress.IPv4Address if match[1] == b"TCP4" else ipaddress.IPv6Address
    ends = []
    for address, port in ((match[2], match[4]), (match[3], match[5])):
        number = int(port)
        if number > 65535 or str(number).encode() != port:
            raise ProxyError("a port in the PROXY header is none")
        try:
            ends.append((_text(family(address.decode())), number))
        except ValueError:
            raise ProxyError("an address in the PROXY header is none") from None
    source, destination = ends
    return Header(1, source, destination)


def _v2(header: bytes) -> Header:
    """Section 2.2."""
    version, command, family = header[12] >> 4, header[12] & 15, header[13]
    if version != 2 or command not in (_LOCAL, _PROXY):
        raise ProxyError("the PROXY header is of an unknown version or command")
    length = _LENGTHS.get(family)
    if command == _LOCAL and length is None:
        return Header(2)  # whatever it holds is to be passed over
    if length is None or len(header) < _V2_FIXED + length:
        raise ProxyError("the PROXY header has no such addresses")
    tlvs = _tlvs(header, _V2_FIXED + length)
    _check_sum(header, _V2_FIXED + length, tlvs)
    if command == _LOCAL or family == _UNSPECIFIED:
        return Header(2, tlvs=tlvs)
    if family not in _FAMILIES:
        raise ProxyError("the PROXY header is not about a TCP connection")
    ip_version, size = _FAMILIES[family]
    at, ports = _V2_FIXED, _V2_FIXED + 2 * size
    source, destination = header[at : at + size], header[at + size : ports]
    source_port, destination_port = struct.unpack_from("!HH", header, ports)
    address = ipaddress.IPv4Address if ip_version == 4 else ipaddress.IPv6Address
    return Header(2, (_text(address(source)), source_port), (_text(address(destination)), destination_port), tlvs)


def _text(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> str:
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return plain_address(str(mapped or address))


def _tlvs(header: bytes, position: int) -> tuple[tuple[int, bytes], ...]:
    """Type, length, value, to the end (section 2.2)."""
    found = []
    while position < len(header):
        if position + 3 > len(header):
            raise ProxyError("the PROXY header ends within a TLV")
        end = position + 3 + int.from_bytes(header[position + 1 : position + 3])
        if end > len(header):
            raise ProxyError("the PROXY header ends within a TLV")
        found.append((header[position], header[position + 3 : end]))
        position = end
    return tuple(found)


def _check_sum(header: bytes, position: int, tlvs: tuple[tuple[int, bytes], ...]) -> None:
    """The checksum covers the whole header with its own value as zeros (section 2.2.3)."""
    for kind, value in tlvs:
        position += 3
        if kind == TYPE_CRC32C:
            if len(value) != 4:
                raise ProxyError("the checksum of the PROXY header has not four octets")
            if crc32c(header[:position] + b"\0\0\0\0" + header[position + 4 :]) != int.from_bytes(value):
                raise ProxyError("the checksum of the PROXY header is wrong")
        position += len(value)


def _crc_table() -> tuple[int, ...]:
    table = []
    for octet in range(256):
        for _ in range(8):
            octet = octet >> 1 ^ (0x82F63B78 if octet & 1 else 0)
        table.append(octet)
    return tuple(table)


_CRC_TABLE: Final = _crc_table()


def crc32c(data: bytes) -> int:
    """The Castagnoli CRC (RFC 9260 appendix A)."""
    value = 0xFFFFFFFF
    for octet in data:
        value = value >> 8 ^ _CRC_TABLE[(value ^ octet) & 0xFF]
    return value ^ 0xFFFFFFFF
