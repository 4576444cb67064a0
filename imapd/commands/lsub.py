"""LSUB (RFC 3501 section 6.3.9)."""

from __future__ import annotations

from pillarbox.imapd.commands.command import ANY_STATE, Action, Command, Reply, Syntax
from pillarbox.imapd.commands.list import Row, list_line
from pillarbox.imapd.commands.pattern import Pattern
from pillarbox.imapd.session.context import Session
from pillarbox.lib.store.interface import DELIMITER, MailboxEntry


def subscribed_rows(subscriptions: tuple[str, ...], existing: dict[str, bool], pattern: Pattern) -> list[Row]:
    """Subscribed names that match; a level that matches and only has subscribed children is \\Noselect."""
    rows: dict[str, Row] = {}
    for name in sorted(subscriptions):
        if pattern.matches(name):
            attributes = () if existing.get(name) else (b"\\Noselect",)
            rows[name] = Row(MailboxEntry(name), attributes)
            continue
        levels = name.split(DELIMITER)
        for count in range(len(levels) - 1, 0, -1):
            parent = DELIMITER.join(levels[:count])
            if parent not in rows and pattern.matches(parent):
                rows[parent] = Row(MailboxEntry(parent), (b"\\Noselect",))
                break
    return [rows[name] for name in sorted(rows)]


def parse(syntax: Syntax) -> Action:
    cursor = syntax.cursor
    cursor.space()
    reference = cursor.mailbox()
    cursor.space()
    pattern = Pattern(reference + cursor.list_mailbox())
    cursor.end()

    async def run(session: Session) -> Reply:
        existing = {entry.name: entry.selectable for entry in session.store.list()}
        for row in subscribed_rows(session.store.subscriptions(), existing, pattern):
            session.send(list_line(session, b"LSUB", row))
        return Reply("Lsub completed.")

    return run


COMMAND = Command("LSUB", ANY_STATE, parse, until_rev2=True)
