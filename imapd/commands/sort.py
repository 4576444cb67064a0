"""SORT and UID SORT (RFC 5256), with the return options of SEARCH (ESORT, RFC 5267 section 3)."""

from __future__ import annotations

from pillarbox.imapd.commands.command import Action, Command, Reply, Report, State, Syntax
from pillarbox.imapd.commands.messagelimit import MessageLimit
from pillarbox.imapd.commands.options import Question
from pillarbox.imapd.commands.search import answer, give_up, parse_charset, parse_return, unknown_charset
from pillarbox.imapd.search import parse_program
from pillarbox.imapd.search.key import Candidate
from pillarbox.imapd.search.run import aside, search
from pillarbox.imapd.search.sorting import Value, in_order, parse_criteria, sort_values
from pillarbox.imapd.session.context import Session


def parse(syntax: Syntax) -> Action:
    cursor = syntax.cursor
    cursor.space()
    returned = parse_return(cursor)
    criteria = parse_criteria(cursor)
    cursor.space()
    charset, known = parse_charset(cursor)
    cursor.space()
    key = parse_program(cursor, charset)
    cursor.end()

    async def run(session: Session) -> Reply:
        if not known:
            give_up(session, returned)
            raise unknown_charset()
        if key.asks_modseq:
            session.need_modseqs()
        values: dict[int, tuple[Value, ...]] = {}
        relevancies: dict[int, int] = {}

        def take(candidate: Candidate) -> None:
            values[candidate.index] = sort_values(criteria, candidate)
            relevancies[candidate.index] = candidate.relevancy

        try:
            wanted = {each.field for each in criteria if each.field is not None}
            await search(session, session, key, take, wanted=wanted, narrow=MessageLimit(session).all)
        except BaseException:
            give_up(session, returned)
            raise
        indexes = await aside(len(values), lambda: in_order(criteria, values))
        scores = [relevancies[index] for index in indexes]
        sorted_by = [values[index] for index in indexes]
        answer(session, syntax, returned, indexes, scores, Question(syntax.tag, key, criteria), sorted_by)
        return Reply("Sort completed.")

    return run


CAPABILITIES = ("SORT", "SORT=DISPLAY", "ESORT")
COMMAND = Command("SORT", State.SELECTED, parse, Report.NOTHING, uid_form=True)
