"""One message in a client's conversation: what is sent, and what the server said to each part.

A plain record with rules; `Client` moves it on.  Recipients are known by their place in `recipients`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

from pillarbox.lib.smtp.client_reply import ServerReply


class Progress(Enum):
    """How far a transaction has come."""

    ENVELOPE = "commands are out or still to be sent"
    CONTENT = "the server waits for the content"
    ENDING = "the content is out, the final reply is awaited"
    DONE = "nothing more will come"


@dataclass(slots=True)
class Transaction:
    """`mail` and `recipients` are complete commands (see `client_command`), and so are those of `before`, XFORWARD.

    With `chunked` there is no DATA: the owner sends one BDAT with the content.  A `probe` ends behind the recipients,
    or, with `to_data`, behind DATA: what is wanted is their replies.
    """

    mail: bytes
    recipients: list[bytes]
    lmtp: bool = False
    chunked: bool = False
    probe: bool = False
    to_data: bool = False
    before: list[bytes] = field(default_factory=list)
    progress: Progress = Progress.ENVELOPE
    complaints: list[ServerReply] = field(default_factory=list)
    """Refusals of XFORWARD, which stop nothing."""
    mail_reply: ServerReply | None = None
    recipient_replies: list[ServerReply | None] = field(default_factory=list)
    data_reply: ServerReply | None = None
    final_replies: list[ServerReply] = field(default_factory=list)
    """One reply to the content; with LMTP one for each accepted recipient, in order (RFC 2033 section 4.2)."""

    def __post_init__(self) -> None:
        self.recipient_replies = [None] * len(self.recipients)

    @property
    def with_data(self) -> bool:
        """Whether DATA ends the envelope."""
        return self.to_data if self.probe else not self.chunked

    @property
    def accepted(self) -> list[int]:
        """The recipients that the server has taken."""
        return [n for n, reply in enumerate(self.recipient_replies) if reply is not None and reply.kind == 2]

    @property
    def mail_accepted(self) -> bool:
        """Whether the server took the sender."""
        return self.mail_reply is not None and self.mail_reply.kind == 2

    @property
    def finals_expected(self) -> int:
        """How many replies the content will have."""
        return len(self.accepted) if self.lmtp else 1

    def final_reply(self, recipient: int) -> ServerReply | None:
        """The reply to the content that holds for an accepted recipient; None while it has not come."""
        if not self.lmtp:
            return self.final_replies[0] if self.final_replies else None
        place = self.accepted.index(recipient)
        return self.final_replies[place] if place < len(self.final_replies) else None
