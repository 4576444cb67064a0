"""BODY and BODYSTRUCTURE (RFC 9051 section 7.5.2, rule `body`)."""

from __future__ import annotations

from pillarbox.imapd.fetch.envelope import format_envelope
from pillarbox.imapd.fetch.item import CachedItem, Message, plain
from pillarbox.imapd.protocol.response import NIL, nstring, parenthesized, string
from pillarbox.lib.mime import Disposition, Part
from pillarbox.lib.mime.part import Parameters


def format_parameters(parameters: Parameters) -> bytes:
    """body-fld-param."""
    return parenthesized(string(text) for pair in parameters for text in pair) if parameters else NIL


def format_disposition(disposition: Disposition | None) -> bytes:
    """body-fld-dsp."""
    if disposition is None:
        return NIL
    return parenthesized((string(disposition.type), format_parameters(disposition.parameters)))


def format_language(language: tuple[bytes, ...]) -> bytes:
    """body-fld-lang."""
    if len(language) > 1:
        return parenthesized(map(string, language))
    return string(language[0]) if language else NIL


def format_body(part: Part, *, extended: bool) -> bytes:
    """body; `extended` adds the extension data of BODYSTRUCTURE."""
    if part.is_multipart:
        fields = [b"".join(format_body(child, extended=extended) for child in part.children), string(part.subtype)]
        if extended:
            fields.append(format_parameters(part.parameters))
    else:
        fields = [
            string(part.type),
            string(part.subtype),
            format_parameters(part.parameters),
            nstring(part.content_id),
            nstring(part.description),
            string(part.encoding),
            b"%d" % part.octets,
        ]
        if part.is_message and part.envelope is not None:
            fields += [format_envelope(part.envelope), format_body(part.children[0], extended=extended)]
        if part.is_message or part.type == b"text":
            fields.append(b"%d" % part.lines)
        if extended:
            fields.append(nstring(part.md5))
    if extended:
        fields += [
            format_disposition(part.disposition),
            format_language(part.language),
            nstring(part.location),
        ]
    return parenthesized(fields)


class Body(CachedItem):
    name, field = b"BODY", "body"

    def value(self, message: Message) -> bytes:
        return format_body(message.tree, extended=False)


class BodyStructure(CachedItem):
    name, field = b"BODYSTRUCTURE", "structure"

    def value(self, message: Message) -> bytes:
        return format_body(message.tree, extended=True)


BODY = Body()
BODYSTRUCTURE = BodyStructure()
ITEMS = {b"BODYSTRUCTURE": plain(BODYSTRUCTURE)}
