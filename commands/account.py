"""`pillarbox account`: what accounts send, and letting a braked one go.

    pillarbox account list
    pillarbox account release ADDRESS

An account that sends more than smtpd_account_message_limit and its like allow is braked: its mail is taken and held.
`list` shows the braked accounts with their reason and their number of held messages, then the others with their
counts.  `release` takes the brake off, begins to count anew, and lets the held messages go.
For the superuser or the owner of the queue.
Ends with 0 or a sysexits(3) code: 64 usage, 67 nothing is known of the account, 75 the mail system does not run, 77 no
permission.
"""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence

from pillarbox.commands.owner_only import owner_only, problem
from pillarbox.commands.postsuper import release_message
from pillarbox.lib.clients import ServiceUnavailable
from pillarbox.lib.clients.qmgr import QmgrClient
from pillarbox.lib.clients.reputation import ReputationClient, Standing, held_account
from pillarbox.lib.config import Config
from pillarbox.lib.config.parameters.general import QUEUE_DIRECTORY
from pillarbox.lib.queue import Queue
from pillarbox.lib.queue.file import CorruptQueueFile, QueueFile

USAGE = "usage: pillarbox account list | release ADDRESS"
PROGRAM = "pillarbox account"
IDS_AT_ONCE = 100
"""Queue ids in one notice to the queue manager."""


def main(argv: Sequence[str], config: Config) -> int:
    """Run `pillarbox account` with the words after `account`; gives the exit status."""
    verb = _VERBS.get(argv[0]) if argv else None
    if verb is None or len(argv) - 1 != verb[1]:
        print(USAGE, file=sys.stderr)
        return os.EX_USAGE
    return owner_only(PROGRAM, config, lambda: verb[0](config, *argv[1:]))


def _list(config: Config) -> int:
    standings = ReputationClient(config).accounts()
    held = Counter(account for _, account in held_messages(Queue(config[QUEUE_DIRECTORY])))
    for standing in standings:
        print(_line(standing, held.pop(standing.account, 0)))
    for account, count in sorted(held.items()):
        print(f"{account}: released, {_many(count, 'message')} still held")
    return os.EX_OK


def _line(standing: Standing, held: int) -> str:
    if standing.braked:
        since = _moment(standing.braked)
        return f"{standing.account}: braked since {since}: {standing.reason}; {_many(held, 'message')} held"
    counts = ", ".join(
        (
            _many(standing.messages, "message"),
            _many(standing.recipients, "recipient"),
            f"{standing.new_recipients} of them new",
        )
    )
    left = f"; {_many(held, 'message')} still held" if held else ""
    return f"{standing.account}: {counts} since {_moment(standing.began)}{left}"


def _many(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"


def _moment(when: int) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(when))


def _release(config: Config, address: str) -> int:
    account = address.lower()
    queue = Queue(config[QUEUE_DIRECTORY])
    # The brake first: else a message that comes in between would be held for nobody to see.
    standing = ReputationClient(config).release(account)
    ids = [queue_id for queue_id, owner in held_messages(queue) if owner == account]
    if standing is None and not ids:
        return problem(PROGRAM, f"{account} is not braked, and nothing of it is held", os.EX_NOUSER)
    released = []
    for queue_id in ids:
        with contextlib.suppress(FileNotFoundError):  # somebody else has released or deleted it
            release_message(queue, "hold", queue_id)
            released.append(queue_id)
    client = QmgrClient(config)
    with contextlib.suppress(ServiceUnavailable):  # it finds them when it is back
        for start in range(0, len(released), IDS_AT_ONCE):
            client.changed(released[start : start + IDS_AT_ONCE])
    was = "was braked" if standing is not None and standing.braked else "was not braked"
    print(f"{account} {was} and may send again; {_many(len(released), 'held message')} let go")
    return os.EX_OK


def held_messages(queue: Queue) -> Iterator[tuple[str, str]]:
    """The messages that are held because of their account, as (queue id, account)."""
    for queue_id in sorted(queue.ids("hold")):
        try:
            descriptor = os.open(
                queue.path("hold", queue_id), os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
            )
        except FileNotFoundError:
            continue
        try:
            account = held_account(QueueFile(descriptor).envelope.hold)
        except CorruptQueueFile:
            continue
        finally:
            os.close(descriptor)
        if account:
            yield queue_id, account


_VERBS: dict[str, tuple[Callable[..., int], int]] = {"list": (_list, 0), "release": (_release, 1)}
"""The function of each verb and how many words follow it."""
