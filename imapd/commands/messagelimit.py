"""MESSAGELIMIT and SAVELIMIT (RFC 9738): how many messages one command may work on.

Without the parameters nothing is limited and nothing announced.  With them FETCH, SEARCH, STORE, MOVE and UID EXPUNGE
work on the messages with the highest UIDs and say how far down they came; what must be whole or not at all (COPY,
APPEND, SORT, THREAD, and a PARTIAL range that the client chose itself) is refused.  EXPUNGE, CLOSE and STATUS are
never limited.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from pillarbox.imapd.commands.command import Reply
from pillarbox.imapd.protocol import response
from pillarbox.imapd.protocol.errors import CommandFailed
from pillarbox.imapd.session.context import Session
from pillarbox.lib.config import Config
from pillarbox.lib.config.parameters.imapd import IMAP_MESSAGE_LIMIT, IMAP_SAVE_LIMIT


def capability(config: Config) -> str:
    """Section 3: SAVELIMIT stands there instead of MESSAGELIMIT where only COPY and APPEND are limited."""
    limit, save_limit = config[IMAP_MESSAGE_LIMIT], config[IMAP_SAVE_LIMIT]
    if limit:
        return f"MESSAGELIMIT={limit}"
    return f"SAVELIMIT={save_limit}" if save_limit else ""


def save_limit(config: Config) -> int:
    """How many messages one COPY or APPEND may make; 0: any number."""
    return config[IMAP_MESSAGE_LIMIT] or config[IMAP_SAVE_LIMIT]


class MessageLimit:
    """The limit as one command meets it."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._limit = session.config[IMAP_MESSAGE_LIMIT]
        self.lowest = 0
        """The lowest UID that is worked on; 0: nothing is left out."""

    @property
    def exceeded(self) -> bool:
        """Whether messages were left out."""
        return self.lowest > 0

    def highest(self, indexes: Sequence[int]) -> Sequence[int]:
        """Of these positions (ascending) those that may be worked on."""
        kept = self._kept(indexes)
        if len(kept) < len(indexes):
            self.lowest = self._session.mailbox.uids[kept[0]]
        return kept

    def highest_uids(self, uids: Sequence[int]) -> Sequence[int]:
        """As `highest`, of UIDs."""
        kept = self._kept(uids)
        if len(kept) < len(uids):
            self.lowest = kept[0]
        return kept

    def _kept(self, messages: Sequence[int]) -> Sequence[int]:
        return messages[-self._limit :] if 0 < self._limit < len(messages) else messages

    def check(self, messages: int) -> None:
        """Look whether so many may be worked on together.  Raises CommandFailed."""
        if 0 < self._limit < messages:
            raise CommandFailed(f"More than {self._limit} messages at once", f"MESSAGELIMIT {self._limit}")

    def all(self, indexes: Sequence[int]) -> Sequence[int]:
        """As `highest`, where nothing may be left out.  Raises CommandFailed."""
        self.check(len(indexes))
        return indexes

    def reply(self, done: Reply, *, vanishes: bool = False) -> Reply:
        """The answer of a command that is done: `done`, and that it was for the last messages only.

        One code finds room in it.  Where there is another, or may be (`vanishes`: the command takes messages away, and
        HIGHESTMODSEQ follows VANISHED, RFC 7162 section 3.2.7), ours goes ahead in an untagged NO (section 3.1).
        """
        if not self.exceeded:
            return done
        if done.code or (vanishes and self._session.mailbox.tells_vanished):
            self.tell()
            return done
        return replace(done, text=self._text, code=self._code)

    def tell(self) -> None:
        """Tell in an untagged NO what was left out."""
        if self.exceeded:
            self._session.send(response.status(b"*", b"NO", self._text, self._code))

    @property
    def _code(self) -> str:
        return f"MESSAGELIMIT {self._limit} {self.lowest}"

    @property
    def _text(self) -> str:
        return f"Completed for the last {self._limit} messages only."


def check_copied(session: Session, indexes: Sequence[int]) -> None:
    """Look whether so many messages may be copied: all of them are, or none.  Raises CommandFailed."""
    limit = save_limit(session.config)
    if 0 < limit < len(indexes):
        lowest = session.mailbox.uids[indexes[-limit]]
        raise CommandFailed("Too many messages to copy, try a smaller subset", f"MESSAGELIMIT {limit} {lowest}")


CAPABILITIES = (capability,)
