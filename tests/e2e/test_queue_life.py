"""What administrators do to the queue while mail runs: requeue, hold, move it to another machine; nothing is lost."""

from __future__ import annotations

import os
import shutil
import smtplib
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab.clock import VirtualClock
from tests.lab.dns import DnsServer, mail_zone
from tests.lab.instance import Instance
from tests.lab.ports import loopback_address
from tests.lab.sinks import HANG, SmtpSink

BOB, CAROL, EVE = "bob@example.org", "carol@example.org", "eve@example.net"
MAIL = b"Subject: test\r\n\r\nhello\r\n"


def hand_in(instance: Instance, *recipients: str, sender: str = BOB) -> None:
    with smtplib.SMTP(instance.address, instance.port("smtp"), timeout=30) as client:
        client.sendmail(sender, recipients, MAIL)


@pytest.fixture
def dead() -> Iterator[DnsServer]:
    """Where example.net is, nobody listens."""
    with DnsServer(mail_zone("example.net", loopback_address())) as dns:
        yield dns


def deferred(instance: Instance) -> list[str]:
    return os.listdir(instance.root / "spool" / "deferred")


def test_a_requeued_message_meets_the_aliases_of_today_under_a_new_id(dead: DnsServer) -> None:
    settings = {"dns_resolver": dead.resolver}
    with Instance(users={BOB: "secret"}, settings=settings) as instance:
        hand_in(instance, EVE, BOB)
        instance.wait_for(lambda: deferred(instance) and len(instance.mailbox(BOB)) == 1)
        (old,) = deferred(instance)
        instance.set("virtual_alias_maps", f"inline:{{ {{ {EVE} = {BOB} }} }}")
        instance.set("virtual_alias_domains", "example.net")
        instance.reload()
        instance.run(["postsuper", "-r", old], check=True)
        instance.wait_for(lambda: len(instance.mailbox(BOB)) == 2)
        instance.wait_for(lambda: not instance.queue_ids())
        (line,) = instance.log_matching(f"orig_id={old}")
        new = line.split(": ")[1]
        assert new != old
        assert instance.log_matching(f"{new}: to=<{BOB}>.*status=sent")
        for kind in ("defer", "bounce"):
            assert not list((instance.root / "spool" / kind).iterdir())


def test_what_is_requeued_while_the_system_is_down_goes_on_at_its_start(dead: DnsServer) -> None:
    with Instance(users={BOB: "secret"}, settings={"dns_resolver": dead.resolver}) as instance:
        hand_in(instance, EVE)
        instance.wait_for(lambda: deferred(instance))
        instance.stop()
        done = instance.run(["postsuper", "-r", "ALL"], check=True)
        assert "Requeued: 1 message" in done.stderr
        assert EVE in instance.run(["mailq"]).stdout
        instance.start()
        instance.wait_for(lambda: instance.log_matching("orig_id=") and deferred(instance))


def test_soft_bounce_keeps_what_would_be_returned() -> None:
    with (
        SmtpSink() as sink,
        Instance(users={BOB: "secret"}, settings={"soft_bounce": "yes", "relayhost": sink.nexthop}) as instance,
    ):
        sink.replies["rcpt"] = "550 5.1.1 no such user"
        hand_in(instance, EVE)
        instance.wait_for(lambda: deferred(instance))
        assert instance.log_matching("dsn=4.1.1, status=SOFTBOUNCE .*550 5.1.1 no such user")
        assert not instance.mailbox(BOB)
        assert "550 5.1.1 no such user" in instance.run(["mailq"]).stdout


def test_the_log_says_which_destination_clogs_the_active_queue() -> None:
    with SmtpSink() as sink:
        sink.replies["connect"] = HANG
        settings = {
            "relayhost": sink.nexthop,
            "qmgr_message_active_limit": "10",
            "smtp_destination_concurrency_limit": "2",
        }
        with Instance(users={BOB: "secret"}, settings=settings) as instance:
            for number in range(6):
                hand_in(instance, f"r{number}@example.net")
            instance.wait_for(
                lambda: instance.log_matching(r"warning: mail for \S+ is using up 6 of 10 active queue entries")
            )
            assert instance.log_matching("warning: you may need to increase smtp_destination_concurrency_limit from 2")
            hand_in(instance, BOB)
            instance.wait_for(lambda: instance.mailbox(BOB))
            sink.stop()
            instance.wait_for(lambda: len(deferred(instance)) == 6)
            # Why they wait is seen where people look for it.
            listed = instance.run(["mailq"]).stdout
            assert len([line for line in listed.splitlines() if line.lstrip().startswith("(")]) == 6, listed
            said = instance.run(["pillarbox", "queue"], check=True).stdout
            assert said.startswith("6 messages for 6 recipients")
            assert "example.net" in said


