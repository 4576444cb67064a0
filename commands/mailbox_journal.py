"""The journal of a transfer: how far it came, so that it can be taken up after a kill or a power loss.

Lines of JSON, appended and synced.  The first says what goes where.  For each mailbox one line says which it is;
then, for each batch, its keys and what the target noted before it begins, and the last of the keys when all of it is
stored.  Where UIDs are kept a batch needs no line before it begins; lines say which filling it is, and that it is done.
A half-written last line counts as not written.  The journal stays when all is done: another
run takes what has come since.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from pillarbox.commands.mailbox_message import Key, Mark
from pillarbox.lib.store.interface import MailboxBusy
from pillarbox.lib.system.files import sync_directory, write_all

_VERSION: Final = 1


class ForeignJournal(Exception):
    """The file is the journal of another transfer, or none; the text addresses the user."""


@dataclass(slots=True)
class Progress:
    """How far one mailbox came."""

    identity: str
    done: Key | None = None
    """The last key of which, and of all before, it is known that they are stored."""
    begun: list[Key] = field(default_factory=list)
    """Keys of a batch of which that is not known."""
    mark: Mark = field(default_factory=list)
    """What the target noted before that batch."""
    since: Key | None = None
    """The last key before everything that was stored behind the mark."""
    stored: int = 0
    """Messages in all."""
    token: int | None = None
    """Names the filling of an empty mailbox under the UIDs of the source (`lib.store.keeping`)."""
    border: int = 0
    """UIDs below it are kept free for that."""
    filled: bool = False
    """It is done: the mailbox is known by what the source is known by."""


class Journal:
    """The journal at `path`, made where there is none."""

    def __init__(self, path: str, source: str, target: str) -> None:
        """Raises ForeignJournal, MailboxBusy, OSError."""
        self.path = path
        self.mailboxes: dict[str, Progress] = {}
        self._current = ""
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            try:
                fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise MailboxBusy(f"another process is at this transfer: it holds {path}") from None
            self._read({"version": _VERSION, "from": _digest(source), "to": _digest(target)})
        except BaseException:
            os.close(self._fd)
            raise

    def _read(self, head: dict[str, object]) -> None:
        end = 0
        with open(self._fd, "rb", closefd=False) as file:
            for number, line in enumerate(file):
                if not line.endswith(b"\n"):
                    break
                try:
                    entry = json.loads(line)
                    if number == 0 and entry != head:
                        raise ForeignJournal(
                            f"{self.path} is the journal of another transfer; give this one a --journal of its own"
                        )
                    if number:
                        self._take(entry)
                except (ValueError, KeyError, TypeError, AttributeError):
                    if number and not file.read(1):
                        break  # the line that was being written when the power was lost
                    raise ForeignJournal(f"{self.path} is no journal of a transfer") from None
                end += len(line)
        os.ftruncate(self._fd, end)
        if not end:
            self._write(head)
            sync_directory(os.path.dirname(self.path) or ".")

    def _take(self, entry: dict[str, object]) -> None:
        match entry:
            case {"mailbox": str(name), "identity": str(identity)}:
                self._current = name
                self.mailboxes[name] = Progress(identity)
            case {"mailbox": str(name)}:
                self._current = name
            case {"begin": list(keys), "mark": list(mark), "since": since} if since is None or isinstance(
                since, int | str
            ):
                progress = self.mailboxes[self._current]
                progress.begun, progress.mark, progress.since = keys, mark, since
            case {"done": int() | str() as key, "stored": int(stored)}:
                progress = self.mailboxes[self._current]
                progress.done, progress.begun = key, []
                progress.stored += stored
            case {"fill": int(token), "border": int(border)}:
                progress = self.mailboxes[self._current]
                progress.token, progress.border = token, border
            case {"filled": True}:
                self.mailboxes[self._current].filled = True
            case _:
                raise ValueError

    def enter(self, name: str, identity: str) -> Progress:
        """What follows is of this mailbox; `identity` is kept where the journal does not know it yet."""
        self._current = name
        if name in self.mailboxes:
            self._write({"mailbox": name})
        else:
            self.mailboxes[name] = Progress(identity)
            self._write({"mailbox": name, "identity": identity})
        return self.mailboxes[name]

    def begin(self, keys: Sequence[Key], mark: Mark, since: Key | None) -> None:
        """These messages will now be stored."""
        progress = self.mailboxes[self._current]
        progress.begun, progress.mark, progress.since = list(keys), mark, since
        self._write({"begin": progress.begun, "mark": mark, "since": since})

    def done(self, key: Key, stored: int) -> None:
        """All messages up to this key are stored, or cannot be; `stored` more than before."""
        progress = self.mailboxes[self._current]
        progress.done, progress.begun = key, []
        progress.stored += stored
        self._write({"done": key, "stored": stored})

    def fill(self, token: int, border: int) -> None:
        """The mailbox is being filled under given UIDs."""
        progress = self.mailboxes[self._current]
        progress.token, progress.border = token, border
        self._write({"fill": token, "border": border})

    def filled(self) -> None:
        """All that was there has its UID."""
        self.mailboxes[self._current].filled = True
        self._write({"filled": True})

    def _write(self, entry: dict[str, object]) -> None:
        write_all(self._fd, json.dumps(entry).encode() + b"\n")
        os.fdatasync(self._fd)

    def close(self) -> None:
        """Close the file."""
        os.close(self._fd)


def _digest(text: str) -> str:
    """What is moved from where, without the passwords that may stand in it."""
    return hashlib.blake2b(text.encode("utf-8", "surrogateescape"), digest_size=12).hexdigest()
