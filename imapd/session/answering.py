"""From a command to its tagged answer.

Every command gets exactly one, whatever happens in it: NO for what the store refuses, BAD for what the client got
wrong, and for a fault of our own NO [SERVERBUG] with a line in the log.
"""

from __future__ import annotations

from pillarbox.imapd.commands import COMMANDS
from pillarbox.imapd.commands.command import Command, Report, State, Syntax
from pillarbox.imapd.commands.fetch import StreamBroken
from pillarbox.imapd.commands.rev2 import normalized_lines
from pillarbox.imapd.protocol import response
from pillarbox.imapd.protocol.cursor import Cursor
from pillarbox.imapd.protocol.errors import BadSyntax, CommandFailed
from pillarbox.imapd.session.context import Output, Session
from pillarbox.imapd.session.endings import Ending
from pillarbox.imapd.session.telling import tell_events, tell_own_change
from pillarbox.imapd.session.watch import Watcher
from pillarbox.lib.config import Config
from pillarbox.lib.config.parameters.imapd import IMAP_MAX_BAD_COMMANDS
from pillarbox.lib.log import log
from pillarbox.lib.login import ClientGone
from pillarbox.lib.store.interface import Store, StoreError

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


class AnsweringSession(Session):
    """A session that does commands; `watcher` tells of changes, where there is one."""

    __slots__ = ("_bad", "end_reason", "watcher")

    def __init__(
        self, config: Config, store: Store, output: Output, username: str, watcher: Watcher | None = None
    ) -> None:
        super().__init__(config, store, output, username)
        self.watcher = watcher
        self.end_reason = "Connection closed"
        """How the session ended, for the log."""
        self._bad = 0  # wrong commands in a row

    async def command(self, data: bytes) -> None:
        """Answer what came as a line, literals in it included."""
        if not data.strip():
            return  # an empty line between commands; some clients send one after a literal
        cursor = Cursor(data, utf8=self.utf8, exists=self.store.exists)
        try:
            tag = cursor.tag()
            cursor.space()
            command, syntax = self._find(cursor, tag)
        except BadSyntax as error:
            self.wrong(tag_of(data), str(error), error.code)
            return
        await self.run(command, syntax)

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

    async def run(self, command: Command, syntax: Syntax) -> None:
        """Do a command and answer it."""
        self.tag = tag = syntax.tag
        own = command.name in _CHANGING
        try:
            action = command.parse(syntax)
            if own and self.notify is not None:
                await tell_events(self, self.watcher)  # what others did before; what follows is this client's
            reply = await action(self)
            if syntax.cursor.names:
                self.send_all(normalized_lines(self, command.name, syntax.cursor.names))
        except BadSyntax as error:
            self.wrong(tag, f"Error in IMAP command {command.name}: {error}", error.code)
            return
        except (CommandFailed, StoreError) as error:
            self.failed(tag, error)
            return
        except (ClientGone, Ending, StreamBroken):
            raise
        except Exception as error:  # a fault of ours must not end the other sessions of the process
            log.panic(f"imap({self.username}): {command.name}: {type(error).__name__}: {error}{_place(error)}")
            self.failed(tag, CommandFailed("Internal error, see the server's log.", "SERVERBUG"))
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
            await tell_own_change(self, self.watcher)
        if reply.afterwards is not None:
            await reply.afterwards(self)

    def _modseq_code(self) -> str:
        """HIGHESTMODSEQ once VANISHED has been told: the client need not be told again (RFC 7162 section 6)."""
        selected = self.selected
        if selected is None or not selected.told_vanished:
            return ""
        selected.told_vanished = False
        return f"HIGHESTMODSEQ {selected.mailbox.highest_modseq}" if selected.keeps_modseqs else ""

    def failed(self, tag: bytes, error: CommandFailed | StoreError) -> None:
        """NO."""
        self._bad = 0
        if isinstance(error, CommandFailed):
            self.send(response.status(tag, b"NO", error.text, error.code))
            return
        if error.response_code in ("SERVERBUG", "UNAVAILABLE"):
            log.warning(f"imap({self.username}): {error}")
        self.send(response.status(tag, b"NO", str(error) or "Failed.", error.response_code))

    def wrong(self, tag: bytes, text: str, code: str = "") -> None:
        """BAD; the session ends after too many of them in a row."""
        self.send(response.status(tag, b"BAD", text, code))
        self._bad += 1
        if self._bad >= self.config[IMAP_MAX_BAD_COMMANDS]:
            self.bye("Too many invalid IMAP commands.")
            self.end_reason = "Disconnected: Too many invalid IMAP commands"


def tag_of(data: bytes) -> bytes:
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
