"""What the commands of METADATA share (RFC 5464): names, options, responses; and LIST-METADATA (RFC 9590)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from pillarbox.imapd.commands.options import ListReturn
from pillarbox.imapd.protocol import response
from pillarbox.imapd.protocol.cursor import Cursor
from pillarbox.imapd.protocol.errors import BadSyntax
from pillarbox.imapd.session.context import Session
from pillarbox.lib.config.parameters.general import MYHOSTNAME
from pillarbox.lib.store import metadata
from pillarbox.lib.store.interface import MailboxEntry

CAPABILITIES: Final = ("METADATA", "LIST-METADATA")
ADMIN: Final = "/shared/admin"
"""Where the postmaster is reached (section 6.2.1); the one entry of the server that is not the account's."""
NAMES_LIMIT: Final = 100
"""Entries that one command names."""
_DEPTHS: Final = {b"0": 0, b"1": 1, b"INFINITY": 1 << 30}


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which entries are asked for."""

    names: tuple[str, ...]
    depth: int = 0
    max_size: int | None = None


def parse_entry(cursor: Cursor) -> str:
    """entry = astring, beginning with /shared or /private.  Raises BadSyntax."""
    name = metadata.entry_name(cursor.astring().decode("utf-8", "replace"))
    if name is None:
        raise BadSyntax("an entry is /shared/NAME or /private/NAME")
    return name


def parse_entries(cursor: Cursor) -> tuple[str, ...]:
    """entries = entry / "(" entry *(SP entry) ")"."""
    if not cursor.accept(b"("):
        return (parse_entry(cursor),)
    names = [parse_entry(cursor)]
    while not cursor.accept(b")"):
        cursor.space()
        names.append(parse_entry(cursor))
        if len(names) > NAMES_LIMIT:
            raise BadSyntax("too many entries")
    return tuple(dict.fromkeys(names))


def parse_options(cursor: Cursor) -> tuple[int, int | None]:
    """ "(" option *(SP option) ")": DEPTH and MAXSIZE."""
    cursor.expect(b"(")
    depth, max_size = 0, None
    first = True
    while not cursor.accept(b")"):
        if not first:
            cursor.space()
        first = False
        if cursor.accept(b"MAXSIZE "):
            max_size = cursor.number()
        elif cursor.accept(b"DEPTH "):
            word = cursor.word()
            if word not in _DEPTHS:
                raise BadSyntax("DEPTH is 0, 1 or infinity")
            depth = _DEPTHS[word]
        else:
            cursor.fail("MAXSIZE or DEPTH")
    return depth, max_size


def choose(entries: Mapping[str, bytes], wanted: Wanted) -> tuple[list[tuple[str, bytes | None]], int]:
    """What is told, and the size of the longest value that is not (section 4.2.1), 0 where all are.

    Without a depth each entry that was named is told, NIL where it has no value.
    """
    told: dict[str, bytes | None] = {}
    longest = 0
    for name in wanted.names:
        found: list[str] = [name]
        if wanted.depth:
            found = [each for each in entries if _below(each, name) <= wanted.depth]
        for each in found:
            value = entries.get(each)
            if value is not None and wanted.max_size is not None and len(value) > wanted.max_size:
                longest = max(longest, len(value))
            else:
                told[each] = value
    return list(told.items()), longest


def _below(name: str, parent: str) -> int:
    """How many levels below `parent` the entry is; very many where it is not."""
    if name == parent:
        return 0
    return name.count("/", len(parent)) if name.startswith(f"{parent}/") else 1 << 31


def entries_of(session: Session, mailbox: str) -> dict[str, bytes]:
    """What the session may see of a mailbox, or with "" of the server.  Raises StoreError."""
    entries = metadata.visible(session.store, mailbox)
    if not mailbox:
        domain = session.username.rpartition("@")[2] if "@" in session.username else session.config[MYHOSTNAME]
        entries[ADMIN] = f"mailto:postmaster@{domain}".encode()
    return entries


def metadata_line(mailbox: bytes, told: Iterable[tuple[str, bytes | None]]) -> bytes:
    """`* METADATA mailbox (entry value ...)` (section 4.4.1)."""
    pairs = (part for name, value in told for part in (response.astring(name.encode("ascii")), _value(value)))
    return response.untagged(b"METADATA", mailbox, response.parenthesized(pairs))


def _value(value: bytes | None) -> bytes:
    # A NUL can only go in a literal8 (RFC 3516); nothing else in a value needs one.
    return b"~{%d}\r\n%b" % (len(value), value) if value is not None and b"\0" in value else response.nstring(value)


class WithMetadata(ListReturn):
    """METADATA (RFC 9590)."""

    def __init__(self, wanted: Wanted) -> None:
        self._wanted = wanted

    def lines(self, session: Session, entry: MailboxEntry) -> Iterable[bytes]:
        if not entry.selectable:
            return
        told, _ = choose(entries_of(session, entry.name), self._wanted)
        if told:
            yield metadata_line(session.mailbox_name(entry.name), told)


def _with_metadata(cursor: Cursor) -> ListReturn:
    cursor.space()
    depth, max_size = 0, None
    if cursor.peek(b"(DEPTH ") or cursor.peek(b"(MAXSIZE "):
        depth, max_size = parse_options(cursor)
        cursor.space()
    return WithMetadata(Wanted(parse_entries(cursor), depth, max_size))


LIST_RETURN: dict[bytes, Callable[[Cursor], ListReturn]] = {b"METADATA": _with_metadata}
