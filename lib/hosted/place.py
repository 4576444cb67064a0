"""Where a hosted mailbox lies: from an address, which an outsider chose, to a path below one directory.

Promises: the path never leaves the base; two addresses that differ after case folding never share a place; an
address that cannot be a directory name is refused rather than changed.
"""

from __future__ import annotations

import unicodedata
from typing import Final, NamedTuple

from pillarbox.lib.address import AddressSyntaxError, normalize_domain, parse_mailbox, split_extension

_NAME_LIMIT: Final = 200
"""Bytes of one directory name: NAME_MAX is 255, and lock files and the like need some for themselves."""


class UnusableAddress(Exception):
    """The address cannot name a mailbox here; the text says why."""


class Parts(NamedTuple):
    """A recipient's address: the unquoted local part and the domain in the spelling that accounts have."""

    local: str
    domain: str
    extension: str = ""
    """What followed the delimiter, as it was written."""


def split_address(address: str, delimiters: str) -> Parts:
    """The parts of an address.

    Raises UnusableAddress.
    """
    try:
        parsed = parse_mailbox(address if address.isascii() else unicodedata.normalize("NFC", address))
    except AddressSyntaxError as error:
        raise UnusableAddress(str(error)) from None
    local, extension = split_extension(parsed.local, delimiters)
    return Parts(local.lower(), normalize_domain(parsed.domain), extension or "")


def map_keys(address: str, parts: Parts) -> tuple[str, ...]:
    """What tables of hosted mailboxes are asked for: user+extension@domain, user@domain, @domain (virtual(8))."""
    return tuple(dict.fromkeys((address, f"{parts.local}@{parts.domain}", f"@{parts.domain}")))


def directory_name(text: str) -> str:
    """`text` if it is safe as one level of a path.  Raises UnusableAddress."""
    if not text or text[0] == "." or "/" in text or not text.isprintable():
        raise UnusableAddress("the address cannot name a mailbox")
    try:
        length = len(text.encode("utf-8"))
    except UnicodeEncodeError:
        raise UnusableAddress("the address is not valid UTF-8") from None
    if length > _NAME_LIMIT:
        raise UnusableAddress("the address is too long for a mailbox name")
    return text


def default_place(local: str, domain: str) -> str:
    """`DOMAIN/LOCALPART/`, relative to the base."""
    return f"{directory_name(domain)}/{directory_name(local)}/"


def mapped_place(value: str) -> str:
    """The place that a table names, relative to the base.  Raises UnusableAddress for one that would leave it."""
    levels = value.strip().lstrip("/").split("/")
    is_maildir = levels[-1] == ""
    names = [directory_name(level) for level in levels if level not in ("", ".")]
    if not names:
        raise UnusableAddress(f'the table gives "{value}", which is no mailbox below the base')
    return "/".join(names) + ("/" if is_maildir else "")
