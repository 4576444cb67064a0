"""Parameters of the delivery agent for hosted mailboxes."""

from __future__ import annotations

from pillarbox.lib.config.parameter import choice, integer, path, size, tables

VIRTUAL_MAILBOX_BASE = path(
    "virtual_mailbox_base",
    "$mail_directory",
    """The directory below which all hosted mailboxes lie: DOMAIN/LOCALPART/ (a Maildir), or what virtual_mailbox_maps
    gives: a path that ends in "/" is a Maildir, any other an mbox file.""",
)
VIRTUAL_MAILBOX_LIMIT = size(
    "virtual_mailbox_limit", "51200000", "The largest hosted mbox file, in bytes; 0: no limit. Not used for Maildirs."
)
VIRTUAL_UID_MAPS = tables(
    "virtual_uid_maps",
    "",
    """Tables by address (user+extension@domain, user@domain, @domain) of the uid that a hosted mailbox belongs to, as
    "static:5000": it is delivered to and read by a process with that uid. Empty: that of vmail_owner.""",
)
VIRTUAL_GID_MAPS = tables("virtual_gid_maps", "", "The same for the gid. Empty: the group of vmail_owner.")
VIRTUAL_MINIMUM_UID = integer(
    "virtual_minimum_uid", "100", "The least uid that virtual_uid_maps may give; below it mail waits.", minimum=1
)
VIRTUAL_BATCH_LIMIT = integer(
    "virtual_batch_limit",
    "32",
    """How many messages one virtual process takes at once. They share the waits for the disk, so a higher number
    raises throughput under load; it changes nothing on a quiet system.""",
    minimum=1,
    maximum=200,
)
SAVE_TO_DETAIL_MAILBOX = choice(
    "save_to_detail_mailbox",
    "no",
    """Whether mail for user+folder goes to that folder of a hosted Maildir instead of INBOX ("." between levels):
    existing: where there is such a folder; create: it is made, up to 100 folders, since senders choose addresses.""",
    ("no", "existing", "create"),
)
