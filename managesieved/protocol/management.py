"""What a logged-in client may do (RFC 5804 section 2): each command a small method that gives the reply.

Which commands there are is the table of `grammar`; those that are only for clients who have not logged in are answered
NO.  `Box` is what is managed; `lib.sieve_box.storage` is one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar, Protocol

from pillarbox.lib.sieve_box.storage import Listed, StorageError
from pillarbox.managesieved.protocol import replies
from pillarbox.managesieved.protocol.grammar import BadCommand, parse
from pillarbox.managesieved.protocol.reader import BadLine, Event, Oversize


class Box(Protocol):
    """A user's scripts.  All methods raise StorageError."""

    def scripts(self) -> Sequence[Listed]: ...
    def get(self, name: str) -> bytes: ...
    def check(self, name: str, data: bytes) -> tuple[str, ...]: ...
    def have_space(self, name: str, size: int) -> None: ...
    def put(self, name: str, data: bytes) -> tuple[str, ...]: ...
    def activate(self, name: str) -> tuple[str, ...]: ...
    def delete(self, name: str) -> None: ...
    def rename(self, old: str, new: str) -> None: ...


class Management:
    """One client.  `capabilities` are the lines that CAPABILITY is answered with.

    After `error_limit` lines that are no commands, one after the other, the client is let go.
    """

    def __init__(self, box: Box, capabilities: bytes, error_limit: int) -> None:
        self._box = box
        self._capabilities = capabilities
        self._error_limit = error_limit
        self._errors = 0
        self.over = ""
        """Why the connection is to be ended, behind the reply; "" while it is not."""

    def answer(self, event: Event) -> bytes:
        """Carry a line out; gives the reply."""
        try:
            if isinstance(event, BadLine):
                raise BadCommand(event.why)
            verb, arguments = parse(event)
        except BadCommand as error:
            self._errors += 1
            if self._errors >= self._error_limit:
                self.over = "too many errors"
                return replies.TOO_MANY_ERRORS
            return replies.no(f"Error in command: {error}.")
        self._errors = 0
        try:
            return self._COMMANDS[verb](self, *arguments)
        except StorageError as error:
            return replies.no(f"{error}.", error.code)

    # --- commands
    def _capability(self) -> bytes:
        return self._capabilities + replies.ok("Capability completed.")

    def _noop(self, tag: bytes | None = None) -> bytes:
        return replies.ok("Done.") if tag is None else replies.ok("Done.", "TAG", tag)

    def _logout(self) -> bytes:
        self.over = "logged out"
        return replies.GOOD_BYE

    def _list(self) -> bytes:
        lines = []
        for each in self._box.scripts():
            lines.append(replies.string(each.name.encode()) + (b" ACTIVE\r\n" if each.active else b"\r\n"))
        return b"".join(lines) + replies.ok("Listscripts completed.")

    def _get(self, name: str) -> bytes:
        return replies.literal(self._box.get(name)) + b"\r\n" + replies.ok("Getscript completed.")

    def _put(self, name: str, script: bytes | Oversize) -> bytes:
        if isinstance(script, Oversize):
            self._box.have_space(name, script.size)
            raise _too_large()
        return _done("Putscript completed.", self._box.put(name, script))

    def _check(self, script: bytes | Oversize) -> bytes:
        if isinstance(script, Oversize):
            raise _too_large()
        return _done("Script checked successfully.", self._box.check("script", script))

    def _have_space(self, name: str, size: int) -> bytes:
        self._box.have_space(name, size)
        return replies.ok("Putscript would succeed.")

    def _activate(self, name: str) -> bytes:
        return _done("Setactive completed." if name else "No script is active now.", self._box.activate(name))

    def _delete(self, name: str) -> bytes:
        self._box.delete(name)
        return replies.ok("Deletescript completed.")

    def _rename(self, old: str, new: str) -> bytes:
        self._box.rename(old, new)
        return replies.ok("Renamescript completed.")

    def _logged_in(self, *_: object) -> bytes:
        return replies.no("You are logged in already.")

    def _unauthenticate(self) -> bytes:
        # The connection belongs to a process with the user's rights, which cannot become another one.
        return replies.no("Connect anew to be another user.")

    _COMMANDS: ClassVar[dict[str, Callable[..., bytes]]] = {
        "CAPABILITY": _capability,
        "NOOP": _noop,
        "LOGOUT": _logout,
        "LISTSCRIPTS": _list,
        "GETSCRIPT": _get,
        "PUTSCRIPT": _put,
        "CHECKSCRIPT": _check,
        "HAVESPACE": _have_space,
        "SETACTIVE": _activate,
        "DELETESCRIPT": _delete,
        "RENAMESCRIPT": _rename,
        "AUTHENTICATE": _logged_in,
        "STARTTLS": _logged_in,
        "UNAUTHENTICATE": _unauthenticate,
    }


def _done(text: str, warnings: tuple[str, ...]) -> bytes:
    if warnings:
        return replies.ok(f"{'; '.join(warnings)}.", "WARNINGS")
    return replies.ok(text)


def _too_large() -> StorageError:
    return StorageError("The script is too large", "QUOTA/MAXSIZE")
