"""Whether a message was written by a program: what must not be answered automatically (RFC 3834 section 2)."""

from __future__ import annotations

from pillarbox.lib.message.header import scan, unfold

_LIST_FIELDS = frozenset((b"list-id", b"list-unsubscribe", b"list-post", b"list-help", b"list-owner", b"list-archive"))
_BULK = (b"bulk", b"list", b"junk")
_MACHINES = (
    "owner-",
    "-request",
    "-owner",
    "mailer-daemon",
    "listserv",
    "majordomo",
    "postmaster",
    "noreply",
    "no-reply",
)


def is_automatic(block: bytes) -> bool:
    """Whether the header says so: Auto-Submitted other than `no`, a mailing list's fields, Precedence bulk."""
    for field in scan(block):
        name = field.name.lower()
        if name in _LIST_FIELDS:
            return True
        if name == b"auto-submitted":
            keyword = unfold(block[field.value : field.end]).partition(b";")[0].partition(b"(")[0].strip().lower()
            if keyword != b"no":
                return True
        elif name == b"precedence":
            if unfold(block[field.value : field.end]).lower() in _BULK:
                return True
        elif name == b"x-auto-response-suppress":
            return True
    return False


def is_machine_sender(sender: str) -> bool:
    """Whether an envelope sender is one that nobody reads: the null sender, list owners, daemons."""
    local = sender.rpartition("@")[0].lower() or sender.lower()
    if not local:
        return True
    return any(local.endswith(mark) if mark.startswith("-") else local.startswith(mark) for mark in _MACHINES)
