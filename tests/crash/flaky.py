"""SIGKILL during deliveries to a flaky world: what goes in, who is killed when, and the account afterwards.

Mail comes in by SMTP, each message to a recipient of its own at one of some hundred hosts of a network namespace, and
goes out through smtp_client.  The hosts' behaviour changes all the time: they drop connections in every phase, lose
the reply to a message that they took, are slow, put off, refuse connections, swallow them.  Meanwhile programs are
killed, at moments that follow what the hosts see; now and then all of them with master, as when the power fails.  In
the end the world behaves, the queue empties, and the hosts' books are compared with ours (`accounting.py`).
"""

from __future__ import annotations

import itertools
import random
import smtplib
import threading
import time
from collections.abc import Callable

from tests.crash.accounting import SKEW, Account, Swallowing, draw_up
from tests.crash.kills import Killer
from tests.lab.crowd import Crowd, Rule
from tests.lab.instance import Instance
from tests.lab.namespace import Namespace

SENDERS = 6
HOSTS = 300
NETWORKS = ("10.1.0.0/16", "10.2.0.0/16", "10.3.0.0/16")
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
    "log_format": "json",
}
DRAIN_TIME = 180.0
"""Seconds in which the queue must be empty when the world behaves again."""


def lines_of(number: int) -> int:
    """Now and then a message that is streamed in many pieces."""
    return 2000 if number % 100 == 0 else 10


class _Senders:
    """They go on until `goal` messages were accepted; a number is used for one attempt only."""

    def __init__(self, instance: Instance, goal: int) -> None:
        self._instance = instance
        self._goal = goal
        self._numbers = itertools.count(1)
        self.accepted: dict[str, int] = {}
        """By recipient, the size of the message that was sent."""
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
        text = f"Subject: {number}\r\n\r\n" + f"line of message {number}\r\n" * lines_of(number)
        client.sendmail("sender@example.org", [recipient], text)
        self.accepted[recipient] = len(text)

    def end(self) -> None:
        self._goal = 0
        for thread in self._threads:
            thread.join(60)
            if thread.is_alive():
                raise AssertionError("a sender hangs: a client was left without an answer")


class _World:
    """The hosts and the network between, in changing moods."""

    def __init__(self, net: Namespace, crowd: Crowd, chance: random.Random) -> None:
        self._net, self._crowd, self._chance = net, crowd, chance
        self._swallowing: tuple[str, float] | None = None
        self.swallowings: list[Swallowing] = []

    def change(self) -> None:
        """Take on another mood."""
        chance = self._chance
        self._crowd.behave({network: chance.choice(MOODS) for network in NETWORKS})
        self._heal()
        network = chance.choice(NETWORKS)
        match chance.choice(("refuse", "swallow", "")):
            case "refuse":
                self._net.refuse(network)
            case "swallow":
                self._swallowing = network, time.monotonic()
                self._net.swallow(network)

    def behave(self) -> None:
        """From now on all is well."""
        self._heal()
        self._crowd.behave({})

    def _heal(self) -> None:
        self._net.heal(*NETWORKS)
        if self._swallowing is not None:
            self.swallowings.append(Swallowing(*self._swallowing, time.monotonic()))
            self._swallowing = None


def run(messages: int, kills: int, power_failures: int, seed: int, say: Callable[[str], None] = print) -> Account:
    """Bring `messages` in while there are `kills`, then let the world behave and draw up the account."""
    chance = random.Random(seed)
    with (
        Namespace() as net,
        Crowd(port=25, takings=True, seed=seed) as crowd,
        Instance(hostname="mx.example.org", settings=SETTINGS) as instance,
    ):
        offset = time.monotonic() - time.time()
        killer, world = Killer(instance, crowd, chance), _World(net, crowd, chance)
        senders = _Senders(instance, messages)
        every = max(1, kills // (power_failures + 1))
        try:
            done = 0
            while done < kills or not senders.done:
                if done % 10 == 0:
                    world.change()
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
            world.behave()
        instance.run(["postqueue", "-f"])
        instance.wait_for(lambda: not instance.queue_ids(), DRAIN_TIME)
        assert abs(time.monotonic() - time.time() - offset) < SKEW, "the clock was set meanwhile"
        account = draw_up(
            senders.accepted, killer.kills, world.swallowings, crowd.takings(), instance.log_lines(), offset
        )
        account.corrupt = len(list((instance.root / "spool" / "corrupt").iterdir()))
        return account
