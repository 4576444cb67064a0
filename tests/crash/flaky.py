"""SIGKILL during deliveries to a flaky world: what goes in, who is killed when, and the account afterwards.

Mail comes in by SMTP, each message to a recipient of its own at one of some hundred hosts of a network namespace, and
goes out through smtp_client.  The hosts' behaviour changes all the time: they drop connections in every phase, lose
the reply to a message that they took, are slow, put off, refuse connections, swallow them.  Meanwhile programs are
killed, at moments that follow what the hosts see; now and then all of them with master, as when the power fails.  In
the end the world behaves, the queue empties, and the hosts' books are compared with ours:

    lost         accepted by us, never taken by a host: there must be none
    twice        taken more often than once.  For each either a host did not send its reply, or a program that had it in
                 hand (qmgr, smtp_client, or all) was killed between its being taken up and its being recorded
"""

from __future__ import annotations

import datetime
import itertools
import os
import random
import re
import signal
import smtplib
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from tests.crash.test_kill import workers
from tests.lab.crowd import Counts, Crowd, Rule
from tests.lab.instance import Instance
from tests.lab.namespace import Namespace

SENDERS = 6
HOSTS = 300
NETWORKS = ("10.1.0.0/16", "10.2.0.0/16", "10.3.0.0/16")
HOLDERS = frozenset(("qmgr", "smtp_client", "all"))
"""Programs whose end may leave a delivery that was made and not recorded."""

MOODS = (
    Rule(),
    Rule(flaky=0.05),
    Rule(flaky=0.3),
    Rule(delay=0.2, flaky=0.05),
    Rule(greeting="421 4.3.2 not now"),
    Rule(mail="451 4.3.0 not now"),
    Rule(rcpt="450 4.2.0 not now"),
    Rule(data="421 4.3.0 not now"),
    Rule(content="452 4.3.1 not now"),
)
SETTINGS = {
    "service_throttle_time": "1s",
    "minimal_backoff_time": "1s",
    "maximal_backoff_time": "3s",
    "queue_run_delay": "2s",
    "transport_retry_time": "1s",
    "smtp_connect_timeout": "2s",
    "smtp_helo_timeout": "5s",
    "smtp_mail_timeout": "5s",
    "smtp_rcpt_timeout": "5s",
    "smtp_data_init_timeout": "5s",
    "smtp_data_done_timeout": "5s",
    "delay_warning_time": "0",
}
DRAIN_TIME = 180.0
"""Seconds in which the queue must be empty when the world behaves again."""

_LINE = re.compile(r"^(\w+ +\d+ [\d:]+) \S+ pillarbox/\S+ (\w+): (.*)$")


@dataclass
class Account:
    """What happened."""

    accepted: dict[int, str] = field(default_factory=dict)
    kills: list[tuple[float, str]] = field(default_factory=list)
    """(seconds since the epoch, program)."""
    lost: list[int] = field(default_factory=list)
    doubled: dict[str, tuple[int, int]] = field(default_factory=dict)
    """For each recipient that got more than one copy: copies whose taking was answered, and others."""
    unexplained: list[str] = field(default_factory=list)
    corrupt: int = 0

    def __str__(self) -> str:
        by_program = Counter(program for _, program in self.kills)
        unanswered = sum(1 for _, lost in self.doubled.values() if lost)
        return (
            f"{len(self.accepted)} messages accepted; {len(self.kills)} kills {dict(by_program)}; "
            f"{len(self.lost)} lost; "
            f"{len(self.doubled)} taken more than once, {unanswered} of them after a reply that was not sent, "
            f"{len(self.unexplained)} without an explanation"
        )


class _Senders:
    """They go on until `goal` messages were accepted; a number is used for one attempt only."""

    def __init__(self, instance: Instance, goal: int) -> None:
        self._instance = instance
        self._goal = goal
        self._numbers = itertools.count(1)
        self.accepted: dict[int, str] = {}
        self._threads = [threading.Thread(target=self._send_on) for _ in range(SENDERS)]
        for thread in self._threads:
            thread.start()

    @property
    def done(self) -> bool:
        return len(self.accepted) >= self._goal

    def _send_on(self) -> None:
        while not self.done:
            try:
                with smtplib.SMTP("127.0.0.1", self._instance.port("smtp"), timeout=30) as client:
                    client.ehlo()
                    for _ in range(20):
                        if self.done:
                            return
                        self._send(client, next(self._numbers))
            except (OSError, smtplib.SMTPException):
                time.sleep(0.02)

    def _send(self, client: smtplib.SMTP, number: int) -> None:
        host = number % HOSTS
        recipient = f"n{number}@[10.{1 + host % len(NETWORKS)}.0.{1 + host // len(NETWORKS)}]"
        text = f"Subject: {number}\r\n\r\n" + f"line of message {number}\r\n" * (2000 if number % 100 == 0 else 10)
        client.sendmail("sender@example.org", [recipient], text)
        self.accepted[number] = recipient

    def end(self) -> None:
        self._goal = 0
        for thread in self._threads:
            thread.join(60)
            if thread.is_alive():
                raise AssertionError("a sender hangs: a client was left without an answer")


