"""Addresses without a domain in header fields, completed."""

from __future__ import annotations

from pillarbox.lib.address.completion import complete_addresses
from pillarbox.lib.address.header import parse_address_list

_DOMAIN = "h.example"


def fuzz(data: bytes) -> None:
    """Only domains are added, once is enough, and every mailbox that could be read still can."""
    text = data.decode("utf-8", "surrogateescape")
    completed = complete_addresses(text, _DOMAIN)
    mark = f"@{_DOMAIN}"
    assert completed.replace(mark, "") == text.replace(mark, "")
    assert complete_addresses(completed, _DOMAIN) == completed
    assert len(parse_address_list(text).mailboxes) <= len(parse_address_list(completed).mailboxes)
