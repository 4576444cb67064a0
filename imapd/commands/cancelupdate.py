"""UPDATE and CONTEXT as return options of SEARCH and SORT, and CANCELUPDATE (RFC 5267 section 4)."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from pillarbox.imapd.commands.command import Action, Command, Reply, State, Syntax
from pillarbox.imapd.commands.options import SearchFound, SearchReturn
from pillarbox.imapd.fetch import parse_items
from pillarbox.imapd.fetch.item import Item, Message
from pillarbox.imapd.fetch.uid import UID
from pillarbox.imapd.protocol.cursor import Cursor
from pillarbox.imapd.protocol.errors import BadSyntax
from pillarbox.imapd.search.contexts import CONTEXTS, RESULTS, Context, no_update
from pillarbox.imapd.session.context import Session
from pillarbox.lib.store.interface import MessageGone, StoreError


class Hint(SearchReturn):
    """CONTEXT says that the client will ask again; each answer costs what it costs."""

    decides = False


class Update(SearchReturn):
    decides = False

    def __init__(self, items: tuple[Item, ...] = ()) -> None:
        """`items` are fetched of new messages in the result (RFC 5465 section 7)."""
        self._items = tuple(dict.fromkeys((UID, *items))) if items else ()

    def done(self, found: SearchFound, returned: Mapping[bytes, SearchReturn]) -> None:
        if found.question is None:
            return
        session, question = found.session, found.question
        selected = session.mailbox
        contexts = [context for context in selected.contexts if context.tag != question.tag]
        if len(contexts) >= CONTEXTS or len(found.indexes) > RESULTS:
            session.send(no_update(question.tag, "Too many results to keep up to date."))
            return
        uids = selected.uids
        result = [uids[index] for index in found.indexes]
        context = Context(question.tag, found.by_uid, question.key, question.criteria, result)
        context.values = dict(zip(result, found.values, strict=True)) if question.criteria is not None else {}
        context.modseq, context.uid_next = selected.mailbox.highest_modseq, selected.mailbox.uid_next
        if self._items:
            context.fetch = lambda _, index: fetched(session, index, self._items)
        selected.contexts = [*contexts, context]


def fetched(session: Session, index: int, items: tuple[Item, ...]) -> list[bytes]:
    """The FETCH of one message; nothing where it is gone, or has an item too large for a message unasked."""
    message = Message(session, index)
    try:
        pieces = [item.render(message) for item in items]
    except (MessageGone, StoreError):
        return []
    texts = [piece for piece in pieces if isinstance(piece, bytes)]
    if len(texts) < len(pieces):
        return []
    return [session.mailbox.fetch_opening(index, message.uid) + b" ".join(texts) + b")\r\n"]


def _parse_update(cursor: Cursor) -> SearchReturn:
    if not cursor.accept(b" ("):
        return Update()
    cursor.position -= 1
    return Update(parse_items(cursor))


def parse(syntax: Syntax) -> Action:
    tags = []
    while not syntax.cursor.at_end:
        syntax.cursor.space()
        tags.append(syntax.cursor.string())
    if not tags:
        raise BadSyntax("a tag expected")

    async def run(session: Session) -> Reply:
        selected = session.mailbox
        known = {context.tag for context in selected.contexts}
        if not known.issuperset(tags):
            raise BadSyntax("no updates are under way for such a tag")
        selected.contexts = [context for context in selected.contexts if context.tag not in tags]
        return Reply("No further updates.")

    return run


SEARCH_RETURN: dict[bytes, Callable[[Cursor], SearchReturn]] = {
    b"UPDATE": _parse_update,
    b"CONTEXT": lambda cursor: Hint(),
}
CAPABILITIES = ("CONTEXT=SEARCH", "CONTEXT=SORT")
COMMAND = Command("CANCELUPDATE", State.SELECTED, parse)
