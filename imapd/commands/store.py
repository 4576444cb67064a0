"""STORE and UID STORE (RFC 9051 section 6.4.6)."""

from __future__ import annotations

from functools import partial

from pillarbox.imapd.commands.command import Action, Command, Reply, Report, State, Syntax
from pillarbox.imapd.commands.messagelimit import MessageLimit
from pillarbox.imapd.commands.messages import named_indexes
from pillarbox.imapd.commands.options import STORE_MODIFIERS, read_options
from pillarbox.imapd.protocol.cursor import Cursor
from pillarbox.imapd.protocol.errors import CommandFailed
from pillarbox.imapd.protocol.sequence import format_set
from pillarbox.imapd.session.context import Session
from pillarbox.imapd.session.selected import Selected, split_flags
from pillarbox.lib.store.apart import patiently
from pillarbox.lib.store.interface import FlagChange, MessageState, StoreError

AT_ONCE = 500
"""Messages whose flags are changed in one call of the store; between calls other sessions have their turn."""

_CHANGES: tuple[tuple[bytes, FlagChange], ...] = ((b"+", "add"), (b"-", "remove"), (b"", "replace"))


def parse_change(cursor: Cursor) -> tuple[FlagChange, bool, tuple[str, ...]]:
    """store-att-flags: what to do, whether silently, and with which flags."""
    change = next(change for sign, change in _CHANGES if cursor.accept(sign))
    cursor.expect(b"FLAGS")
    silent = cursor.accept(b".SILENT")
    cursor.space()
    if cursor.peek(b"("):
        return change, silent, cursor.flag_list()
    flags = [cursor.flag()]
    while not cursor.at_end:
        cursor.space()
        flags.append(cursor.flag())
    return change, silent, tuple(flags)


def parse(syntax: Syntax) -> Action:
    cursor = syntax.cursor
    cursor.space()
    numbers = cursor.message_set()
    cursor.space()
    modifiers: dict[bytes, int] = {}
    if cursor.peek(b"("):
        modifiers = read_options(cursor, STORE_MODIFIERS, "store modifier")
        cursor.space()
    change, silent, names = parse_change(cursor)
    cursor.end()
    flags, keywords = split_flags(names)
    unchanged_since = modifiers.get(b"UNCHANGEDSINCE")

    async def run(session: Session) -> Reply:
        selected = session.mailbox
        selected.must_be_writable()
        if unchanged_since is not None:
            session.need_modseqs()
        all_uids = selected.uids
        limit = MessageLimit(session)
        uids = [all_uids[index] for index in limit.highest(named_indexes(syntax, session, numbers))]
        missing = 0
        modified: list[int] = []
        for start in range(0, len(uids), AT_ONCE):
            some = uids[start : start + AT_ONCE]
            before = states_of(selected, some) if silent else {}
            highest = selected.mailbox.highest_modseq
            try:
                done = await patiently(
                    partial(selected.mailbox.set_flags, some, change, flags, keywords, unchanged_since=unchanged_since)
                )
            except StoreError:
                for state in states_of(selected, some).values():
                    if state.modseq > highest:  # it was changed before another one failed
                        session.send(selected.flags_line(selected.index(state.uid) or 0, state, syntax.by_uid))
                raise
            missing += len(some) - len(done.states) - len(done.modified)
            modified += done.modified
            session.send_all(selected.keyword_lines())
            for state in done.states:
                index = selected.index(state.uid)
                if index is None:
                    continue
                old = before.get(state.uid)
                # Silent or not, a client must hear of flags that are not as it thinks: a keyword found no room, or
                # another session changed something, which will not be told again (RFC 9051 section 6.4.6).
                if old is None or (state.flags, state.keywords) != changed(old, change, flags, keywords):
                    session.send(selected.flags_line(index, state, syntax.by_uid))
                elif selected.tells_modseqs and (unchanged_since is not None or old.modseq != state.modseq):
                    session.send(selected.modseq_change_line(index, state))
            await session.progress(min(start + AT_ONCE, len(uids)), len(uids))
        code = modified_code(syntax, selected, modified)
        if missing and not syntax.by_uid:
            limit.tell()
            raise CommandFailed("Some of the messages no longer exist", code or "EXPUNGEISSUED")
        return limit.reply(Reply("Conditional store failed." if modified else "Store completed.", code))

    return run


def states_of(selected: Selected, uids: list[int]) -> dict[int, MessageState]:
    """What the client knows of these messages."""
    indexes = (selected.index(uid) for uid in uids)
    states = (selected.state(index) for index in indexes if index is not None)
    return {state.uid: state for state in states}


def changed(
    state: MessageState, change: FlagChange, flags: int, keywords: frozenset[str]
) -> tuple[int, frozenset[str]]:
    """The flags and keywords that a client expects after its change."""
    if change == "replace":
        return flags, keywords
    if change == "add":
        return state.flags | flags, state.keywords | keywords
    return state.flags & ~flags, state.keywords - keywords


def modified_code(syntax: Syntax, selected: Selected, uids: list[int]) -> str:
    """MODIFIED (RFC 7162 section 3.1.3): the messages that were passed over, named as in the command."""
    if not uids:
        return ""
    if syntax.by_uid:
        return f"MODIFIED {format_set(uids).decode('ascii')}"
    indexes = (selected.index(uid) for uid in uids)
    return f"MODIFIED {format_set(index + 1 for index in indexes if index is not None).decode('ascii')}"


COMMAND = Command("STORE", State.SELECTED, parse, Report.NOTHING, uid_form=True)
