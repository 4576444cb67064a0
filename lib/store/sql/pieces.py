"""Message bodies in the database: in pieces, compressed where that pays, each content once for an account.

A small body is held in memory until it is complete; a larger one goes into the database piece by piece, as a body that
no message has and that is cleared away after a day where nobody comes back for it.
"""

from __future__ import annotations

import hashlib
import secrets
import time
import zlib
from collections.abc import Iterator, Sequence
from typing import Final

from pillarbox.lib.store.interface import MessageContent, MessageGone, StoreUnavailable
from pillarbox.lib.store.lines import CHUNK, whole_lines
from pillarbox.lib.store.sql.database import Database, Transaction
from pillarbox.lib.store.sql.objects import SEGMENT

PIECE: Final = CHUNK
"""Octets of a message in each piece but the last."""
HELD: Final = 4
"""Pieces of a message on its way in that are held in memory."""
PLAIN, ZLIB = 0, 1
_LEVEL: Final = 1
"""zlib's quickest: mail is written once and mostly read soon; higher levels save some percent for twice the time."""
_WORTH: Final = 0.9
"""Compressed is kept what has at most this share of its size."""

UNUSED_KEPT: Final = 3600
"""Seconds that a body without messages stays, for sessions that are reading it."""
UPLOAD_KEPT: Final = 86400
"""Seconds within which a large message must be complete."""

_INSERT: Final = "INSERT INTO pieces (account, body, piece, form, data) VALUES (?1, ?2, ?3, ?4, ?5)"


def pack(data: bytes) -> tuple[int, bytes]:
    """A piece as it is stored: form and octets."""
    packed = zlib.compress(data, _LEVEL)
    return (ZLIB, packed) if len(packed) <= len(data) * _WORTH else (PLAIN, data)


def unpack(form: int, data: bytes) -> bytes:
    """The piece.  Raises StoreUnavailable where it is damaged."""
    if form == PLAIN:
        return data
    inflate = zlib.decompressobj()
    try:
        text = inflate.decompress(data, PIECE)
    except zlib.error as error:
        raise StoreUnavailable(f"a message is damaged: {error}") from error
    if not inflate.eof:
        raise StoreUnavailable("a message is damaged: it has a piece of the wrong size")
    return text


class BodyWriter:
    """A body on its way into the database."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._rest = bytearray()
        self._packed: list[tuple[int, bytes]] = []
        self._count = 0  # pieces that are in the database
        self._digest = hashlib.sha256()
        self._body = time.time_ns() // 1000 << 11 | secrets.randbits(11)
        """Ascending with time, so that what comes in together lies together."""
        self.size = 0

    def write(self, data: bytes) -> None:
        """The next octets, as on the wire."""
        self._digest.update(data)
        self.size += len(data)
        self._rest += data
        while len(self._rest) > PIECE:
            self._packed.append(pack(bytes(memoryview(self._rest)[:PIECE])))
            del self._rest[:PIECE]
            if len(self._packed) == HELD:
                with self._database.writing(durable=False) as transaction:
                    self._upload(transaction)
                self._count += len(self._packed)
                self._packed = []

    def _upload(self, transaction: Transaction) -> None:
        """Put what is packed into the database."""
        if not self._count:
            self._announce(transaction)
        self._insert(transaction, self._packed)

    def _announce(self, transaction: Transaction) -> None:
        """The body's row, under a digest that no content has."""
        transaction.execute(
            "INSERT INTO bodies (account, body, digest, size, refs, unused_since) VALUES (?1, ?2, ?3, 0, 0, ?4)",
            transaction.account,
            self._body,
            b"%016x" % self._body,
            int(time.time()) + UPLOAD_KEPT,
        )

    def prepare(self) -> None:
        """All has been written: do what needs no transaction.  Raises StoreError."""

    def _insert(self, transaction: Transaction, packed: Sequence[tuple[int, bytes]]) -> None:
        rows = [
            (transaction.account, self._body, self._count + number, form, data)
            for number, (form, data) in enumerate(packed)
        ]
        transaction.many(_INSERT, rows)

    def finish(self, transaction: Transaction, refs: int = 1) -> int:
        """Within the transaction that stores `refs` messages: the number of the body, new or known before.  It may be
        done again in another where that one came to nothing."""
        digest = self._digest.digest()
        known = transaction.row(
            "SELECT body FROM bodies WHERE account = ?1 AND digest = ?2", transaction.account, digest
        )
        if known is not None:
            self._delete(transaction)
            transaction.execute(
                "UPDATE bodies SET refs = refs + ?3, unused_since = 0 WHERE account = ?1 AND body = ?2",
                transaction.account,
                known[0],
                refs,
            )
            return int(known[0])
        self._complete(transaction, digest, refs)
        return self._body

    def _complete(self, transaction: Transaction, digest: bytes, refs: int) -> None:
        """Make it a body that messages have.  Raises StoreUnavailable."""
        packed = [*self._packed, pack(bytes(self._rest))] if self._rest else self._packed
        uploaded = bool(self._count)
        statement = (
            "UPDATE bodies SET digest = ?3, size = ?4, refs = ?5, unused_since = 0 WHERE account = ?1 AND body = ?2"
            if uploaded
            else "INSERT INTO bodies (account, body, digest, size, refs, unused_since) VALUES (?1, ?2, ?3, ?4, ?5, 0)"
        )
        if not transaction.execute(statement, transaction.account, self._body, digest, self.size, refs):
            raise StoreUnavailable("the message took too long to arrive")
        self._insert(transaction, packed)

    def forget(self, transaction: Transaction) -> None:
        """Remove what was put into the database."""
        self._delete(transaction)
        self._count = 0

    def _delete(self, transaction: Transaction) -> None:
        if self._count:
            for table in ("pieces", "bodies"):
                transaction.execute(
                    f"DELETE FROM {table} WHERE account = ?1 AND body = ?2", transaction.account, self._body
                )

    @property
    def uploaded(self) -> bool:
        """Whether there is something to `forget`."""
        return self._count > 0


