"""Taking messages in: the protocol of `lib.clients.cleanup`, and the commit at the end of each round.

An answer goes out only after the file has been synced, renamed and its name synced: then the message is ours.
"""

from __future__ import annotations

import os
from dataclasses import replace

from pillarbox.cleanup.expansion import expand_recipients
from pillarbox.cleanup.header import HeaderRules, fields_end, message_id
from pillarbox.cleanup.incoming import IncomingFile, sync_files, sync_names
from pillarbox.cleanup.spares import Spares
from pillarbox.lib.clients.cleanup import Rejected
from pillarbox.lib.clients.errors import ServiceUnavailable
from pillarbox.lib.clients.lookup import LookupClient
from pillarbox.lib.clients.qmgr import QmgrNotifier
from pillarbox.lib.config import Config
from pillarbox.lib.config.parameters.general import HEADER_SIZE_LIMIT, MESSAGE_SIZE_LIMIT, QUEUE_DIRECTORY
from pillarbox.lib.config.parameters.lookup import VIRTUAL_ALIAS_MAPS
from pillarbox.lib.ipc import Attributes, Channel, ChannelClosed, ContentAborted, ProtocolError
from pillarbox.lib.log import log
from pillarbox.lib.queue import Envelope, Recipient

RECIPIENT_LIMIT = 100_000
"""Most recipients of one message; a bound on memory, far above every sender's own limit."""

WRITE_ERROR = Rejected(451, "4.3.0", "Error: queue file write error")
BAD_ENVELOPE = Rejected(554, "5.6.0", "Error: the envelope cannot be stored")
TOO_BIG = Rejected(552, "5.3.4", "Error: message file too big")
TOO_MANY_HOPS = Rejected(554, "5.4.0", "Error: too many hops")
HEADER_BLOCK_LIMIT = 1024 * 1024
"""Longest header block that is gathered before it is treated; what follows is content as it is."""


class _Connection:
    """One client connection: its prepared file, and the message that is being received into it."""

    __slots__ = ("envelope", "failure", "file", "head", "queue_id", "recipients", "state")

    def __init__(self) -> None:
        self.file: IncomingFile | None = None
        self.reset()

    def reset(self) -> None:
        self.state = "idle"  # -> recipients -> content -> idle
        self.queue_id = ""
        self.envelope: Envelope | None = None
        self.recipients: list[Recipient] = []
        self.head: bytes | None = b""
        self.failure: Rejected | None = None


