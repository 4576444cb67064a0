"""The loop of a session: bytes to commands, and to messages on their way into a mailbox.

What a command is answered is in `answering`, IDLE in `idling`.
"""

from __future__ import annotations

import asyncio
import contextlib

from pillarbox.imapd.commands.append import Appending
from pillarbox.imapd.commands.append_grammar import is_message, parse_opening
from pillarbox.imapd.commands.command import ANY_STATE, Command, Reply, Report, Syntax
from pillarbox.imapd.commands.fetch import StreamBroken
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
from pillarbox.imapd.session.answering import AnsweringSession, tag_of
from pillarbox.imapd.session.compression import Compression
from pillarbox.imapd.session.context import Session
from pillarbox.imapd.session.endings import Ending, Inactive, Stopping, Woken
from pillarbox.imapd.session.events import Registration
from pillarbox.imapd.session.idling import Idling
from pillarbox.imapd.session.notifier import Fetch, Notifier
from pillarbox.imapd.session.telling import tell_events
from pillarbox.imapd.session.waker import IdleWaker
from pillarbox.imapd.session.watch import Watcher
from pillarbox.lib.config import Config
from pillarbox.lib.config.parameters.imapd import (
    IMAP_IDLE_NOTIFY_INTERVAL,
    IMAP_LITERAL_MINUS,
    IMAP_MAX_LINE_LENGTH,
    IMAP_SESSION_TIMEOUT,
)
from pillarbox.lib.log import log
from pillarbox.lib.login import ClientConnection, ClientGone
from pillarbox.lib.store.apart import account
from pillarbox.lib.store.interface import Store, StoreError
from pillarbox.lib.store.patience import in_place


class SessionLoop(AnsweringSession):
    """One client."""

    __slots__ = ("_appending", "_bytes_in", "_connection", "_heard", "_input", "_loop", "_reader", "_timer")

    def __init__(
        self, config: Config, store: Store, connection: ClientConnection, username: str, watcher: Watcher | None = None
    ) -> None:
        super().__init__(config, store, connection, username, watcher)
        self._connection = connection
        self._input: ClientConnection | Compression = connection
        unasked = LITERAL_MINUS_LIMIT if config[IMAP_LITERAL_MINUS] else COUNT_LIMIT
        self._reader = CommandReader(config[IMAP_MAX_LINE_LENGTH], is_message, unasked)
        self._appending: Appending | None = None
        self._loop = asyncio.get_running_loop()
        self._heard = self._loop.time()
        self._timer: asyncio.TimerHandle | None = None
        self._bytes_in = 0

    async def serve(self, pending: bytes = b"") -> None:
        """Serve until the client has gone or is dismissed."""
        in_place()
        account(self.store.location)
        self._reader.feed(pending)
        self._bytes_in = len(pending)
        self._watch_clock()
        try:
            while not self.ended:
                event = self._reader.next_event()
                if event is None:
                    if self.notify is not None and self.notify.pending:
                        await tell_events(self, self.watcher)
                    await self.flush()
                    with contextlib.suppress(Woken):
                        await self._read()
                    continue
                self.begin_turn()
                await self._handle(event)
            self.end_reason = "Logged out"
            await self.flush()
        except ClientGone:
            pass
        except Ending as ending:
            self.end_reason = f"Disconnected: {ending.reason}"
            self.bye(ending.text)
            with contextlib.suppress(ClientGone):
                await self.flush()
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
        self._connection.interrupt(Stopping())

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
            self._connection.interrupt(Inactive())
            left = limit
        self._timer = self._loop.call_later(left, self._watch_clock)

    # --- events
    async def _handle(self, event: wire.Event) -> None:
        match event:
            case wire.Command():
                if event.begun:
                    await self.command(event.data)
                else:
                    await self._end_append(event.data)
            case LiteralOffer():
                await self._offer(event)
            case LiteralPiece():
                if self._appending is not None:
                    self._appending.write(event.data)
            case TooLong():
                self.wrong(self._abandon(event.start), "Command line too long.")

    # --- literals and APPEND
    async def _offer(self, offer: LiteralOffer) -> None:
        if self._reader.refusal(offer):
            self._reader.refuse()
            self.wrong(self._abandon(offer.command), f"Literal larger than {LITERAL_LIMIT} octets.")
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
        tag = self._appending.tag if self._appending is not None else tag_of(offer.command)
        try:
            cursor = Cursor(offer.command, utf8=self.utf8, exists=self.store.exists)
            if offer.begun:
                self._appending = Appending(self, parse_opening(cursor))
            if self._appending is None:
                raise BadSyntax("no APPEND under way")
            await self._appending.read(cursor, offer.size)
            return True
        except BadSyntax as error:
            self.wrong(tag, f"Error in IMAP command APPEND: {error}", error.code)
        except (CommandFailed, StoreError) as error:
            self.failed(tag, error)
        if self._appending is not None:
            self._appending.abort()
            self._appending = None
        return False

    def _abandon(self, start: bytes) -> bytes:
        """A command that begins with `start`, or an APPEND under way, breaks off; gives its tag."""
        appending, self._appending = self._appending, None
        if appending is None:
            return tag_of(start)
        appending.abort()
        return appending.tag

    async def _end_append(self, rest: bytes) -> None:
        if self._appending is None:
            return
        appending, self._appending = self._appending, None

        async def finish(_: Session) -> Reply:
            return await appending.finish(rest)

        opening = appending.opening
        await self.run(
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
        return Notifier(self, registration, self.watcher, self._wake, fetch)

    def _wake(self) -> None:
        self._connection.interrupt(Woken(), replace=False)

    async def idle(self) -> None:
        waker = IdleWaker(self._connection, self.config[IMAP_IDLE_NOTIFY_INTERVAL])
        await Idling(self, self._reader, self._read, waker, self.watcher).run()
