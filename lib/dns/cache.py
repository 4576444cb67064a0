"""Answers remembered until their time to live is over; bounded, positive and negative alike.

The bounds, on entries and on octets, are kept by dropping the oldest entry, so a flood of different names or of large
answers costs look-ups, not memory.
"""

from __future__ import annotations

from pillarbox.lib.dns.types import MX, TLSA, Absent, Answer, Clock, Failed, Outcome

POSITIVE_LIMIT = 86400.0
"""Seconds for which an answer is believed at most, whatever it says (RFC 8767 section 4 names a week; a day here)."""

NEGATIVE_LIMIT = 3600.0
"""Seconds for which a "no" is believed at most (RFC 2308 section 5 finds one to three hours to work well)."""

NEGATIVE_DEFAULT = 10.0
"""Seconds for a "no" that came without SOA record, which RFC 2308 would not remember; spares a burst the repetition."""

FAILURE_TTL = 1.0
"""Seconds for which a failure is remembered (RFC 2308 section 7 allows five minutes): a burst asks once."""

OCTETS_EACH = 1000
"""Octets for which there is room per entry, on an average: most take two hundred, the largest sixty thousand."""

_OVERHEAD = 120
"""Octets of a record as an object."""

Key = tuple[str, int]


def _octets(outcome: Outcome[object]) -> int:
    """About how much memory an outcome takes."""
    if not isinstance(outcome, Answer):
        return _OVERHEAD
    size = _OVERHEAD
    for record in outcome.records:
        match record:
            case str() | bytes():
                size += _OVERHEAD + len(record)
            case MX():
                size += _OVERHEAD + len(record.exchange)
            case TLSA():
                size += _OVERHEAD + len(record.data)
            case _:
                size += _OVERHEAD
    return size


class Cache:
    """Outcomes by (name in lower case, record type)."""

    def __init__(self, limit: int, clock: Clock) -> None:
        self._limit = limit
        self._clock = clock
        self._entries: dict[Key, tuple[float, Outcome[object], int]] = {}
        self._most = limit * OCTETS_EACH
        self.octets = 0
        """What the entries take, about."""

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, key: Key) -> Outcome[object] | None:
        """The remembered outcome, None if there is none or its time is over."""
        entry = self._entries.get(key)
        if entry is None:
            return None
        if entry[0] <= self._clock():
            self._drop(key)
            return None
        return entry[1]

    def put(self, key: Key, outcome: Outcome[object]) -> None:
        """Remember an outcome for the time that its kind allows."""
        match outcome:
            case Answer():
                ttl = min(outcome.ttl, POSITIVE_LIMIT)
            case Absent():
                ttl = min(outcome.ttl or NEGATIVE_DEFAULT, NEGATIVE_LIMIT)
            case Failed():
                ttl = FAILURE_TTL
        if ttl <= 0 or self._limit <= 0:
            return
        self._drop(key)  # a renewed entry is the youngest again
        octets = _octets(outcome)
        while self._entries and (len(self._entries) >= self._limit or self.octets + octets > self._most):
            self._drop(next(iter(self._entries)))
        self._entries[key] = (self._clock() + ttl, outcome, octets)
        self.octets += octets

    def _drop(self, key: Key) -> None:
        entry = self._entries.pop(key, None)
        if entry is not None:
            self.octets -= entry[2]

    def clear(self) -> None:
        """Forget everything."""
        self._entries.clear()
        self.octets = 0