def acquire(transaction: Transaction, refs: dict[int, int]) -> None:
    """So many more messages have each of these bodies."""
    for count, bodies in _by_count(refs):
        transaction.execute(
            f"UPDATE bodies SET refs = refs + ?3 WHERE account = ?1 AND {transaction.among('body', 2)}",
            transaction.account,
            transaction.listed(bodies),
            count,
        )


def _by_count(refs: dict[int, int]) -> Iterator[tuple[int, list[int]]]:
    groups: dict[int, list[int]] = {}
    for body, count in refs.items():
        groups.setdefault(count, []).append(body)
    yield from groups.items()


def release(transaction: Transaction, refs: dict[int, int]) -> None:
    """So many messages that have each of these bodies are gone."""
    for count, bodies in _by_count(refs):
        transaction.execute(
            "UPDATE bodies SET unused_since = CASE WHEN refs = ?3 THEN ?4 ELSE 0 END, refs = refs - ?3"
            f" WHERE account = ?1 AND {transaction.among('body', 2)}",
            transaction.account,
            transaction.listed(bodies),
            count,
            int(time.time()),
        )


def clear_unused(transaction: Transaction, limit: int = 1000) -> int:
    """Remove bodies that no message has had for long, some at a time; gives how many."""
    old = transaction.rows(
        "SELECT body FROM bodies WHERE account = ?1 AND unused_since > 0 AND unused_since < ?2 AND segments = 0"
        " LIMIT ?3",
        transaction.account,
        int(time.time()) - UNUSED_KEPT,
        limit,
    )
    if old:
        bodies = transaction.listed(body for (body,) in old)
        for table in ("pieces", "bodies"):
            transaction.execute(
                f"DELETE FROM {table} WHERE account = ?1 AND {transaction.among('body', 2)}",
                transaction.account,
                bodies,
            )
    return len(old)


class SqlContent(MessageContent):
    """An open message; holds one piece at a time, of object storage the rest of an object where it is read on."""

    __slots__ = (
        "_ahead",
        "_ahead_from",
        "_body",
        "_closed",
        "_database",
        "_header",
        "_number",
        "_piece",
        "_segments",
        "size",
    )

    def __init__(self, database: Database, body: int, size: int, segments: int, first: bytes) -> None:
        """`first` is piece 0; with `segments`, the octets are in so many objects."""
        self._database = database
        self._segments = segments
        self._body = body
        self._number, self._piece = (-1 if segments else 0), first
        self._ahead_from, self._ahead = 0, b""
        self._header: bytes | None = None
        self._closed = False
        self.size = size

    def _at(self, number: int) -> bytes:
        """A piece.  Raises StoreUnavailable, MessageGone."""
        if self._closed:
            raise StoreUnavailable("the message is closed")
        if number != self._number and self._segments:
            self._piece = self._of_object(number)
            self._number = number
        elif number != self._number:
            found = self._database.single(
                "SELECT form, data FROM pieces WHERE account = ?1 AND body = ?2 AND piece = ?3",
                self._database.account,
                self._body,
                number,
            )
            if not found:
                raise MessageGone("the message was removed")
            self._piece = unpack(*found[0])
            self._number = number
        expected = min(PIECE, self.size - number * PIECE)
        if len(self._piece) != expected:
            raise StoreUnavailable("a message is damaged: it has a piece of the wrong size")
        return self._piece

    def _of_object(self, number: int) -> bytes:
        if self._database.objects is None:
            raise StoreUnavailable("a message is in object storage, and the mail location names none")
        place = number * PIECE - self._ahead_from
        if not 0 <= place < len(self._ahead):
            segment, start = divmod(number * PIECE, SEGMENT)
            end = min(SEGMENT, self.size - segment * SEGMENT)
            # Each request takes a way there and back: who reads on gets what there is, who looks only a piece.
            stop = end if number and number == self._number + 1 else min(start + PIECE, end)
            name = self._database.object_name(self._body, segment)
            self._ahead = self._database.objects.get(name, start, stop)
            self._ahead_from, place = number * PIECE, 0
        piece = self._ahead[place : place + PIECE]
        if place + PIECE >= len(self._ahead):
            self._ahead = b""
        return piece

    def header(self, limit: int = 1 << 20) -> bytes:
        if self._header is None:
            self._header = self._read_header(limit)
        return self._header

    def _read_header(self, limit: int) -> bytes:
        text = b""
        for number in range(-(-self.size // PIECE)):
            search_from = max(0, len(text) - 3)
            text += self._at(number)
            if text.startswith(b"\r\n"):
                return b"\r\n"
            end = text.find(b"\r\n\r\n", search_from)
            if end >= 0:
                return text[: end + 4]
            if len(text) >= limit:
                return whole_lines(text, limit)
        return text

    def chunks(self, start: int = 0, length: int | None = None) -> Iterator[bytes]:
        end = self.size if length is None else min(self.size, start + length)
        while start < end:
            number, offset = divmod(start, PIECE)
            piece = self._at(number)
            part = piece[offset : offset + end - start] if offset or end - start < len(piece) else piece
            yield part
            start += len(part)

    def close(self) -> None:
        self._closed = True
        self._piece = self._ahead = b""
