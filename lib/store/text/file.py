"""The index of one mailbox in a file: an SQLite database of segments, beside the mailbox.

Everything in it can be had from the messages again.  So a file that is damaged, foreign or of a mailbox that was
replaced is thrown away, and what cannot be read for another reason is no index.  Readers never wait: they see the state
before the writer's transaction (WAL).  There is one writer at a time among all processes; who comes second gives up.
"""

from __future__ import annotations

import os
import sqlite3
import time
import zlib
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Final

from pillarbox.lib.store.text.segment import Builder, Segment, documents_of, matching, numbers, octets
from pillarbox.lib.store.text.words import patterns

_MARK: Final = 0x50425458
_VERSION: Final = 3
_SCHEMA: Final = f"""
PRAGMA page_size = 16384;
PRAGMA auto_vacuum = INCREMENTAL;
PRAGMA journal_mode = WAL;
BEGIN IMMEDIATE;
CREATE TABLE IF NOT EXISTS about (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS apart (uid INTEGER PRIMARY KEY);
CREATE TABLE IF NOT EXISTS segment (
    id INTEGER PRIMARY KEY, messages INTEGER NOT NULL, written INTEGER NOT NULL, uids BLOB NOT NULL
);
CREATE TABLE IF NOT EXISTS words (id INTEGER PRIMARY KEY, list BLOB NOT NULL, sum INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS documents (
    id INTEGER PRIMARY KEY, ends BLOB NOT NULL, sums BLOB NOT NULL, list BLOB NOT NULL
);
PRAGMA application_id = {_MARK};
PRAGMA user_version = {_VERSION};
COMMIT;
"""
_DAMAGED: Final = frozenset((sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR))
_DEAD_KEPT: Final = 7 * 86400
"""Seconds after which the words of removed messages leave a segment even if they are few."""
_TIERS: Final = ((16, 8), (128, 8))
"""Segments with fewer messages than the first number are joined when there are so many of them."""

_READERS_PATIENCE: Final = 0.1
"""Seconds for the moment in which another process creates the file or is the last to close it."""

CHUNK: Final = 16 * 1024
"""Octets of a list of documents that have a check sum."""

CACHE: Final = -2048
"""KiB that SQLite holds of a file, negative as it wants it."""


class Damaged(Exception):
    """The file cannot be what was written."""


@dataclass(frozen=True, slots=True)
class Found:
    """What an index says: the messages that it knows, and those among them that may match."""

    known: set[int]
    matching: set[int]


