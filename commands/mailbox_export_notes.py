"""What an export of files says of the account beside its messages: `.pillarbox-export.json` in its directory.

    {"version": 1, "subscriptions": [NAME ...], "notes": {KIND: TEXT}, "quoting": "mboxrd",
     "mailboxes": {NAME: {"uid_validity": N, "uid_next": N, "modseq": N, "mailbox_id": ID, "notes": {KIND: TEXT}}}}

Replaced as a whole.  One that cannot be read says nothing: the messages can be imported all the same.
"""

from __future__ import annotations

import json
import os
from typing import Any, Final, cast

from pillarbox.lib.store.interface import NoteKind
from pillarbox.lib.store.keeping import Identity, object_id
from pillarbox.lib.system.files import READING, write_file

NAME: Final = ".pillarbox-export.json"
_VERSION: Final = 1
_LIMIT: Final = 64 << 20


class ExportNotes:
    """Those of the export in `directory`."""

    def __init__(self, directory: str) -> None:
        self._path = f"{directory}/{NAME}"
        self._known = _read(self._path)

    @property
    def quoting(self) -> str:
        """How lines that begin with `From ` are quoted, "" where nothing is said."""
        return str(self._known.get("quoting", ""))

    def subscriptions(self) -> list[str]:
        """The names subscribed to."""
        names = self._known.get("subscriptions")
        return [name for name in names if isinstance(name, str)] if isinstance(names, list) else []

    def note(self, mailbox: str, kind: NoteKind) -> bytes:
        """As `Store.note`."""
        text = _dict(self._place(mailbox).get("notes")).get(kind)
        return text.encode("utf-8", "surrogateescape") if isinstance(text, str) else b""

    def identity(self, mailbox: str) -> Identity | None:
        """What clients know the mailbox by."""
        entry = self._place(mailbox) if mailbox else {}
        numbers = [entry.get(each) for each in ("uid_validity", "uid_next", "modseq")]
        if not all(type(number) is int for number in numbers):
            return None
        validity, uid_next, modseq = cast("list[int]", numbers)
        known = Identity(validity, uid_next, modseq, object_id(str(entry.get("mailbox_id", ""))))
        return known if known.lasts else None

    def _place(self, mailbox: str) -> dict[str, Any]:
        return _dict(_dict(self._known.get("mailboxes")).get(mailbox)) if mailbox else self._known

    # --- writing
    def set_subscriptions(self, names: list[str]) -> None:
        """Add names.  Raises OSError."""
        known = self.subscriptions()
        if fresh := [name for name in names if name not in known]:
            self._known["subscriptions"] = known + fresh
            self._write()

    def set_note(self, mailbox: str, kind: NoteKind, note: bytes) -> None:
        """Note something, in place of what is noted.  Raises OSError."""
        if self.note(mailbox, kind) != note:
            self._made(mailbox).setdefault("notes", {})[kind] = note.decode("utf-8", "surrogateescape")
            self._write()

    def set_identity(self, mailbox: str, identity: Identity) -> None:
        """Note what clients know the mailbox by.  Raises OSError."""
        if self.identity(mailbox) != identity:
            self._made(mailbox).update(
                uid_validity=identity.uid_validity,
                uid_next=identity.uid_next,
                modseq=identity.modseq,
                mailbox_id=identity.mailbox_id,
            )
            self._write()

    def set_quoting(self, quoting: str) -> None:
        """Note how lines are quoted.  Raises OSError."""
        if self.quoting != quoting:
            self._known["quoting"] = quoting
            self._write()

    def _made(self, mailbox: str) -> dict[str, Any]:
        if not mailbox:
            return self._known
        made: dict[str, Any] = self._known.setdefault("mailboxes", {}).setdefault(mailbox, {})
        return made

    def _write(self) -> None:
        write_file(self._path, json.dumps({"version": _VERSION, **self._known}).encode() + b"\n", 0o600)


def _read(path: str) -> dict[str, Any]:
    try:
        fd = os.open(path, READING)
    except OSError:
        return {}
    try:
        with open(fd, "rb") as file:
            known = _dict(json.loads(file.read(_LIMIT)))
    except (OSError, ValueError, RecursionError):
        return {}
    if known.pop("version", None) != _VERSION or not isinstance(known.get("mailboxes", {}), dict):
        return {}
    return known


def _dict(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
