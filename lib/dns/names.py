"""Domain names between their text form and the wire form (RFC 1035 sections 3.1, 4.1.4 and 5.1).

Text names have no trailing dot and "" is the root.  An octet that is no printable ASCII, a dot or a backslash inside
a label is written `\\DDD` or `\\X`.  Reading follows compression pointers only backwards, so it always ends.
"""

from __future__ import annotations

import ipaddress
import re

from pillarbox.lib.address.domain import to_ascii

NAME_LIMIT = 255
"""Octets of a name on the wire (RFC 1035 section 3.1)."""

LABEL_LIMIT = 63

_PLAIN_LABEL = re.compile(rb"[!-\-/-\[\]-~]+")
_ESCAPE = re.compile(rb"\\(?:(\d{3})|(.))", re.DOTALL)


class BadName(ValueError):
    """A name that cannot be put on the wire, or octets that are no name."""


def _label_octets(label: bytes) -> bytes:
    def replace(match: re.Match[bytes]) -> bytes:
        if match[1] is None:
            return match[2]
        value = int(match[1])
        if value > 255:
            raise BadName("an escape above \\255")
        return bytes((value,))

    return _ESCAPE.sub(replace, label)


def encode_name(name: str) -> bytes:
    """The wire form, without compression.  Raises `BadName` for an empty or overlong label or an overlong name."""
    ascii_form = name if name.isascii() else to_ascii(name)
    if ascii_form is None:
        raise BadName(f"{name!r} has no ASCII form")
    text = ascii_form.encode("ascii")
    if text.endswith(b".") and not text.endswith(b"\\."):
        text = text[:-1]
    if not text:
        return b"\0"
    labels = text.split(b".") if b"\\" not in text else [_label_octets(part) for part in _split_escaped(text)]
    parts = []
    for label in labels:
        if not 0 < len(label) <= LABEL_LIMIT:
            raise BadName(f"a label of {len(label)} octets in {name!r}")
        parts.append(bytes((len(label),)) + label)
    wire = b"".join(parts) + b"\0"
    if len(wire) > NAME_LIMIT:
        raise BadName(f"{name[:60]!r}... is longer than {NAME_LIMIT} octets")
    return wire


def _split_escaped(text: bytes) -> list[bytes]:
    parts, start, position = [], 0, 0
    while position < len(text):
        if text[position] == 0x5C:
            position += 1
        elif text[position] == 0x2E:
            parts.append(text[start:position])
            start = position + 1
        position += 1
    parts.append(text[start:])
    return parts


def _escape_label(label: bytes) -> str:
    if _PLAIN_LABEL.fullmatch(label):
        return label.decode("ascii")
    return "".join(map(_escape_octet, label))


def _escape_octet(octet: int) -> str:
    if octet in b".\\":
        return "\\" + chr(octet)
    return chr(octet) if 0x21 <= octet <= 0x7E else f"\\{octet:03d}"


KnownNames = dict[int, tuple[str, int]]
"""Names already read in a message by their offset, with their octets on the wire."""


def decode_name(message: bytes, offset: int, known: KnownNames) -> tuple[str, int]:
    """The name at `offset` and the offset behind it; `known` spares reading a name twice.

    Raises `BadName` for a pointer that does not point backwards (the loop guard), a reserved label type, a name beyond
    its limit or beyond the message's end.
    """
    labels: list[str] = []
    end = -1
    start = limit = offset
    length = 1
    try:
        while True:
            octet = message[offset]
            if octet == 0:
                offset += 1
                break
            if octet < 0x40:
                length += octet + 1
                label = message[offset + 1 : offset + 1 + octet]
                if len(label) != octet:
                    raise BadName("a name that is cut off")
                labels.append(_escape_label(label))
                offset += octet + 1
            elif octet >= 0xC0:
                target = (octet & 0x3F) << 8 | message[offset + 1]
                if end < 0:
                    end = offset + 2
                if target >= limit:
                    raise BadName("a compression pointer that does not point backwards")
                rest = known.get(target)
                if rest is not None:
                    length += rest[1] - 1
                    if rest[0]:
                        labels.append(rest[0])
                    break
                offset = limit = target
            else:
                raise BadName("a reserved label type")
            if length > NAME_LIMIT:
                raise BadName("a name beyond its limit")
    except IndexError:
        raise BadName("a name that is cut off") from None
    if length > NAME_LIMIT:
        raise BadName("a name beyond its limit")
    name = ".".join(labels)
    known[start] = name, length
    return name, offset if end < 0 else end


def reverse_name(address: str) -> str:
    """The name under which an IP address' PTR records stand (RFC 1035 section 3.5, RFC 3596 section 2.5).

    Raises ValueError for what is no address.
    """
    return ipaddress.ip_address(address).reverse_pointer
