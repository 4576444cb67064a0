"""The edits of all milters to one message.

Each milter edits a draft of its own, which replaces the common state only once the milter has accepted the message:
of one that fails in the middle nothing remains.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from pillarbox.lib.milter import (
    AddHeader,
    AddRecipient,
    ChangeHeader,
    ChangeSender,
    DeleteRecipient,
    Edit,
    HeaderList,
    HeaderTooLarge,
    InsertHeader,
    MilterError,
    Quarantine,
    ReplaceBody,
)
from pillarbox.lib.milter.body import BodyReader
from pillarbox.lib.queue.edits import Edits, RecipientEdit
from pillarbox.milter.addresses import Addresses

SEALS: Final = fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE
"""After these nobody can change a memory file any more, not even who made it."""


class MemoryFile:
    """A file in memory, of at most `limit` bytes; closed by `close`, or given away."""

    def __init__(self, name: str, limit: int) -> None:
        self.descriptor = os.memfd_create(name, os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        self._limit = limit
        self.size = 0

    def write(self, data: bytes) -> None:
        """Append.  Raises MilterError beyond the limit."""
        self.size += len(data)
        if self.size > self._limit > 0:
            raise MilterError(f"a body of more than {self._limit} bytes")
        view = memoryview(data)
        while view:
            view = view[os.write(self.descriptor, view) :]

    def seal(self) -> None:
        """From now on it stays as it is."""
        fcntl.fcntl(self.descriptor, fcntl.F_ADD_SEALS, SEALS)

    def close(self) -> None:
        """Let it go."""
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1


@dataclass(slots=True)
class State:
    """The message as the milters so far have left it.  `sender` is (address, RET, ENVID), None where it is unchanged;
    `body` None: the content's own."""

    header: HeaderList
    body: MemoryFile | None = None
    sender: tuple[str, str, str] | None = None
    recipients: list[RecipientEdit] = field(default_factory=list)
    hold: str = ""
    changed_header: bool = False

    def edits(self) -> Edits:
        """The sum, with its files sealed.  Raises OSError.  The files are the caller's then."""
        sender, ret, envid = self.sender or (None, "", "")
        header = MemoryFile("header", 0) if self.changed_header else None
        try:
            if header is not None:
                header.write(self.header.block())
                header.seal()
            if self.body is not None:
                self.body.seal()
        except OSError:
            if header is not None:
                header.close()
            self.close()
            raise
        return Edits(
            sender,
            ret,
            envid,
            tuple(self.recipients),
            self.hold,
            header=header.descriptor if header is not None else -1,
            body=self.body.descriptor if self.body is not None else -1,
        )

    def close(self) -> None:
        """Drop the body."""
        if self.body is not None:
            self.body.close()
            self.body = None


class Draft:
    """What one milter makes of a state."""

    def __init__(
        self, state: State, addresses: Addresses, *, leading_space: bool, binary: bool, size_limit: int
    ) -> None:
        self._before = state
        self._addresses = addresses
        self._leading_space = leading_space
        self._size_limit = size_limit
        self._reader = BodyReader(binary=binary)
        self._state = State(
            state.header, state.body, state.sender, list(state.recipients), state.hold, state.changed_header
        )
        self._copied = False

    def take(self, edits: list[Edit]) -> None:
        """Make edits.  Raises MilterError for those that go too far."""
        try:
            for edit in edits:
                _EDITS[type(edit)](self, edit)
        except HeaderTooLarge as error:
            raise MilterError(str(error)) from None
        except OSError as error:
            raise MilterError(f"no memory for a new body: {error.strerror}") from None

    def _header(self) -> HeaderList:
        state = self._state
        if not self._copied:
            state.header = state.header.copy()
            self._copied = state.changed_header = True
        return state.header

    def _add(self, edit: AddHeader) -> None:
        self._header().add(edit, leading_space=self._leading_space)

    def _insert(self, edit: InsertHeader) -> None:
        self._header().insert(edit, leading_space=self._leading_space)

    def _change(self, edit: ChangeHeader) -> None:
        self._header().change(edit, leading_space=self._leading_space)

    def _add_recipient(self, edit: AddRecipient) -> None:
        self._state.recipients.append(self._addresses.added(edit))

    def _delete_recipient(self, edit: DeleteRecipient) -> None:
        self._state.recipients.append(self._addresses.deleted(edit))

    def _change_sender(self, edit: ChangeSender) -> None:
        self._state.sender = self._addresses.sender(edit)

    def _replace_body(self, edit: ReplaceBody) -> None:
        state = self._state
        if state.body is None or state.body is self._before.body:
            state.body = MemoryFile("body", self._size_limit)
        state.body.write(self._reader.feed(edit.data))

    def _quarantine(self, edit: Quarantine) -> None:
        self._state.hold = edit.reason or "milter"

    def accept(self) -> State:
        """The milter has accepted the message: what it is now.  Raises MilterError."""
        state, before = self._state, self._before
        if state.body is not before.body and state.body is not None:
            try:
                state.body.write(self._reader.finish())
            except OSError as error:
                raise MilterError(f"no memory for a new body: {error.strerror}") from None
            if before.body is not None:
                before.body.close()
        return state

    def drop(self) -> None:
        """Nothing of it counts."""
        if self._state.body is not self._before.body and self._state.body is not None:
            with contextlib.suppress(OSError):
                self._state.body.close()


_EDITS: Final[dict[type, Callable[..., None]]] = {
    AddHeader: Draft._add,
    InsertHeader: Draft._insert,
    ChangeHeader: Draft._change,
    AddRecipient: Draft._add_recipient,
    DeleteRecipient: Draft._delete_recipient,
    ChangeSender: Draft._change_sender,
    ReplaceBody: Draft._replace_body,
    Quarantine: Draft._quarantine,
}
