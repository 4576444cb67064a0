"""What access policy remembers of a session: facts for as long as they hold, and what earlier stages have handed on.

What belongs to the connection or to HELO is kept here; what belongs to a transaction is kept in the transaction itself
and goes with it, whatever ends it.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from pillarbox.lib.smtp.reply import Reply
from pillarbox.smtpd.policy.facts import Key
from pillarbox.smtpd.policy.outcome import Effect


@dataclass(slots=True)
class Stretch:
    """One length of time: facts that hold so long, a deferral and effects that what follows in it inherits."""

    known: dict[Key, object] = field(default_factory=dict)
    deferral: Reply | None = None
    effects: tuple[Effect, ...] = ()


@dataclass(slots=True)
class Memory:
    """Of one session."""

    about: tuple[str, str] = ("", "")
    """Whose facts these are: the client's address and what it said in HELO."""
    connection: Stretch = field(default_factory=Stretch)
    hello: Stretch = field(default_factory=Stretch)
    announced: tuple[str, Stretch] = field(default_factory=lambda: ("", Stretch()))
    """A name in HELO that policy has nothing against, and what comes of it once it is accepted."""

    def of(self, address: str, helo: str) -> Memory:
        """The memory for this client and HELO; what was about others is forgotten (XCLIENT, another HELO)."""
        if self.about != (address, helo):
            if self.about[0] != address:
                self.connection = Stretch()
            name, announced = self.announced
            self.hello = announced if helo and name == helo else Stretch()
            self.announced = "", Stretch()
            self.about = address, helo
        return self
