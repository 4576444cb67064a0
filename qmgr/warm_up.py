"""How many recipients got mail today, by source address and destination: kept across restarts in one small file.

    {"day": "2026-11-26", "sent": [["192.0.2.5", "google.com", 312], ...]}

The file is written now and then, by a rename.  What a crash loses is counted again: an address then sends, on that
day, at most as much more as it had sent since the last writing.
"""

from __future__ import annotations

import contextlib
import datetime
import json
import os

from pillarbox.lib.log import log

NAME = "warm_up.json"

PAIRS_LIMIT = 10_000
"""Pairs of source and destination that are counted at once; beyond it those with the smallest counts are forgotten,
which are far from any limit."""

SIZE_LIMIT = 4_000_000
"""Bytes of a file that is read."""


class Counts:
    """The counts of one day; another day's begin at nothing.  `directory` "": nothing is kept."""

    def __init__(self, directory: str = "") -> None:
        self._path = f"{directory}/{NAME}" if directory else ""
        self._day = ""
        self._sent: dict[tuple[str, str], int] = {}
        self._changed = False

    def __len__(self) -> int:
        return len(self._sent)

    def sent(self, day: datetime.date, source: str, destination: str) -> int:
        """Recipients so far."""
        return self._sent.get((source, destination), 0) if day.isoformat() == self._day else 0

    def add(self, day: datetime.date, source: str, destination: str, recipients: int) -> None:
        """Count more, or fewer."""
        if day.isoformat() != self._day:
            self._day, self._sent = day.isoformat(), {}
        key = (source, destination)
        if key not in self._sent and len(self._sent) >= PAIRS_LIMIT:
            self._shorten()
        self._sent[key] = max(0, self._sent.get(key, 0) + recipients)
        self._changed = True

    def _shorten(self) -> None:
        largest = sorted(self._sent.items(), key=lambda item: item[1], reverse=True)
        self._sent = dict(largest[: PAIRS_LIMIT // 2])

    def load(self) -> None:
        """Read the file; one that cannot be read counts as none."""
        if not self._path:
            return
        try:
            with open(self._path, "rb") as stream:
                self._day, self._sent = read_counts(stream.read(SIZE_LIMIT))
        except FileNotFoundError:
            pass
        except (OSError, ValueError) as error:
            log.warning(f"{self._path}: {error}; the counts for warm_up begin anew")

    def save(self) -> None:
        """Write the file, if anything has changed."""
        if not self._path or not self._changed:
            return
        self._changed = False
        sent = [[source, destination, count] for (source, destination), count in self._sent.items()]
        temporary = f"{self._path}.new"
        try:
            with open(temporary, "w", encoding="ascii") as stream:
                json.dump({"day": self._day, "sent": sent}, stream)
            os.replace(temporary, self._path)
        except OSError as error:
            log.warning(f"{self._path}: {error.strerror}; the counts for warm_up are not kept")
            with contextlib.suppress(OSError):
                os.unlink(temporary)


def read_counts(data: bytes) -> tuple[str, dict[tuple[str, str], int]]:
    """The day and the counts in a file.  Raises ValueError."""
    found = json.loads(data)
    if not isinstance(found, dict) or not isinstance(found.get("day"), str) or not isinstance(found.get("sent"), list):
        raise ValueError("is not a file of counts")
    sent: dict[tuple[str, str], int] = {}
    for item in found["sent"][:PAIRS_LIMIT]:
        if not isinstance(item, list) or [type(each) for each in item] != [str, str, int]:
            raise ValueError("is not a file of counts")
        sent[item[0], item[1]] = max(0, item[2])
    return found["day"], sent
