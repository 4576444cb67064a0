"""PREVIEW (RFC 8970): the beginning of a message's text, for the list of messages.

It is that of the first part with text in it, plain text before HTML among alternatives, without mark-up and with blanks
in one.  It is kept in the mailbox's cache; with LAZY only what is there already is told.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from dataclasses import dataclass

from pillarbox.imapd.fetch.item import Column, Item, ItemParser, Message
from pillarbox.imapd.protocol.cursor import Cursor
from pillarbox.imapd.protocol.response import NIL, string
from pillarbox.imapd.session.context import Session
from pillarbox.lib.mime import Part
from pillarbox.lib.store.text.parts import text_of

LENGTH = 200
"""Characters (section 3.2: 200 are recommended, 256 the most)."""

LOOKED_AT = 16 * 1024
"""Characters of a part from which the preview is taken: behind that much mark-up there is no beginning any more."""

_ENOUGH = 2048
"""Characters of a part that nearly always have a preview in them."""

_TORN = 40
"""Characters at the end of a beginning that may come out otherwise than in the whole: half a character reference."""

FIELD = "preview"

_UNSEEN = re.compile(r"(?is)<!--.*?(?:-->|\Z)|<(head|style|script|title)\b.*?(?:</\1\s*>|\Z)")
_TAG = re.compile(r"(?s)<[^<>]*>?")
_BLANKS = re.compile(r"[\s\u200b-\u200f\u2028-\u202e\u2060\ufeff\x00-\x1f\x7f-\x9f\u034f\u00ad]+")


def candidates(part: Part) -> Iterator[Part]:
    """The parts with text, the likeliest first."""
    if part.type == b"multipart":
        children = part.children
        if part.subtype == b"alternative":
            children = tuple(sorted(children, key=lambda child: (child.type, child.subtype) != (b"text", b"plain")))
        for child in children:
            yield from candidates(child)
    elif part.type == b"text" and (part.disposition is None or part.disposition.type.lower() != b"attachment"):
        yield part


def _words(text: str, markup: bool) -> str:
    if markup:
        text = html.unescape(_TAG.sub(" ", _UNSEEN.sub(" ", text)))
    return _BLANKS.sub(" ", text).strip()


def condense(text: str, *, markup: bool) -> str:
    """A preview out of the beginning of a text; empty where nothing is to be read in it."""
    words = _words(text[:_ENOUGH], markup)
    if len(words) <= LENGTH + _TORN and len(text) > _ENOUGH:
        words = _words(text, markup)
    if len(words) <= LENGTH:
        return words
    cut = words.rfind(" ", LENGTH // 2, LENGTH)
    return words[: cut if cut > 0 else LENGTH]


def preview(message: Message) -> bytes:
    """In UTF-8.  Raises MessageGone, StoreError."""
    for part in candidates(message.tree):
        text = ""
        for piece in text_of(part, message.content):
            text += piece
            if len(text) >= LOOKED_AT:
                break
        if found := condense(text[:LOOKED_AT], markup=part.subtype != b"plain"):
            return found.encode("utf-8", "replace")
    return b""


@dataclass(frozen=True, slots=True)
class Preview(Item):
    """PREVIEW, and PREVIEW (LAZY)."""

    lazy: bool = False

    def render(self, message: Message) -> bytes:
        cache = message.session.mailbox.mailbox.cache
        known = cache.get(FIELD, message.uid)
        if known is None:
            if self.lazy:
                return b"PREVIEW " + NIL
            known = preview(message)
            cache.put(FIELD, message.uid, known)
        return b"PREVIEW " + string(known)

    def column(self, session: Session, start: int, stop: int) -> Column:
        selected = session.mailbox
        known = selected.mailbox.cache.get_many(FIELD, selected.uids[start:stop])
        missing = NIL if self.lazy else None
        return Column(b"PREVIEW %b", [missing if text is None else string(text) for text in known])


def parse_preview(cursor: Cursor) -> Preview:
    """[SP "(" preview-mod *(SP preview-mod) ")"]."""
    if not cursor.accept(b" (LAZY"):
        return Preview()  # modifiers of FETCH may follow
    cursor.expect(b")")
    return Preview(lazy=True)


CAPABILITIES = ("PREVIEW",)
ITEMS: dict[bytes, ItemParser] = {b"PREVIEW": parse_preview}