class Intake:
    """The round handler of cleanup."""

    def __init__(self, config: Config, spares: Spares | None = None) -> None:
        self._spares = spares
        self._incoming = f"{config[QUEUE_DIRECTORY]}/incoming"
        self._directory = os.open(self._incoming, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self._size_limit = config[MESSAGE_SIZE_LIMIT]
        self._header_limit = max(config[HEADER_SIZE_LIMIT], HEADER_BLOCK_LIMIT)
        self._rules = HeaderRules(config)
        self._expands = bool(config[VIRTUAL_ALIAS_MAPS])
        self._lookup = LookupClient(config)
        self._qmgr = QmgrNotifier(config)
        self._complete: list[tuple[Channel, _Connection]] = []

    # --- connections
    def opened(self, channel: Channel) -> _Connection:
        connection = _Connection()
        # Until the client closes its side: it may have told the world the id of the prepared file, as smtpd does at the
        # first recipient, so that a process which is replaced or spare must not go before its clients have.
        channel.in_request = True
        try:
            channel.send(self._prepare(connection))
        except ChannelClosed:
            self.closed(channel, connection)
            raise
        return connection

    def _prepare(self, connection: _Connection) -> dict[str, object]:
        """Make the next empty file; the attributes that tell the client."""
        try:
            connection.file = IncomingFile(self._incoming, self._spares)
        except OSError as error:
            log.error(f"create file in {self._incoming}: {error.strerror}")
            connection.file = None
            return {"prepared": 0, "why": f"no queue file could be made: {error.strerror}"}
        return {"prepared": connection.file.inode}

    def closed(self, channel: Channel, connection: _Connection) -> None:
        self._complete = [item for item in self._complete if item[1] is not connection]
        if connection.file is not None:
            connection.file.discard()

    def stopping(self) -> None:
        self._qmgr.close()

    # --- one message
    def arrived(self, channel: Channel, connection: _Connection) -> None:
        while True:
            if connection.state == "content":
                try:
                    chunk = channel.next_chunk()
                except ContentAborted:
                    self._withdraw(channel, connection)
                    continue
                if chunk is None:
                    return
                if chunk:
                    self._content(connection, chunk)
                else:
                    self._end(channel, connection)
            elif connection.state == "complete":
                if channel.pending:
                    raise ProtocolError("a message before the last one was answered")
                return
            else:
                frame = channel.next_frame()
                if frame is None:
                    return
                self._envelope(channel, connection, frame)

    def _envelope(self, channel: Channel, connection: _Connection, frame: Attributes) -> None:
        verb = frame.text("do")
        recipients = [Recipient.parse(item) for item in frame.groups("recipients")]
        if verb == "message" and connection.state == "idle":
            if connection.file is None:
                raise ProtocolError("a message without a prepared file")
            connection.queue_id = frame.text("id")
            if not connection.file.accepts(connection.queue_id):
                raise ProtocolError(f'"{connection.queue_id}" is not the id of the prepared file')
            connection.envelope = Envelope.parse(frame.attributes("envelope"), ())
            connection.state = "recipients"
        elif verb != "recipients" or connection.state != "recipients":
            raise ProtocolError(f'"{verb}" does not fit here')
        connection.recipients += recipients
        if len(connection.recipients) > RECIPIENT_LIMIT:
            raise ProtocolError(f"more than {RECIPIENT_LIMIT} recipients")
        if not frame.boolean("more", False):
            connection.state = "content"
            self._begin(connection)

    def _begin(self, connection: _Connection) -> None:
        assert connection.envelope is not None and connection.file is not None
        recipients = tuple(connection.recipients)
        connection.recipients = []
        try:
            if self._expands:
                recipients = expand_recipients(self._lookup, recipients)
            if not recipients:
                raise Rejected(554, "5.5.1", "Error: no recipients")
            connection.envelope = replace(connection.envelope, recipients=recipients)
            connection.file.begin(connection.envelope)
        except Rejected as refusal:
            connection.failure = refusal
        except ValueError as error:
            log.warning(f"{connection.queue_id}: envelope: {error}")
            connection.failure = BAD_ENVELOPE
        except ServiceUnavailable as error:
            log.warning(f"{connection.queue_id}: virtual alias look-up: {error.reason}")
            connection.failure = Rejected(451, "4.3.0", "Temporary lookup failure")

    def _content(self, connection: _Connection, chunk: bytes) -> None:
        if connection.failure is not None:
            return
        assert connection.file is not None
        try:
            if connection.head is None:
                connection.file.write(chunk)
            else:
                connection.head += chunk
                self._header(connection, final=False)
            self._check_size(connection)
        except Rejected as refusal:
            connection.failure = refusal
        except OSError as error:
            self._write_error(connection, error)

    def _check_size(self, connection: _Connection) -> None:
        assert connection.file is not None
        if self._size_limit and connection.file.size + len(connection.head or b"") > self._size_limit:
            log.warning(f"{connection.queue_id}: queue file size limit exceeded")
            raise TOO_BIG

    def _header(self, connection: _Connection, *, final: bool) -> None:
        """Once the header block is complete: treat it and write it.  `final`: the content has ended."""
        head = connection.head
        assert head is not None and connection.envelope is not None and connection.file is not None
        if head.startswith(b"\n"):
            end = 0
        else:
            end = head.find(b"\n\n") + 1
            if not end:
                if not final:
                    if len(head) >= self._header_limit:
                        self._endless_header(connection, head)
                    return
                if head and not head.endswith(b"\n"):
                    head += b"\n"
                end = len(head)
        header, rest = head[:end], head[end:]
        if (fields := fields_end(header)) < end:
            # A line that is no field ends the header; the empty line that belongs there is missing.
            header, rest = head[:fields], b"\n" + head[fields:]
        connection.head = None
        if self._rules.too_many_hops(header):
            raise TOO_MANY_HOPS
        header = self._rules.apply(header, connection.envelope, connection.queue_id)
        log.info(f"{connection.queue_id}: message-id={message_id(header)}")
        connection.file.write(header)
        if rest:
            connection.file.write(rest)

    def _endless_header(self, connection: _Connection, head: bytes) -> None:
        """The header is longer than what is looked at: it stays as it is."""
        assert connection.file is not None
        connection.head = None
        if self._rules.too_many_hops(head):
            raise TOO_MANY_HOPS
        log.info(f"{connection.queue_id}: message-id={message_id(head)}")
        connection.file.write(head)

    def _write_error(self, connection: _Connection, error: OSError) -> None:
        log.warning(f"{connection.queue_id}: queue file write error: {error.strerror}")
        connection.failure = WRITE_ERROR

    def _end(self, channel: Channel, connection: _Connection) -> None:
        assert connection.file is not None
        connection.state = "complete"
        if connection.failure is None:
            try:
                if connection.head is not None:
                    self._header(connection, final=True)
                    self._check_size(connection)
                connection.file.complete()
            except Rejected as refusal:
                connection.failure = refusal
            except OSError as error:
                self._write_error(connection, error)
        self._complete.append((channel, connection))

    def _withdraw(self, channel: Channel, connection: _Connection) -> None:
        if connection.file is not None:
            connection.file.discard()
        connection.reset()
        channel.send(self._prepare(connection))

    # --- the commit
    def round_ended(self) -> None:
        if not self._complete:
            return
        batch, self._complete = self._complete, []
        good = [connection for _, connection in batch if connection.failure is None]
        stored = self._store(good)
        for channel, connection in batch:
            self._answer(channel, connection)
        if stored:
            self._qmgr.arrived(stored)
        if self._spares is not None:
            self._spares.refill()

    def _store(self, batch: list[_Connection]) -> list[str]:
        """Sync, rename, sync the names; the ids of the messages that are safe.  Sets `failure` on the others."""
        if not batch:
            return []
        files = [connection.file for connection in batch if connection.file is not None]
        try:
            sync_files(files)
        except OSError as error:
            for connection in batch:
                self._write_error(connection, error)
            return []
        stored = []
        for connection in batch:
            assert connection.file is not None
            try:
                connection.file.publish(connection.queue_id)
                stored.append(connection.queue_id)
            except OSError as error:
                self._write_error(connection, error)
        try:
            sync_names(self._directory)
        except OSError as error:
            # The names may or may not be on disk: say "not accepted".  The message may then arrive twice, not never.
            for connection in batch:
                self._write_error(connection, error)
            return []
        return stored

    def _answer(self, channel: Channel, connection: _Connection) -> None:
        file, failure = connection.file, connection.failure
        assert file is not None
        reply: dict[str, object]
        if failure is None:
            reply = {"ok": True, "id": connection.queue_id, "size": file.length}
        else:
            reply = {"ok": False, "code": failure.code, "enhanced": failure.enhanced, "text": failure.text}
            file.discard()
        connection.file = None
        connection.reset()
        reply.update(self._prepare(connection))
        try:
            channel.send(reply)
        except ChannelClosed:
            log.warning("a client has gone before it took the answer to its message")