def test_a_deferred_transport_waits_until_somebody_asks() -> None:
    with (
        SmtpSink() as sink,
        Instance(users={BOB: "secret"}, settings={"defer_transports": "smtp", "relayhost": sink.nexthop}) as instance,
    ):
        hand_in(instance, EVE, BOB)
        instance.wait_for(lambda: deferred(instance) and instance.mailbox(BOB))
        assert instance.log_matching(f"to=<{EVE}>, .*dsn=4.3.2, status=deferred .deferred transport.")
        assert not sink.sessions
        instance.run(["sendmail", "-q"], check=True)
        instance.wait_for(lambda: sink.received(EVE))
        instance.wait_for(lambda: not instance.queue_ids())


def test_an_error_transport_softens_too() -> None:
    settings = {"soft_bounce": "yes", "transport_maps": f"inline:{{ {{ {EVE} = error:5.7.1 not this one }} }}"}
    with Instance(users={BOB: "secret"}, settings=settings) as instance:
        instance.run(["sendmail", EVE], input="Subject: x\n\nhello\n", check=True)  # smtpd would refuse it
        instance.wait_for(lambda: deferred(instance))
        assert instance.log_matching(f"to=<{EVE}>, .*dsn=4.7.1, status=deferred .not this one.")


def test_nothing_is_lost_or_doubled_while_an_administrator_moves_mail_about() -> None:
    """Hold, release, requeue and flush all there is, again and again, while 300 messages come and go."""
    wanted = [f"r{number}@example.net" for number in range(300)]
    with (
        SmtpSink() as sink,
        Instance(users={BOB: "secret"}, settings={"relayhost": sink.nexthop}) as instance,
    ):
        stop = threading.Event()

        def administrate() -> None:
            while not stop.is_set():
                for command in (
                    ["postsuper", "-h", "ALL"],
                    ["postsuper", "-H", "ALL"],
                    ["postsuper", "-r", "ALL"],
                    ["postqueue", "-f"],
                ):
                    instance.run(command, check=True)

        thread = threading.Thread(target=administrate)
        thread.start()
        try:
            for address in wanted:
                hand_in(instance, address)
        finally:
            stop.set()
            thread.join()
        instance.run(["postsuper", "-H", "ALL"], check=True)
        instance.wait_for(lambda: not instance.queue_ids(), 120)
        taken = [recipient for message in sink.messages for recipient in message.recipients]
        lost, twice = set(wanted) - set(taken), {each for each in taken if taken.count(each) > 1}
        ids = {line.split(": ")[1] for each in lost | twice for line in instance.log_matching(f"to=<{each}>")}
        assert not lost | twice, "\n".join(instance.log_matching("|".join(ids)))


@pytest.mark.parametrize("how", ["cp -r", "cp -a", "tar"])
def test_a_queue_moved_to_another_place_goes_on(how: str, tmp_path: Path) -> None:
    """Another inode for each file, modification times and owners lost or kept: all mail arrives, each under its id."""
    address = loopback_address()
    if os.geteuid() != 0:
        raise AssertionError("this test needs root: mail exchangers are on port 25")
    with (
        VirtualClock() as clock,
        DnsServer(mail_zone("example.net", address)) as dns,
        Instance(users={BOB: "secret"}, settings={"dns_resolver": dns.resolver}, clock=clock) as instance,
    ):
        wanted = [f"r{number}@example.net" for number in range(10)]
        for recipient in wanted:
            hand_in(instance, recipient)
        instance.wait_for(lambda: len(deferred(instance)) == 10)
        clock.advance("20m")
        instance.wait_for(lambda: len(instance.log_matching("status=deferred")) >= 20 and len(deferred(instance)) == 10)
        instance.run(["postsuper", "-h", deferred(instance)[0]], check=True)
        instance.stop()
        spool, old = instance.root / "spool", instance.root / "old"
        before = {path.name: path.stat() for path in (spool / "deferred").iterdir()}
        spool.rename(old)
        if how == "tar":
            subprocess.run(f"mkdir {spool} && tar -C {old} -c . | tar -C {spool} -xo", shell=True, check=True)
        else:
            subprocess.run([*how.split(), str(old), str(spool)], check=True)
        shutil.rmtree(old)
        after = {path.name: path.stat() for path in (spool / "deferred").iterdir()}
        assert any(after[name].st_ino != before[name].st_ino for name in before)
        done = instance.run(["pillarbox", "start"], check=True)
        instance._master = instance.master_pid()
        if how != "cp -a":
            assert "the queue was moved here" in done.stdout
        # What was not due is not due: nothing is tried before its time.
        times = {path.name: path.stat() for path in (spool / "deferred").iterdir()}
        for name, status in before.items():
            assert abs(times[name].st_mtime - status.st_mtime) < 60
            assert (times[name].st_uid, times[name].st_mode) == (status.st_uid, status.st_mode)
        assert "Connection refused" in instance.run(["mailq"]).stdout, "why they wait is known as before"
        instance.run(["postsuper", "-H", "ALL"], check=True)
        with SmtpSink(address=address, port=25) as sink:
            hand_in(instance, "new@example.net")
            instance.run_until(lambda: len(sink.messages) == 11)
        assert sorted(each.recipients[0] for each in sink.messages) == sorted([*wanted, "new@example.net"])
        assert not instance.mailbox(BOB)
