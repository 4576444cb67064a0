"""RESETKEY (RFC 4467 section 7): the URLs into a mailbox, or all, that the user has authorized are good no more."""

from __future__ import annotations

from functools import partial

from pillarbox.imapd.commands.command import ANY_STATE, Action, Command, Reply, Syntax
from pillarbox.imapd.commands.urlauth import CODE, MECHANISM, must_be_on
from pillarbox.imapd.protocol.errors import CommandFailed
from pillarbox.imapd.session.context import Session
from pillarbox.lib.store.apart import patiently
from pillarbox.lib.store.url_keys import reset_all_keys, reset_key


def parse(syntax: Syntax) -> Action:
    """[SP mailbox *(SP mechanism)]."""
    cursor = syntax.cursor
    mailbox, mechanisms = None, set[bytes]()
    if not cursor.at_end:
        cursor.space()
        mailbox = cursor.mailbox()
        while not cursor.at_end:
            cursor.space()
            mechanisms.add(cursor.word())
    cursor.end()

    async def run(session: Session) -> Reply:
        must_be_on(session)
        if not mechanisms <= {MECHANISM.encode("ascii")}:
            raise CommandFailed(f"The only mechanism is {MECHANISM}.", "CANNOT")
        if mailbox is None:
            await patiently(partial(reset_all_keys, session.store))
            return Reply("All keys removed.")
        await patiently(partial(reset_key, session.store, mailbox))
        return Reply("Key replaced.", CODE)

    return run


COMMAND = Command("RESETKEY", ANY_STATE, parse)
