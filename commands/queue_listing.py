"""How `mailq` and `postqueue -j` write the queue; both forms are read by other programs, byte for byte.

With long queue ids:
    ----Queue ID----- --Size-- ---Arrival Time---- --Sender/Recipient------
    4jXFYl6dnjzKD6m        257 Sun Nov 22 03:54:03 a@example.test
                        (connect to 127.0.0.1[127.0.0.1]:3599: Connection refused)
                                                   l1@down.test
with short ones (`short=True`) the older, narrower form of mailq(1).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator

from pillarbox.commands.options import printable
from pillarbox.lib.message.date import format_asctime
from pillarbox.lib.queue.listing import Entry

SHORT_TITLE = "-Queue ID-  --Size-- ----Arrival Time---- -Sender/Recipient-------"
LONG_TITLE = "----Queue ID----- --Size-- ---Arrival Time---- --Sender/Recipient------"
EMPTY = "Mail queue is empty"

REASON_WIDTH = 76
"""Reasons up to this length end in one column."""

NULL_SENDER = "MAILER-DAEMON"


def listing(entries: Iterable[Entry], *, short: bool = False) -> Iterator[str]:
    """The lines of `mailq`, without line ends."""
    requests = size = 0
    for entry in entries:
        yield (SHORT_TITLE if short else LONG_TITLE) if not requests else ""
        requests += 1
        size += entry.size
        yield from _entry(entry, short)
    if not requests:
        yield EMPTY
        return
    yield ""
    yield f"-- {size // 1024} Kbytes in {requests} Request{'' if requests == 1 else 's'}."


def _entry(entry: Entry, short: bool) -> Iterator[str]:
    mark = ("*" if entry.queue == "active" else "") + ("!" if entry.queue == "hold" else "")
    queue_id = entry.queue_id + mark + ("#" if entry.forced_expire else "")
    when = format_asctime(entry.arrival)
    sender = printable(entry.sender) or NULL_SENDER
    if short:
        yield f"{queue_id:<11} {entry.size:7} {when[:20]} {sender}"
    else:
        yield f"{queue_id:<17} {entry.size:8} {when[:19]} {sender}"
    indent = " " * 41 if short else " " * 47
    last = ""
    for waiting in entry.recipients:
        reason = printable(waiting.reason)
        if last and not reason:
            reason = "reason unavailable"
        if reason and reason != last:
            yield f"{' ' * max(0, REASON_WIDTH - len(reason))}({reason})"
        last = reason or last
        yield f"{indent}{printable(waiting.address)}"


def json_lines(entries: Iterable[Entry]) -> Iterator[str]:
    """One JSON object per message, as `postqueue -j`."""
    for entry in entries:
        recipients = []
        for waiting in entry.recipients:
            one = {"orig_address": waiting.original} if waiting.original else {}
            one["address"] = waiting.address
            if waiting.reason:
                one["delay_reason"] = waiting.reason
            recipients.append(one)
        yield json.dumps(
            {
                "queue_name": entry.queue,
                "queue_id": entry.queue_id,
                "arrival_time": int(entry.arrival),
                "message_size": entry.size,
                "forced_expire": entry.forced_expire,
                "sender": entry.sender,
                "recipients": recipients,
            }
        )
