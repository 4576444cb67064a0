"""Keeps the indexes of a process up to date: one thread of low priority, off the event loop, that ends when it is done.

The thread opens the mailboxes for itself, to read.  It works on one message at a time and rests as long as that took,
so that sessions of the process get their turns; what it has gathered goes into the index in one transaction.  Where
another process writes the same index it leaves the work to that one.  What else is worth knowing of a message that has
been read and taken apart anyway, `Beside` takes from it: then clients find it in the mailbox's cache.
"""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, TypeAlias

from pillarbox.lib.log import log
from pillarbox.lib.mime import Part, scan_message
from pillarbox.lib.store.interface import Mailbox, MessageContent, MessageGone, Store, StoreError
from pillarbox.lib.store.text.file import Damaged, TextIndex, is_damage, throw_away
from pillarbox.lib.store.text.fold import fold, fold_pieces
from pillarbox.lib.store.text.parts import body_texts, field_texts, header_text
from pillarbox.lib.store.text.segment import Builder
from pillarbox.lib.store.text.words import WordSet

BATCH: Final = 5.0
"""Seconds of work that go into one transaction."""

_WAITING_LIMIT: Final = 1000
"""Mailboxes that wait for the thread; further ones come with the next search in them."""

_BUSY_TRIES: Final = 5
_BUSY_REST: Final = 2.0
"""How often, and after how many seconds, an index is tried again that another process writes."""

_REST_LIMIT: Final = 5.0
"""Seconds that the thread rests at most after a mailbox; it rests as long as it worked."""

_NICENESS: Final = 10


Beside: TypeAlias = Callable[[Mailbox, int, MessageContent, Part], None]
"""Called for each message that is indexed: its UID, the open message, its parts.  Raises MessageGone, StoreError."""


def _nothing(mailbox: Mailbox, uid: int, content: MessageContent, tree: Part) -> None:
    return


def _no_rest(worked: float) -> bool:
    return True


@dataclass(frozen=True, slots=True)
class Limits:
    """What an index may cost."""

    message_max: int
    """Characters of text in a message beyond which the message is not indexed but looked at in every search."""
    max_size: int
    """Octets of the index of one mailbox; 0: no limit.  The oldest messages are left out first."""


class Keeper:
    """For one process.  `open_store` and `beside` are called in the thread."""

    def __init__(self, limits: Limits, open_store: Callable[[str], Store], beside: Beside = _nothing) -> None:
        self._limits = limits
        self._beside = beside
        self._open_store = open_store
        self._lock = threading.Lock()
        self._waiting: dict[tuple[str, str], None] = {}
        self._thread: threading.Thread | None = None
        self._stopped = threading.Event()

    def want(self, location: str, name: str) -> None:
        """Bring the index of a mailbox up to date soon."""
        with self._lock:
            if self._stopped.is_set() or len(self._waiting) >= _WAITING_LIMIT:
                return
            self._waiting[location, name] = None
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="text-index", daemon=True)
                self._thread.start()

    def stop(self) -> None:
        """Stop after the message under way."""
        self._stopped.set()

    def wait(self) -> None:
        """Until nothing is left to do; for tests and tools."""
        while (thread := self._thread) is not None:
            thread.join()

    def _run(self) -> None:
        with suppress(OSError, AttributeError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICENESS)
        while True:
            with self._lock:
                if not self._waiting or self._stopped.is_set():
                    self._thread = None
                    return
                location, name = next(iter(self._waiting))
                del self._waiting[location, name]
            began = time.monotonic()
            try:
                self._bring_up(location, name)
            except (StoreError, OSError) as error:
                log.info(f"text index of {name}: {error}")
            except Exception as error:  # a fault of ours; searches work without the index
                log.panic(f"text index of {name}: {type(error).__name__}: {error}")
            # What comes one by one is taken in together where looking at the mailbox is much work.
            self._stopped.wait(min(time.monotonic() - began, _REST_LIMIT))

    def _bring_up(self, location: str, name: str) -> None:
        store = self._open_store(location)
        try:
            with store.open(name, read_only=True) as mailbox:
                path = mailbox.text_place
                for _ in range(_BUSY_TRIES if path is not None else 0):
                    assert path is not None
                    try:
                        bring_up(path, mailbox, self._limits, self._rest, self._beside)
                        return
                    except (sqlite3.Error, Damaged) as error:
                        if is_damage(error):
                            log.warning(f"{path}: {error} -- begun anew")
                            throw_away(path)
                        elif not isinstance(error, sqlite3.OperationalError) or "locked" not in str(error):
                            log.warning(f"{path}: {error}")
                            return
                    if self._stopped.wait(_BUSY_REST):
                        return
        finally:
            store.close()

    def _rest(self, worked: float) -> bool:
        return not self._stopped.wait(min(worked, 0.05))


def bring_up(
    path: str,
    mailbox: Mailbox,
    limits: Limits,
    rest: Callable[[float], bool] = _no_rest,
    beside: Beside = _nothing,
) -> None:
    """Index what is missing and tidy up.  `rest(seconds)` is called after so many seconds of work; False: stop.

    Raises sqlite3.Error, Damaged, StoreError.
    """
    with TextIndex(path, create=True) as index:
        going = True
        while going:
            mailbox.refresh()
            with index.writing(mailbox.uid_validity):
                going = _batch(index, mailbox, limits, rest, beside)
            mailbox.cache.flush()
        index.give_back()


def _batch(index: TextIndex, mailbox: Mailbox, limits: Limits, rest: Callable[[float], bool], beside: Beside) -> bool:
    """One transaction; whether there may be more to do."""
    present = {state.uid for state in mailbox.messages}
    missing = index.missing(present)
    builder = Builder()
    apart = []
    began = last = time.monotonic()
    going = True
    for uid in missing:
        try:
            if not _take(builder, mailbox, uid, limits.message_max, beside):
                apart.append(uid)
        except MessageGone:
            pass
        except StoreError:
            apart.append(uid)  # it cannot be read now; a search will say what it thinks of it
        now = time.monotonic()
        going = rest(now - last)
        last = time.monotonic()
        if not going or builder.full or last - began > BATCH:
            break
    index.add(builder, apart)
    tidied = index.tidy(present, limits.max_size)
    return going and (bool(builder.uids) or tidied)


def _take(builder: Builder, mailbox: Mailbox, uid: int, room: int, beside: Beside) -> bool:
    """Add a message's words; False where there is too much text."""
    with mailbox.read(uid) as content:
        header = content.header()
        tree = scan_message(content.chunks(), wire=True)
        beside(mailbox, uid, content, tree)
        head = WordSet(room)
        head.add((fold(header_text(header)),))
        if not header.isascii():  # a field alone may be read in another charset than the whole
            for text in field_texts(header):
                head.add((fold(text),))
        body = WordSet(room)
        for pieces in body_texts(tree, content):
            body.add(fold_pieces(pieces))
            if body.overflown:
                break
    if head.overflown or body.overflown:
        return False
    builder.add(uid, body.words, head.words)
    return True
