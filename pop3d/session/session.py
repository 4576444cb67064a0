"""One POP3 session after login: reads commands from a socket, sends what the TRANSACTION state answers.

Blocking, one thread per session: store calls block anyway, a session is short and busy, and what it costs is bounded by
the service's session limit.  Replies to pipelined commands are gathered and sent together.  A message is streamed and
never held whole.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable

from pillarbox.lib.log import log
from pillarbox.lib.mime.surrogates import surrogate
from pillarbox.lib.store.interface import MailboxBusy, MessageGone, Store, StoreError
from pillarbox.pop3d.protocol import replies
from pillarbox.pop3d.protocol.capabilities import USUAL, Terms
from pillarbox.pop3d.protocol.lines import LineReader, OverlongLine
from pillarbox.pop3d.protocol.transaction import Close, Listing, Reply, Retrieve, Transaction, Update
from pillarbox.pop3d.protocol.transparency import DotStuffer, TopCutter
from pillarbox.pop3d.session.maildrop import OpenMaildrop, open_maildrop

READ_SIZE = 4096
"""Octets asked for at once: a batch of commands."""

GATHER_LIMIT = 64 * 1024
"""Octets of replies that are held back while more commands are at hand."""

DAY = 86400.0


class _Connection:
    """The socket with its line reader and gathered output."""

    def __init__(self, sock: socket.socket, received: bytes, timeout: float) -> None:
        sock.settimeout(timeout)
        self._socket = sock
        self._reader = LineReader()
        self._reader.feed(received)
        self._output = bytearray()

    def read_line(self) -> bytes | OverlongLine | None:
        """The next line; None where the client is gone.  Sends what is gathered before it waits."""
        while (line := self._reader.next()) is None:
            self.flush()
            data = self._socket.recv(READ_SIZE)
            if not data:
                return None
            self._reader.feed(data)
        return line

    def end_input(self) -> None:
        """Make the read under way, or the next one, find the end of the stream."""
        try:
            self._socket.shutdown(socket.SHUT_RD)
        except OSError:
            pass  # it is at its end already

    def write(self, data: bytes) -> None:
        """Gather output."""
        self._output += data
        if len(self._output) >= GATHER_LIMIT:
            self.flush()

    def flush(self) -> None:
        """Send what is gathered."""
        if self._output:
            data, self._output = self._output, bytearray()
            self._socket.sendall(data)


class Session:
    """Serves one client; `run` returns when the session is over, however it ends.  The caller closes the socket.

    `received` is what the client sent ahead of the login's reply; `name` is for the log; `utf8`: the client has asked
    for headers in UTF-8, others get a surrogate (RFC 6856); `clock` gives seconds since the epoch.
    """

    def __init__(
        self,
        sock: socket.socket,
        name: str,
        *,
        received: bytes = b"",
        timeout: float,
        flag_updates: bool = True,
        terms: Terms = USUAL,
        utf8: bool = False,
        uidl_format: str = "",
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._connection = _Connection(sock, received, timeout)
        self._name = name
        self._flag_updates = flag_updates
        self._terms = terms
        self._utf8 = utf8
        self._uidl_format = uidl_format
        self._clock = clock
        self._retrieved: set[int] = set()
        self._sent = 0
        self._removed: set[int] = set()
        self._stopping = False

    def run(self, store: Store) -> None:
        """Open the maildrop, answer the login, serve the client."""
        reason = "disconnected"
        count = 0
        try:
            with open_maildrop(store, self._uidl_format) as maildrop:
                count = len(maildrop)
                self._connection.write(replies.LOGGED_IN)
                try:
                    reason = self._serve(maildrop)
                finally:
                    self._mark_seen(maildrop)
            # Not before the lock is released: a client may come back as soon as it has its answer (RFC 1939 section 6).
            self._connection.flush()
        except MailboxBusy:
            reason = "mailbox is in use by another session"
            self.refuse(replies.MAILDROP_IN_USE)
        except StoreError as error:
            log.warning(f"{self._name}: mailbox: {error}")
            reason = "mailbox is not available"
            self.refuse(replies.MAILDROP_UNAVAILABLE)
        except TimeoutError:
            reason = "idle for too long"
            self.refuse(replies.IDLE_TOO_LONG)
        except OSError:
            reason = "connection lost"
        log.info(
            f"{self._name}: {reason}, messages={count}, retr={len(self._retrieved)}/{self._sent}, "
            f"del={len(self._removed)}"
        )

    def stop(self) -> None:
        """End the session after the command under work, without UPDATE.  May be called from another thread."""
        self._stopping = True
        self._connection.end_input()

    def refuse(self, reply: bytes) -> None:
        """Tell the client why the session ends."""
        try:
            self._connection.write(reply)
            self._connection.flush()
        except OSError:
            pass  # the client does not read, or is gone

    def _serve(self, maildrop: OpenMaildrop) -> str:
        transaction = Transaction(maildrop, self._terms)
        while (line := self._connection.read_line()) is not None:
            action = transaction.overlong() if isinstance(line, OverlongLine) else transaction.command(line)
            match action:
                case Reply():
                    self._connection.write(action.data)
                case Listing():
                    for piece in action.pieces:
                        self._connection.write(piece)
                case Retrieve():
                    if not self._retrieve(maildrop, action):
                        return "message could not be read"
                case Update():
                    self._update(maildrop, action.deleted)
                    return "logged out"
                case Close():
                    self._connection.write(action.data)
                    return "too many errors"
        if self._stopping:
            self._connection.write(replies.STOPPING)
            return "server is going down"
        return "disconnected"

    def _retrieve(self, maildrop: OpenMaildrop, action: Retrieve) -> bool:
        """Send a message; False where it broke off in the middle, so that only the end of the connection is honest."""
        begun = False
        try:
            with maildrop.read(action.number) as content:
                stuffer = DotStuffer()
                cutter = None if action.lines is None else TopCutter(action.lines)
                self._connection.write(action.data)
                begun = True
                for chunk in content.chunks() if self._utf8 else surrogate(content.chunks):
                    shown = chunk if cutter is None else cutter.feed(chunk)
                    self._connection.write(stuffer.feed(shown))
                    self._sent += len(shown)
                    if cutter is not None and cutter.done:
                        break
                self._connection.write(stuffer.finish())
        except StoreError as error:
            if not isinstance(error, MessageGone):
                log.warning(f"{self._name}: message {action.number}: {error}")
            if begun:
                return False
            self._connection.write(replies.MESSAGE_GONE)
            return True
        if action.lines is None:
            self._retrieved.add(action.number)
        return True

    def _update(self, maildrop: OpenMaildrop, deleted: tuple[int, ...]) -> None:
        """The UPDATE state (RFC 1939 section 6)."""
        try:
            deleted = self._with_expired(maildrop, deleted)
            if deleted:
                maildrop.remove(deleted)
                self._removed.update(deleted)
        except StoreError as error:
            log.warning(f"{self._name}: removing {len(deleted)} messages: {error}")
            self._connection.write(replies.NOT_DELETED)
            return
        self._connection.write(replies.UPDATED_WITH_DELETIONS if deleted else replies.UPDATED)

    def _with_expired(self, maildrop: OpenMaildrop, deleted: tuple[int, ...]) -> tuple[int, ...]:
        """Those, and the messages that the site keeps no longer (RFC 2449 section 6.7)."""
        days = self._terms.expire
        if days is None:
            return deleted
        expired = self._retrieved if days == 0 else maildrop.expired(self._clock() - days * DAY)
        return tuple(sorted({*deleted, *expired}))

    def _mark_seen(self, maildrop: OpenMaildrop) -> None:
        seen = self._retrieved - self._removed
        if not self._flag_updates or not seen:
            return
        try:
            maildrop.mark_seen(seen)
        except StoreError as error:
            log.warning(f"{self._name}: setting the flag Seen: {error}")
