"""What a script decided, in its order: values for whoever has a mailbox, a queue and a clock to carry out.

`header` of an action that stores or sends the message is the whole header block as the script has edited it up to
there (RFC 5293 section 6), None where it left the header alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias


@dataclass(frozen=True, slots=True)
class Keep:
    """Into the mailbox where mail goes without a script (RFC 5228 section 4.3); `implicit`: nothing else was done."""

    flags: tuple[str, ...] = ()
    implicit: bool = False
    header: bytes | None = None


@dataclass(frozen=True, slots=True)
class FileInto:
    """Into a mailbox named in UTF-8, levels as the script writes them (RFC 5228 section 4.1).

    `create`: make it where it is missing (RFC 5490 section 3.2); `special_use`: rather into the mailbox with this
    attribute, where there is one (RFC 8579 section 4); `copy`: it did not cancel the implicit keep (RFC 3894).
    """

    mailbox: str
    flags: tuple[str, ...] = ()
    copy: bool = False
    create: bool = False
    special_use: str = ""
    header: bytes | None = None


@dataclass(frozen=True, slots=True)
class Redirect:
    """On to another address (RFC 5228 section 4.2)."""

    address: str
    copy: bool = False
    header: bytes | None = None


@dataclass(frozen=True, slots=True)
class Discard:
    """Nothing is kept unless another action says so (RFC 5228 section 4.4)."""


@dataclass(frozen=True, slots=True)
class Reject:
    """Refuse the message with a text for its sender; `extended`: best in the SMTP dialogue (RFC 5429, ereject)."""

    text: str
    extended: bool = False


@dataclass(frozen=True, slots=True)
class Vacation:
    """Answer the sender, once in so many seconds (RFC 5230, 6131), 0 = each time.

    `subject` is never empty.  `from_` and `addresses` are as the script gives them.  `mime`: `reason` is a MIME entity
    with its header.  `handle` names the answer for the memory of who had it: the script's, or made of the arguments.
    """

    subject: str
    reason: str
    seconds: int
    from_: str = ""
    addresses: tuple[str, ...] = ()
    mime: bool = False
    handle: str = ""


@dataclass(frozen=True, slots=True)
class Notify:
    """Tell somebody by `method`, an URI (RFC 5435); `message` is "" where the script gives none.

    `importance`: 1 high, 2 normal, 3 low.
    """

    method: str
    message: str = ""
    from_: str = ""
    importance: int = 2
    options: tuple[str, ...] = ()


Action: TypeAlias = Keep | FileInto | Redirect | Discard | Reject | Vacation | Notify


@dataclass(frozen=True, slots=True)
class Remember:
    """An identification that `duplicate` is to know for so many seconds from now on (RFC 7352 section 3).

    To be written when the actions have been carried out, and not before: what failed comes again.
    """

    identification: str
    seconds: int
