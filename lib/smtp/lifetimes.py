"""What a server session remembers, by how long: each life time is one object, and its end is one assignment.

    connection    ServerSession itself: counters, TLS, what the address of the client entitles it to
    introduction  until STARTTLS or XCLIENT: the name given in HELO, the protocol, whether AUTH has succeeded
    transaction   until a message is taken or refused, RSET, HELO: the state, recipients, content, XFORWARD
    chunk         one BDAT command and its octets

Nothing of these is put back to a beginning field by field: the classic fault is the field that one way out forgets.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field

from pillarbox.lib.smtp.binary_content import BinaryDecoder
from pillarbox.lib.smtp.content import ChunkDecoder, DataDecoder
from pillarbox.lib.smtp.reply import Reply


class State(enum.IntEnum):
    """Where a transaction is."""

    IDLE = 0  # none: before MAIL
    MAIL = 1  # a sender, no recipient
    RCPT = 2  # a sender and at least one recipient
    CHUNKS = 3  # at least one BDAT chunk taken, LAST not seen


@dataclass(slots=True)
class Introduction:
    """Who the client says that it is, and has proved to be."""

    protocol: str
    helo_name: str = ""
    authenticated: bool = False


@dataclass(slots=True)
class Transaction:
    """One mail transaction, and the time before it.

    `binary`: BODY=BINARYMIME.  `overshoot` counts recipients beyond the limit, `content_size` the octets given to the
    driver.  `forwarded` are the attributes of XFORWARD, which hold for the next message only.
    """

    state: State = State.IDLE
    smtputf8: bool = False
    binary: bool = False
    recipients: int = 0
    overshoot: int = 0
    forwarded: Mapping[str, str] | None = None
    data: DataDecoder | None = None
    chunks: ChunkDecoder | BinaryDecoder | None = None
    content_size: int = 0
    overflowed: bool = False


@dataclass(slots=True)
class Chunk:
    """One BDAT command: `left` of its `size` octets are still to come; `refusal` is given when they have come."""

    size: int = 0
    last: bool = False
    refusal: Reply | None = None
    left: int = field(init=False)

    def __post_init__(self) -> None:
        self.left = self.size
