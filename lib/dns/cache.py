"""Answers remembered until their time to live is over; bounded, positive and negative alike.

The bound is kept by dropping the oldest entry, so a flood of different names costs look-ups, not memory.
"""

from __future__ import annotations

from pillarbox.lib.dns.types import Absent, Answer, Clock, Failed, Outcome

POSITIVE_LIMIT = 86400.0
"""Seconds for which an answer is believed at most, whatever it says (RFC 8767 section 4 names a week; a day here)."""

NEGATIVE_LIMIT = 3600.0
"""Seconds for which a "no" is believed at most (RFC 2308 section 5 finds one to three hours to work well)."""

NEGATIVE_DEFAULT = 10.0
"""Seconds for a "no" that came without SOA record, which RFC 2308 would not remember; spares a burst the repetition."""

FAILURE_TTL = 1.0
"""Seconds for which a failure is remembered (RFC 2308 section 7 allows five minutes): a burst asks once."""

Key = tuple[str, int]


class Cache:
    """Outcomes by (name in lower case, record type)."""

    def __init__(self, limit: int, clock: Clock) -> None:
        self._limit = limit
        self._clock = clock
        self._entries: dict[Key, tuple[float, Outcome[object]]] = {}

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, key: Key) -> Outcome[object] | None:
        """The remembered outcome, None if there is none or its time is over."""
        entry = self._entries.get(key)
        if entry is None:
            return None
        if entry[0] <= self._clock():
            del self._entries[key]
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
        self._entries.pop(key, None)  # a renewed entry is the youngest again
        while len(self._entries) >= self._limit:
            del self._entries[next(iter(self._entries))]
        self._entries[key] = (self._clock() + ttl, outcome)

    def clear(self) -> None:
        """Forget everything."""
        self._entries.clear()
