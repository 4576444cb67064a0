"""When to try again, and when to give up.  Pure functions of times in seconds."""

from __future__ import annotations

from dataclasses import dataclass

from pillarbox.lib.config import Config
from pillarbox.lib.config.parameters.qmgr import (
    BOUNCE_QUEUE_LIFETIME,
    MAXIMAL_BACKOFF_TIME,
    MAXIMAL_QUEUE_LIFETIME,
    MINIMAL_BACKOFF_TIME,
)


@dataclass(frozen=True, slots=True)
class RetrySchedule:
    """The interval is the age of the message, within bounds: tries thin out as a message gets older."""

    minimal: float
    maximal: float
    lifetime: float
    bounce_lifetime: float

    @classmethod
    def of(cls, config: Config) -> RetrySchedule:
        """The schedule that the parameters give."""
        return cls(
            config[MINIMAL_BACKOFF_TIME],
            config[MAXIMAL_BACKOFF_TIME],
            config[MAXIMAL_QUEUE_LIFETIME],
            config[BOUNCE_QUEUE_LIFETIME],
        )

    def next_attempt(self, arrival: float, now: float) -> float:
        """The time of the next attempt."""
        return now + min(max(now - arrival, self.minimal), max(self.minimal, self.maximal))

    def expired(self, sender: str, arrival: float, now: float) -> bool:
        """Whether the message has been tried for long enough."""
        return now - arrival >= (self.lifetime if sender else self.bounce_lifetime)
