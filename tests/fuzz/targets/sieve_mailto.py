"""`mailto:` URIs of scripts."""

from __future__ import annotations

from pillarbox.lib.sieve.mailto import RECIPIENTS, parse_mailto


def fuzz(data: bytes) -> None:
    """Addresses and fields without line ends, or ValueError."""
    try:
        found = parse_mailto("mailto:" + data.decode("utf-8", "replace"))
    except ValueError:
        return
    assert 0 < len(found.to + found.cc) <= RECIPIENTS
    for text in (*found.to, *found.cc, found.subject or "", *(word for field in found.fields for word in field)):
        assert "\n" not in text and "\r" not in text
