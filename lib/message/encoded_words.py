"""Encoded words in header fields (RFC 2047).

Promises: `decode_words` takes any bytes and gives text, wrong words stay as they are; `encode_words` gives ASCII
that `decode_words` turns back into the text, no word longer than 75 octets.
"""

from __future__ import annotations

import base64
import binascii
import codecs
import re

WORD_LIMIT = 75
"""Octets of an encoded word (RFC 2047 section 2)."""

_WORD = re.compile(r"=\?([!-)+\-/-9=?A-Z^-~]{1,40}?)(?:\*[A-Za-z0-9\-]*)?\?([BbQq])\?([!->@-~ ]*?)\?=")
_BETWEEN = re.compile(r"(\?=)[ \t\r\n]+(=\?[^?\s]{1,60}\?[BbQq]\?)")
_QUOTED = re.compile(rb"=([0-9A-Fa-f]{2})")
_CHUNK = 45  # octets of UTF-8 in one word: 60 characters of base64, 12 around them
# Names that mail uses and the codec registry does not know; gb2312 in practice means its superset.
_CHARSETS = {
    "x-sjis": "shift_jis",
    "iso-8859-8-i": "iso-8859-8",
    "x-mac-cyrillic": "mac-cyrillic",
    "unknown-8bit": "ascii",
    "gb2312": "gb18030",
    "x-unknown": "ascii",
}


def decode_words(value: bytes) -> str:
    """The text of an unfolded field value: raw octets as UTF-8 (else Latin-1), then the encoded words in it."""
    try:
        text = value.decode("utf-8")
    except UnicodeDecodeError:
        text = value.decode("latin-1")
    if "=?" not in text:
        return text
    # Blanks between two encoded words are not part of the text (section 6.2).
    text = _BETWEEN.sub(r"\1\2", _BETWEEN.sub(r"\1\2", text))
    return _decode_runs(text)


def _decode_runs(text: str) -> str:
    """Replace the words; words side by side in one charset are decoded together: senders cut inside characters."""
    result: list[str] = []
    position = 0
    pending = b""
    charset = ""

    def flush() -> None:
        nonlocal pending
        if pending:
            result.append(pending.decode(charset, "replace"))
            pending = b""

    for found in _WORD.finditer(text):
        octets = _octets(found.group(2), found.group(3))
        name = _charset(found.group(1))
        if octets is None or name is None:
            continue
        if found.start() != position or name != charset:
            flush()
            result.append(text[position : found.start()])
            charset = name
        pending += octets
        position = found.end()
    flush()
    result.append(text[position:])
    return "".join(result)


def _charset(name: str) -> str | None:
    wanted = _CHARSETS.get(name.lower(), name)
    try:
        info = codecs.lookup(wanted)
    except (LookupError, ValueError):
        return None
    # Codecs that are not text (zlib, hex) must not run on mail.
    return info.name if getattr(info, "_is_text_encoding", True) else None


def _octets(encoding: str, text: str) -> bytes | None:
    raw = text.encode("ascii", "replace")
    if encoding in "Qq":
        return _QUOTED.sub(lambda found: bytes((int(found.group(1), 16),)), raw.replace(b"_", b" "))
    try:
        return base64.b64decode(raw + b"=" * (-len(raw) % 4))
    except (binascii.Error, ValueError):
        return None


def encode_words(text: str) -> bytes:
    """Text for an unstructured field or a display name: as it is where ASCII will do, else UTF-8 words in base64."""
    if text.isascii() and "=?" not in text and text.isprintable():
        return text.encode("ascii")
    words = []
    for piece in _cut(text):
        words.append(b"=?utf-8?B?" + base64.b64encode(piece) + b"?=")
    return b" ".join(words)


def _cut(text: str) -> list[bytes]:
    """UTF-8 in pieces that end between characters."""
    pieces: list[bytes] = []
    piece = b""
    for character in text:
        octets = character.encode("utf-8", "replace")
        if len(piece) + len(octets) > _CHUNK:
            pieces.append(piece)
            piece = b""
        piece += octets
    return [*pieces, piece]


def encode_phrase(name: str) -> bytes:
    """A display name for an address field: bare atoms, a quoted string, or encoded words (RFC 5322 section 3.2.5)."""
    if re.fullmatch(r"[A-Za-z0-9!#$%&'*+\-/=?^_`{|}~ ]+", name) and "=?" not in name:
        return name.encode("ascii")
    if name.isascii() and name.isprintable() and "=?" not in name:
        return ('"' + re.sub(r'(["\\])', r"\\\1", name) + '"').encode("ascii")
    return encode_words(name)
