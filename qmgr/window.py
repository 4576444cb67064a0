"""The window of a destination: how many deliveries to it may be under way, by what it has shown that it can take.

As in Postfix (SCHEDULER_README): a success opens it by the positive feedback, a failure to
reach the destination closes it by the negative one, both in whole steps with a hysteresis of one; a refusal of a
recipient or a message is no failure.  After `failed_cohort_limit` windows full of failures, with no success between,
the destination counts as dead.
"""

from __future__ import annotations

from dataclasses import dataclass

from pillarbox.lib.config import Config
from pillarbox.lib.config.parameters.qmgr import (
    DESTINATION_CONCURRENCY_FAILED_COHORT_LIMIT,
    DESTINATION_CONCURRENCY_LIMIT,
    DESTINATION_CONCURRENCY_NEGATIVE_FEEDBACK,
    DESTINATION_CONCURRENCY_POSITIVE_FEEDBACK,
    DESTINATION_RATE_DELAY,
    INITIAL_DESTINATION_CONCURRENCY,
    Feedback,
)

ROUNDING = 1e-9
"""Seven sevenths are one."""

_WHOLE = Feedback(1.0)


@dataclass(frozen=True, slots=True)
class WindowRules:
    """How the windows of one transport move; `limit` 0 is none."""

    initial: int = 5
    limit: int = 20
    failed_cohort_limit: int = 1
    positive: Feedback = _WHOLE
    negative: Feedback = _WHOLE

    @classmethod
    def of(cls, config: Config, transport: str) -> WindowRules:
        """The rules that the parameters give."""
        limit = config.of_service(DESTINATION_CONCURRENCY_LIMIT, transport)
        if config.of_service(DESTINATION_RATE_DELAY, transport):
            limit = 1  # postconf(5): one delivery, then the pause
        initial = config.of_service(INITIAL_DESTINATION_CONCURRENCY, transport)
        return cls(
            min(initial, limit) if limit else initial,
            limit,
            config.of_service(DESTINATION_CONCURRENCY_FAILED_COHORT_LIMIT, transport),
            config.of_service(DESTINATION_CONCURRENCY_POSITIVE_FEEDBACK, transport),
            config.of_service(DESTINATION_CONCURRENCY_NEGATIVE_FEEDBACK, transport),
        )


class Window:
    """One window; `size` is at least 1."""

    __slots__ = ("_failure", "_rules", "_success", "failed_cohorts", "size")

    def __init__(self, rules: WindowRules) -> None:
        self._rules = rules
        self.size = rules.initial
        self._success = self._failure = 0.0
        self.failed_cohorts = 0.0

    def succeeded(self, busy: int) -> None:
        """A delivery reached the destination, one of `busy` that were under way."""
        rules = self._rules
        self.failed_cohorts = 0.0
        # A margin above what is in use: a window far above it would make negative feedback ineffective.
        if (rules.limit and self.size >= rules.limit) or self.size >= busy + rules.initial:
            return
        self._success += rules.positive.at(self.size)
        while self._success >= 1.0 - ROUNDING:
            self.size += 1
            self._success -= 1.0
            self._failure = 0.0
        if rules.limit and self.size > rules.limit:
            self.size = rules.limit

    def failed(self) -> bool:
        """A delivery could not reach it; True where that was once too often.

        Who takes the destination as dead then lets the window `restart`.
        """
        rules = self._rules
        self.failed_cohorts += 1.0 / self.size
        if rules.failed_cohort_limit and self.failed_cohorts >= rules.failed_cohort_limit:
            return True
        self._failure -= rules.negative.at(self.size)
        while self._failure < -ROUNDING:
            self.size -= 1
            self._success = 0.0
            self._failure += 1.0
        self.size = max(1, self.size)
        return False

    def restart(self) -> None:
        """As at the beginning."""
        self.size = self._rules.initial
        self._success = self._failure = self.failed_cohorts = 0.0
