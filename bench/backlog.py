"""What a long queue costs: `python -m bench.backlog [--messages 200000]` prints the times and the memory.

    at rest     the messages wait for later: start to the first delivery of a new one, memory, the first line of `mailq`
    due         all of them are due at once: start to the first delivery, and the most memory while they go out
    beside      all of them are due and can't be delivered: how long new mail takes meanwhile, against before
    worked off  a queue manager alone, with agents that answer at once: all messages, and one message to --recipients

The queue is written directly into deferred/ (`tests/load/backlog.py`), on the file system of --directory.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import shutil
import smtplib
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from bench.load import Sink
from tests.e2e.wire import BOB, PASSWORD
from tests.lab.dns import DnsServer
from tests.lab.instance import Instance
from tests.load.backlog import fill
from tests.load.sessions import private_memory

NEW = 40
"""New messages that are timed, one after the other."""

DRAINED = 30_000
"""Messages of the queue that are due which are waited for; memory does not grow after the active queue is full."""


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m bench.backlog", description=__doc__)
    parser.add_argument("--messages", type=int, default=200_000, help="messages in deferred/")
    parser.add_argument("--recipients", type=int, default=1_000_000, help="recipients of one message")
    parser.add_argument("--directory", type=Path, default=Path("/var/tmp"), help="where the queue lies")
    options = parser.parse_args()
    for scenario in (at_rest, due, beside):
        print(f"--- {scenario.__name__.replace('_', ' ')}", flush=True)
        scenario(options.messages, options.directory)
    print("--- worked off", flush=True)
    worked_off("queue", options.messages)
    worked_off("agent", options.recipients)


def at_rest(count: int, directory: Path) -> None:
    """Nothing is due but one new message."""
    with stopped(directory, {}) as mail:
        fill(mail.root / "spool", count)
        mail.run(["sendmail", BOB], input="Subject: new\n\nnew\n", check=True)
        first = _start(mail, lambda: bool(mail.mailbox(BOB)))
        say("start to the first delivery", first, "s")
        say("memory of qmgr", memory(mail, "qmgr"), "MB")
        begin = time.monotonic()
        listing = subprocess.Popen(mail.command(["mailq"]), env=mail.environment(), stdout=subprocess.PIPE)
        assert listing.stdout is not None
        for _ in range(2):
            listing.stdout.readline()
        say("mailq to its first message", time.monotonic() - begin, "s")
        peak = 0.0
        for number, _ in enumerate(listing.stdout):
            if number % 40_000 == 0:
                peak = max(peak, memory(mail, "showq"))
        say("mailq to its end", time.monotonic() - begin, "s")
        say("most memory of showq meanwhile", peak, "MB")
        listing.wait()


def due(count: int, directory: Path) -> None:
    """All messages are due, and their destination takes them."""
    with Sink() as sink, stopped(directory, {"relayhost": f"[{sink.address}]:25"}) as mail:
        fill(mail.root / "spool", count, due_in=-10)
        say("start to the first delivery", _start(mail, lambda: sink.count() > 0), "s")
        begin, at_start, peak = time.monotonic(), sink.count(), 0.0
        goal = min(count, at_start + DRAINED)
        while sink.count() < goal:
            time.sleep(0.5)
            peak = max(peak, memory(mail, "qmgr"))
        say("deliveries", (sink.count() - at_start) / (time.monotonic() - begin), "a second")
        say("most memory of qmgr", peak, "MB")


def beside(count: int, directory: Path) -> None:
    """New mail before a run over the whole queue, and during it."""
    with DnsServer() as dns, stopped(directory, {"dns_resolver": dns.resolver}) as mail:
        dns.fail("dead.test", "servfail")
        last = mail.root / "spool" / "deferred" / fill(mail.root / "spool", count)[-1]
        mail.start()
        before = [_new_mail(mail) for _ in range(NEW)]
        mail.run(["postqueue", "-f"], check=True)
        begin, begun, during = time.monotonic(), last.stat().st_mtime, []
        while not last.exists() or last.stat().st_mtime == begun:
            during.append(_new_mail(mail))
        say("the run", count / (time.monotonic() - begin), "messages a second")
        say("a new message takes, before", 1000 * statistics.median(before), "ms")
        say("during the queue run", 1000 * statistics.median(during), f"ms, of {len(during)}")
        say("the longest before", 1000 * max(before), "ms")
        say("the longest during", 1000 * max(during), "ms")


def worked_off(kind: str, count: int) -> None:
    """What `tests.qmgr.bulk` counts."""
    command = [sys.executable, "-m", "tests.qmgr.bulk", kind, str(count)]
    counted = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
    what, where = {"queue": ("messages active", "active"), "agent": ("recipients in memory", "in_core")}[kind]
    say(f"most {what} at once", counted[where], f"of {count}")
    say("the queue manager grew by", counted["grown"] / 1000, "MB")


def say(what: str, value: float, unit: str) -> None:
    """Print a figure."""
    print(f"{what + ':':42} {value:8.2f} {unit}", flush=True)


def memory(mail: Instance, program: str) -> float:
    """The private memory of a program, in MB."""
    return sum(private_memory(mail, program).values()) / 1e6


@contextlib.contextmanager
def stopped(directory: Path, settings: dict[str, str]) -> Iterator[Instance]:
    """An instance that has its queue and does not run."""
    with Instance(users={BOB: PASSWORD}, settings=settings, parent=directory) as mail:
        say("idle memory of qmgr", memory(mail, "qmgr"), "MB")
        mail.stop()
        yield mail
        mail.kill()
        shutil.rmtree(mail.root / "spool")


def _start(mail: Instance, delivered: Callable[[], bool]) -> float:
    """Seconds from `pillarbox start` until `delivered()`."""
    begin = time.monotonic()
    starter = threading.Thread(target=mail.start)
    starter.start()
    while not delivered():
        time.sleep(0.005)
    elapsed = time.monotonic() - begin
    starter.join()
    return elapsed


def _new_mail(mail: Instance) -> float:
    """Seconds from the beginning of a session until its message is in the mailbox."""
    place = mail.maildir(BOB) / "new"
    known = len(list(place.glob("*")))
    begin = time.monotonic()
    with smtplib.SMTP(mail.address, mail.port("smtp"), timeout=60) as client:
        client.sendmail("a@client.example", [BOB], "Subject: new\r\n\r\nnew\r\n")
        while len(list(place.glob("*"))) == known:
            time.sleep(0.001)
        return time.monotonic() - begin


if __name__ == "__main__":
    main()
