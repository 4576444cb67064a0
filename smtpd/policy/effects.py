"""Carrying out what access tables and policy servers want done to a message.

Before the content it is written into the transaction; at the end of the message it joins the edits that cleanup makes
before it publishes the message.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from pillarbox.lib.queue.edits import Edits, RecipientEdit
from pillarbox.lib.queue.envelope import Recipient
from pillarbox.smtpd.policy.outcome import Effect

if TYPE_CHECKING:
    from pillarbox.smtpd.transaction import Transaction


def amend(edits: Edits, effects: Iterable[Effect], recipients: Sequence[Recipient]) -> Edits:
    """The edits with what the effects say.  `recipients` are those of the message so far."""
    for effect in effects:
        match effect.word:
            case "hold":
                edits = replace(edits, hold=edits.hold or effect.value)
            case "filter":
                edits = replace(edits, filter=effect.value)
            case "discard":
                edits = replace(edits, discard=True)
            case "bcc":
                edits = replace(edits, recipients=(*edits.recipients, _added(effect.value)))
            case "redirect":
                gone = tuple(RecipientEdit(recipient, delete=True) for recipient in recipients)
                edits = replace(edits, recipients=(*edits.recipients, *gone, _added(effect.value)))
            case _:
                pass
    return edits


def _added(address: str) -> RecipientEdit:
    return RecipientEdit(Recipient(address, notify=("never",)))


def carry_out(transaction: Transaction, effects: Iterable[Effect]) -> None:
    """Set in the transaction what the effects say.  The same twice is once: lists are gone through per recipient."""
    for effect in effects:
        match effect.word:
            case "hold":
                transaction.hold = transaction.hold or effect.value
            case "filter":
                transaction.filter = effect.value
            case "redirect":
                transaction.redirect = effect.value
            case "discard":
                transaction.discard = True
            case "bcc":
                if effect.value not in transaction.bcc:
                    transaction.bcc.append(effect.value)
            case "prepend":
                line = f"{effect.value}\n"
                if line not in transaction.prepended:
                    transaction.prepended.append(line)
            case _:
                pass
