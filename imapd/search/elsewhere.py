"""A mailbox that is searched without being selected (RFC 7377)."""

from __future__ import annotations

from pillarbox.imapd.session.selected import Selected
from pillarbox.lib.mime import Part, scan_message
from pillarbox.lib.store.interface import Mailbox, MessageContent


class Elsewhere:
    """A `search.key.Source`; one message is open at a time.  Use as a context manager; it closes the mailbox."""

    def __init__(self, mailbox: Mailbox) -> None:
        self.mailbox = Selected(mailbox)
        self._content: tuple[int, MessageContent] | None = None

    def __enter__(self) -> Elsewhere:
        return self

    def __exit__(self, *_: object) -> None:
        self._forget()
        self.mailbox.close()

    def content(self, uid: int) -> MessageContent:
        """The message, opened.  Raises MessageGone."""
        if self._content is not None and self._content[0] == uid:
            return self._content[1]
        self._forget()
        content = self.mailbox.mailbox.read(uid)
        self._content = (uid, content)
        return content

    def tree(self, uid: int) -> Part:
        """Its part tree.  Raises MessageGone."""
        return scan_message(self.content(uid).chunks(), wire=True)

    def _forget(self) -> None:
        if self._content is not None:
            self._content[1].close()
            self._content = None
