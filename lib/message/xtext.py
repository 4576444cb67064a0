"""xtext: how ESMTP parameters carry text (RFC 3461 section 4), and the utf-8-addr forms (RFC 6533 section 3)."""

from __future__ import annotations

import re

# xchar: printable ASCII except "+" and "=".
_XTEXT = re.compile(r"(?:[!-*,-<>-~]|\+[0-9A-F]{2})*")
_HEX = re.compile(r"\+([0-9A-F]{2})")
_PLAIN = re.compile(r"[!-*,-<>-~]")
_EMBEDDED = re.compile(r"\\x\{([0-9A-F]{2,6})\}")


def encode_xtext(text: str) -> str:
    """Text as xtext; what is not ASCII is encoded octet by octet of its UTF-8."""
    return "".join(
        chr(octet) if _PLAIN.match(chr(octet)) else f"+{octet:02X}" for octet in text.encode("utf-8", "surrogateescape")
    )


def decode_xtext(text: str) -> str | None:
    """The text that xtext stands for; None where it is not xtext.  Octets that are not UTF-8 become surrogates."""
    if not _XTEXT.fullmatch(text):
        return None
    if "+" not in text:
        return text
    octets = _HEX.sub(lambda found: chr(int(found.group(1), 16)), text).encode("latin-1")
    return octets.decode("utf-8", "surrogateescape")


def decode_utf8_address(text: str) -> str | None:
    """Resolve `\\x{HEX}` in a utf-8-addr-xtext or utf-8-addr-unitext (RFC 6533 section 3); None for impossible ones."""
    try:
        decoded = _EMBEDDED.sub(lambda found: chr(int(found.group(1), 16)), text)
        decoded.encode("utf-8")
    except (ValueError, OverflowError):
        return None
    return decoded


def encode_utf8_address(text: str) -> str:
    """utf-8-addr-xtext: `\\x{HEX}` for everything that ASCII cannot say, for messages that must stay ASCII."""
    return "".join(
        character if "!" <= character <= "~" and character not in "+=\\" else f"\\x{{{ord(character):02X}}}"
        for character in text
    )
