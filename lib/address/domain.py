"""Domain names in addresses: syntax, case, trailing dot, and the two spellings of international names.

Promises: two domains are the same exactly when `normalize_domain` gives the same text.  Does not ask the DNS.
"""

from __future__ import annotations

import encodings.idna
import ipaddress
import re
import unicodedata

LABEL_LIMIT = 63  # octets, RFC 1035 section 2.3.4
NAME_LIMIT = 253  # what 255 wire octets leave for text

# RFC 5321 sub-domain = Let-dig [Ldh-str], with the underscore that real host names carry, and U-labels (RFC 6531).
# Sets that go up to U+10FFFF are written by what they are not: compiling them takes Python milliseconds else.
_LETTER = r"[^\x00-/:-@\[-^`{-\x9f]"
_LABEL = re.compile(rf"{_LETTER}(?:[^\x00-,./:-@\[-^`{{-\x9f]*{_LETTER})?")
_GENERAL_LITERAL = re.compile(r"[A-Za-z0-9\-]*[A-Za-z0-9]:[\x21-\x5a\x5e-\x7e]+")
_OTHER_DOTS = re.compile("[\u3002\uff0e\uff61]")  # RFC 3490 section 3.1: full stops of other scripts


def is_domain(text: str) -> bool:
    """Whether it is a syntactically good domain name (RFC 5321 section 4.1.2), without a trailing dot."""
    if not text or len(text) > NAME_LIMIT:
        return False
    labels = text.split(".")
    if not all(_LABEL.fullmatch(label) for label in labels):
        return False
    if text.isascii():
        return all(len(label) <= LABEL_LIMIT for label in labels)
    ascii_form = to_ascii(text)
    return ascii_form is not None and len(ascii_form) <= NAME_LIMIT


def is_literal(text: str) -> bool:
    """Whether it is an address literal: `[192.0.2.1]`, `[IPv6:2001:db8::1]`, `[tag:content]` (RFC 5321 4.1.3)."""
    if len(text) < 3 or text[0] != "[" or text[-1] != "]":
        return False
    inside = text[1:-1]
    if inside[:5].lower() == "ipv6:":
        return literal_address(text) is not None
    if literal_address(text) is not None:
        return True
    return _GENERAL_LITERAL.fullmatch(inside) is not None


def literal_address(text: str) -> str | None:
    """The IP address inside an address literal in its standard spelling, or None."""
    if not (text.startswith("[") and text.endswith("]")):
        return None
    inside = text[1:-1]
    try:
        if inside[:5].lower() == "ipv6:":
            if "%" in inside:
                return None  # a scope means nothing to the other side
            return str(ipaddress.IPv6Address(inside[5:]))
        return str(ipaddress.IPv4Address(inside))
    except ValueError:
        return None


def to_ascii(domain: str) -> str | None:
    """The A-label form (`xn--...`), lower case; None where a label cannot be converted.

    IDNA 2003 by the standard library, where ß and a few others are mapped rather than encoded.
    """
    if domain.isascii():
        return domain.lower()
    labels = []
    for label in _OTHER_DOTS.sub(".", domain).split("."):
        if not label:
            return None
        try:
            converted = label.lower() if label.isascii() else encodings.idna.ToASCII(label).decode("ascii").lower()
        except UnicodeError:
            return None
        if not 0 < len(converted) <= LABEL_LIMIT:
            return None
        labels.append(converted)
    return ".".join(labels)


def to_unicode(domain: str) -> str:
    """The U-label form for people; a label that does not convert stays as it is."""
    labels = []
    for label in domain.split("."):
        try:
            labels.append(encodings.idna.ToUnicode(label) if label[:4].lower() == "xn--" else label)
        except UnicodeError:
            labels.append(label)
    return ".".join(labels)


def normalize_domain(domain: str) -> str:
    """The spelling to compare and look up by: lower case, A-labels, no trailing dot, standard literals."""
    if domain.isascii():
        if domain[:1] == "[":
            address = literal_address(domain)
            if address is None:
                return domain.lower()
            return f"[ipv6:{address}]" if ":" in address else f"[{address}]"
        return domain.lower().removesuffix(".")
    domain = _OTHER_DOTS.sub(".", domain).removesuffix(".")
    return to_ascii(domain) or unicodedata.normalize("NFC", domain).lower()


def same_domain(first: str, second: str) -> bool:
    """Whether two spellings name one domain."""
    return first == second or normalize_domain(first) == normalize_domain(second)
