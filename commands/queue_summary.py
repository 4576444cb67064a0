"""`pillarbox queue`: what the queue holds in one screen, and why it is still there.

    14 messages for 31 recipients, 2 Mbytes: 1 active, 12 deferred, 1 on hold
    the oldest has waited for 2d 4h: 4jXFYl6dnjzKD6m from alice@example.org

    recipients  of            why
            20  example.net   connect to mx.example.net[192.0.2.1]:25: Connection refused
             7  example.com   host mx.example.com[192.0.2.9] said: 450 4.2.1 mailbox busy (in reply to RCPT TO command)
             4  example.org   not tried yet

`mailq` tells of each message, `qshape` of the ages by domain.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Iterator

from pillarbox.commands.options import printable
from pillarbox.commands.postqueue import queue_entries
from pillarbox.commands.queue_listing import EMPTY, NULL_SENDER
from pillarbox.lib.config import Config
from pillarbox.lib.queue.listing import Entry

ROWS = 20
"""Reasons that are shown, the most frequent ones."""

REMEMBERED = 10_000
"""Different reasons that are counted; the queue may hold any number of texts from outside."""

OTHERS = ("", "other reasons")
NOT_TRIED = "not tried yet"

_PLACES = {"maildrop": "just submitted", "incoming": "incoming", "active": "active", "deferred": "deferred"}


def queue(config: Config) -> int:
    """Print the summary.  Raises ServiceUnavailable."""
    for line in summary(queue_entries(config), time.time()):
        print(line)
    return 0


def summary(entries: Iterable[Entry], now: float) -> Iterator[str]:
    """The lines."""
    places: Counter[str] = Counter()
    reasons: Counter[tuple[str, str]] = Counter()
    recipients = size = 0
    oldest: tuple[float, str, str] | None = None
    for entry in entries:
        places[_PLACES.get(entry.queue, "on hold")] += 1
        size += entry.size
        if oldest is None or entry.arrival < oldest[0]:
            oldest = (entry.arrival, entry.queue_id, entry.sender)
        for waiting in entry.recipients:
            recipients += 1
            key = (waiting.address.rpartition("@")[2].lower(), waiting.reason or NOT_TRIED)
            reasons[key if key in reasons or len(reasons) < REMEMBERED else OTHERS] += 1
    if oldest is None:
        yield EMPTY
        return
    messages = sum(places.values())
    where = ", ".join(f"{count} {place}" for place, count in places.items())
    yield f"{_count(messages, 'message')} for {_count(recipients, 'recipient')}, {_volume(size)}: {where}"
    yield f"the oldest has waited for {_span(now - oldest[0])}: {oldest[1]} from {printable(oldest[2]) or NULL_SENDER}"
    yield ""
    shown = reasons.most_common(ROWS)
    width = max((len(printable(domain)) for (domain, _), _ in shown), default=0)
    yield f"recipients  {'of':{width}}  why"
    for (domain, reason), count in shown:
        yield f"{count:10}  {printable(domain):{width}}  {printable(reason)}"
    if len(reasons) > ROWS:
        yield f"... and {len(reasons) - ROWS} more; mailq lists all"


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _volume(octets: int) -> str:
    kilobytes = -(-octets // 1024)
    return f"{kilobytes} Kbytes" if kilobytes < 10 * 1024 else f"{kilobytes // 1024} Mbytes"


def _span(seconds: float) -> str:
    minutes = max(0, int(seconds)) // 60
    if minutes < 60:
        return f"{minutes}m"
    hours, minutes = divmod(minutes, 60)
    if hours < 24:
        return f"{hours}h {minutes}m"
    return f"{hours // 24}d {hours % 24}h"
