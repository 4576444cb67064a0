"""The Content-* fields of a part's header (RFC 2045, 2183, 1864, 3282, 2557), read leniently."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, TypeAlias
from urllib.parse import unquote_to_bytes

from pillarbox.lib.mime.envelope import unfold
from pillarbox.lib.mime.limits import PARAMETER_LIMIT
from pillarbox.lib.mime.part import Disposition, Parameters

# Begun with the line end before it, which is looked for much more quickly than the beginning of a line.
_FIELD = re.compile(
    rb"\ncontent-(type|transfer-encoding|id|description|disposition|md5|language|location)[ \t]*:[ \t]*"
    rb"((?:[^\n]*)(?:\n[ \t][^\n]*)*)",
    re.IGNORECASE,
)
_TOKEN = rb"[^\x00-\x20()<>@,;:\\\"/\[\]?=]+"
_MEDIA_TYPE = re.compile(rb"[ \t\r\n]*(" + _TOKEN + rb")[ \t]*/[ \t]*(" + _TOKEN + rb")")
_FIRST_TOKEN = re.compile(rb"[ \t\r\n]*(" + _TOKEN + rb")")
_PARAMETER = re.compile(
    rb';[ \t\r\n]*(?P<name>[^\x00-\x20()<>@,;:\\"/\[\]?=]+)[ \t\r\n]*=[ \t\r\n]*'
    rb'(?:"(?P<quoted>(?:[^"\\]|\\.)*)(?:"|\Z)|(?P<token>[^;\r\n\t ]*))',
    re.DOTALL,
)
_Found: TypeAlias = "tuple[tuple[bytes, bytes], ...]"
"""Fields as they stand there: names without "content-", and values."""
_REMEMBERED: Final = 100
"""Octets of fields whose meaning is remembered: those of most parts are the same few, but for boundaries."""
_COMMENT = re.compile(rb"\([^()\\\"]*\)")
_ESCAPED = re.compile(rb"\\(.)", re.DOTALL)
_FOLDING = re.compile(rb"\r?\n")


@dataclass(frozen=True, slots=True)
class ContentFields:
    """What a part's header says about its body."""

    type: bytes = b"text"
    subtype: bytes = b"plain"
    parameters: Parameters = ((b"charset", b"us-ascii"),)
    encoding: bytes = b"7bit"
    content_id: bytes | None = None
    description: bytes | None = None
    md5: bytes | None = None
    disposition: Disposition | None = None
    language: tuple[bytes, ...] = ()
    location: bytes | None = None

    @property
    def boundary(self) -> bytes:
        """The boundary parameter, also in RFC 2231 form, b"" where there is none."""
        for name, value in self.parameters:
            if name == b"boundary":
                return value.rstrip(b" \t")
            if name == b"boundary*":
                return unquote_to_bytes(value.rpartition(b"'")[2])
        return b""


PLAIN_TEXT = ContentFields()
"""What a part without a Content-Type is (RFC 2045 section 5.2)."""

DIGEST_PART = ContentFields(type=b"message", subtype=b"rfc822", parameters=())
"""What a part of a multipart/digest is by default (RFC 2046 section 5.1.5)."""


def parse_parameters(text: bytes, start: int) -> Parameters:
    """The parameters from `start` on; the first of a name counts."""
    found: dict[bytes, bytes] = {}
    for match in _PARAMETER.finditer(text, start):
        name = match["name"].lower()
        if name in found:
            continue
        quoted = match["quoted"]
        value = match["token"] if quoted is None else _ESCAPED.sub(rb"\1", _FOLDING.sub(b"", quoted))
        found[name] = value
        if len(found) >= PARAMETER_LIMIT:
            break
    return tuple(found.items())


def parse_content_fields(header: bytes, default: ContentFields = PLAIN_TEXT) -> ContentFields:
    """Read the fields; a Content-Type that is missing or no media type gives the default (RFC 2045 section 5.2)."""
    found = tuple(_FIELD.findall(b"\n" + header))
    if not found:
        return default
    if default is PLAIN_TEXT:
        together = b"".join([value for _, value in found])
        if len(together) <= _REMEMBERED and b"oundary" not in together:
            return _remembered(found)
    return _content_fields(found, default)


@lru_cache(256)
def _remembered(found: _Found) -> ContentFields:
    return _content_fields(found, PLAIN_TEXT)


def _content_fields(found: _Found, default: ContentFields) -> ContentFields:
    texts: dict[bytes, bytes] = {}
    for name, value in found:
        texts.setdefault(name.lower(), value)
    kind, subtype, parameters = default.type, default.subtype, default.parameters
    content_type = texts.get(b"type")
    if content_type is not None:
        bare = _COMMENT.sub(b"", content_type) if b"(" in content_type else content_type
        media = _MEDIA_TYPE.match(bare)
        if media is not None:
            kind, subtype = media[1].lower(), media[2].lower()
            parameters = parse_parameters(bare, media.end())
            if kind == b"text" and not any(name == b"charset" for name, _ in parameters):
                parameters = ((b"charset", b"us-ascii"), *parameters)
        else:
            kind, subtype, parameters = PLAIN_TEXT.type, PLAIN_TEXT.subtype, PLAIN_TEXT.parameters
    encoding = _FIRST_TOKEN.match(texts.get(b"transfer-encoding", b""))
    return ContentFields(
        type=kind,
        subtype=subtype,
        parameters=parameters,
        encoding=encoding[1].lower() if encoding else b"7bit",
        content_id=_text(texts, b"id"),
        description=_text(texts, b"description"),
        md5=_text(texts, b"md5"),
        disposition=_disposition(texts.get(b"disposition")),
        language=_language(texts.get(b"language")),
        location=_text(texts, b"location"),
    )


_LOOSE_TYPE = re.compile(rb"[ \t\r\n]*(" + _TOKEN + rb")(?:[ \t]*/[ \t]*(" + _TOKEN + rb"))?")


def loose_content_type(value: bytes) -> tuple[bytes, bytes, tuple[bytes, ...]]:
    """Type, subtype (b"" where missing) and every boundary of a Content-Type value, for who must not overlook a part:
    of several boundaries another reader may take any.  (b"", b"", ()) where there is no type."""
    bare = _COMMENT.sub(b"", value) if b"(" in value else value
    media = _LOOSE_TYPE.match(bare)
    if media is None:
        return b"", b"", ()
    boundaries = []
    for number, match in enumerate(_PARAMETER.finditer(bare, media.end())):
        name = match["name"].lower()
        if name in (b"boundary", b"boundary*"):
            quoted = match["quoted"]
            text = match["token"] if quoted is None else _ESCAPED.sub(rb"\1", _FOLDING.sub(b"", quoted))
            text = text.rstrip(b" \t") if name == b"boundary" else unquote_to_bytes(text.rpartition(b"'")[2])
            if text:
                boundaries.append(text)
        if number >= PARAMETER_LIMIT:
            break
    return media[1].lower(), (media[2] or b"").lower(), tuple(boundaries)


def _text(texts: dict[bytes, bytes], name: bytes) -> bytes | None:
    value = texts.get(name)
    return None if value is None else unfold(value)


def _disposition(value: bytes | None) -> Disposition | None:
    token = _FIRST_TOKEN.match(value) if value else None
    if value is None or token is None:
        return None
    return Disposition(token[1].lower(), parse_parameters(value, token.end()))


def _language(value: bytes | None) -> tuple[bytes, ...]:
    if value is None:
        return ()
    tags = (tag.strip() for tag in unfold(_COMMENT.sub(b"", value)).split(b","))
    return tuple(tag for tag in tags if tag)
