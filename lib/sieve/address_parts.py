"""Parts of addresses (RFC 5228 section 2.7.4, RFC 5233), and the header fields that hold addresses."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from pillarbox.lib.address.address import AddressSyntaxError, split_address, unquote_local
from pillarbox.lib.address.extension import split_extension
from pillarbox.lib.address.header import AddressList
from pillarbox.lib.address.path import parse_mailbox
from pillarbox.lib.sieve.call import Call
from pillarbox.lib.sieve.signature import TagRule

ADDRESS_TAGS: Final = {
    "all": TagRule(group="part"),
    "localpart": TagRule(group="part"),
    "domain": TagRule(group="part"),
    "user": TagRule("subaddress", group="part"),
    "detail": TagRule("subaddress", group="part"),
}

ADDRESS_HEADERS: Final = frozenset(
    (
        "from",
        "to",
        "cc",
        "bcc",
        "sender",
        "reply-to",
        "resent-from",
        "resent-to",
        "resent-cc",
        "resent-bcc",
        "resent-sender",
        "resent-reply-to",
        "return-path",
        "delivered-to",
        "x-original-to",
        "x-original-from",
        "envelope-to",
        "errors-to",
        "approved",
        "disposition-notification-to",
        "mail-followup-to",
        "mail-reply-to",
        "return-receipt-to",
        "x-envelope-to",
        "apparently-to",
    )
)
"""Names of the fields that `address` may be asked about, in lower case."""


@dataclass(frozen=True, slots=True)
class AddressPart:
    """Which part of an address is compared: `all`, `localpart`, `domain`, `user` or `detail`."""

    kind: str

    def of_list(self, found: AddressList, delimiters: str) -> list[str]:
        """The parts of the addresses of a field; one that is no address is compared as a whole or not at all."""
        values: list[str] = []
        for mailbox in found.mailboxes:
            values += self.of_text(mailbox.address, delimiters)
        if self.kind == "all":
            values += found.invalid
        return values

    def of_text(self, address: str, delimiters: str) -> tuple[str, ...]:
        """The part of one address; () where it has none."""
        if self.kind == "all":
            return (address,)
        local, domain = split_address(address)
        if self.kind == "domain":
            return (domain,) if domain else ()
        local = unquote_local(local)
        if self.kind == "localpart":
            return (local,)
        user, detail = split_extension(local, delimiters)
        if self.kind == "user":
            return (user,)
        return () if detail is None else (detail,)


def address_part(call: Call) -> AddressPart:
    """The part that the tags name."""
    return AddressPart(call.one_of("localpart", "domain", "user", "detail") or "all")


def address_of(text: str) -> str | None:
    """The address that a script writes, None where it is none or has no domain; a display name is left away."""
    inside = text.strip()
    if inside.endswith(">") and "<" in inside:
        inside = inside[inside.rindex("<") + 1 : -1]
    try:
        return str(parse_mailbox(inside))
    except AddressSyntaxError:
        return None
