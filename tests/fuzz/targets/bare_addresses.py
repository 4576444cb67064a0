"""Addresses in header fields, completed and replaced."""

from __future__ import annotations

from pillarbox.lib.address.header import parse_address_list
from pillarbox.lib.address.header_rewriting import complete_at_a_glance, rewrite_addresses
from pillarbox.lib.address.rewriting import AddressRules

_DOMAIN = "h.example"
_RULES = AddressRules(_DOMAIN, append_dot_mydomain=True)


def _completed(address: str) -> str:
    return address if "@" in address else f"{address}@{_DOMAIN}"


def fuzz(data: bytes) -> None:
    """Only domains are added, once is enough, and every mailbox that could be read still can; what is seen to be
    complete at a glance needs no mending."""
    text = data.decode("utf-8", "surrogateescape")
    completed = rewrite_addresses(text, _completed)
    mark = f"@{_DOMAIN}"
    if ":" not in text:  # a source route goes
        assert completed.replace(mark, "") == text.replace(mark, "")
    assert rewrite_addresses(completed, _completed) == completed
    assert len(parse_address_list(text).mailboxes) <= len(parse_address_list(completed).mailboxes)
    standard = rewrite_addresses(text, _RULES.standard)
    if complete_at_a_glance(text):
        assert standard == text
