"""The loop of a session: bytes to commands, commands to actions, failures to tagged answers.

Every command gets exactly one tagged answer, whatever happens in it: NO for what the store refuses, BAD for what the
client got wrong, and for a fault of our own NO [SERVERBUG] with a line in the log.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable

from pillarbox.imapd.commands import COMMANDS
from pillarbox.imapd.commands.append import Appending
from pillarbox.imapd.commands.append_grammar import is_message, parse_opening
from pillarbox.imapd.commands.command import ANY_STATE, Command, Reply, Report, State, Syntax
from pillarbox.imapd.commands.fetch import StreamBroken
from pillarbox.imapd.commands.rev2 import normalized_lines
from pillarbox.imapd.protocol import reader as wire
from pillarbox.imapd.protocol import response
from pillarbox.imapd.protocol.cursor import Cursor
from pillarbox.imapd.protocol.errors import BadSyntax, CommandFailed
from pillarbox.imapd.protocol.reader import (
    COUNT_LIMIT,
    LITERAL_LIMIT,
    LITERAL_MINUS_LIMIT,
    CommandReader,
    LiteralOffer,
    LiteralPiece,
    TooLong,
)
from pillarbox.imapd.session.compression import Compression
from pillarbox.imapd.session.context import Session
from pillarbox.imapd.session.events import Registration
from pillarbox.imapd.session.notifier import Fetch, Notifier, TooMuch
from pillarbox.imapd.session.selected import MailboxReplaced
from pillarbox.imapd.session.watch import Watcher
from pillarbox.lib.config import Config
from pillarbox.lib.config.parameters.imapd import (
    IMAP_IDLE_CHECK_INTERVAL,
    IMAP_IDLE_NOTIFY_INTERVAL,
    IMAP_LITERAL_MINUS,
    IMAP_MAX_BAD_COMMANDS,
    IMAP_MAX_LINE_LENGTH,
    IMAP_SESSION_TIMEOUT,
)
from pillarbox.lib.log import log
from pillarbox.lib.login import ClientConnection, ClientGone
from pillarbox.lib.store.interface import Mailbox, MailboxNotFound, Store, StoreError
from pillarbox.lib.store.patience import in_place

_CHANGING = frozenset(
    {
        "APPEND",
        "COPY",
        "CREATE",
        "DELETE",
        "DELETEACL",
        "MOVE",
        "RENAME",
        "REPLACE",
        "SETACL",
        "SETMETADATA",
        "SUBSCRIBE",
        "UNSUBSCRIBE",
    }
)
"""Commands that change what events tell of: a client needs not be told what it has done itself."""


class _Inactive(Exception):
    """The client said nothing for too long."""


class _Stopping(Exception):
    """The service stops."""


class _MailboxGone(Exception):
    """In IDLE: the selected mailbox is no more; the client is dismissed (RFC 2180 section 3.3)."""


class _Woken(Exception):
    """In IDLE, or where the client wants to be told of events: something changed, or it is time to look."""


class SessionLoop(Session):
    """One client."""

    def __init__(
        self, config: Config, store: Store, connection: ClientConnection, username: str, watcher: Watcher | None = None
    ) -> None:
        super().__init__(config, store, connection, username)
        self._connection = connection
        self._input: ClientConnection | Compression = connection
        self._watcher = watcher
        unasked = LITERAL_MINUS_LIMIT if config[IMAP_LITERAL_MINUS] else COUNT_LIMIT
        self._reader = CommandReader(config[IMAP_MAX_LINE_LENGTH], is_message, unasked)
        self._appending: Appending | None = None
        self._bad = 0  # wrong commands in a row
        self._loop = asyncio.get_running_loop()
        self._heard = self._loop.time()
        self._timer: asyncio.TimerHandle | None = None
        self._stopping = False
        self._bytes_in = 0
        self.end_reason = "Connection closed"
        """How the session ended, for the log."""

    async def serve(self, pending: bytes = b"") -> None:
        """Serve until the client has gone or is dismissed."""
        in_place()
        self._reader.feed(pending)
        self._bytes_in = len(pending)
        self._watch_clock()
        try:
            while not self.ended:
                event = self._reader.next_event()
                if event is None:
                    if self.notify is not None and self.notify.pending:
                        await self._tell_events()
                    await self.flush()
                    with contextlib.suppress(_Woken):
                        await self._read()
                    continue
                self.begin_turn()
                await self._handle(event)
            self.end_reason = "Logged out"
            await self.flush()
        except ClientGone:
            pass
        except _Inactive:
            await self._dismiss("Disconnected for inactivity.", "Inactivity")
        except _Stopping:
            await self._dismiss("Server shutting down.", "Server shutting down")
        except MailboxReplaced:
            await self._dismiss("The mailbox was replaced; please reconnect.", "UIDVALIDITY changed")
        except _MailboxGone:
            await self._dismiss("The mailbox was deleted or renamed; please reconnect.", "Mailbox deleted or renamed")
        except StreamBroken as error:
            self.end_reason = f"Message broken off: {error}"
        finally:
            if self._timer is not None:
                self._timer.cancel()
            if self._appending is not None:
                self._appending.abort()
            with contextlib.suppress(StoreError):
                self.close()
            log.info(f"imap({self.username}): {self.end_reason} in={self._bytes_in} out={self.bytes_out}")

    def stop(self) -> None:
        """The service stops: the command under way is finished, then the client is told."""
        self._stopping = True
        self._connection.interrupt(_Stopping())

    async def _dismiss(self, text: str, reason: str) -> None:
        self.end_reason = f"Disconnected: {reason}"
        self.bye(text)
        with contextlib.suppress(ClientGone):
            await self.flush()

    async def _read(self) -> None:
        data = await self._input.read_some()
        self._heard = self._loop.time()
        self._bytes_in += len(data)
        self._reader.feed(data)

    def _watch_clock(self) -> None:
        """One timer for the session, set anew when it finds that the client has spoken meanwhile."""
        limit = self.config[IMAP_SESSION_TIMEOUT]
        left = self._heard + limit - self._loop.time()
        if left <= 0:
            self._connection.interrupt(_Inactive())
            left = limit
        self._timer = self._loop.call_later(left, self._watch_clock)

    # --- events
    async def _handle(self, event: wire.Event) -> None:
        match event:
            case wire.Command():
                if event.begun:
                    await self._command(event.data)
                else:
                    await self._end_append(event.data)
            case LiteralOffer():
                await self._offer(event)
            case LiteralPiece():
                if self._appending is not None:
                    self._appending.write(event.data)
            case TooLong():
                self._wrong(self._abandon(event.start), "Command line too long.")

    async def _command(self, data: bytes) -> None:
        if not data.strip():
            return  # an empty line between commands; some clients send one after a literal
        cursor = Cursor(data, utf8=self.utf8, exists=self.store.exists)
        try:
            tag = cursor.tag()
            cursor.space()
            command, syntax = self._find(cursor, tag)
        except BadSyntax as error:
            self._wrong(_tag_of(data), str(error), error.code)
            return
        await self._run(command, syntax)

    def _find(self, cursor: Cursor, tag: bytes) -> tuple[Command, Syntax]:
        word = cursor.word()
        by_uid = word == b"UID"
        if by_uid:
            cursor.space()
            word = cursor.word()
        command = COMMANDS.get(word)
        if command is None or not (command.uid_form if by_uid else command.plain_form):
            raise BadSyntax("Unknown command.")
        if command.until_rev2 and b"IMAP4REV2" in self.enabled:
            raise BadSyntax("IMAP4rev2 does not have this command.")
        if command.takes_numbers and not by_uid and b"UIDONLY" in self.enabled:
            raise BadSyntax("Message numbers are not used once UIDONLY is enabled.", "UIDREQUIRED")
        state = State.SELECTED if self.selected is not None else State.AUTHENTICATED
        if not state & command.states:
            raise BadSyntax("No mailbox selected.")
        return command, Syntax(cursor, by_uid, tag, self.enabled)

    async def _run(self, command: Command, syntax: Syntax) -> None:
        self.tag = tag = syntax.tag
        own = command.name in _CHANGING
        try:
            action = command.parse(syntax)
            if own and self.notify is not None:
                await self._tell_events()  # what others did before; what follows is this client's
            reply = await action(self)
            if syntax.cursor.names:
                self.send_all(normalized_lines(self, command.name, syntax.cursor.names))
        except BadSyntax as error:
            self._wrong(tag, f"Error in IMAP command {command.name}: {error}", error.code)
            return
        except (CommandFailed, StoreError) as error:
            self._failed(tag, error)
            return
        except (ClientGone, MailboxReplaced, StreamBroken, _Inactive, _MailboxGone, _Stopping):
            raise
        except Exception as error:  # a fault of ours must not end the other sessions of the process
            log.panic(f"imap({self.username}): {command.name}: {type(error).__name__}: {error}{_place(error)}")
            self._failed(tag, CommandFailed("Internal error, see the server's log.", "SERVERBUG"))
            return
        self._bad = 0
        try:
            if command.report is Report.ALL or syntax.by_uid:
                await self.report(with_uid=syntax.by_uid)
                if self.notify is not None:
                    await self.notify.arrived(own=own)
            elif self.selected is not None:
                self.send_all(self.selected.held_back())
        except StoreError as error:  # the command itself is done, and NO would make the client do it again
            log.warning(f"imap({self.username}): {error}")
        finally:
            self.send(response.status(tag, b"OK", reply.text, reply.code or self._modseq_code()))
        if own and self.notify is not None:
            await self._own_change()
        if reply.afterwards is not None:
            await reply.afterwards(self)

    def _modseq_code(self) -> str:
        """HIGHESTMODSEQ once VANISHED has been told: the client need not be told again (RFC 7162 section 6)."""
        selected = self.selected
        if selected is None or not selected.told_vanished:
            return ""
        selected.told_vanished = False
        return f"HIGHESTMODSEQ {selected.mailbox.highest_modseq}" if selected.keeps_modseqs else ""

    def _failed(self, tag: bytes, error: CommandFailed | StoreError) -> None:
        self._bad = 0
        if isinstance(error, CommandFailed):
            self.send(response.status(tag, b"NO", error.text, error.code))
            return
        if error.response_code in ("SERVERBUG", "UNAVAILABLE"):
            log.warning(f"imap({self.username}): {error}")
        self.send(response.status(tag, b"NO", str(error) or "Failed.", error.response_code))

    def _wrong(self, tag: bytes, text: str, code: str = "") -> None:
        """BAD; the session ends after too many of them in a row."""
        self.send(response.status(tag, b"BAD", text, code))
        self._bad += 1
        if self._bad >= self.config[IMAP_MAX_BAD_COMMANDS]:
            self.bye("Too many invalid IMAP commands.")
            self.end_reason = "Disconnected: Too many invalid IMAP commands"

    # --- literals and APPEND
    async def _offer(self, offer: LiteralOffer) -> None:
        if self._reader.refusal(offer):
            self._reader.refuse()
            self._wrong(self._abandon(offer.command), f"Literal larger than {LITERAL_LIMIT} octets.")
            return
        if offer.streamed and not await self._begin_message(offer):
            self._reader.refuse()
            return
        self._reader.accept()
        if offer.wait:
            self.send(response.continuation(b"OK"))
            await self.flush()

    async def _begin_message(self, offer: LiteralOffer) -> bool:
        """Make ready for octets of a message; when they cannot be taken the command is answered here."""
        tag = self._appending.tag if self._appending is not None else _tag_of(offer.command)
        try:
            cursor = Cursor(offer.command, utf8=self.utf8, exists=self.store.exists)
            if offer.begun:
                self._appending = Appending(self, parse_opening(cursor))
            if self._appending is None:
                raise BadSyntax("no APPEND under way")
            await self._appending.read(cursor, offer.size)
            return True
        except BadSyntax as error:
            self._wrong(tag, f"Error in IMAP command APPEND: {error}", error.code)
        except (CommandFailed, StoreError) as error:
            self._failed(tag, error)
        if self._appending is not None:
            self._appending.abort()
            self._appending = None
        return False

    def _abandon(self, start: bytes) -> bytes:
        """A command that begins with `start`, or an APPEND under way, breaks off; gives its tag."""
        appending, self._appending = self._appending, None
        if appending is None:
            return _tag_of(start)
        appending.abort()
        return appending.tag

    async def _end_append(self, rest: bytes) -> None:
        if self._appending is None:
            return
        appending, self._appending = self._appending, None

        async def finish(_: Session) -> Reply:
            return await appending.finish(rest)

        opening = appending.opening
        await self._run(
            Command(opening.command, ANY_STATE, lambda _: finish, Report.ALL),
            Syntax(Cursor(b""), opening.by_uid, opening.tag),
        )

    async def compress(self) -> None:
        await self.flush()
        compression = Compression(self._connection, self._reader.take_rest())
        self.output = self._input = compression
        self.compressed = True

    # --- events (RFC 5465)
    def new_notifier(self, registration: Registration, fetch: Fetch) -> Notifier:
        return Notifier(self, registration, self._watcher, self._wake, fetch)

    def _wake(self) -> None:
        self._connection.interrupt(_Woken(), replace=False)

    async def _tell_events(self, *, idling: bool = False) -> None:
        """Tell what has happened, as far as the client wants to know.  Raises MailboxReplaced, StreamBroken."""
        if self.notify is None:
            return
        if self._watcher is not None:
            self._watcher.drain()
        try:
            await self.notify.look(idling=idling)
        except TooMuch:
            self._overflow()
        except StoreError as error:
            log.warning(f"imap({self.username}): {error}")

    async def _own_change(self) -> None:
        if self.notify is None:
            return
        if self._watcher is not None:
            self._watcher.drain()
        try:
            await self.notify.own_change()
        except TooMuch:
            self._overflow()
        except StoreError as error:
            log.warning(f"imap({self.username}): {error}")

    def _overflow(self) -> None:
        """RFC 5465 section 5.8: as if the client had said NOTIFY NONE."""
        if self.notify is not None:
            self.send(response.status(b"*", b"OK", "Too many mailboxes to watch.", "NOTIFICATIONOVERFLOW"))
            self.set_notifier(self.notify.silent())

    # --- IDLE
    async def idle(self) -> None:
        """Tell of changes until the client says DONE.  Raises BadSyntax when it says something else."""
        self.send(response.continuation(b"idling"))
        self._reader.lines_only = True
        waker = _IdleWaker(self._connection, self.config[IMAP_IDLE_NOTIFY_INTERVAL])
        end = None
        if self.selected is not None and self.notify is None:  # who wants events is told by those
            end = self._watch(self.selected.mailbox, waker.wake)
            if end is None:
                waker.look_every(self.config[IMAP_IDLE_CHECK_INTERVAL])
        try:
            await self._idle(waker)
        finally:
            waker.close()
            if end is not None:
                end()
            self._reader.lines_only = False
            if self._stopping:
                self._connection.interrupt(_Stopping())

    def _watch(self, mailbox: Mailbox, wake: Callable[[], None]) -> Callable[[], None] | None:
        """Have `wake` called when the mailbox changes; gives what ends that, None where only looking tells."""
        if self._watcher is None:
            return None
        fd = mailbox.watch_fd()
        return self._watcher.watch(mailbox.watch_paths(), wake) if fd is None else self._watcher.watch_fd(fd, wake)

    async def _idle(self, waker: _IdleWaker) -> None:
        await self._report_idling()
        await self._tell_events(idling=True)
        while True:
            event = self._reader.next_event()
            if isinstance(event, wire.Command):
                if event.data.strip().upper() != b"DONE":
                    raise BadSyntax("Expected DONE.")
                return
            if event is not None:
                raise BadSyntax("Expected DONE.")
            if waker.time_to_speak():
                self.send(response.status(b"*", b"OK", "Still here"))
            await self.flush()
            try:
                await self._read()
            except _Woken:
                if self.notify is not None:
                    await self._tell_events(idling=True)
                    continue
                await self._report_idling()

    async def _report_idling(self) -> None:
        """Tell what others did; a failure is no answer to IDLE, which ends by DONE.  Raises _MailboxGone."""
        try:
            await self.report()
        except MailboxNotFound as error:
            raise _MailboxGone from error
        except StoreError:  # a database that is away comes back; the next command says what lasts
            pass


class _IdleWaker:
    """Wakes a session in IDLE: on changes, at intervals, and when the client should hear something."""

    def __init__(self, connection: ClientConnection, speak_every: float) -> None:
        self._connection = connection
        self._loop = asyncio.get_running_loop()
        self._speak_every = speak_every
        self._look_every = speak_every
        self._speak_at = self._loop.time() + speak_every
        self._timer = self._loop.call_later(speak_every, self._tick)
        self._woken = False

    def look_every(self, interval: float) -> None:
        """Wake at intervals."""
        self._look_every = min(interval, self._speak_every)
        self._timer.cancel()
        self._timer = self._loop.call_later(self._look_every, self._tick)

    def _tick(self) -> None:
        self._timer = self._loop.call_later(self._look_every, self._tick)
        self.wake()

    def wake(self) -> None:
        """Something happened; the session looks once, however often this is called before."""
        if not self._woken:
            self._woken = True
            self._loop.call_soon(self._interrupt)

    def _interrupt(self) -> None:
        if self._woken:
            self._woken = False
            self._connection.interrupt(_Woken(), replace=False)

    def time_to_speak(self) -> bool:
        """Whether the client has heard nothing for long enough."""
        if self._loop.time() < self._speak_at:
            return False
        self._speak_at = self._loop.time() + self._speak_every
        return True

    def close(self) -> None:
        """IDLE is over."""
        self._timer.cancel()
        self._woken = False
        self._connection.cancel_interruption(_Woken)


def _tag_of(data: bytes) -> bytes:
    """The tag of a command that could not be read; `*` where there is none (RFC 9051 section 7.1.3)."""
    try:
        return Cursor(data).tag()
    except BadSyntax:
        return b"*"


def _place(error: BaseException) -> str:
    last = error.__traceback__
    while last is not None and last.tb_next is not None:
        last = last.tb_next
    if last is None:
        return ""
    return f" ({last.tb_frame.f_code.co_filename.rpartition('/pillarbox/')[2]}:{last.tb_lineno})"
