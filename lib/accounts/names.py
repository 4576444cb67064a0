"""The one spelling of an account's address.

Local parts of hosted accounts are case-insensitive, as every provider has it and people expect.  An account's local
part also names a directory, so what no directory can be called is refused.
"""

from __future__ import annotations

import unicodedata

from pillarbox.lib.accounts.errors import BadAddress
from pillarbox.lib.address import AddressSyntaxError, normalize_domain, parse_mailbox


def normalize_address(address: str) -> str:
    """`Ann@Example.COM` as `ann@example.com`: NFC, lower case, domain in A-labels.

    Raises BadAddress for what is no mailbox address, or one whose local part cannot name a directory.
    """
    try:
        parsed = parse_mailbox(unicodedata.normalize("NFC", address))
    except AddressSyntaxError as error:
        raise BadAddress(f'"{_printable(address)}" cannot be an account: {error}') from None
    local = parsed.local.lower()
    if local.startswith(".") or "/" in local or not local.isprintable():
        raise BadAddress(f'"{_printable(address)}" cannot be an account: its local part cannot name a directory')
    return str(type(parsed)(local, normalize_domain(parsed.domain)))


def _printable(text: str) -> str:
    return "".join(char if char.isprintable() else "?" for char in text[:100])
