"""CONDSTORE (RFC 7162 section 3.1): what it adds to SELECT, FETCH, STORE, STATUS and ENABLE.

Its item MODSEQ is in `imapd.fetch`, its search key in `imapd.search`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from pillarbox.imapd.commands.options import FetchModifier, SelectParameter, StatusItem
from pillarbox.imapd.fetch.modseq import MODSEQ
from pillarbox.imapd.protocol.cursor import Cursor
from pillarbox.imapd.session.context import Session
from pillarbox.lib.store.interface import MailboxStatus


class Condstore(SelectParameter):
    """Section 3.1.8."""

    def before(self, session: Session) -> None:
        session.enabled.add(b"CONDSTORE")  # what is selected now is about to be left: nothing to say about it


class ChangedSince(FetchModifier):
    """Section 3.1.4.1."""

    items = (MODSEQ,)

    def __init__(self, modseq: int) -> None:
        self.modseq = modseq

    def narrow(self, session: Session, indexes: Sequence[int], lowest: int) -> Sequence[int]:
        mailbox = session.mailbox.mailbox
        if self.modseq >= mailbox.highest_modseq:
            return ()
        modseqs = mailbox.messages.modseqs()
        return [index for index in indexes if modseqs[index] > self.modseq]


def _modseq(cursor: Cursor) -> int:
    """SP mod-sequence-valzer: zero too, for FETCH (where the grammar forbids it) as other servers take it."""
    cursor.space()
    return cursor.number63()


def highest_modseq(session: Session, name: str, status: MailboxStatus) -> bytes:
    """HIGHESTMODSEQ of STATUS (section 3.1.7): 0 where there is none."""
    session.enable(b"CONDSTORE")
    return b"%d" % status.highest_modseq


CAPABILITIES = ("CONDSTORE",)
SELECT_PARAMETERS: dict[bytes, Callable[[Cursor], SelectParameter]] = {b"CONDSTORE": lambda cursor: Condstore()}
FETCH_MODIFIERS: dict[bytes, Callable[[Cursor], FetchModifier]] = {
    b"CHANGEDSINCE": lambda cursor: ChangedSince(_modseq(cursor))
}
STORE_MODIFIERS: dict[bytes, Callable[[Cursor], int]] = {b"UNCHANGEDSINCE": _modseq}
STATUS_ITEMS: dict[bytes, StatusItem] = {b"HIGHESTMODSEQ": highest_modseq}
ENABLES: dict[bytes, Callable[[Session], None]] = {b"CONDSTORE": lambda session: None}
