"""EXPUNGE and UID EXPUNGE (RFC 9051 sections 6.4.3 and 6.4.9)."""

from __future__ import annotations

from pillarbox.imapd.commands.command import Action, Command, Reply, State, Syntax
from pillarbox.imapd.commands.messages import named_indexes
from pillarbox.imapd.protocol.sequence import SequenceSet
from pillarbox.imapd.session.context import Session
from pillarbox.lib.store.interface import DELETED


def parse(syntax: Syntax) -> Action:
    uids: SequenceSet | None = None
    if syntax.by_uid:
        syntax.cursor.space()
        uids = syntax.cursor.message_set()
    syntax.cursor.end()

    async def run(session: Session) -> Reply:
        selected = session.mailbox
        selected.must_be_writable()
        # Another session may have marked more since the last look; those are the client's to be told of first.
        session.report(with_uid=syntax.by_uid)
        indexes = range(selected.count) if uids is None else named_indexes(syntax, session, uids)
        states = (selected.state(index) for index in indexes)
        deleted = [state.uid for state in states if state.flags & DELETED]
        if deleted:
            try:
                selected.mailbox.expunge(deleted)
            finally:
                session.send_all(selected.removed(deleted))
        return Reply("Expunge completed.")

    return run


CAPABILITIES = ("UIDPLUS",)
COMMAND = Command("EXPUNGE", State.SELECTED, parse, uid_form=True)
