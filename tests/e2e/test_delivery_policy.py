"""Delivery policy in a running instance: schedules, pace, sources with warm-up, suppression; days pass in seconds."""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterator

import pytest

from tests.e2e.wire import ALICE, EVE
from tests.lab.clock import VirtualClock
from tests.lab.instance import Instance
from tests.lab.ports import free_port
from tests.lab.sinks import SmtpSink

ONE, TWO = "one@one.example", "two@two.example"
NO_SUCH_USER = "550 5.1.1 no such user here"


@pytest.fixture
def clock() -> Iterator[VirtualClock]:
    with VirtualClock() as running:
        yield running


def send(instance: Instance, *recipients: str) -> None:
    instance.run(["sendmail", "-f", ALICE, *recipients], input=b"Subject: x\n\nx\n", check=True)


def delays(instance: Instance, address: str, status: str = "deferred") -> list[int]:
    """The age of the message at each attempt, in minutes."""
    found = []
    for line in instance.log_matching(f"to=<{address}>.*status={status}"):
        match = re.search(r" delay=([\d.]+),", line)
        assert match is not None
        found.append(round(float(match[1]) / 60))
    return found


def test_each_destination_of_a_message_has_its_own_schedule(clock: VirtualClock) -> None:
    one, two = f"[127.0.0.1]:{free_port()}", f"[127.0.0.1]:{free_port()}"  # where nobody listens
    settings = {
        "transport_maps": f"inline:{{ {{one.example = smtp:{one}}}, {{two.example = smtp:{two}}} }}",
        "retry": f'{{"{one}": [10m, 20m], "{two}": [1h, give up after 90m]}}',
    }
    with Instance(users={ALICE: "x"}, settings=settings, clock=clock) as instance:
        send(instance, ONE, TWO)
        instance.run_until(lambda: len(delays(instance, ONE)) == 6 and instance.mailbox(ALICE), "1d")
        assert delays(instance, ONE)[:6] == [0, 10, 30, 50, 70, 90]
        assert delays(instance, TWO) == [0, 60, 90]
        (report,) = instance.mailbox(ALICE)
        assert TWO.encode() in report and ONE.encode() not in report.partition(b"Subject: x")[0]


def test_a_server_that_asks_for_less_gets_less_until_all_is_well() -> None:
    answers = ["421 4.7.28 unusual rate of mail from you"]
    with SmtpSink() as sink:
        sink.replies["mail"] = lambda _: answers.pop() if answers else ""
        settings = {"relayhost": sink.nexthop, "minimal_backoff_time": "1s", "maximal_backoff_time": "1s"}
        with Instance(users={ALICE: "x"}, settings=settings) as instance:
            for _ in range(6):
                send(instance, EVE)
            instance.wait_for(lambda: len(sink.received(EVE)) == 6, timeout=60)
            slowed = instance.log_matching("is slowed down to one delivery every 2 seconds")
            assert len(slowed) == 1 and sink.nexthop in slowed[0] and "421 4.7.28" in slowed[0]
            instance.wait_for(lambda: instance.log_matching("goes at full speed again"))


def test_a_new_address_sends_no_more_than_its_limit_a_day_also_after_a_restart(clock: VirtualClock) -> None:
    with SmtpSink() as sink:
        today = datetime.datetime.fromtimestamp(clock.time(), datetime.UTC).date()
        settings = {
            "relayhost": sink.nexthop,
            "source_addresses": "127.77.0.5 out5.example",
            "warm_up": f"{{127.77.0.5: {{since: {today}, per_day: [2, 3]}}}}",
        }
        with Instance(users={ALICE: "x"}, settings=settings, clock=clock) as instance:
            for _ in range(3):
                send(instance, EVE)
            # The limit counts deliveries that have begun: the third may be put off while the second is on its way.
            instance.wait_for(lambda: instance.log_matching("status=deferred .the day's limit of mail to"))
            instance.wait_for(lambda: len(instance.log_matching(f"to=<{EVE}>.*status=sent")) == 2)
            assert len(sink.received(EVE)) == 2
            assert {line for lines in sink.sessions for line in lines if line.startswith("EHLO")} == {
                "EHLO out5.example"
            }
            instance.stop()
            instance.start()
            send(instance, EVE)
            instance.wait_for(lambda: len(instance.log_matching("status=deferred .the day's limit of mail to")) == 2)
            assert len(sink.received(EVE)) == 2
            instance.run_until(lambda: len(sink.received(EVE)) == 4, "2d")
            tomorrow = datetime.datetime.fromtimestamp(clock.time(), datetime.UTC).date()
            assert tomorrow == today + datetime.timedelta(days=1)


def test_an_address_that_its_server_does_not_know_is_not_tried_again_until_it_is_lifted() -> None:
    with SmtpSink() as sink:
        sink.replies["rcpt"] = NO_SUCH_USER
        settings = {"relayhost": sink.nexthop, "suppression_enable": "yes", "suppression_bounce_limit": "1"}
        with Instance(users={ALICE: "x"}, settings=settings) as instance:

            def suppression(*words: str) -> str:
                return str(instance.run(["pillarbox", "suppression", *words], check=True).stdout)

            send(instance, EVE)
            instance.wait_for(lambda: suppression("list").startswith(f"{EVE}: since "))
            sessions = len(sink.sessions)
            send(instance, EVE)
            instance.wait_for(lambda: len(instance.mailbox(ALICE)) == 2)
            assert len(sink.sessions) == sessions, "it was not tried"
            assert instance.log_matching(f"to=<{EVE}>.*dsn=5.1.1, status=bounced .*{NO_SUCH_USER}; postmaster@")
            sink.replies.clear()
            assert suppression("remove", EVE) == f"{EVE} gets mail again\n"
            send(instance, EVE)
            instance.wait_for(lambda: sink.received(EVE))
