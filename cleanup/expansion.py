"""Virtual alias expansion (virtual(5)): one recipient becomes those that `virtual_alias_maps` gives for it.

What becomes of the wishes that came with it is in RFC 3461 section 5.2.7: one address for another keeps them all; where
several take its place, success means that this was done, so that it is reported here and not asked for further on.
"""

from __future__ import annotations

from collections.abc import Iterable

from pillarbox.lib.clients.lookup import LookupClient
from pillarbox.lib.queue import Recipient
from pillarbox.lib.queue.envelope import notify_of_members


def expand_recipients(lookup: LookupClient, recipients: Iterable[Recipient]) -> tuple[Recipient, ...]:
    """The recipients after expansion, each address once.  Raises ServiceUnavailable where a table can't be asked."""
    found: dict[tuple[str, str], Recipient] = {}
    reports: dict[str, Recipient] = {}
    for recipient in recipients:
        if recipient.expanded:  # the message was requeued: others have, or had, their own places in it
            reports[recipient.address] = recipient
            continue
        addresses = lookup.expand(recipient.address) or (recipient.address,)
        notify = recipient.notify if len(addresses) == 1 else notify_of_members(recipient.notify)
        if notify is not recipient.notify:
            reports[recipient.address] = Recipient(
                recipient.address, recipient.original, recipient.orcpt, ("success",), expanded=True
            )
        for address in addresses:
            original = recipient.original or (recipient.address if address != recipient.address else "")
            key = (address, recipient.orcpt)
            before = found.get(key)
            if before is None:
                found[key] = Recipient(address, original, recipient.orcpt, notify)
            elif before.notify != notify:
                found[key] = Recipient(address, before.original, recipient.orcpt, _united(before.notify, notify))
    return (*found.values(), *reports.values())


def _united(one: tuple[str, ...], other: tuple[str, ...]) -> tuple[str, ...]:
    """What two ask for who reach the same address: neither is silenced by the other."""
    wishes = [value for values in (one, other) for value in values or ("failure", "delay") if value != "never"]
    return tuple(dict.fromkeys(wishes)) or ("never",)
