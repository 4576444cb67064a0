"""The purposes of mailboxes (RFC 6154), by the parameter imap_special_use."""

from __future__ import annotations

from pillarbox.lib.config import Config
from pillarbox.lib.config.parameters.imapd import IMAP_SPECIAL_USE

PURPOSES = ("All", "Archive", "Drafts", "Flagged", "Junk", "Sent", "Trash")


def special_uses(config: Config) -> dict[str, bytes]:
    """Mailbox name to attribute; entries that are not NAME=PURPOSE are left out."""
    uses = {}
    for entry in config[IMAP_SPECIAL_USE]:
        name, _, purpose = entry.rpartition("=")
        if name and purpose.capitalize() in PURPOSES:
            uses[name] = b"\\" + purpose.capitalize().encode("ascii")
    return uses
