"""Retry schedules per destination: pure functions of when a message came, when it was to be tried, and now.

A schedule is a row of points in time, counted from the message's arrival (or release): 0, then after each interval,
the last of which repeats.  The file of a message has one time, its next attempt, the earliest point of any of its
recipients; so between two attempts there is no point of anybody.  At an attempt that was planned for P and takes place
at N, the recipients whose schedule has a point in [P, N] are due, and the others are left alone: no memory beside the
file is needed, nor is anything lost with one.

With `retry` the intervals of Postfix (the age of the message, within bounds) are such a row too.
"""

from __future__ import annotations

from dataclasses import dataclass

from pillarbox.lib.config import Config
from pillarbox.lib.config.parameters.delivery import RETRY
from pillarbox.lib.config.retry import RetryRule, RetryRules
from pillarbox.lib.queue.listing import AT_ONCE
from pillarbox.qmgr.retry import RetrySchedule

GRAIN = 0.01
"""Seconds by which two times may differ and still be one: a file's times are rounded."""


@dataclass(frozen=True, slots=True)
class Schedules:
    """What the parameters say: rules for some destinations, the default for the others."""

    default: RetrySchedule
    rules: RetryRules
    _default_rule: RetryRule

    @classmethod
    def of(cls, config: Config) -> Schedules:
        """The schedules that the parameters give."""
        default = RetrySchedule.of(config)
        return cls(default, config[RETRY], RetryRule("", default_intervals(default.minimal, default.maximal)))

    @property
    def configured(self) -> bool:
        """Whether any destination has a schedule of its own; without one nobody needs to ask who is due."""
        return bool(self.rules)

    def rule(self, transport: str, nexthop: str, site: str = "") -> RetryRule:
        """The rule of a destination."""
        return self.rules.rule(transport, nexthop, site) or self._default_rule

    def due(self, rule: RetryRule, since: float, planned: float, now: float) -> bool:
        """Whether a recipient is to be tried at `now`, in a pass that was planned for `planned`."""
        if planned <= AT_ONCE or now < planned or now < since:
            return True  # a person wants it
        return _points(rule, now - since + GRAIN) > _points(rule, planned - since - GRAIN)

    def next_attempt(self, rule: RetryRule | None, since: float, now: float) -> float:
        """When a recipient that waits is tried again."""
        if rule is None or not self.rules:
            return self.default.next_attempt(since, now)
        return since + _next_point(rule, max(0.0, now - since) + GRAIN)

    def expired(self, rule: RetryRule | None, sender: str, since: float, now: float) -> bool:
        """Whether a recipient has been tried for long enough."""
        if rule is None or rule.lifetime is None:
            return self.default.expired(sender, since, now)
        return now >= self.end(rule, sender, since) - GRAIN

    def end(self, rule: RetryRule | None, sender: str, since: float) -> float:
        """When a recipient has been tried for long enough, where its rule says so; else 0."""
        if rule is None or rule.lifetime is None:
            return 0.0
        return since + (rule.lifetime if sender else min(rule.lifetime, self.default.bounce_lifetime))


def default_intervals(minimal: float, maximal: float) -> tuple[float, ...]:
    """The intervals of a message that is tried exactly when it is due, each as long as the message is old then."""
    least, most = max(minimal, 1.0), max(minimal, maximal, 1.0)
    age, found = 0.0, [least]
    while found[-1] < most:
        age += found[-1]
        found.append(min(max(age, least), most))
    return tuple(found)


def _points(rule: RetryRule, age: float) -> int:
    """How many points lie at or before an age; the end of the rule's lifetime is one."""
    if age < 0:
        return 0
    count = 1 + (rule.lifetime is not None and age >= rule.lifetime)
    total = 0.0
    for interval in rule.intervals:
        total += interval
        if total > age:
            return count
        count += 1
    return count + int((age - total) // rule.intervals[-1])


def _next_point(rule: RetryRule, age: float) -> float:
    """The first point behind an age; behind the end of a lifetime they go on, for what could not be returned."""
    total = 0.0
    for interval in rule.intervals:
        total += interval
        if total > age:
            break
    else:
        last = rule.intervals[-1]
        total += ((age - total) // last + 1) * last
    if rule.lifetime is not None and age < rule.lifetime < total:
        return rule.lifetime
    return total
