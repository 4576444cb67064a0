"""EXPUNGE and UID EXPUNGE (RFC 9051 sections 6.4.3 and 6.4.9)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from pillarbox.imapd.commands.command import Action, Command, Reply, State, Syntax
from pillarbox.imapd.commands.messagelimit import MessageLimit
from pillarbox.imapd.commands.messages import named_indexes
from pillarbox.imapd.protocol.sequence import SequenceSet
from pillarbox.imapd.session.context import Session
from pillarbox.lib.store.apart import patiently
from pillarbox.lib.store.interface import DELETED, Mailbox


def deleted_uids(mailbox: Mailbox) -> list[int]:
    """The messages of the snapshot with \\Deleted."""
    messages = mailbox.messages
    if not messages.counts().deleted:
        return []
    return [uid for uid, mark in zip(messages.uids, messages.marks(), strict=True) if mark & DELETED]


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
        await session.report(with_uid=syntax.by_uid)
        deleted: Sequence[int] = deleted_uids(selected.mailbox)
        limit = MessageLimit(session)
        if uids is not None and deleted:
            named = {selected.uids[index] for index in named_indexes(syntax, session, uids)}
            deleted = limit.highest_uids([uid for uid in deleted if uid in named])
        if deleted:
            try:
                await patiently(partial(selected.mailbox.expunge, deleted))
            finally:
                session.send_all(selected.removed(deleted))
        return limit.reply(Reply("Expunge completed."), vanishes=True)

    return run


CAPABILITIES = ("UIDPLUS",)
COMMAND = Command("EXPUNGE", State.SELECTED, parse, uid_form=True)
