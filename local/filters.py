"""A user's own filters, in the order in which they are asked: each may take the message, or leave it to the next.

A filter runs in the process of the user, behind `.forward` and `mailbox_command` and before the mailbox.  It puts what
it has done, and what it leaves to others (addresses to send the message on to), into the report.  What a filter cannot
make sense of it leaves alone, with a warning in the report: the mail then goes to the mailbox.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from pillarbox.local.destinations import Destinations
from pillarbox.local.procmail import by_recipes
from pillarbox.local.sieve import sieve
from pillarbox.local.steps import Message, Report

Filter = Callable[[Destinations, Message, Report], bool]
"""Whether it has taken the message.  May raise what a way of delivery raises (`destinations`)."""

FILTERS: Final[tuple[Filter, ...]] = (by_recipes, sieve)


def filtered(destinations: Destinations, message: Message, report: Report) -> bool:
    """Whether one of the filters has taken the message."""
    return any(takes(destinations, message, report) for takes in FILTERS)
