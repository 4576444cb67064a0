"""Shared and public mailboxes (docs/shared-mailboxes.md)."""

from __future__ import annotations

from pillarbox.lib.config.mapping import BadEntry, Tree
from pillarbox.lib.config.parameter import boolean, mapping, words

IMAP_SHARED_MAILBOXES = boolean(
    "imap_shared_mailboxes",
    "yes",
    """Whether hosted users may let others use their mailboxes (ACL of IMAP, RFC 4314), and see public ones. Nobody sees
    a mailbox of another who was not given it.""",
)
IMAP_PUBLIC_ADMINS = words(
    "imap_public_admins",
    "",
    """Hosted accounts that make and administer the public mailboxes of their own domain, which lie in
    virtual_mailbox_base/DOMAIN/.public.""",
)


def read_groups(entries: dict[str, Tree]) -> dict[str, frozenset[str]]:
    """Groups by name.  Raises BadEntry."""
    groups = {}
    for name, value in entries.items():
        members = (value,) if isinstance(value, str) else value
        if not isinstance(members, tuple) or not all(isinstance(each, str) and "@" in each for each in members):
            raise BadEntry(name, "a list of addresses, or of @domain, was expected")
        groups[name] = frozenset(each.lower() for each in members if isinstance(each, str))
    return groups


IMAP_ACL_GROUPS = mapping(
    "imap_acl_groups",
    """Groups that can be given rights under the name $GROUP: {sales: [ann@example.com, bob@example.com],
    all: "@example.com"}.""",
    read_groups,
)
