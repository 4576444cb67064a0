"""COPY and UID COPY (RFC 9051 section 6.4.7), with COPYUID."""

from __future__ import annotations

from functools import partial

from pillarbox.imapd.commands.command import Action, Command, Reply, State, Syntax
from pillarbox.imapd.commands.messagelimit import check_copied
from pillarbox.imapd.commands.messages import named_indexes
from pillarbox.imapd.protocol.errors import CommandFailed
from pillarbox.imapd.protocol.sequence import format_set
from pillarbox.imapd.session.context import Session
from pillarbox.lib.store.apart import patiently
from pillarbox.lib.store.interface import Copied, MailboxNotFound


def copy_code(copied: Copied) -> str:
    """COPYUID; nothing where no message was copied."""
    if not copied.uids:
        return ""
    source, target = format_set(copied.source_uids).decode("ascii"), format_set(copied.uids).decode("ascii")
    return f"COPYUID {copied.uid_validity} {source} {target}"


def try_create(error: MailboxNotFound) -> CommandFailed:
    """The answer to a target that is not there: the client may create it (section 6.4.7)."""
    return CommandFailed(str(error), "TRYCREATE")


def parse(syntax: Syntax) -> Action:
    cursor = syntax.cursor
    cursor.space()
    numbers = cursor.message_set()
    cursor.space()
    target = cursor.mailbox()
    cursor.end()

    async def run(session: Session) -> Reply:
        selected = session.mailbox
        indexes = named_indexes(syntax, session, numbers)
        check_copied(session, indexes)
        uids = [selected.uids[index] for index in indexes]
        try:
            copied = await patiently(partial(session.store.transfer, selected.mailbox, uids, target, move=False))
        except MailboxNotFound as error:
            raise try_create(error) from None
        if len(copied.uids) < len(uids) and not syntax.by_uid:
            return Reply("Copy completed; messages that are gone were left out.", copy_code(copied))
        return Reply("Copy completed.", copy_code(copied))

    return run


COMMAND = Command("COPY", State.SELECTED, parse, uid_form=True)
