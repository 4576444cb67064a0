"""IDLE (RFC 2177, RFC 9051 section 6.3.13): the client is told of changes until it says DONE."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from pillarbox.imapd.protocol import reader as wire
from pillarbox.imapd.protocol import response
from pillarbox.imapd.protocol.errors import BadSyntax
from pillarbox.imapd.session.context import Session
from pillarbox.imapd.session.endings import MailboxGone, Woken
from pillarbox.imapd.session.telling import tell_events
from pillarbox.imapd.session.waker import IdleWaker
from pillarbox.imapd.session.watch import Watcher
from pillarbox.lib.store.interface import Mailbox, MailboxNotFound, StoreError


class Idling:
    """One IDLE of `session`; `read` waits for the client and feeds `reader`, or raises what it was interrupted by."""

    def __init__(
        self,
        session: Session,
        reader: wire.CommandReader,
        read: Callable[[], Awaitable[None]],
        waker: IdleWaker,
        watcher: Watcher | None,
    ) -> None:
        self._session = session
        self._reader = reader
        self._read = read
        self._waker = waker
        self._watcher = watcher

    async def run(self) -> None:
        """Until DONE.  Raises BadSyntax when the client says something else, MailboxGone, and what `read` raises."""
        session = self._session
        session.send(response.continuation(b"idling"))
        self._reader.lines_only = True
        end = None
        if session.selected is not None and session.notify is None:  # who wants events is told by those
            end = self._watch(session.selected.mailbox)
            if end is None:
                self._waker.look_every(session.check_interval)
        try:
            await self._told()
        finally:
            self._waker.close()
            if end is not None:
                end()
            self._reader.lines_only = False

    def _watch(self, mailbox: Mailbox) -> Callable[[], None] | None:
        """Be woken when the mailbox changes; gives what ends that, None where only looking tells."""
        if self._watcher is None:
            return None
        fd, wake = mailbox.watch_fd(), self._waker.wake
        return self._watcher.watch(mailbox.watch_paths(), wake) if fd is None else self._watcher.watch_fd(fd, wake)

    async def _told(self) -> None:
        session = self._session
        await self._report()
        await tell_events(session, self._watcher, idling=True)
        while True:
            event = self._reader.next_event()
            if isinstance(event, wire.Command):
                if event.data.strip().upper() != b"DONE":
                    raise BadSyntax("Expected DONE.")
                return
            if event is not None:
                raise BadSyntax("Expected DONE.")
            if self._waker.time_to_speak():
                session.send(response.status(b"*", b"OK", "Still here"))
            await session.flush()
            try:
                await self._read()
            except Woken:
                if session.notify is not None:
                    await tell_events(session, self._watcher, idling=True)
                    continue
                await self._report()

    async def _report(self) -> None:
        """Tell what others did; a failure is no answer to IDLE, which ends by DONE.  Raises MailboxGone."""
        try:
            await self._session.report()
        except MailboxNotFound as error:
            raise MailboxGone from error
        except StoreError:  # a database that is away comes back, a lock is released; the next command says what lasts
            self._waker.look_again()
        else:
            self._waker.looked()
