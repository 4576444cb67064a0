"""Address lists in header fields, by the two parsers: for what is sent, and for ENVELOPE."""

from __future__ import annotations

from pillarbox.lib.address import parse_address_list
from pillarbox.lib.mime.addresses import parse_addresses


def fuzz(data: bytes) -> None:
    """Anything gives a list."""
    parse_address_list(data.decode("utf-8", "surrogateescape"))
    parse_addresses(data)
