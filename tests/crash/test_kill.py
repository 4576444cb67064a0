"""No accepted message is lost: every program is killed at random moments under load, again and again, then we count.

Each message carries a number.  A message counts as accepted when its client saw the 250; every such number must be in
the mailbox (or at the remote host) in the end.  Duplicates are allowed only as `docs/queue.md` explains them, so their
number is bounded by the number of kills of programs that stand between a final answer and its record.
"""

from __future__ import annotations

import os
import random
import re
import signal
import smtplib
import threading
import time
from collections import Counter
from collections.abc import Iterator

import pytest

from tests.lab.instance import Instance
from tests.lab.processes import tree
from tests.lab.sinks import SmtpSink

KILLS = 150
SENDERS = 6
SEED = 20261123

NUMBER = re.compile(rb"^X-Number: (\d+)$", re.MULTILINE)
FILLER = b"line of message %d " + b"x" * 50
PROGRAMS = ("smtpd", "cleanup", "qmgr", "virtual", "smtp_client", "lookup", "bounce", "anvil", "pickup")


class Load:
    """Senders that go on until told to end; they know which messages were accepted."""

    def __init__(self, instance: Instance, recipients: list[str]) -> None:
        self._instance = instance
        self._recipients = recipients
        self._lock = threading.Lock()
        self._next = 0
        self.accepted: dict[int, str] = {}
        self.tried = 0
        self._ending = threading.Event()
        self._threads = [threading.Thread(target=self._send_on) for _ in range(SENDERS)]
        for thread in self._threads:
            thread.start()

    def _send_on(self) -> None:
        while not self._ending.is_set():
            with self._lock:
                self._next += 1
                number = self._next
            recipient = self._recipients[number % len(self._recipients)]
            body = (FILLER % number).decode() + "\r\n"
            body *= lines_of(number)
            text = f"Subject: {number}\r\nX-Number: {number}\r\n\r\n{body}"
            try:
                with smtplib.SMTP("127.0.0.1", self._instance.port("smtp"), timeout=30) as client:
                    self.tried += 1
                    client.sendmail("sender@elsewhere.test", [recipient], text)
                    self.accepted[number] = recipient
            except (OSError, smtplib.SMTPException):
                time.sleep(0.02)

    def end(self) -> None:
        self._ending.set()
        for thread in self._threads:
            thread.join(60)
            assert not thread.is_alive(), "a sender hangs: a client was left without an answer"


def workers(instance: Instance) -> list[tuple[int, str]]:
    """(process id, program) of every worker, by what `ps` shows."""
    found = []
    for each in tree(instance.master_pid()):
        try:
            with open(f"/proc/{each.pid}/cmdline", "rb") as file:
                title = file.read().decode("utf-8", "replace").strip("\0 ")
        except OSError:
            continue
        program = title.partition(": ")[2].split(" ")[0]
        if program in PROGRAMS:
            found.append((each.pid, program))
    return found


def kill_at_random(instance: Instance, times: int) -> Counter[str]:
    chance = random.Random(SEED)
    killed: Counter[str] = Counter()
    while sum(killed.values()) < times:
        time.sleep(chance.uniform(0.005, 0.15))
        candidates = workers(instance)
        if not candidates:
            continue
        program = chance.choice(sorted({program for _, program in candidates}))
        pid = chance.choice([pid for pid, each in candidates if each == program])
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue
        killed[program] += 1
    return killed


def lines_of(number: int) -> int:
    """Now and then a message that is streamed to cleanup in many pieces."""
    return 3000 if number % 50 == 0 else 20


def numbers(messages: list[bytes]) -> Counter[int]:
    """How often each message has arrived; each must be whole and its own, not mixed with another's content."""
    found: Counter[int] = Counter()
    for message in messages:
        if match := NUMBER.search(message):
            number = int(match[1])
            assert b"\nSubject: %d\n" % number in message, f"message {number} is mixed with another"
            body = message.partition(b"\n\n")[2].rstrip(b"\n")
            assert body == b"\n".join([FILLER % number] * lines_of(number)), f"message {number} is not whole"
            found[number] += 1
    return found


@pytest.fixture
def remote() -> Iterator[SmtpSink]:
    with SmtpSink() as sink:
        yield sink


@pytest.mark.timeout(280)
def test_no_accepted_message_is_lost_when_programs_are_killed(remote: SmtpSink) -> None:
    settings = {
        "service_throttle_time": "1s",
        "minimal_backoff_time": "1s",
        "maximal_backoff_time": "2s",
        "queue_run_delay": "2s",
        "transport_retry_time": "1s",
        "relayhost": remote.nexthop,
    }
    with Instance(
        hostname="mx.example.org", domains=["example.org"], users={"bob@example.org": "secret"}, settings=settings
    ) as instance:
        load = Load(instance, ["bob@example.org", "bob@example.org", "carol@remote.test"])
        try:
            killed = kill_at_random(instance, KILLS)
        finally:
            load.end()
        assert load.accepted, "nothing was accepted while programs were killed: intake stood still"

        def arrived() -> Counter[int]:
            return numbers(instance.mailbox("bob@example.org")) + numbers(
                [message.content.replace(b"\r\n", b"\n") for message in remote.received("carol@remote.test")]
            )

        instance.wait_for(lambda: not instance.queue_ids(), 120)
        here = arrived()
        lost = sorted(set(load.accepted) - set(here))
        assert not lost, f"{len(lost)} of {len(load.accepted)} accepted messages are lost: {lost[:20]}"
        doubled = {number: count for number, count in here.items() if count > 1}
        # A copy more: an agent or the queue manager died between the final answer and the record of it, with at most a
        # full agent's work under way; or smtpd or cleanup died before the client saw the 250, which counts as new here.
        explained = (killed["qmgr"] + killed["virtual"] + killed["smtp_client"]) * 16
        assert sum(doubled.values()) - len(doubled) <= explained
        print(
            f"\n{sum(killed.values())} kills {dict(killed)}; {load.tried} tried, {len(load.accepted)} accepted, "
            f"0 lost, {len(doubled)} delivered more than once"
        )
        corrupt = list((instance.root / "spool" / "corrupt").iterdir())
        assert not corrupt, "a kill left a file that the queue manager could not read"


@pytest.mark.timeout(280)
def test_no_accepted_message_is_lost_when_the_whole_suite_is_killed() -> None:
    """Every process at once, master included, as when the machine's power fails (but for what the disk forgets)."""
    settings = {"service_throttle_time": "1s", "minimal_backoff_time": "1s", "queue_run_delay": "2s"}
    with Instance(
        hostname="mx.example.org", domains=["example.org"], users={"bob@example.org": "secret"}, settings=settings
    ) as instance:
        load = Load(instance, ["bob@example.org"])
        chance = random.Random(SEED)
        rounds = 5
        try:
            for _ in range(rounds):
                time.sleep(chance.uniform(0.3, 1.0))
                instance.kill()
                instance.start()
        finally:
            load.end()
        assert load.accepted
        instance.wait_for(lambda: not instance.queue_ids(), 60)
        here = numbers(instance.mailbox("bob@example.org"))
        lost = sorted(set(load.accepted) - set(here))
        assert not lost, f"{len(lost)} of {len(load.accepted)} accepted messages are lost: {lost[:20]}"
        doubled = sum(here.values()) - len(here)
        assert doubled <= rounds * 64, "more copies than deliveries can have been under way"
        print(f"\n{rounds} times killed; {len(load.accepted)} accepted, 0 lost, {doubled} copies more")
