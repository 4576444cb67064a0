"""REPLACE and UID REPLACE (RFC 8508): a new message in place of an old one; as an APPEND, `append` does the work."""

from __future__ import annotations

from pillarbox.imapd.commands.append import complete
from pillarbox.imapd.commands.append_grammar import parse_replace
from pillarbox.imapd.commands.command import Action, Command, State, Syntax


def parse(syntax: Syntax) -> Action:
    return complete(syntax, parse_replace(syntax.cursor, syntax.tag, by_uid=syntax.by_uid))


CAPABILITIES = ("REPLACE",)
COMMAND = Command("REPLACE", State.SELECTED, parse, uid_form=True)
