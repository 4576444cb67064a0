"""What becomes of one message: decided by smtpd's policy (in the envelope), by tables and by filters on the way in.

Whoever looks at the message (header and body checks, milters) only records here what it wants; when the content is
complete `NewMessage` carries it out.  REDIRECT overrides FILTER, DISCARD overrides all but a refusal (access(5)).
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from pillarbox.lib.clients.cleanup import Rejected
from pillarbox.lib.queue import Envelope, Recipient


@dataclass(slots=True)
class Disposition:
    """The decisions so far.  Texts as in `Envelope`; `bcc` are further recipients, who are told of no failure.

    `inspected`: whether checks and milters go on looking at the message; REJECT, DISCARD, REDIRECT and PASS end that.
    """

    hold: str = ""
    discard: bool = False
    redirect: str = ""
    filter: str = ""
    bcc: list[str] = field(default_factory=list)
    refusal: Rejected | None = None
    inspected: bool = True

    @classmethod
    def of(cls, envelope: Envelope) -> Disposition:
        """What the message comes with."""
        return cls(envelope.hold, envelope.discard, envelope.redirect, envelope.filter)

    def reject(self, refusal: Rejected) -> None:
        """Refuse the message; a temporary refusal has precedence over a permanent one (it loses nothing)."""
        if self.refusal is None or self.refusal.code >= 500:
            self.refusal = refusal
        self.inspected = False

    def apply(self, envelope: Envelope) -> Envelope:
        """The envelope as it goes into the queue file; its recipients are the caller's, who can expand addresses."""
        if (
            (self.hold, self.filter) == (envelope.hold, envelope.filter)
            and not self.redirect
            and not envelope.discard
            and not envelope.overrides
        ):
            return envelope
        return replace(
            envelope,
            hold=self.hold,
            filter="" if self.redirect else self.filter,
            redirect="",
            discard=False,
            overrides="",
        )


def redirected(recipients: tuple[Recipient, ...], address: str) -> tuple[Recipient, ...]:
    """One recipient in place of all others; what the first one was called stays for the log and the reports."""
    first = recipients[0]
    return (Recipient(address, first.original or first.address, first.orcpt, first.notify),)