class TextIndex:
    """An open index; for one thread.  Use as a context manager.  Methods raise sqlite3.Error or Damaged."""

    def __init__(self, path: str, *, create: bool = False) -> None:
        """Raises FileNotFoundError where there is none and it is not to be made."""
        self.path = path
        if not os.path.exists(path) and not create:
            raise FileNotFoundError(path)
        if create:
            with suppress(OSError):
                os.mkdir(os.path.dirname(path), 0o700)
        self._database = sqlite3.connect(path, timeout=0 if create else _READERS_PATIENCE, isolation_level=None)
        try:
            self._database.execute(f"PRAGMA cache_size = {CACHE}")
            self._database.execute("PRAGMA temp_store = MEMORY")
            self._database.execute("PRAGMA synchronous = NORMAL")
            if not self._number("PRAGMA application_id") and not self._number("PRAGMA schema_version"):
                if not create:  # another process is about to make it
                    raise FileNotFoundError(path)
                self._database.executescript(_SCHEMA)
                os.chmod(path, 0o600)
            if self._number("PRAGMA application_id") != _MARK or self._number("PRAGMA user_version") != _VERSION:
                raise Damaged("not an index of this version")
        except BaseException:
            self._database.close()
            raise

    def __enter__(self) -> TextIndex:
        return self

    def __exit__(self, *_: object) -> None:
        self._database.close()

    def _number(self, statement: str, *values: object) -> int:
        row = self._database.execute(statement, values).fetchone()
        return int(row[0]) if row is not None and row[0] is not None else 0

    def _about(self, name: str) -> int:
        return self._number("SELECT value FROM about WHERE name = ?", name)

    def _set_about(self, name: str, value: int) -> None:
        self._database.execute("INSERT OR REPLACE INTO about VALUES (?, ?)", (name, value))

    # --- reading
    def find(self, uid_validity: int, needle: str, *, body: bool, header: bool) -> Found | None:
        """What may have the folded needle in its body or header; None where the index says nothing about it."""
        wanted = patterns(needle)
        if not wanted:
            return None
        with self._reading():
            if self._about("uidvalidity") != uid_validity:
                return None
            known: set[int] = set()
            found: set[int] = set()
            for identifier, blob in self._database.execute("SELECT id, uids FROM segment ORDER BY id"):
                uids = numbers("I", blob)
                known.update(uids)
                found.update(self._find_in(identifier, uids, zlib.crc32(blob), wanted, body, header))
            known.difference_update(uid for (uid,) in self._database.execute("SELECT uid FROM apart"))
        return Found(known, found)

    @contextmanager
    def _reading(self) -> Iterator[None]:
        self._database.execute("BEGIN")
        try:
            yield
        except (ValueError, IndexError, TypeError) as error:
            raise Damaged(str(error)) from None
        finally:
            with suppress(sqlite3.Error):
                self._database.execute("ROLLBACK")

    def _find_in(
        self, identifier: int, uids: Sequence[int], begun: int, wanted: Sequence[bytes], body: bool, header: bool
    ) -> Iterable[int]:
        """`begun` is the check sum of the UIDs, which the words continue."""
        words, total = self._database.execute("SELECT list, sum FROM words WHERE id = ?", (identifier,)).fetchone()
        if zlib.crc32(words, begun) != total:
            raise Damaged("a list of words is not what was written")
        hits = []
        for pattern in wanted:
            numbers_of_words = matching(words, pattern)
            if numbers_of_words is None:
                continue
            if not numbers_of_words:
                return ()
            hits.append(numbers_of_words)
        if not hits:
            return uids
        ends, sums = self._ends(identifier)
        with self._database.blobopen("documents", "list", identifier, readonly=True) as blob:
            documents = _Checked(blob, sums)
            sets = [documents_of(hit, ends, documents) for hit in hits]
        left = set.intersection(*sets)
        return {uids[document >> 1] for document in left if (header if document & 1 else body)}

    def _ends(self, identifier: int) -> tuple[bytes, Sequence[int]]:
        """Where the documents of each word end, and the check sums of the list of documents."""
        row = self._database.execute("SELECT ends, sums FROM documents WHERE id = ?", (identifier,)).fetchone()
        sums = numbers("I", row[1])
        if zlib.crc32(row[0]) != sums[0]:
            raise Damaged("an index of documents is not what was written")
        return row[0], sums[1:]

    # --- writing
    @contextmanager
    def writing(self, uid_validity: int) -> Iterator[None]:
        """One transaction.  Raises sqlite3.OperationalError at once where another process has one."""
        self._database.execute("BEGIN IMMEDIATE")
        try:
            if self._about("uidvalidity") != uid_validity:
                for table in ("about", "apart", "segment", "words", "documents"):
                    self._database.execute(f"DELETE FROM {table}")
                self._set_about("uidvalidity", uid_validity)
            yield
            self._database.execute("COMMIT")
        except BaseException:
            with suppress(sqlite3.Error):
                self._database.execute("ROLLBACK")
            raise

    def missing(self, uids: Iterable[int]) -> list[int]:
        """Which of these messages it does not know and should, the newest first."""
        known: set[int] = set()
        for (blob,) in self._database.execute("SELECT uids FROM segment"):
            known.update(numbers("I", blob))
        known.update(uid for (uid,) in self._database.execute("SELECT uid FROM apart"))
        floor = self._about("floor")
        return sorted((uid for uid in uids if uid > floor and uid not in known), reverse=True)

    def add(self, builder: Builder, apart: Iterable[int]) -> None:
        """Take in what was gathered, and messages that are always looked at.  Inside `writing`."""
        if builder.uids:
            self._insert(builder.segment())
        self._database.executemany("INSERT OR IGNORE INTO apart VALUES (?)", ((uid,) for uid in apart))

    def _insert(self, segment: Segment) -> None:
        cursor = self._database.execute(
            "INSERT INTO segment (messages, written, uids) VALUES (?, ?, ?)",
            (len(segment.uids) // 4, int(time.time()), segment.uids),
        )
        identifier = cursor.lastrowid
        self._database.execute(
            "INSERT INTO words VALUES (?, ?, ?)",
            (identifier, segment.words, zlib.crc32(segment.words, zlib.crc32(segment.uids))),
        )
        sums = octets("I", [zlib.crc32(segment.ends), *_sums(segment.documents)])
        self._database.execute(
            "INSERT INTO documents VALUES (?, ?, ?, ?)", (identifier, segment.ends, sums, segment.documents)
        )

    def _delete(self, identifier: int) -> None:
        for table in ("segment", "words", "documents"):
            self._database.execute(f"DELETE FROM {table} WHERE id = ?", (identifier,))

    def _segment(self, identifier: int) -> Segment:
        (uids,) = self._database.execute("SELECT uids FROM segment WHERE id = ?", (identifier,)).fetchone()
        words, total = self._database.execute("SELECT list, sum FROM words WHERE id = ?", (identifier,)).fetchone()
        ends, sums = self._ends(identifier)
        (documents,) = self._database.execute("SELECT list FROM documents WHERE id = ?", (identifier,)).fetchone()
        if zlib.crc32(words, zlib.crc32(uids)) != total or list(_sums(documents)) != list(sums):
            raise Damaged("a segment is not what was written")
        return Segment(uids, words, ends, documents)

    def tidy(self, present: Collection[int], max_size: int) -> bool:
        """One step: forget removed messages, join small segments, or drop the oldest beyond `max_size` octets.

        `present` are the UIDs of the mailbox.  Whether something was done.  Inside `writing`.
        """
        try:
            return self._forget(present) or self._join(present) or self._shrink(max_size)
        except (ValueError, IndexError, TypeError) as error:
            raise Damaged(str(error)) from None

    def _forget(self, present: Collection[int]) -> bool:
        rows = self._database.execute("SELECT id, written, uids FROM segment").fetchall()
        for identifier, written, blob in rows:
            uids = numbers("I", blob)
            dead = sum(uid not in present for uid in uids)
            if dead and (4 * dead >= len(uids) or time.time() - written > _DEAD_KEPT):
                self._replace((identifier,), present)
                return True
        gone = [(uid,) for (uid,) in self._database.execute("SELECT uid FROM apart") if uid not in present]
        self._database.executemany("DELETE FROM apart WHERE uid = ?", gone)
        return bool(gone)

    def _join(self, present: Collection[int]) -> bool:
        for limit, count in _TIERS:
            rows = self._database.execute(
                "SELECT id FROM segment WHERE messages < ? ORDER BY id LIMIT ?", (limit, count)
            ).fetchall()
            if len(rows) == count:
                self._replace([identifier for (identifier,) in rows], present)
                return True
        return False

    def _replace(self, identifiers: Sequence[int], present: Collection[int]) -> None:
        builder = Builder()
        for identifier in identifiers:
            builder.take(self._segment(identifier), present)
            self._delete(identifier)
        if builder.uids:
            self._insert(builder.segment())

    def _shrink(self, max_size: int) -> bool:
        if not max_size or self.size <= max_size:
            return False
        rows = self._database.execute("SELECT id, uids FROM segment").fetchall()
        if not rows:
            return False
        lowest = min(rows, key=lambda row: min(numbers("I", row[1]), default=0))
        self._delete(lowest[0])
        self._set_about("floor", max(self._about("floor"), max(numbers("I", lowest[1]), default=0)))
        return True

    @property
    def size(self) -> int:
        """Octets in use."""
        free = self._number("PRAGMA freelist_count")
        return (self._number("PRAGMA page_count") - free) * self._number("PRAGMA page_size")

    def give_back(self) -> None:
        """Return free pages to the file system.  Outside `writing`."""
        self._database.execute("PRAGMA incremental_vacuum").fetchall()


def _sums(documents: bytes) -> Iterator[int]:
    """The check sums of a list of documents."""
    return (zlib.crc32(documents[start : start + CHUNK]) for start in range(0, len(documents), CHUNK))


class _Checked:
    """A list of documents in the file, of which only what is wanted is read, and checked."""

    def __init__(self, blob: sqlite3.Blob, sums: Sequence[int]) -> None:
        self._blob = blob
        self._sums = sums
        self._chunks: dict[int, bytes] = {}

    def __getitem__(self, part: slice) -> bytes:
        start, stop = part.start, part.stop
        first, last = start // CHUNK, (stop - 1) // CHUNK
        data = b"".join([self._chunk(number) for number in range(first, last + 1)])
        return data[start - first * CHUNK : stop - first * CHUNK]

    def _chunk(self, number: int) -> bytes:
        known = self._chunks.get(number)
        if known is None:
            self._blob.seek(number * CHUNK)
            known = self._chunks[number] = self._blob.read(CHUNK)
            if zlib.crc32(known) != self._sums[number]:
                raise Damaged("a list of documents is not what was written")
        return known


def is_damage(error: Exception) -> bool:
    """Whether the file is to be thrown away."""
    if isinstance(error, sqlite3.Error):
        return isinstance(error, sqlite3.DatabaseError) and (error.sqlite_errorcode & 0xFF) in _DAMAGED
    return isinstance(error, Damaged)


def throw_away(path: str) -> None:
    """Remove an index."""
    for suffix in ("-wal", "-shm", ""):  # the file last: what stands beside it then is that of a new one
        with suppress(OSError):
            os.unlink(path + suffix)


def candidates(
    path: str, uid_validity: int, uids: Sequence[int], needle: str, *, body: bool, header: bool
) -> Collection[int] | None:
    """Those of `uids` that may have the folded needle in them; None where there is no index that helps."""
    try:
        with TextIndex(path) as index:
            found = index.find(uid_validity, needle, body=body, header=header)
    except (sqlite3.Error, Damaged) as error:
        if is_damage(error):
            throw_away(path)
        return None
    except OSError:
        return None
    if found is None or not found.known:
        return None
    here = set(uids)
    return (here - found.known) | (here & found.matching)
