"""MOVE and UID MOVE (RFC 9051 section 6.4.8): COPYUID comes untagged, before the EXPUNGEs."""

from __future__ import annotations

from functools import partial

from pillarbox.imapd.commands.command import Action, Command, Reply, State, Syntax
from pillarbox.imapd.commands.copy import copy_code, try_create
from pillarbox.imapd.commands.messagelimit import MessageLimit
from pillarbox.imapd.commands.messages import named_indexes
from pillarbox.imapd.protocol import response
from pillarbox.imapd.session.context import Session
from pillarbox.lib.store.apart import patiently
from pillarbox.lib.store.interface import MailboxNotFound, StoreError


def parse(syntax: Syntax) -> Action:
    cursor = syntax.cursor
    cursor.space()
    numbers = cursor.message_set()
    cursor.space()
    target = cursor.mailbox()
    cursor.end()

    async def run(session: Session) -> Reply:
        selected = session.mailbox
        selected.must_be_writable()
        limit = MessageLimit(session)
        uids = [selected.uids[index] for index in limit.highest(named_indexes(syntax, session, numbers))]
        try:
            moved = await patiently(partial(session.store.transfer, selected.mailbox, uids, target, move=True))
        except StoreError as error:
            session.send_all(selected.removed(uids))  # those that went before it failed
            raise (try_create(error) if isinstance(error, MailboxNotFound) else error) from None
        code = copy_code(moved)
        if code:
            session.send(response.status(b"*", b"OK", "Moved UIDs.", code))
        session.send_all(selected.removed(uids))
        return limit.reply(Reply("Move completed."), vanishes=True)

    return run


CAPABILITIES = ("MOVE",)
COMMAND = Command("MOVE", State.SELECTED, parse, uid_form=True)
