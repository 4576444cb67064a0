"""One session, as its commands see it: the store, the selected mailbox, and the way out to the client.

Responses gather in a buffer and go out when the commands that have arrived are done, or when it has grown; so a batch
of pipelined commands is answered with one write, and a client that does not read holds its own session only.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Protocol

from pillarbox.imapd.protocol import response
from pillarbox.imapd.protocol.errors import BadSyntax
from pillarbox.imapd.session.indexing import indexing_of_process
from pillarbox.imapd.session.selected import Selected
from pillarbox.imapd.session.trees import Trees
from pillarbox.lib.config import Config
from pillarbox.lib.config.parameters.imapd import IMAP_IDLE_CHECK_INTERVAL
from pillarbox.lib.mime import Part, scan_message
from pillarbox.lib.store.interface import Mailbox, MessageContent, Store

if TYPE_CHECKING:
    from pillarbox.imapd.session.events import Registration
    from pillarbox.imapd.session.notifier import Fetch, Notifier

FLUSH_SIZE = 64 * 1024
"""Octets of responses that are gathered at most before they are sent."""

JOINED = 16 * 1024
"""Octets from which on it is dearer to put pieces together than to hand them over one by one."""

TURN = 0.01
"""Seconds that one session may work before the others of the process get their turn."""

PROGRESS_EVERY = 10.0
"""Seconds after which a client hears of a command that is still under way."""

BROKEN_IN_A_ROW = 10
"""Messages that cannot be read after which the store is taken to be away, not they."""

TOLD = 64
"""Changes that a client is told of between two looks at the clock."""


class Output(Protocol):
    """Where the bytes go."""

    async def write(self, data: bytes) -> None: ...

    async def write_pieces(self, pieces: list[bytes]) -> None: ...


class Session:
    """See the module.  There are thousands, so that each has slots."""

    __slots__ = (
        *("bytes_out", "compressed", "config", "enabled", "ended", "failed_urls", "language", "notify", "open_account"),
        *("output", "saved_search", "selected", "store", "tag", "text_indexing", "username"),
        *("_clock", "_content", "_pending", "_pending_size", "_speak_at", "_trees", "_turn_began"),
    )

    def __init__(self, config: Config, store: Store, output: Output, username: str) -> None:
        self.config = config
        self.store = store
        self.username = username
        self.selected: Selected | None = None
        self.tag = b""
        """Of the command under way."""
        self.compressed = False
        self.ended = False
        """Set by LOGOUT."""
        self.bytes_out = 0
        self.enabled: set[bytes] = set()
        """What the client has enabled (RFC 5161), in upper case: CONDSTORE, QRESYNC, IMAP4REV2, UTF8=ACCEPT ..."""
        self.saved_search: Sequence[int] = ()
        """`$` (RFC 5182): UIDs, ascending; those of messages that are gone count for nothing."""
        self.notify: Notifier | None = None
        """What NOTIFY (RFC 5465) has asked for; None: nothing was."""
        self.open_account: Callable[[str], Awaitable[Store | None]] | None = None
        """Opens the mailboxes of another user as that one sees them; None where they cannot be reached from here.
        What a client asks for goes there only by a URL that this other user has authorized (RFC 4467)."""
        self.failed_urls = 0
        """URLs that were not good (`commands.urlfetch`)."""
        self.language = "i-default"
        """The language of the texts for people (RFC 5255)."""
        self.text_indexing = indexing_of_process(config)
        self.output = output
        self._pending: list[bytes] = []
        self._pending_size = 0
        self._turn_began = 0.0
        self._speak_at = 0.0
        self._clock = asyncio.get_running_loop().time
        self._content: tuple[int, MessageContent] | None = None  # the message that was read last, kept open
        self._trees = Trees()

    # --- output
    def send(self, data: bytes) -> None:
        """Add to the responses."""
        self._pending.append(data)
        self._pending_size += len(data)

    def send_all(self, lines: list[bytes]) -> None:
        """Add several."""
        for line in lines:
            self.send(line)

    async def flush(self) -> None:
        """Send what has gathered."""
        if self._pending:
            pieces, size = self._pending, self._pending_size
            self._pending, self._pending_size = [], 0
            self.bytes_out += size
            if size < JOINED:
                await self.output.write(b"".join(pieces))
            else:
                await self.output.write_pieces(pieces)

    def mailbox_name(self, name: str) -> bytes:
        """A mailbox's name as this client reads it."""
        return response.utf8_mailbox(name) if self.utf8 else response.mailbox(name)

    @property
    def utf8(self) -> bool:
        """Whether strings and names are in UTF-8 (RFC 6855, RFC 9051 section 5.1)."""
        return b"IMAP4REV2" in self.enabled or b"UTF8=ACCEPT" in self.enabled

    def begin_turn(self) -> None:
        """A command begins."""
        self._turn_began = self._clock()
        self._speak_at = self._turn_began + PROGRESS_EVERY

    async def progress(self, done: int, total: int) -> None:
        """As `breathe`, in a command that is silent for long: tell now and then how far it is (RFC 9585)."""
        now = self._clock()
        if now >= self._speak_at and self.tag:
            self._speak_at = now + PROGRESS_EVERY
            goal = b"%d" % total if total else response.NIL
            about = response.parenthesized((response.string(self.tag), b"%d" % done, goal))
            self.send(response.status(b"*", b"OK", "Still at work", f"INPROGRESS {about.decode('ascii', 'replace')}"))
            await self.flush()
        await self.breathe()

    async def breathe(self) -> None:
        """Between two messages of a long command: send what has grown large, let the other sessions have a turn."""
        if self._pending_size >= FLUSH_SIZE:
            await self.flush()
        if self._clock() - self._turn_began > TURN:
            await asyncio.sleep(0)
            self._turn_began = self._clock()

    # --- the selected mailbox
    @property
    def mailbox(self) -> Selected:
        """The selected mailbox; only for commands of the selected state."""
        assert self.selected is not None
        return self.selected

    def select(self, mailbox: Mailbox | None) -> None:
        """Leave the selected mailbox and enter another, or none."""
        self._forget_content()
        self._trees.clear()
        self.saved_search = ()
        if self.selected is not None:
            selected, self.selected = self.selected, None
            selected.close()
        if mailbox is not None:
            self.selected = Selected(mailbox, self.enabled)
            self.text_indexing.selected(self.store, self.selected)
        if self.notify is not None:
            self.notify.follow_selected()

    @property
    def check_interval(self) -> float:
        """Seconds after which one looks again where nothing tells of changes."""
        return self.config[IMAP_IDLE_CHECK_INTERVAL]

    def new_notifier(self, registration: Registration, fetch: Fetch) -> Notifier:
        """One for this session (RFC 5465); the loop, which can be woken, knows how."""
        raise NotImplementedError

    def set_notifier(self, notifier: Notifier | None) -> None:
        """Tell from now on what it says."""
        if self.notify is not None:
            self.notify.close()
        self.notify = notifier
        if notifier is not None:
            notifier.follow_selected()

    async def report(self, *, with_uid: bool = False) -> None:
        """Tell the client what others did to the selected mailbox.  Raises MailboxReplaced, StoreError."""
        if self.selected is not None:
            with_flags = True
            if self.notify is not None:
                wanted = self.notify.registration.selected
                if not wanted.wanted:
                    return
                with_uid, with_flags = True, wanted.flags  # RFC 5465 section 5.1
            before = self.selected.mailbox.uid_next
            lines = await self.selected.refresh(with_uid=with_uid, with_flags=with_flags)
            for step, line in enumerate(lines):
                self.send(line)
                if step % TOLD == TOLD - 1:
                    await self.breathe()
            if self.selected.mailbox.uid_next != before:
                self.text_indexing.arrived(self.store, self.selected)
            if self.selected.contexts:
                self._update_results(self.selected)

    def _update_results(self, selected: Selected) -> None:
        """Tell of results that have changed (RFC 5267 section 4.3)."""
        kept = []
        for context in selected.contexts:
            lines, lives = context.changed(self, self.saved_search)
            self.send_all(lines)
            if lives:
                kept.append(context)
        selected.contexts = kept

    def enable(self, capability: bytes) -> None:
        """The client has enabled something, by ENABLE or by a command that implies it."""
        aware = b"CONDSTORE" in self.enabled
        self.enabled.add(capability)
        if capability == b"QRESYNC":  # RFC 7162 section 3.2.3: it includes the other
            self.enabled.add(b"CONDSTORE")
        if self.selected is not None and not aware and b"CONDSTORE" in self.enabled:
            self.send(self.selected.modseq_line())  # section 3.1: from here on the client keeps count

    def need_modseqs(self) -> None:
        """The command is about modification sequences.  Raises BadSyntax where the mailbox has none."""
        if not self.mailbox.keeps_modseqs:
            raise BadSyntax("the mailbox has no mod-sequences")
        self.enable(b"CONDSTORE")

    # --- messages
    def content(self, uid: int) -> MessageContent:
        """The message, opened; stays open until the next one is asked for.  Raises MessageGone."""
        if self._content is not None and self._content[0] == uid:
            return self._content[1]
        self._forget_content()
        content = self.mailbox.mailbox.read(uid)
        self._content = (uid, content)
        return content

    def _forget_content(self) -> None:
        if self._content is not None:
            self._content[1].close()
            self._content = None

    def header(self, uid: int) -> bytes:
        """The header of a message of which nothing else may be wanted.  Raises MessageGone."""
        if self._content is None or self._content[0] != uid:
            header = self.mailbox.mailbox.header(uid)
            if header is not None:
                return header
        return self.content(uid).header()

    def tree(self, uid: int) -> Part:
        """The part tree of a message.  Raises MessageGone."""
        tree = self._trees.get(uid)
        if tree is None:
            tree = scan_message(self.content(uid).chunks(), wire=True)
            self._trees.add(uid, tree)
        return tree

    def known_tree(self, uid: int) -> Part | None:
        """The part tree, if it is there already."""
        return self._trees.get(uid)

    def close(self) -> None:
        """The session is over."""
        try:
            self.set_notifier(None)
            self.select(None)
        finally:
            self.store.close()

    async def idle(self) -> None:
        """Tell of changes until the client says DONE; the loop, which reads, knows how."""
        raise NotImplementedError

    async def compress(self) -> None:
        """Go on with compression, in both directions; the loop, which reads, knows how."""
        raise NotImplementedError

    def bye(self, text: str) -> None:
        """The server ends the session."""
        self.send(response.status(b"*", b"BYE", text))
        self.ended = True
