"""The arguments of IMAP's commands in a session, with nothing enabled and with everything."""

from __future__ import annotations

from pillarbox.imapd.commands import COMMANDS
from pillarbox.imapd.commands.command import Syntax
from pillarbox.imapd.commands.options import ENABLES
from pillarbox.imapd.protocol.cursor import Cursor
from pillarbox.imapd.protocol.errors import BadSyntax, CommandFailed


def fuzz(data: bytes) -> None:
    """A command is understood, or refused with words for the client."""
    for utf8, enabled in ((False, frozenset[bytes]()), (True, frozenset(ENABLES))):
        cursor = Cursor(data, utf8=utf8)
        try:
            by_uid = cursor.accept(b"UID ")
            command = COMMANDS.get(cursor.word())
            if command is not None:
                command.parse(Syntax(cursor, by_uid, b"a", enabled))
        except (BadSyntax, CommandFailed) as error:
            assert str(error)
