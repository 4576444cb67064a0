"""Why a session that waits for its client does so no longer."""

from __future__ import annotations

from typing import ClassVar


class Woken(Exception):
    """In IDLE, or where the client wants to be told of events: something changed, or it is time to look."""


class Ending(Exception):
    """The client is dismissed."""

    text: ClassVar[str]
    """What BYE says."""
    reason: ClassVar[str]
    """What the log says."""


class Inactive(Ending):
    """The client said nothing for too long."""

    text = "Disconnected for inactivity."
    reason = "Inactivity"


class Stopping(Ending):
    """The service stops."""

    text = "Server shutting down."
    reason = "Server shutting down"


class MailboxReplaced(Ending):
    """The mailbox got a new UIDVALIDITY under the session, which must end."""

    text = "The mailbox was replaced; please reconnect."
    reason = "UIDVALIDITY changed"


class MailboxGone(Ending):
    """In IDLE: the selected mailbox is no more; the client is dismissed (RFC 2180 section 3.3)."""

    text = "The mailbox was deleted or renamed; please reconnect."
    reason = "Mailbox deleted or renamed"
