"""Strangers at the door of a running instance: greet delay, DNS lists, greylisting, and a memory that outlives it all.

Clients are told apart by their loopback address, each of which is a stranger: mynetworks is elsewhere.
"""

from __future__ import annotations

import itertools
import os
import signal
import socket
from collections.abc import Iterator

import pytest

from tests.e2e.wire import ALICE, BOB, HELLO
from tests.lab.dns import DnsServer
from tests.lab.instance import Instance
from tests.lab.processes import tree

BAD, GOOD = "127.8.0.66", "127.8.0.77"
ZONE = """
66.0.8.127.bl.lab. A 127.0.0.2
77.0.8.127.bl.lab. A 127.0.0.2
77.0.8.127.wl.lab. A 127.0.9.1
"""
SETTINGS = {
    "mynetworks": "192.0.2.0/24",
    "smtpd_greet_wait": "0.3s",
    "smtpd_greet_banner": "mx.example.org patience",
    "smtpd_greet_action": "drop",
    "smtpd_dnsbl_sites": "bl.lab=127.0.0.[2..11]*2, wl.lab*-3",
    "smtpd_dnsbl_threshold": "2",
    "smtpd_dnsbl_action": "drop",
    "smtpd_greylisting": "yes",
    "smtpd_greylist_delay": "1s",
    "smtpd_client_message_rate_limit": "300",
}

_number = itertools.count(1)


def stranger() -> str:
    """An address that nobody has seen, in a /24 that nobody has seen."""
    return f"127.9.{next(_number)}.1"


@pytest.fixture(scope="module")
def dns() -> Iterator[DnsServer]:
    with DnsServer(ZONE) as server:
        yield server


@pytest.fixture(scope="module")
def door(dns: DnsServer) -> Iterator[Instance]:
    with Instance(users={BOB: "x", ALICE: "x"}, settings={**SETTINGS, "dns_resolver": dns.resolver}) as instance:
        yield instance


class Caller:
    """A client with an address of its own, line by line."""

    def __init__(self, instance: Instance, address: str, *, early: bytes = b"") -> None:
        self.address = address
        self._socket = socket.create_connection(
            (instance.address, instance.port("smtp")), timeout=60, source_address=(address, 0)
        )
        if early:
            self._socket.sendall(early)
        self._file = self._socket.makefile("rb")
        self.greeting = self.reply()

    def reply(self) -> str:
        lines = []
        while True:
            line = self._file.readline().decode()
            lines.append(line.rstrip("\r\n"))
            if line[3:4] != "-":
                return "\n".join(lines)

    def say(self, *commands: str) -> str:
        last = ""
        for command in commands:
            self._socket.sendall(f"{command}\r\n".encode())
            last = self.reply()
        return last

    def offer(self, recipient: str = BOB, sender: str = "carol@far.lab") -> str:
        """The answer to RCPT."""
        return self.say("EHLO far.lab", f"MAIL FROM:<{sender}>", f"RCPT TO:<{recipient}>")

    def close(self) -> None:
        self._file.close()
        self._socket.close()

    def __enter__(self) -> Caller:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def comes_back(instance: Instance, address: str, recipient: str = BOB, sender: str = "carol@far.lab") -> None:
    """Offer until the message is taken, then deliver it."""

    def taken() -> bool:
        with Caller(instance, address) as caller:
            answer = caller.offer(recipient, sender)
            if answer.startswith("450 4.2.0"):
                return False
            assert answer.startswith("250"), answer
            assert caller.say("DATA", f"{HELLO.decode()}.").startswith("250 2.0.0")
            return True

    instance.wait_for(taken)


def reputation(instance: Instance) -> int:
    """The process id of the service."""
    (found,) = _reputations(instance)
    return found


def _reputations(instance: Instance) -> list[int]:
    return [each.pid for each in tree(instance.master_pid()) if b"reputation" in _title(each.pid)]


def _title(pid: int) -> bytes:
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            return file.read()
    except OSError:
        return b""


def test_a_patient_stranger_waits_once_and_is_known_to_all_processes(door: Instance) -> None:
    address = stranger()
    with Caller(door, address) as caller:
        assert caller.greeting.splitlines()[0] == "220-mx.example.org patience"
        assert caller.greeting.splitlines()[1].startswith("220 mx.example.org ESMTP")
    door.wait_for(lambda: door.log_matching(rf"smtpd\[\d+\]: PASS NEW \[{address}\]:\d+"))
    for _ in range(8):  # two processes accept, in no order
        with Caller(door, address) as caller:
            assert caller.greeting.startswith("220 "), "no teaser: it does not wait again"
    assert len(door.log_matching(rf"PASS OLD \[{address}\]:\d+")) == 8
    assert len(door.log_matching(rf"PASS NEW \[{address}\]:\d+")) == 1


