"""The purposes of mailboxes (RFC 6154): what clients have set, and else what the parameter imap_special_use says.

A purpose that a client has given stands in the annotation /private/specialuse (section 4) and moves with its mailbox.
As soon as one mailbox has been given a purpose, the parameter no longer gives it to another.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from pillarbox.imapd.protocol.errors import CommandFailed
from pillarbox.imapd.session.context import Session
from pillarbox.lib.config import Config
from pillarbox.lib.config.parameters.imapd import IMAP_SPECIAL_USE
from pillarbox.lib.store import metadata
from pillarbox.lib.store.interface import MailboxEntry, Store, StoreError

PURPOSES: Final = ("All", "Archive", "Drafts", "Flagged", "Junk", "Sent", "Trash")
_SETTABLE: Final = {f"\\{name}".encode(): f"\\{name}".encode() for name in PURPOSES if name not in ("All", "Flagged")}
_BY_UPPER: Final = {name.upper(): name for name in _SETTABLE}
_HINT: Final = "/private/vendor/pillarbox/specialuse"
"""An annotation of the account: some mailbox has a purpose of its own.  Without it LIST need not look at each."""


def configured_uses(config: Config) -> dict[str, bytes]:
    """Mailbox name to attribute; entries that are not NAME=PURPOSE are left out."""
    uses = {}
    for entry in config[IMAP_SPECIAL_USE]:
        name, _, purpose = entry.rpartition("=")
        if name and purpose.capitalize() in PURPOSES:
            uses[name] = b"\\" + purpose.capitalize().encode("ascii")
    return uses


def special_uses(session: Session, entries: Iterable[MailboxEntry]) -> dict[str, tuple[bytes, ...]]:
    """Mailbox name to attributes, of those among `entries` that have any.  Raises StoreError."""
    uses: dict[str, tuple[bytes, ...]] = {}
    given: set[bytes] = set()
    store = session.store
    if _HINT in metadata.visible(store, ""):
        for entry in entries:
            if entry.selectable:
                try:
                    value = metadata.visible(store, entry.name).get(metadata.SPECIAL_USE)
                except StoreError:
                    continue  # gone meanwhile, or not ours to read
                if value is not None:
                    uses[entry.name] = tuple(value.split())
                    given.update(uses[entry.name])
    for name, use in configured_uses(session.config).items():
        if use not in given:
            uses.setdefault(name, (use,))
    return uses


def parse_uses(words: Iterable[bytes]) -> tuple[bytes, ...]:
    """Attributes that a client gives, in their one spelling.  Raises NO [USEATTR] for those that cannot be given."""
    uses = []
    for word in words:
        use = _BY_UPPER.get(word.upper())
        if use is None:
            text = word.decode("ascii", "replace")
            raise CommandFailed(f"No mailbox can be given the purpose {text} here.", "USEATTR")
        uses.append(use)
    return tuple(dict.fromkeys(uses))


def remember_uses(store: Store) -> None:
    """Note that some mailbox has a purpose of its own."""
    if _HINT not in metadata.visible(store, ""):
        metadata.change(store, "", {_HINT: b"yes"})


def give_uses(store: Store, mailbox: str, uses: tuple[bytes, ...]) -> None:
    """Give a mailbox its purposes.  Raises StoreError."""
    remember_uses(store)
    metadata.change(store, mailbox, {metadata.SPECIAL_USE: b" ".join(uses)})
