"""Carrying out what access tables and policy servers want done to a message."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from pillarbox.smtpd.policy.outcome import Effect

if TYPE_CHECKING:
    from pillarbox.smtpd.transaction import Transaction


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
