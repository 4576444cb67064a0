"""Parameters of MIME fields as people read them: RFC 2231 continuations put together, charsets undone."""

from __future__ import annotations

import re
from urllib.parse import unquote_to_bytes

from pillarbox.lib.mime.charset import decode_text
from pillarbox.lib.mime.part import Parameters

_SECTION = re.compile(r"([^*]+)(?:\*([0-9]{1,4}))?(\*)?")


def decode_parameters(parameters: Parameters) -> dict[str, str]:
    """Names in lower case and values as text.  Of a name in several forms the one with a charset counts, as senders
    mean it; what follows a missing section is left out (RFC 2231 section 3)."""
    found: dict[str, str] = {}
    sections: dict[str, dict[int, tuple[bytes, bool]]] = {}
    for written, value in parameters:
        match = _SECTION.fullmatch(written.decode("latin-1"))
        if match is None:
            continue
        name, number, extended = match[1], match[2], match[3] is not None
        if number is None and not extended:
            found.setdefault(name, _text(value))
        else:
            sections.setdefault(name, {})[int(number or 0)] = (value, extended)
    for name, pieces in sections.items():
        if 0 in pieces:
            found[name] = _joined(pieces)
    return found


def _joined(pieces: dict[int, tuple[bytes, bool]]) -> str:
    first, extended = pieces[0]
    charset = b"utf-8"
    if extended and first.count(b"'") >= 2:
        charset, _, rest = first.partition(b"'")
        pieces = {**pieces, 0: (rest.partition(b"'")[2], True)}
    octets = b""
    for number in range(len(pieces)):
        if number not in pieces:
            break
        value, extended = pieces[number]
        octets += unquote_to_bytes(value) if extended else value
    return "".join(decode_text(charset.decode("latin-1") or "utf-8", (octets,)))


def _text(value: bytes) -> str:
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        return value.decode("latin-1")