def test_an_early_talker_is_sent_away(door: Instance) -> None:
    address = stranger()
    with Caller(door, address, early=b"EHLO far.lab\r\n") as caller:
        assert caller.greeting == "220-mx.example.org patience\n521 5.5.1 Protocol error"
        assert caller.reply() == ""
    assert door.log_matching(rf"PREGREET 14 after [0-9.]+ from \[{address}\]:\d+: EHLO far\.lab\\r\\n")
    assert door.log_matching(rf"NOQUEUE: reject: CONNECT from unknown\[{address}\]: 521 5\.5\.1 Protocol error")


def test_a_listed_client_is_sent_away(door: Instance) -> None:
    with Caller(door, BAD) as caller:
        last = caller.greeting.splitlines()[-1]
        assert last == f"521 5.7.1 Service unavailable; client [{BAD}] blocked using bl.lab"
    assert door.log_matching(rf"addr {BAD} listed by domain bl\.lab as 127\.0\.0\.2")
    assert door.log_matching(rf"DNSBL rank 2 for \[{BAD}\]:\d+")


def test_a_rate_holds_across_processes(door: Instance) -> None:
    address = stranger()
    taken = 0
    for _ in range(8):  # two processes accept, in no order
        with Caller(door, address) as caller:
            caller.say("EHLO far.lab")
            for _ in range(80):
                answer = caller.say("MAIL FROM:<carol@far.lab>")
                if answer == f"450 4.7.1 Error: too much mail from {address}":
                    break
                assert answer == "250 2.1.0 Ok"
                taken += 1
                caller.say("RSET")
    assert taken == 300


def test_a_client_on_a_list_of_good_ones_is_not_greylisted(door: Instance) -> None:
    with Caller(door, GOOD) as caller:
        assert caller.offer().startswith("250 2.1.5")


def test_a_stranger_is_put_off_comes_back_and_is_remembered_through_a_power_failure(door: Instance) -> None:
    address = stranger()
    with Caller(door, address) as caller:
        refusal = f"450 4.2.0 <{BOB}>: Recipient address rejected: Greylisted, try again in 1 seconds"
        assert caller.offer() == refusal
    comes_back(door, address)
    door.wait_for(lambda: door.log_matching(rf"greylist: unknown\[{address}\] passes after \d+ seconds"))
    door.wait_for(lambda: door.mailbox(BOB))
    door.wait_for(lambda: _on_disk(door))
    door.kill()
    door.start()
    with Caller(door, address) as caller:
        assert caller.greeting.startswith("220 "), "it does not wait for the greeting again"
        assert caller.offer().startswith("250 2.1.5"), "it is not greylisted again"


def _on_disk(instance: Instance) -> bool:
    """Whether a commit interval has passed since: the log of the database no longer grows."""
    path = instance.root / "state/reputation/reputation.sqlite-wal"
    before = path.stat().st_mtime_ns
    with Caller(instance, stranger()):
        pass  # its result is a change, which comes after all others
    instance.wait_for(lambda: path.stat().st_mtime_ns > before)
    return True


def test_mail_goes_on_while_reputation_is_killed_again_and_again(door: Instance) -> None:
    address = stranger()
    comes_back(door, address)
    door.wait_for(lambda: _on_disk(door))
    for _ in range(3):
        pid = reputation(door)
        os.kill(pid, signal.SIGKILL)
        with Caller(door, address) as caller:
            answer = caller.offer()
            assert answer.startswith("250 2.1.5"), answer
        door.wait_for(lambda pid=pid: _alone(door, pid))
    assert not list((door.root / "state/reputation").glob("damaged*"))


def _alone(instance: Instance, dead: int) -> bool:
    return len(found := _reputations(instance)) == 1 and found[0] != dead


@pytest.mark.parametrize("how", ["damaged", "deleted"])
def test_a_database_that_is_lost_costs_its_contents_only(door: Instance, how: str) -> None:
    folder = door.root / "state/reputation"
    door.stop()
    if how == "damaged":
        (folder / "reputation.sqlite").write_bytes(b"\xa5" * 20000)
    else:
        for path in folder.iterdir():
            path.unlink()
    door.start()
    address = stranger()
    with Caller(door, address) as caller:
        assert caller.greeting.startswith("220-")
        assert caller.offer().startswith("450 4.2.0")
    comes_back(door, address)
    if how == "damaged":
        assert (folder / "damaged.sqlite").exists()
        assert door.log_matching("reputation.sqlite: .* it is moved to .*, and a new one begun")
