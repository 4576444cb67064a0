"""THREAD and UID THREAD (RFC 5256 section 3)."""

from __future__ import annotations

from pillarbox.imapd.commands.command import Action, Command, Reply, Report, State, Syntax
from pillarbox.imapd.commands.messagelimit import MessageLimit
from pillarbox.imapd.commands.search import parse_charset, unknown_charset
from pillarbox.imapd.protocol import response
from pillarbox.imapd.protocol.errors import BadSyntax
from pillarbox.imapd.search import parse_program
from pillarbox.imapd.search.key import Candidate
from pillarbox.imapd.search.letter import letter
from pillarbox.imapd.search.run import aside, search
from pillarbox.imapd.search.summary import FIELD as SUMMARY
from pillarbox.imapd.search.threads import ALGORITHMS, Letter, format_threads
from pillarbox.imapd.session.context import Session


def parse(syntax: Syntax) -> Action:
    cursor = syntax.cursor
    cursor.space()
    algorithm = ALGORITHMS.get(cursor.word())
    if algorithm is None:
        raise BadSyntax("unknown threading algorithm")
    cursor.space()
    charset, known = parse_charset(cursor)
    cursor.space()
    key = parse_program(cursor, charset)
    cursor.end()

    async def run(session: Session) -> Reply:
        if not known:
            raise unknown_charset()
        if key.asks_modseq:
            session.need_modseqs()
        indexes: list[int] = []
        letters: list[Letter] = []

        def take(candidate: Candidate) -> None:
            letters.append(letter(candidate))
            indexes.append(candidate.index)

        await search(session, session, key, take, wanted=(SUMMARY,), narrow=MessageLimit(session).all)
        uids = session.mailbox.uids
        numbers = [uids[index] for index in indexes] if syntax.by_uid else [index + 1 for index in indexes]
        threads = await aside(len(letters), lambda: format_threads(algorithm(letters), numbers))
        session.send(response.untagged(b"THREAD", threads) if threads else response.untagged(b"THREAD"))
        return Reply("Thread completed.")

    return run


CAPABILITIES = tuple(f"THREAD={name.decode('ascii')}" for name in ALGORITHMS)
COMMAND = Command("THREAD", State.SELECTED, parse, Report.NOTHING, uid_form=True)
