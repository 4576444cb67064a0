"""What a client wants to be told of its own accord (RFC 5465 sections 5 and 6): events, of which mailboxes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from pillarbox.lib.store.interface import DELIMITER

if TYPE_CHECKING:
    from pillarbox.imapd.fetch.item import Item

MESSAGE_NEW: Final = "MessageNew"
MESSAGE_EXPUNGE: Final = "MessageExpunge"
FLAG_CHANGE: Final = "FlagChange"
MAILBOX_NAME: Final = "MailboxName"
SUBSCRIPTION_CHANGE: Final = "SubscriptionChange"
MAILBOX_METADATA: Final = "MailboxMetadataChange"
SERVER_METADATA: Final = "ServerMetadataChange"

MESSAGE_EVENTS: Final = frozenset({MESSAGE_NEW, MESSAGE_EXPUNGE, FLAG_CHANGE})
SUPPORTED: Final = (
    MESSAGE_NEW,
    MESSAGE_EXPUNGE,
    FLAG_CHANGE,
    MAILBOX_NAME,
    SUBSCRIPTION_CHANGE,
    MAILBOX_METADATA,
    SERVER_METADATA,
)
"""All but AnnotationChange, which belongs to RFC 5257."""


@dataclass(frozen=True, slots=True)
class SelectedEvents:
    """What is told of the selected mailbox; nothing where `wanted` is not set (section 3.1)."""

    wanted: bool = False
    delayed: bool = False
    """Expunges wait for a command (SELECTED-DELAYED)."""
    flags: bool = False
    items: tuple[Item, ...] = ()
    """Fetched of each new message."""


@dataclass(frozen=True, slots=True)
class EventGroup:
    """Events of some mailboxes that are not selected."""

    kind: str
    """INBOXES, PERSONAL, SUBSCRIBED, SUBTREE or MAILBOXES."""
    mailboxes: tuple[str, ...]
    events: frozenset[str]

    def covers(self, name: str, *, personal: bool, subscribed: bool) -> bool:
        """Whether the group is about a mailbox of this name (section 6)."""
        match self.kind:
            case "PERSONAL" | "INBOXES":  # mail may be delivered into any of them (section 6.3)
                return personal
            case "SUBSCRIBED":
                return subscribed
            case "SUBTREE":
                return any(name == top or name.startswith(top + DELIMITER) for top in self.mailboxes)
        return name in self.mailboxes


@dataclass(frozen=True, slots=True)
class Registration:
    """What a NOTIFY command said."""

    selected: SelectedEvents = SelectedEvents()
    groups: tuple[EventGroup, ...] = ()

    def events(self, name: str, *, personal: bool, subscribed: bool) -> frozenset[str]:
        """What is wanted of a mailbox, by all groups together."""
        wanted: set[str] = set()
        for group in self.groups:
            if group.covers(name, personal=personal, subscribed=subscribed):
                wanted |= group.events
        return frozenset(wanted)

    def asks(self, *events: str) -> bool:
        """Whether one of these events is wanted of any mailbox."""
        return any(not group.events.isdisjoint(events) for group in self.groups)


NONE: Final = Registration()
"""That of NOTIFY NONE."""
