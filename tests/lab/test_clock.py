"""The virtual clock: all programs live by it, and days of retries take seconds."""

from __future__ import annotations

import os
import re
import smtplib
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from tests.lab.clock import VirtualClock, seconds
from tests.lab.dns import DnsServer, mail_zone
from tests.lab.instance import Instance
from tests.lab.ports import loopback_address
from tests.lab.sinks import SmtpSink

MAIL = b"Subject: test\r\n\r\nhello\r\n"
BOB, EVE = "bob@example.org", "eve@example.net"

_TELL = """
import asyncio, datetime, os, sys, time
def tell():
    print(time.time(), time.time_ns() / 1e9, datetime.datetime.now().timestamp(),
          datetime.datetime.now(datetime.UTC).timestamp(), time.mktime(time.localtime()),
          time.clock_gettime(time.CLOCK_REALTIME), flush=True)
tell()
for line in sys.stdin:
    tell()
"""

_SLEEP = """
import asyncio
async def main():
    sleeping = asyncio.ensure_future(asyncio.sleep(86400))
    await asyncio.sleep(0)
    print("asleep", flush=True)
    await sleeping
    print("awake")
asyncio.run(main())
"""


@pytest.fixture
def clock() -> Iterator[VirtualClock]:
    with VirtualClock() as running:
        yield running


def hand_in(instance: Instance, recipient: str, sender: str = BOB) -> None:
    with smtplib.SMTP(instance.address, instance.port("smtp"), timeout=30) as client:
        client.sendmail(sender, [recipient], MAIL)


@pytest.mark.parametrize(("text", "value"), [("5d", 432000), ("1h30m", 5400), ("2.5s", 2.5), (7, 7)])
def test_times_are_written_as_in_the_configuration(text: str | int, value: float) -> None:
    assert seconds(text) == value


@pytest.mark.parametrize("text", ["", "5", "d", "5d4", "5 d", "-5d"])
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="a time is written"):
        seconds(text)


def test_every_way_to_ask_for_the_time_of_day_is_ahead_in_a_running_process(clock: VirtualClock) -> None:
    environment = {**os.environ, **clock.environment()}
    with subprocess.Popen(
        [sys.executable, "-P", "-c", _TELL], env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin and process.stdout
        before = [float(each) for each in process.stdout.readline().split()]
        clock.advance("5d")
        process.stdin.write("\n")
        process.stdin.flush()
        after = [float(each) for each in process.stdout.readline().split()]
        process.stdin.close()
    assert len(before) == 6
    for early, late in zip(before, after, strict=True):
        assert 5 * 86400 - 2 < late - early < 5 * 86400 + 60


def test_a_clock_never_goes_back(clock: VirtualClock) -> None:
    with pytest.raises(ValueError, match="forward"):
        clock.advance(-1)
    assert clock.ahead == 0
    clock.advance(10)
    assert abs(clock.time() - time.time() - 10) < 1


def test_a_long_sleep_of_a_service_ends_when_the_virtual_time_has_passed(clock: VirtualClock) -> None:
    with subprocess.Popen(
        [sys.executable, "-P", "-c", _SLEEP, "pillarbox.master"],  # as a service: only these sleep so
        env={**os.environ, **clock.environment()},
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        clock.advance("1d")
        assert process.stdout.readline() == "awake\n"


def test_confined_programs_and_commands_live_by_the_clock(clock: VirtualClock) -> None:
    with Instance(users={BOB: "secret"}, clock=clock) as instance:
        clock.advance("400d")
        hand_in(instance, BOB, "alice@example.com")
        instance.wait_for(lambda: instance.mailbox(BOB))
        year = time.localtime(clock.time()).tm_year
        assert re.search(rb"^Received: .*\n(?:[ \t].*\n)*[ \t].* %d " % year, instance.mailbox(BOB)[0], re.MULTILINE)
        month = time.strftime("%b %e", time.localtime(clock.time()))
        instance.wait_for(lambda: instance.log_matching("status=sent"))  # it is said when the message is there
        assert any(line.startswith(month) for line in instance.log_matching("status=sent"))


def test_mail_for_a_dead_host_is_tried_warned_about_and_returned_after_five_days(clock: VirtualClock) -> None:
    settings = {"delay_warning_time": "4h", "minimal_backoff_time": "1h", "maximal_backoff_time": "12h"}
    with (
        DnsServer(mail_zone("example.net", loopback_address())) as dns,  # where nobody listens
        Instance(users={BOB: "secret"}, settings={"dns_resolver": dns.resolver, **settings}, clock=clock) as instance,
    ):
        begun = clock.time()
        hand_in(instance, EVE)
        instance.run_until(lambda: len(instance.mailbox(BOB)) == 2, "6d")
        assert 5 * 86400 <= clock.time() - begun < 5.6 * 86400
        attempts = [
            float(re.search(r" delay=([\d.]+),", line)[1])  # type: ignore[index]
            for line in instance.log_matching(f"to=<{EVE}>.*status=deferred")
        ]
        assert [round(each / 3600) for each in attempts] == [0, 1, 2, 4, 8, 16, 28, 40, 52, 64, 76, 88, 100, 112, 124]
        assert len(instance.log_matching("status=expired, returned to sender")) == 1
        warning, failure = instance.mailbox(BOB)
        assert b"Action: delayed" in warning
        assert b"Action: failed" in failure
        assert not instance.queue_ids()


def test_mail_is_delivered_once_a_dead_host_is_back(clock: VirtualClock) -> None:
    if os.geteuid() != 0:
        raise AssertionError("this test needs root: mail exchangers are on port 25")
    address = loopback_address()
    with (
        DnsServer(mail_zone("example.net", address)) as dns,
        Instance(users={BOB: "secret"}, settings={"dns_resolver": dns.resolver}, clock=clock) as instance,
    ):
        hand_in(instance, EVE)
        instance.run_until(lambda: len(instance.log_matching("status=deferred")) >= 3)
        with SmtpSink(address=address, port=25) as sink:
            instance.run_until(lambda: sink.received(EVE))
            assert not instance.mailbox(BOB)


def test_what_never_comes_true_ends_at_the_horizon(clock: VirtualClock) -> None:
    with (
        DnsServer(mail_zone("example.net", loopback_address())) as dns,
        Instance(users={BOB: "secret"}, settings={"dns_resolver": dns.resolver}, clock=clock) as instance,
    ):
        hand_in(instance, EVE)
        with pytest.raises(AssertionError, match="not so within 1h"):
            instance.run_until(lambda: False, "1h")
