"""APPEND (RFC 9051 section 6.3.12, RFC 3502, 4469) and REPLACE (RFC 8508): messages are stored as they come.

Nothing is held in memory, and what is not text gets another transfer encoding (`append_binary`).  The dialogue has
several steps (`append_grammar`), so it is an object that the session's loop leads through them.  Messages are invisible
until the end; then all are committed, and taken back if one of them fails.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from contextlib import suppress
from functools import partial

from pillarbox.imapd.commands.append_binary import Scratch, unknown_encoding
from pillarbox.imapd.commands.append_grammar import AppendReader, Begin, Octets, Opening, Step, Url, parse_append
from pillarbox.imapd.commands.command import ANY_STATE, Action, Command, Reply, Syntax
from pillarbox.imapd.commands.messagelimit import save_limit
from pillarbox.imapd.fetch.by_url import BadUrl, octets_of
from pillarbox.imapd.protocol import response, urls
from pillarbox.imapd.protocol.cursor import Cursor
from pillarbox.imapd.protocol.errors import BadSyntax, CommandFailed
from pillarbox.imapd.protocol.sequence import format_set
from pillarbox.imapd.session.context import Session
from pillarbox.lib.config.parameters.imapd import IMAP_APPEND_LIMIT
from pillarbox.lib.store.apart import aside, in_turn, patiently
from pillarbox.lib.store.interface import Appended, Appender, MailboxNotFound, StoreError

MESSAGE_LIMIT = 1000
"""Messages of one command: each holds a file open until the end."""

CAPABILITIES = ("MULTIAPPEND", "CATENATE", "URL-PARTIAL")

_NOT_TEXT = re.compile(rb"\0|(?<!\r)\n")
_NOTHING = b"\n"
"""What stands before a message: no octet that makes its first one the end of a line."""


class Appending:
    """One command under way."""

    def __init__(self, session: Session, opening: Opening) -> None:
        """Raises BadSyntax, CommandFailed."""
        self.opening = opening
        self._session = session
        self._reader = AppendReader()
        self._messages: list[tuple[Appender, Begin]] = []
        self._failure: StoreError | CommandFailed | None = None
        self._size = 0  # of the message under way
        self._url: bytearray | None = None  # the literal under way is a URL
        self._binary = False  # the literal under way came as literal8
        self._scratch: Scratch | None = None  # the message as it came, where it may have to be stored otherwise
        self._unlike_text = False  # and it has to
        self._last = _NOTHING  # the octet before what comes
        self._old = self._replaced()

    @property
    def tag(self) -> bytes:
        return self.opening.tag

    def _replaced(self) -> int | None:
        """The UID of the message that REPLACE takes away."""
        number = self.opening.replaces
        if number is None:
            return None
        if self._session.selected is None:
            raise BadSyntax("No mailbox selected.")
        if not self.opening.by_uid and self._session.mailbox.by_uid_only:
            raise BadSyntax("message numbers are not used once UIDONLY is enabled", "UIDREQUIRED")
        selected = self._session.mailbox
        selected.must_be_writable()
        if not {"t", "e"} <= set(selected.mailbox.rights):  # RFC 8508 section 3.6
            raise CommandFailed("You may not remove messages from this mailbox.", "NOPERM")
        if self.opening.by_uid:
            if selected.index(number) is None:
                raise CommandFailed("No such message.", "NONEXISTENT")
            return number
        if number > selected.count:
            raise BadSyntax(f"Invalid message number: the mailbox has {selected.count} messages")
        return selected.uids[number - 1]

    async def read(self, cursor: Cursor, size: int = 0) -> None:
        """A stretch of the command; `size` octets are offered behind it.

        Raises BadSyntax, CommandFailed, StoreError: the command has failed, and what is offered is not taken.
        """
        await self._end_literal()
        for step in self._reader.steps(cursor):
            await self._take(step, size)

    async def _take(self, step: Step, size: int) -> None:
        match step:
            case Begin():
                self._begin(step)
            case Octets():
                if step.utf8 and b"UTF8=ACCEPT" not in self._session.enabled:
                    raise BadSyntax("UTF8=ACCEPT is not enabled")
                if size == 0 and step.alone:
                    raise CommandFailed("Can't save a zero byte message.")
                self._admit(size)
                self._binary = step.binary
                if step.binary and step.alone:
                    self._keep_aside()
            case Url(text=None):
                if size > urls.LIMIT:
                    raise CommandFailed("URL too long.", "BADURL")
                self._url = bytearray()
            case Url(text=bytes() as text):
                await self._copy(text)
            case _:
                if not self._size:
                    raise CommandFailed("Can't save a zero byte message.")
                await self._end_message()

    def _begin(self, begin: Begin) -> None:
        limit = save_limit(self._session.config)
        if limit and len(self._messages) >= limit:
            raise CommandFailed(f"More than {limit} messages in one APPEND", f"MESSAGELIMIT {limit}")
        if len(self._messages) >= MESSAGE_LIMIT:
            raise CommandFailed(f"More than {MESSAGE_LIMIT} messages in one APPEND", "LIMIT")
        if self._messages and self._old is not None:
            raise BadSyntax("REPLACE takes one message")
        try:
            appender = self._session.store.begin_append(self.opening.mailbox)
        except MailboxNotFound as error:
            raise CommandFailed(str(error), "TRYCREATE") from None
        self._messages.append((appender, begin))
        self._size = 0
        self._unlike_text = False
        self._last = _NOTHING
        if begin.in_parts:  # a later piece may come as literal8
            self._keep_aside()

    def _keep_aside(self) -> None:
        with suppress(OSError):  # without it, what is text can be stored all the same
            self._scratch = Scratch(self._session.store.scratch_directory)

    async def _end_message(self) -> None:
        """All of it is here: one that is not text is stored in place of what was written so far."""
        scratch, self._scratch = self._scratch, None
        if scratch is None:
            return
        try:
            if not self._unlike_text:
                return
            appender, begin = self._messages[-1]
            appender.abort()
            appender = self._session.store.begin_append(self.opening.mailbox)
            self._messages[-1] = appender, begin
            for piece in await asyncio.to_thread(scratch.as_text):
                appender.write(piece)
                await self._session.breathe()
        finally:
            scratch.close()

    def _admit(self, size: int) -> None:
        limit = self._session.config[IMAP_APPEND_LIMIT]
        self._size += size
        if limit and self._size > limit:
            raise CommandFailed(f"Message is larger than {limit} octets", "TOOBIG")

    async def _copy(self, text: bytes) -> None:
        """Take what a URL names.  Raises CommandFailed."""
        url = urls.parse_url(text)
        try:
            if url is None or url.host is not None or url.authorization is not None:
                raise BadUrl("not the URL of a message here")
            async with octets_of(self._session.store, url) as (size, pieces):
                self._admit(size)
                for piece in pieces:
                    self._store(piece)
                    if self._failure is not None:  # of the new message; those raised are of the one that is read
                        break
                    await self._session.breathe()
        except BadUrl as error:
            shown = response.printable(text.decode("ascii", "replace")).translate(None, b'[]"\\').decode("ascii")
            raise CommandFailed(f"CATENATE: {error}", f'BADURL "{shown[:200]}"') from None
        if self._failure is not None:
            raise self._failure

    def write(self, data: bytes) -> None:
        """Take a piece of a literal; after a failure the rest is read and dropped, the answer comes at the end."""
        if self._failure is not None:
            return
        if self._url is not None:
            self._url += data
            return
        if self._binary and not self._unlike_text and _NOT_TEXT.search(self._last + data, 1):
            self._unlike_text = True
            if self._scratch is None:
                self._failure = unknown_encoding("there is no room to convert it")
        self._store(data)

    def _store(self, data: bytes) -> None:
        self._last = data[-1:] or self._last
        if self._scratch is not None:
            self._scratch.write(data)
        if self._unlike_text or self._failure is not None:
            return
        try:
            self._messages[-1][0].write(data)
        except StoreError as error:
            self._failure = error

    async def _end_literal(self) -> None:
        if self._failure is not None:
            raise self._failure
        if self._url is not None:
            text, self._url = bytes(self._url), None
            await self._copy(text)

    async def finish(self, rest: bytes) -> Reply:
        """The command is complete; `rest` is what followed the last literal.  Raises BadSyntax, StoreError."""
        try:
            await self.read(Cursor(rest))
            done = await self._commit()
            if self._old is not None:
                return await self._replace(done[0])
        finally:
            self.abort()
        uids = format_set([one.uid for one in done]).decode("ascii")
        return Reply("Append completed.", f"APPENDUID {done[0].uid_validity} {uids}")

    async def _commit(self) -> list[Appended]:
        done: list[Appended] = []
        try:
            # The disk takes its time; the other sessions of this process have the loop meanwhile.
            await aside(partial(_sync, self._messages))
            await in_turn(self.opening.mailbox, partial(_store, self._messages, done))
        except StoreError:
            if done:
                await self._take_back(done)
            raise
        return done

    async def _take_back(self, done: Sequence[Appended]) -> None:
        uids = [one.uid for one in done]
        await patiently(partial(self._session.store.take_back, self.opening.mailbox, uids))

    async def _replace(self, new: Appended) -> Reply:
        """The new message is there: take the old one away (RFC 8508 section 3.1), or both stay as they were."""
        session, selected = self._session, self._session.mailbox
        assert self._old is not None
        code = f"APPENDUID {new.uid_validity} {new.uid}"
        session.send(response.status(b"*", b"OK", "Replacement message ready.", code))
        await session.report(with_uid=self.opening.by_uid)
        try:
            await patiently(partial(selected.mailbox.expunge, [self._old]))
        except StoreError:
            if self._is_there(self._old):  # else the new one is all that there is, whatever went wrong
                await self._take_back([new])
            raise
        session.send_all(selected.removed([self._old]))
        return Reply("Replace completed.")

    def _is_there(self, uid: int) -> bool:
        """Whether a message of the selected mailbox can be read."""
        try:
            with self._session.mailbox.mailbox.read(uid):
                return True
        except StoreError:
            return False

    def abort(self) -> None:
        """Throw away what is not committed."""
        if self._scratch is not None:
            self._scratch.close()
            self._scratch = None
        for appender, _ in self._messages:
            appender.abort()


def _sync(messages: Sequence[tuple[Appender, Begin]]) -> None:
    for appender, begin in messages:
        appender.sync(begin.date)


def _store(messages: Sequence[tuple[Appender, Begin]], done: list[Appended]) -> None:
    """Store those that are not `done` yet."""
    for appender, begin in messages[len(done) :]:
        done.append(appender.commit(begin.flags, begin.keywords, begin.date))


def complete(syntax: Syntax, opening: Opening) -> Action:
    """A command without a literal of a message: all that it stores is named by URLs."""
    start = syntax.cursor.position
    for _ in AppendReader().steps(syntax.cursor):  # what is wrong is BAD before anything is done
        pass
    rest = syntax.cursor.data[start:]

    async def run(session: Session) -> Reply:
        return await Appending(session, opening).finish(rest)

    return run


def parse(syntax: Syntax) -> Action:
    return complete(syntax, parse_append(syntax.cursor, syntax.tag))


COMMAND = Command("APPEND", ANY_STATE, parse)
