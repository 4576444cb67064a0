"""APPEND (RFC 9051 section 6.3.12, MULTIAPPEND of RFC 3502): store messages as they come, nothing is held in memory.

The dialogue has several steps (arguments, message, more messages, end), so it is an object that the session's loop
leads through them.  Messages are invisible until the end; then all are committed, and taken back if one of them fails.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from pillarbox.imapd.commands.command import Reply
from pillarbox.imapd.protocol.cursor import Cursor
from pillarbox.imapd.protocol.dates import parse_date_time
from pillarbox.imapd.protocol.errors import BadSyntax, CommandFailed
from pillarbox.imapd.protocol.sequence import format_set
from pillarbox.imapd.session.context import Session
from pillarbox.imapd.session.selected import split_flags
from pillarbox.lib.config.parameters.imapd import IMAP_APPEND_LIMIT
from pillarbox.lib.store.interface import Appended, Appender, MailboxNotFound, StoreError

MESSAGE_LIMIT = 1000
"""Messages of one command: each holds a file open until the end."""

CAPABILITIES = ("MULTIAPPEND",)

_COMMAND = re.compile(rb"[^ ]+ APPEND ", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Options:
    """append-opts: what is said about a message before it comes."""

    flags: int
    keywords: frozenset[str]
    date: float | None
    closing: bytes = b""
    """What stands behind the message: `)` where it comes as `UTF8 (~{size}...)` (RFC 6855 section 4)."""


def is_message(command: bytes) -> bool:
    """Whether the literal that `command` ends with is a message of APPEND (and not, say, the mailbox's name)."""
    if not _COMMAND.match(command):
        return False
    try:
        parse_begin(command)
    except BadSyntax:
        return False
    return True


def parse_begin(command: bytes, *, utf8: bool = False) -> tuple[bytes, str, Options]:
    """Tag, mailbox and options of the first message; `command` ends with the message's literal.

    `utf8`: names are in UTF-8, as the client has enabled.
    """
    cursor = Cursor(command, utf8=utf8)
    tag = cursor.tag()
    cursor.space()
    cursor.expect(b"APPEND")
    cursor.space()
    mailbox = cursor.mailbox()
    return tag, mailbox, parse_options(cursor)


def parse_options(cursor: Cursor) -> Options:
    """[SP flag-list] [SP date-time] SP literal, up to the literal."""
    flags, keywords, date = 0, frozenset[str](), None
    cursor.space()
    if cursor.peek(b"("):
        flags, keywords = split_flags(cursor.flag_list())
        cursor.space()
    if cursor.peek(b'"'):
        date = parse_date_time(cursor)
        cursor.space()
    closing = b")" if cursor.accept(b"UTF8 (") else b""
    if not cursor.peek(b"~{" if closing else b"{"):
        cursor.fail("a message literal")
    return Options(flags, keywords, date, closing)


class Appending:
    """One command under way."""

    def __init__(self, session: Session, tag: bytes, mailbox: str) -> None:
        self.tag = tag
        self._session = session
        self._mailbox = mailbox
        self._messages: list[tuple[Appender, Options]] = []
        self._failure: StoreError | CommandFailed | None = None

    @property
    def closing(self) -> bytes:
        """What must stand behind the message that came last."""
        return self._messages[-1][1].closing if self._messages else b""

    def begin_message(self, options: Options, size: int) -> None:
        """A message of `size` octets is offered.  Raises CommandFailed, StoreError: do not take it."""
        limit = self._session.config[IMAP_APPEND_LIMIT]
        if limit and size > limit:
            raise CommandFailed(f"Message is larger than {limit} octets", "TOOBIG")
        if size == 0:
            raise CommandFailed("Can't save a zero byte message.")
        if len(self._messages) >= MESSAGE_LIMIT:
            raise CommandFailed(f"More than {MESSAGE_LIMIT} messages in one APPEND", "LIMIT")
        try:
            appender = self._session.store.begin_append(self._mailbox)
        except MailboxNotFound as error:
            raise CommandFailed(str(error), "TRYCREATE") from None
        self._messages.append((appender, options))

    def write(self, data: bytes) -> None:
        """Take a piece; after a failure the rest is read and dropped, the answer comes at the end."""
        if self._failure is None:
            try:
                self._messages[-1][0].write(data)
            except StoreError as error:
                self._failure = error

    def finish(self, rest: bytes) -> Reply:
        """The command is complete; `rest` is what followed the last message.  Raises BadSyntax, StoreError."""
        try:
            cursor = Cursor(rest)
            cursor.expect(self.closing)
            cursor.end()
            if self._failure is not None:
                raise self._failure
            done = self._commit()
        finally:
            self.abort()
        uids = format_set([one.uid for one in done]).decode("ascii")
        return Reply("Append completed.", f"APPENDUID {done[0].uid_validity} {uids}")

    def _commit(self) -> list[Appended]:
        done: list[Appended] = []
        try:
            for appender, options in self._messages:
                done.append(appender.commit(options.flags, options.keywords, options.date))
        except StoreError:
            if done:
                with self._session.store.open(self._mailbox) as mailbox:
                    mailbox.expunge([one.uid for one in done])
            raise
        return done

    def abort(self) -> None:
        """Throw away what is not committed."""
        for appender, _ in self._messages:
            appender.abort()
