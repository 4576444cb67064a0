"""CREATE (RFC 9051 section 6.3.4) with USE (RFC 6154 section 3).

A trailing delimiter says that children are to come; the mailbox is made anyway.
"""

from __future__ import annotations

from contextlib import suppress
from functools import partial

from pillarbox.imapd.commands.command import ANY_STATE, Action, Command, Reply, Syntax
from pillarbox.imapd.commands.special_use import give_uses, parse_uses
from pillarbox.imapd.protocol.cursor import Cursor
from pillarbox.imapd.session.context import Session
from pillarbox.lib.store.apart import patiently
from pillarbox.lib.store.interface import DELIMITER, StoreError

CAPABILITIES = ("CREATE-SPECIAL-USE",)


def parse_parameters(cursor: Cursor) -> tuple[bytes, ...]:
    """create-params of which there is one: "USE" SP "(" [use-attr *(SP use-attr)] ")"."""
    cursor.expect(b"(")
    cursor.expect(b"USE")
    cursor.space()
    uses = tuple(name.encode("ascii") for name in cursor.flag_list())
    cursor.expect(b")")
    return uses


def parse(syntax: Syntax) -> Action:
    cursor = syntax.cursor
    cursor.space()
    name = cursor.mailbox()
    words: tuple[bytes, ...] = ()
    if not cursor.at_end:
        cursor.space()
        words = parse_parameters(cursor)
    cursor.end()

    async def run(session: Session) -> Reply:
        uses = parse_uses(words)
        mailbox = name.removesuffix(DELIMITER)
        await patiently(partial(session.store.create, mailbox))
        if uses:
            try:
                await patiently(partial(give_uses, session.store, mailbox, uses))
            except StoreError:
                # Section 3: the mailbox is made with its purposes, or not at all.
                with suppress(StoreError):
                    await patiently(partial(session.store.delete, mailbox))
                raise
        try:
            with session.store.open(mailbox, read_only=True) as made:
                return Reply("Create completed.", f"MAILBOXID ({made.mailbox_id})")  # RFC 8474 section 4.1
        except StoreError:  # in another's mailbox one may be allowed to create and not to read
            return Reply("Create completed.")

    return run


COMMAND = Command("CREATE", ANY_STATE, parse)
