"""What becomes of a message's addresses before it is queued: standard form, canonical, blind copies, virtual aliases.

    addressing = Addressing(config, LookupClient(config))
    sender = addressing.sender(envelope.sender)
    recipients = addressing.recipients(envelope.recipients, sender, copies=True)

cleanup does this to every message; `pillarbox route` shows it.  Where nothing is configured, and addresses are written
in the usual way, no table is asked and the very same values come back.

What becomes of the wishes that came with a recipient is in RFC 3461 section 5.2.7: one address for another keeps them
all; where several take its place, success means that this was done, so that it is reported here and not asked for
further on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from operator import is_

from pillarbox.lib.clients.lookup import LookupClient, Position
from pillarbox.lib.config import Config
from pillarbox.lib.config.address_rules import address_rules
from pillarbox.lib.config.parameters.lookup import VIRTUAL_ALIAS_MAPS
from pillarbox.lib.config.parameters.rewriting import ALWAYS_BCC, RECIPIENT_BCC_MAPS, SENDER_BCC_MAPS
from pillarbox.lib.queue.envelope import Recipient, notify_of_members

Note = Callable[[str, str, str], None]
"""Hears of each step: its name, the address before, and after it."""


def _nothing(_step: str, _before: str, _after: str) -> None:
    """Nobody listens."""


class Addressing:
    """For one configuration.  Everything raises ServiceUnavailable where a table can't be asked."""

    def __init__(self, config: Config, lookup: LookupClient, note: Note = _nothing) -> None:
        self._lookup = lookup
        self._note = note
        self._standard = address_rules(config).standard
        self._always = config[ALWAYS_BCC].strip()
        self._copies = bool(self._always or config[SENDER_BCC_MAPS] or config[RECIPIENT_BCC_MAPS])
        self._aliases = bool(config[VIRTUAL_ALIAS_MAPS])

    def sender(self, address: str, *, mapped: bool = True) -> str:
        """The envelope sender; "" is nobody and stays.  Without `mapped` only its form is put right."""
        return self._rewritten(address, "envelope_sender", mapped) if address else ""

    def recipients(
        self, recipients: tuple[Recipient, ...], sender: str, *, mapped: bool = True, copies: bool = False
    ) -> tuple[Recipient, ...]:
        """The recipients in place of these, each address once; with `copies` those of blind copies besides.

        Without `mapped` (no_address_mappings) only their form is put right.
        """
        rewritten = tuple([self._recipient(one, mapped) for one in recipients])
        if all(map(is_, rewritten, recipients)):
            rewritten = recipients
        if mapped and copies and self._copies:
            rewritten += self._blind(rewritten, sender)
        if rewritten is recipients and not (mapped and self._aliases) and not _repeated(recipients):
            return recipients
        return self.expanded(rewritten, aliases=mapped and self._aliases)

    def _rewritten(self, address: str, position: Position, mapped: bool) -> str:
        standard = self._standard(address)
        if standard != address:
            self._note("form", address, standard)
        if not mapped:
            return standard
        canonical = self._lookup.canonical(standard, position)
        if canonical is None:
            return standard
        self._note("canonical", standard, canonical)
        return canonical

    def _recipient(self, recipient: Recipient, mapped: bool) -> Recipient:
        if recipient.expanded or not recipient.address:
            return recipient
        address = recipient.address
        if mapped and (sender := self._lookup.returned(address)) is not None:
            self._note("returned", address, sender)
            address = sender
        address = self._rewritten(address, "envelope_recipient", mapped)
        if address == recipient.address:
            return recipient
        return replace(recipient, address=address, original=recipient.original or recipient.address)

    def _blind(self, recipients: Iterable[Recipient], sender: str) -> tuple[Recipient, ...]:
        """Those who get a copy, of whom nobody is told (NOTIFY=NEVER)."""
        found: dict[str, None] = {}

        def add(step: str, reason: str, address: str | None) -> None:
            if address:
                self._note(step, reason, address)
                found[self._rewritten(address, "envelope_recipient", mapped=True)] = None

        for recipient in recipients:
            if not recipient.expanded:
                add("copy", recipient.address, self._lookup.copy_to(recipient.address, "recipient"))
        if sender:
            add("copy", sender, self._lookup.copy_to(sender, "sender"))
        add("copy", "always_bcc", self._always)
        return tuple([Recipient(address, notify=("never",)) for address in found])

    def expanded(self, recipients: Iterable[Recipient], *, aliases: bool = True) -> tuple[Recipient, ...]:
        """The recipients after virtual aliases (or without), each address once."""
        found: dict[tuple[str, str], Recipient] = {}
        reports: dict[str, Recipient] = {}
        for recipient in recipients:
            if recipient.expanded:  # the message was requeued: others have, or had, their own places in it
                reports[recipient.address] = recipient
                continue
            addresses = (aliases and self._lookup.expand(recipient.address)) or (recipient.address,)
            notify = recipient.notify if len(addresses) == 1 else notify_of_members(recipient.notify)
            if notify is not recipient.notify:
                reports[recipient.address] = Recipient(
                    recipient.address, recipient.original, recipient.orcpt, ("success",), expanded=True
                )
            for address in addresses:
                if address != recipient.address:
                    self._note("alias", recipient.address, address)
                original = recipient.original or (recipient.address if address != recipient.address else "")
                key = (address.casefold(), recipient.orcpt)
                before = found.get(key)
                if before is None:
                    found[key] = Recipient(address, original, recipient.orcpt, notify)
                elif before.notify != notify:
                    found[key] = Recipient(
                        before.address, before.original, recipient.orcpt, _united(before.notify, notify)
                    )
        return (*found.values(), *reports.values())


def _repeated(recipients: tuple[Recipient, ...]) -> bool:
    """Whether an address is there more than once, in whatever case: as in Postfix it gets the message once."""
    count = len(recipients)
    return count > 1 and len({(one.address.casefold(), one.orcpt) for one in recipients}) < count


def _united(one: tuple[str, ...], other: tuple[str, ...]) -> tuple[str, ...]:
    """What two ask for who reach the same address: neither is silenced by the other."""
    wishes = [value for values in (one, other) for value in values or ("failure", "delay") if value != "never"]
    return tuple(dict.fromkeys(wishes)) or ("never",)
