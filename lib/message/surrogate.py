"""Surrogates of internationalized headers, for clients that do not understand UTF-8 in them (RFC 6858).

Subject, display names and descriptions become encoded words, MIME parameters take the form of RFC 2231, an address that
is not ASCII is replaced by one that is nobody's, with the address as display name where there is none; other fields
that cannot be shown are left out.  What is neither ASCII nor UTF-8 is none of this, and stays as it is.  Whole messages
are the business of `lib.mime.surrogates`.
"""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import quote

from pillarbox.lib.address.header import parse_address_list
from pillarbox.lib.message.address_fields import RECIPIENT_FIELDS, SENDER_FIELDS
from pillarbox.lib.message.encoded_words import encode_phrase, encode_words
from pillarbox.lib.message.header import compose, scan, unfold

NOBODY: Final = b"invalid@internationalized-address.invalid"
"""RFC 6858 section 3.1."""

_TEXTS: Final = frozenset((b"subject", b"comments", b"content-description"))
_WITH_PARAMETERS: Final = frozenset((b"content-type", b"content-disposition"))
_ADDRESSES: Final = SENDER_FIELDS | RECIPIENT_FIELDS
_PARAMETER = re.compile(rb';[ \t]*([!#$&+\-.0-9A-Z^_`a-z{|}~]+)=(?:"((?:[^"\\]|\\.)*)"|([^;"\s]*))', re.DOTALL)


def surrogate_header(block: bytes) -> bytes:
    """A header block in ASCII; the same where it is that already, or is no UTF-8."""
    if block.isascii():
        return block
    try:
        block.decode("utf-8")
    except UnicodeDecodeError:
        return block
    made, done = [], 0
    for field in scan(block):
        made.append(block[done : field.start])
        done = field.end
        whole = block[field.start : field.end]
        if whole.isascii():
            made.append(whole)
            continue
        name, value = field.name.lower(), unfold(block[field.value : field.end])
        shown = _shown(name, value)
        if shown:
            made.append(compose(field.name, shown).replace(b"\n", b"\r\n"))
    return b"".join((*made, block[done:]))


def _shown(name: bytes, value: bytes) -> bytes:
    if name in _TEXTS:
        return encode_words(value.decode("utf-8"))
    if name in _WITH_PARAMETERS:
        shown = _PARAMETER.sub(_parameter, value)
        return shown if shown.isascii() else b""
    if name in _ADDRESSES:
        found = parse_address_list(value.decode("utf-8"))
        return b", ".join(_mailbox(each.name, each.address) for each in found.mailboxes)
    return b""


def _mailbox(name: str, address: str) -> bytes:
    if address.isascii():
        return encode_phrase(name) + f" <{address}>".encode("ascii") if name else address.encode("ascii")
    return encode_phrase(name or address) + b" <" + NOBODY + b">"


def _parameter(found: re.Match[bytes]) -> bytes:
    if found[0].isascii():
        return found[0]
    text = re.sub(rb"\\(.)", rb"\1", found[2]) if found[2] is not None else found[3]
    return b"; %b*=utf-8''%b" % (found[1], quote(text, safe="").encode("ascii"))
