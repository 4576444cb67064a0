"""NOTIFY (RFC 5465): being told of events in the selected mailbox and in others, without asking."""

from __future__ import annotations

from functools import partial

from pillarbox.imapd.commands.command import ANY_STATE, Action, Command, Reply, Syntax
from pillarbox.imapd.commands.fetch import send_message
from pillarbox.imapd.fetch import parse_items
from pillarbox.imapd.fetch.item import Item, Message
from pillarbox.imapd.fetch.uid import UID
from pillarbox.imapd.protocol.cursor import Cursor
from pillarbox.imapd.protocol.errors import BadSyntax, CommandFailed
from pillarbox.imapd.session import events
from pillarbox.imapd.session.context import Session
from pillarbox.imapd.session.events import NONE, EventGroup, Registration, SelectedEvents
from pillarbox.imapd.session.notifier import TooMuch, list_response, status_response
from pillarbox.lib.store.apart import patiently
from pillarbox.lib.store.interface import MessageGone

CAPABILITIES = ("NOTIFY",)
GROUP_LIMIT = 100
NAMES_LIMIT = 1000
"""Event groups of one command, and mailboxes named in one of them."""

_BY_UPPER = {name.upper().encode("ascii"): name for name in events.SUPPORTED}
_PAIR = {events.MESSAGE_NEW, events.MESSAGE_EXPUNGE}


class UnknownEvent(CommandFailed):
    """An event that is not supported (section 3.1)."""

    def __init__(self) -> None:
        super().__init__("An event that is not supported.", f"BADEVENT ({' '.join(events.SUPPORTED)})")


def parse_registration(cursor: Cursor) -> Registration:
    """event-groups.  Raises BadSyntax, UnknownEvent."""
    selected: SelectedEvents | None = None
    groups: list[EventGroup] = []
    unknown = False
    count = 0
    while True:
        cursor.expect(b"(")
        kind = cursor.word()
        cursor.space()
        mailboxes: tuple[str, ...] = ()
        if kind in (b"SUBTREE", b"MAILBOXES"):
            mailboxes = _mailboxes(cursor)
            cursor.space()
        elif kind not in (b"SELECTED", b"SELECTED-DELAYED", b"INBOXES", b"PERSONAL", b"SUBSCRIBED"):
            raise BadSyntax("a filter of mailboxes was expected")
        wanted, items, strange = _events(cursor)
        unknown = unknown or strange
        cursor.expect(b")")
        if kind.startswith(b"SELECTED"):
            if selected is not None:
                raise BadSyntax("only one of SELECTED and SELECTED-DELAYED")
            if wanted - events.MESSAGE_EVENTS:
                raise BadSyntax("the selected mailbox has events of messages only")
            flags = events.FLAG_CHANGE in wanted
            selected = SelectedEvents(bool(wanted), kind == b"SELECTED-DELAYED", flags, items)
        else:
            if items:
                raise BadSyntax("items are fetched of messages in the selected mailbox only")
            groups.append(EventGroup(kind.decode("ascii"), mailboxes, wanted))
        count += 1
        if count > GROUP_LIMIT:
            raise BadSyntax("too many event groups")
        if cursor.at_end:
            break
        cursor.space()
    if unknown:
        raise UnknownEvent
    return Registration(selected or SelectedEvents(), tuple(group for group in groups if group.events))


def _mailboxes(cursor: Cursor) -> tuple[str, ...]:
    if not cursor.accept(b"("):
        return (cursor.mailbox(),)
    names = [cursor.mailbox()]
    while not cursor.accept(b")"):
        cursor.space()
        names.append(cursor.mailbox())
        if len(names) > NAMES_LIMIT:
            raise BadSyntax("too many mailboxes")
    return tuple(names)


def _events(cursor: Cursor) -> tuple[frozenset[str], tuple[Item, ...], bool]:
    """events: which, what is fetched of new messages, and whether there are some that are not supported."""
    if cursor.accept(b"NONE"):
        return frozenset(), (), False
    cursor.expect(b"(")
    wanted: set[str] = set()
    items: tuple[Item, ...] = ()
    strange = False
    while True:
        word = cursor.word()
        name = _BY_UPPER.get(word)
        if name is None:
            strange = True
        else:
            wanted.add(name)
        if name == events.MESSAGE_NEW and cursor.accept(b" ("):
            cursor.position -= 1
            items = parse_items(cursor)
        if cursor.accept(b")"):
            break
        cursor.space()
    if wanted & events.MESSAGE_EVENTS and not wanted >= _PAIR:
        raise BadSyntax("MessageNew and MessageExpunge go together, and FlagChange with both")
    return frozenset(wanted), items, strange


def parse(syntax: Syntax) -> Action:
    """ "NOTIFY" SP ("SET" [SP "STATUS"] SP event-groups / "NONE")."""
    cursor = syntax.cursor
    cursor.space()
    registration, with_status = NONE, False
    failure: UnknownEvent | None = None
    if cursor.accept(b"SET"):
        cursor.space()
        if cursor.accept(b"STATUS"):
            with_status = True
            cursor.space()
        try:
            registration = parse_registration(cursor)
        except UnknownEvent as error:
            failure = error
    else:
        cursor.expect(b"NONE")
        cursor.end()
    items = registration.selected.items

    async def fetch(session: Session, index: int) -> None:
        try:
            await send_message(session, Message(session, index), tuple(dict.fromkeys((UID, *items))), newly_seen=False)
        except MessageGone:
            pass

    async def run(session: Session) -> Reply:
        if failure is not None:
            raise failure
        notifier = session.new_notifier(registration, fetch)
        try:
            names = await notifier.begin()
        except TooMuch:
            notifier.close()
            raise CommandFailed("Too many mailboxes to watch.", "NOTIFICATIONOVERFLOW") from None
        except BaseException:
            notifier.close()
            raise
        session.set_notifier(None)
        if registration is not NONE:
            await session.report()  # section 3.1: what has gathered is told first, as by NOOP
        session.set_notifier(notifier)
        for name in notifier.no_access():
            session.send(list_response(session, name, [b"\\NoAccess"]))
        if with_status:
            chosen = session.selected.mailbox.name if session.selected is not None else ""
            for name in names:
                if name != chosen:
                    status = await patiently(partial(session.store.status, name))
                    session.send(status_response(session, name, status))
                    await session.breathe()
        return Reply("Notify completed.")

    return run


COMMAND = Command("NOTIFY", ANY_STATE, parse)
