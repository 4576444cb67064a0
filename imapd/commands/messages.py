"""The messages that a command names, by sequence number or by UID."""

from __future__ import annotations

from collections.abc import Sequence

from pillarbox.imapd.commands.command import Syntax
from pillarbox.imapd.protocol.errors import BadSyntax
from pillarbox.imapd.protocol.sequence import SAVED_RESULT, SequenceSet
from pillarbox.imapd.session.context import Session


def named_indexes(syntax: Syntax, session: Session, numbers: SequenceSet) -> Sequence[int]:
    """Their positions, ascending.  A number that no message has is an error; a UID is passed over (section 6.4.8), as
    is what `$` had and is gone (RFC 5182 section 2.1).
    """
    selected = session.mailbox
    if numbers == SAVED_RESULT:
        places = map(selected.index, session.saved_search)
        return [place for place in places if place is not None]
    if syntax.by_uid:
        return selected.named(numbers)
    found = numbers.numbers(selected.count)
    if found is None:
        raise BadSyntax(f"Invalid message set: the mailbox has {selected.count} messages")
    return [number - 1 for number in found]
