"""ENABLE (RFC 5161): capabilities that must be asked for.  Unknown ones are passed over."""

from __future__ import annotations

from pillarbox.imapd.commands.command import ANY_STATE, Action, Command, Reply, Syntax
from pillarbox.imapd.commands.options import ENABLES
from pillarbox.imapd.protocol import response
from pillarbox.imapd.session.context import Session


def parse(syntax: Syntax) -> Action:
    words: list[bytes] = []
    while not words or not syntax.cursor.at_end:
        syntax.cursor.space()
        words.append(syntax.cursor.word())

    async def run(session: Session) -> Reply:
        new = [word for word in dict.fromkeys(words) if word in ENABLES]
        for word in new:
            session.enable(word)
            ENABLES[word](session)
        session.send(response.untagged(b"ENABLED", *new))
        return Reply("Enabled.")

    return run


CAPABILITIES = ("ENABLE",)
COMMAND = Command("ENABLE", ANY_STATE, parse)