def _saw(of: Callable[[Counts], int]) -> Callable[[Counts, Counts], bool]:
    return lambda before, now: of(now) > of(before)


PHASES: dict[str, Callable[[Counts, Counts], bool]] = {
    "at any time": lambda before, now: True,
    "a connection was made": _saw(lambda counts: counts.connections),
    "a message was answered": _saw(lambda counts: counts.messages),
    "a reply was lost": _saw(lambda counts: counts.lost_replies),
    "something was refused": _saw(lambda counts: counts.refused),
}
_PHASE_TIME = 0.5


class _Killer:
    """Kills by chance, but at chosen moments."""

    def __init__(self, instance: Instance, crowd: Crowd, chance: random.Random) -> None:
        self._instance, self._crowd, self._chance = instance, crowd, chance
        self.kills: list[tuple[float, str]] = []

    def one(self) -> None:
        """Wait for a moment, and kill one worker."""
        before = self._crowd.counts()
        phase = PHASES[self._chance.choice(sorted(PHASES))]
        end = time.monotonic() + _PHASE_TIME
        while not phase(before, self._crowd.counts()) and time.monotonic() < end:
            time.sleep(0.001)
        candidates = workers(self._instance)
        programs = sorted({program for _, program in candidates})
        if not programs:
            return
        program = self._chance.choice([*programs, "smtp_client", "qmgr"])
        pids = [pid for pid, each in candidates if each == program]
        if pids:
            try:
                os.kill(self._chance.choice(pids), signal.SIGKILL)
            except ProcessLookupError:
                return
            self.kills.append((time.time(), program))

    def all(self) -> None:
        """Kill everything, master included, and start again."""
        self._instance.kill()
        self.kills.append((time.time(), "all"))
        self._instance.start()


def _change_world(net: Namespace, crowd: Crowd, chance: random.Random) -> None:
    crowd.behave({network: chance.choice(MOODS) for network in NETWORKS})
    for network in NETWORKS:
        net.heal(network)
    trouble = chance.choice((net.refuse, net.swallow, None))
    if trouble is not None:
        trouble(chance.choice(NETWORKS))


def run(messages: int, kills: int, power_failures: int, seed: int, say: Callable[[str], None] = print) -> Account:
    """Bring `messages` in while there are `kills`, then let the world behave and draw up the account."""
    chance = random.Random(seed)
    with (
        Namespace() as net,
        Crowd(port=25, recipients=True, seed=seed) as crowd,
        Instance(hostname="mx.example.org", settings=SETTINGS) as instance,
    ):
        killer = _Killer(instance, crowd, chance)
        senders = _Senders(instance, messages)
        every = max(1, kills // (power_failures + 1))
        try:
            done = 0
            while done < kills or not senders.done:
                if done % 10 == 0:
                    _change_world(net, crowd, chance)
                    say(f"{len(senders.accepted)} accepted, {crowd.counts().messages} delivered, {done} kills")
                if done and done % every == 0 and done // every <= power_failures:
                    killer.all()
                killer.one()
                done += 1
                # So that the kills last as long as the messages do.
                share = min(1.0, len(senders.accepted) / messages)
                time.sleep(chance.uniform(0, 0.05 if done < kills * share else 0.4))
        finally:
            senders.end()
            for network in NETWORKS:
                net.heal(network)
            crowd.behave({})
        instance.run(["postqueue", "-f"])
        instance.wait_for(lambda: not instance.queue_ids(), DRAIN_TIME)
        corrupt = len(list((instance.root / "spool" / "corrupt").iterdir()))
        return _account(senders.accepted, killer.kills, crowd.by_recipient(), instance.log_lines(), corrupt)


def _account(
    accepted: dict[int, str],
    kills: list[tuple[float, str]],
    taken: dict[str, tuple[int, int]],
    log: list[str],
    corrupt: int,
) -> Account:
    account = Account(accepted, kills, corrupt=corrupt)
    # A reply that was not sent does not count as taken: we have to bring the message again.
    account.lost = [number for number, recipient in accepted.items() if not taken.get(recipient, (0, 0))[0]]
    account.doubled = {name: counts for name, counts in taken.items() if sum(counts) > 1}
    suspects = {name for name, (answered, _) in account.doubled.items() if answered > 1}
    lives = _lives(log, suspects)
    for name in sorted(suspects):
        begin, end = lives.get(name, (0.0, 0.0))
        if not any(program in HOLDERS and begin - 1 <= when <= end + 2 for when, program in kills):
            account.unexplained.append(name)
    return account


def _lives(log: list[str], recipients: set[str]) -> dict[str, tuple[float, float]]:
    """When the message to each recipient was first taken up, and when it was last heard of, by the log."""
    year = time.localtime().tm_year
    id_of = {}
    times: dict[str, list[float]] = {}
    for line in log:
        match = _LINE.match(line)
        if match is None:
            continue
        when = datetime.datetime.strptime(f"{year} {match[1]}", "%Y %b %d %H:%M:%S").timestamp()
        times.setdefault(match[2], [when, when])[1] = when
        found = re.match(r"to=<([^>]*)>", match[3])
        if found and found[1] in recipients:
            id_of[found[1]] = match[2]
    return {name: (times[queue_id][0], times[queue_id][1]) for name, queue_id in id_of.items()}
