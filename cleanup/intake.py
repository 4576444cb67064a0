"""Taking messages in: the protocol of `lib.clients.cleanup`, and the commit at the end of each round.

An answer goes out only after the file has been synced, renamed and its name synced: then the message is ours.
"""

from __future__ import annotations

import os

from pillarbox.cleanup.checks import Checks
from pillarbox.cleanup.edits import check_sealed
from pillarbox.cleanup.incoming import IncomingFile, sync_files, sync_names
from pillarbox.cleanup.message import NewMessage, Treatment
from pillarbox.cleanup.spares import Spares
from pillarbox.lib.clients.qmgr import QmgrNotifier
from pillarbox.lib.config import Config
from pillarbox.lib.config.parameters.general import QUEUE_DIRECTORY
from pillarbox.lib.ipc import Attributes, Channel, ChannelClosed, ContentAborted, ProtocolError, close_all
from pillarbox.lib.log import log
from pillarbox.lib.queue import Envelope, Recipient
from pillarbox.lib.queue.edits import Edits

RECIPIENT_LIMIT = 100_000
"""Most recipients of one message; a bound on memory, far above every sender's own limit."""


class _Connection:
    """One client connection: its prepared file, and the message that is being received into it."""

    __slots__ = ("examine", "file", "message", "recipients", "state")

    def __init__(self) -> None:
        self.file: IncomingFile | None = None
        self.reset()

    def reset(self) -> None:
        self.state = "idle"  # -> recipients -> content [-> examined] -> complete -> idle
        self.examine = False
        self.message: NewMessage | None = None
        self.recipients: list[Recipient] = []


class Intake:
    """The round handler of cleanup."""

    def __init__(
        self, config: Config, spares: Spares | None = None, hold: int = -1, checks: Checks | None = None
    ) -> None:
        """`hold` is an open descriptor of hold/, `checks` are opened tables, for a process that is confined."""
        self._spares = spares
        self._incoming = f"{config[QUEUE_DIRECTORY]}/incoming"
        self._hold = f"{config[QUEUE_DIRECTORY]}/hold"
        self._directory = os.open(self._incoming, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self._hold_directory = hold if hold >= 0 else os.open(self._hold, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self._treatment = Treatment(config, checks)
        self._qmgr = QmgrNotifier(config)
        self._stopping = False
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
        if self._stopping:  # the client closes its connection and goes to the process that has taken our place
            return {"prepared": 0, "why": "the process is being replaced"}
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
        self._stopping = True
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
                    assert connection.message is not None
                    connection.message.content(chunk)
                else:
                    self._end(channel, connection)
            elif connection.state == "complete":
                if channel.pending:
                    raise ProtocolError("a message before the last one was answered")
                return
            elif connection.state == "examined":
                frame = channel.next_frame()
                if frame is None:
                    return
                self._edits(channel, connection, frame)
            else:
                frame = channel.next_frame()
                if frame is None:
                    return
                self._envelope(channel, connection, frame)

    def _envelope(self, channel: Channel, connection: _Connection, frame: Attributes) -> None:
        verb = frame.text("do")
        recipients = tuple(Recipient.parse(item) for item in frame.groups("recipients"))
        more = frame.boolean("more", False)
        if verb == "message" and connection.state == "idle":
            if connection.file is None:
                raise ProtocolError("a message without a prepared file")
            queue_id = frame.text("id")
            if not connection.file.accepts(queue_id):
                raise ProtocolError(f'"{queue_id}" is not the id of the prepared file')
            # Mostly one frame has all recipients, and the envelope need not be made again.
            envelope = Envelope.parse(frame.attributes("envelope"), () if more else recipients)
            connection.message = NewMessage(self._treatment, connection.file, queue_id, envelope)
            connection.state = "recipients"
            connection.examine = frame.boolean("examine", False)
        elif verb != "recipients" or connection.state != "recipients":
            raise ProtocolError(f'"{verb}" does not fit here')
        if more or connection.recipients:
            connection.recipients += recipients
            if len(connection.recipients) > RECIPIENT_LIMIT:
                raise ProtocolError(f"more than {RECIPIENT_LIMIT} recipients")
            recipients = tuple(connection.recipients)
        if not more:
            connection.state = "content"
            connection.recipients = []
            assert connection.message is not None
            connection.message.begin(recipients)

    def _end(self, channel: Channel, connection: _Connection) -> None:
        message = connection.message
        assert message is not None
        message.end()
        examined = message.examine() if connection.examine else None
        if examined is not None:
            connection.state = "examined"
            channel.takes_descriptors = True
            try:
                place = {"offset": examined.offset, "length": examined.length}
                channel.send({"examine": examined.header, **place}, (examined.descriptor,))
            finally:
                examined.close()
            return
        self._finish(channel, connection, Edits())

    def _edits(self, channel: Channel, connection: _Connection, frame: Attributes) -> None:
        """Those who have examined the message let it go on its way."""
        channel.takes_descriptors = False
        if frame.text("do") != "commit":
            close_all(frame.fds)
            raise ProtocolError("an examined message is committed or withdrawn, nothing else")
        edits = Edits.parse(frame.attributes("edits"), frame.fds)
        try:
            check_sealed(edits.descriptors)
            self._finish(channel, connection, edits)
        finally:
            edits.close()

    def _finish(self, channel: Channel, connection: _Connection, edits: Edits) -> None:
        assert connection.message is not None
        connection.state = "complete"
        connection.message.finish(edits)
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
        messages = [connection.message for _, connection in batch if connection.message is not None]
        stored = self._store([one for one in messages if one.failure is None and not one.disposition.discard])
        for channel, connection in batch:
            self._answer(channel, connection)
        if stored:
            self._qmgr.arrived(stored)
        if self._spares is not None:
            self._spares.refill()

    def _store(self, batch: list[NewMessage]) -> list[str]:
        """Sync, rename, sync the names; the ids of the messages that qmgr is to take up.  Sets `failure` on others."""
        if not batch:
            return []
        try:
            sync_files([message.file for message in batch])
        except OSError as error:
            for message in batch:
                message.write_error(error)
            return []
        arrived: list[NewMessage] = []
        held: list[NewMessage] = []
        for message in batch:
            hold = bool(message.disposition.hold)
            try:
                message.file.publish(message.queue_id, self._hold if hold else "")
            except OSError as error:
                message.write_error(error)
            else:
                (held if hold else arrived).append(message)
        # The names may or may not be on disk: say "not accepted".  The message may then arrive twice, not never.
        self._sync_names(arrived, self._directory)
        self._sync_names(held, self._hold_directory)
        return [message.queue_id for message in arrived if message.failure is None]

    def _sync_names(self, messages: list[NewMessage], directory: int) -> None:
        if messages:
            try:
                sync_names(directory)
            except OSError as error:
                for message in messages:
                    message.write_error(error)

    def _answer(self, channel: Channel, connection: _Connection) -> None:
        message = connection.message
        assert message is not None
        reply: dict[str, object]
        if (failure := message.failure) is not None:
            reply = {"ok": False, "code": failure.code, "enhanced": failure.enhanced, "text": failure.text}
            message.file.discard()
        else:
            reply = {"ok": True, "id": message.queue_id, "size": message.file.length}
            if message.disposition.discard:
                message.file.discard()
        connection.file = None
        connection.reset()
        reply.update(self._prepare(connection))
        try:
            channel.send(reply)
        except ChannelClosed:
            log.warning("a client has gone before it took the answer to its message")
