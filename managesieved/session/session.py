"""One ManageSieve session after login: reads lines from a socket, sends what `Management` answers.

Blocking, one thread per session: to check a script may take seconds, and to store one waits for the disk.
"""

from __future__ import annotations

import socket
from collections.abc import Callable

from pillarbox.lib.log import log
from pillarbox.lib.sieve_box.storage import StorageError
from pillarbox.managesieved.protocol import replies
from pillarbox.managesieved.protocol.management import Box, Management
from pillarbox.managesieved.protocol.reader import Event, LineReader

READ_SIZE = 16 * 1024
"""Octets asked for at once."""

GATHER_LIMIT = 64 * 1024
"""Octets of replies that are held back while more commands are at hand."""

ERROR_LIMIT = 10
"""Lines that are no commands, one after the other, after which a client is let go."""


class Session:
    """Serves one client; `run` returns when the session is over, however it ends.  The caller closes the socket.

    `received` is what the client sent ahead of the login's reply; `name` is for the log; `literal_limit` bounds what a
    client may make us keep; `sasl` is what goes with success.
    """

    def __init__(
        self,
        sock: socket.socket,
        name: str,
        *,
        received: bytes,
        timeout: float,
        literal_limit: int,
        capabilities: bytes,
        sasl: bytes | None = None,
    ) -> None:
        sock.settimeout(timeout)
        self._socket = sock
        self._name = name
        self._reader = LineReader(literal_limit)
        self._reader.feed(received)
        self._capabilities = capabilities
        self._sasl = sasl
        self._output = bytearray()
        self._stopping = False

    def run(self, open_box: Callable[[], Box]) -> None:
        """Open the scripts, answer the login, serve the client."""
        reason = "disconnected"
        try:
            try:
                box = open_box()
            except StorageError as error:
                log.error(f"{self._name}: {error}")
                self._write(replies.NO_SCRIPTS)
                reason = "the scripts cannot be reached"
            else:
                self._write(replies.ok("Logged in.", *(() if self._sasl is None else ("SASL", self._sasl))))
                reason = self._serve(Management(box, self._capabilities, ERROR_LIMIT))
            self._flush()
        except TimeoutError:
            reason = "idle for too long"
            self._refuse(replies.IDLE_TOO_LONG)
        except OSError:
            reason = "connection lost"
        log.info(f"{self._name}: {reason}")

    def refer(self, server: str) -> None:
        """Tell the client that the scripts are on another server, and end."""
        self._refuse(replies.referral(server))
        log.info(f"{self._name}: referred to {server}")

    def stop(self) -> None:
        """End the session after the command under work.  May be called from another thread."""
        self._stopping = True
        try:
            self._socket.shutdown(socket.SHUT_RD)
        except OSError:
            pass  # it is at its end already

    def _serve(self, management: Management) -> str:
        while (event := self._next()) is not None:
            self._write(management.answer(event))
            if management.over:
                return management.over
        if self._stopping:
            self._write(replies.STOPPING)
            return "server is going down"
        return "disconnected"

    def _next(self) -> Event | None:
        """The next line; None where the client is gone.  Sends what is gathered before it waits."""
        while (event := self._reader.next_event()) is None:
            self._flush()
            data = self._socket.recv(READ_SIZE)
            if not data:
                return None
            self._reader.feed(data)
        return event

    def _write(self, data: bytes) -> None:
        self._output += data
        if len(self._output) >= GATHER_LIMIT:
            self._flush()

    def _flush(self) -> None:
        if self._output:
            data, self._output = self._output, bytearray()
            self._socket.sendall(data)

    def _refuse(self, reply: bytes) -> None:
        try:
            self._write(reply)
            self._flush()
        except OSError:
            pass  # the client does not read, or is gone
