"""Virtual alias expansion (virtual(5)): one recipient becomes those that `virtual_alias_maps` gives for it."""

from __future__ import annotations

from collections.abc import Iterable

from pillarbox.lib.clients.lookup import LookupClient
from pillarbox.lib.queue import Recipient


def expand_recipients(lookup: LookupClient, recipients: Iterable[Recipient]) -> tuple[Recipient, ...]:
    """The recipients after expansion, each address once.  Raises ServiceUnavailable where a table can't be asked."""
    found: dict[tuple[str, str], Recipient] = {}
    for recipient in recipients:
        for address in lookup.expand(recipient.address) or (recipient.address,):
            original = recipient.original or (recipient.address if address != recipient.address else "")
            expanded = Recipient(address, original, recipient.orcpt, recipient.notify)
            found.setdefault((address, recipient.orcpt), expanded)
    return tuple(found.values())
