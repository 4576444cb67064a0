"""An instance lives and dies as its tests tell it, and other servers find it by MX records."""

from __future__ import annotations

import os
import re
import smtplib
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab.certificates import Authority
from tests.lab.dns import DnsServer, mail_zone
from tests.lab.instance import Instance
from tests.lab.namespace import Namespace
from tests.lab.ports import loopback_address
from tests.lab.prepared import PREPARED
from tests.lab.processes import alive, title, tree
from tests.lab.sinks import SmtpSink
from tests.peers.postfix import Postfix

MAIL = b"Subject: test\r\n\r\nhello\r\n"
ANN, BOB = "ann@example.org", "bob@example.org"


@pytest.fixture
def instance() -> Iterator[Instance]:
    """For one test, which may do with it what it likes."""
    with Instance(users={BOB: "secret"}) as running:
        yield running


@pytest.fixture(scope="module")
def shared() -> Iterator[Instance]:
    with Instance(users={ANN: "secret", BOB: "secret"}) as running:
        yield running


def send(instance: Instance, recipient: str) -> None:
    with smtplib.SMTP(instance.address, instance.port("smtp"), timeout=30) as client:
        client.sendmail("alice@example.com", [recipient], MAIL)


def test_mail_reaches_a_mailbox_and_the_log_says_so(shared: Instance) -> None:
    send(shared, BOB)
    shared.wait_for(lambda: shared.mailbox(BOB))
    assert b"\n\nhello\n" in shared.mailbox(BOB)[0]
    shared.wait_for(lambda: shared.log_matching(f"to=<{BOB}>.*status=sent"))
    shared.wait_for(lambda: not shared.queue_ids())


@pytest.fixture(scope="module")
def plain() -> Iterator[Instance]:
    with Instance(users={ANN: "secret", BOB: "secret"}, plain=True) as running:
        yield running


@pytest.mark.parametrize(
    "command",
    [
        ["postconf", "-h", "mail_name", "nosuch_parameter"],
        ["postmap", "-q", "key", "inline:{key=value}"],
        ["postmap", "-q", "other", "inline:{key=value}"],
        ["postmap", "-q", "-", "inline:{key=value}"],
        ["postqueue", "--no-such-option"],
        ["pillarbox", "status"],
        ["pillarbox", "reload"],
        ["sendmail", "-bv"],
    ],
    ids=" ".join,
)
def test_a_prepared_interpreter_does_what_a_new_one_does(shared: Instance, plain: Instance, command: list[str]) -> None:
    """Each of the two runs it for an instance of its own; what names an instance is left out."""

    def outcome(instance: Instance) -> list[object]:
        done = instance.run(command, input="key\nother\n")
        texts = [re.sub(r"PID: \d+", "", text.replace(str(instance.root), "")) for text in (done.stdout, done.stderr)]
        return [done.returncode, *texts]

    assert outcome(shared) == outcome(plain)


def test_a_prepared_interpreter_serves_no_network_but_its_own() -> None:
    assert PREPARED.fits()
    with Namespace():
        assert not PREPARED.fits()
    assert PREPARED.fits()


def test_processes_of_a_prepared_start_have_titles_and_files_like_others(shared: Instance, plain: Instance) -> None:
    def held(instance: Instance) -> set[tuple[str, int]]:
        processes = [each.pid for each in tree(instance.master_pid())]
        return {(title(pid), len(os.listdir(f"/proc/{pid}/fd"))) for pid in processes}

    for instance in (shared, plain):
        instance.stop()
        instance.start()
    shared.wait_for(lambda: held(shared) == held(plain))
    assert "pillarbox: master" in {name for name, _ in held(shared)}


@pytest.mark.parametrize("way", ["stop", "kill"])
def test_no_process_is_left(instance: Instance, way: str) -> None:
    members = [each.pid for each in tree(instance.master_pid())]
    getattr(instance, way)()
    assert len(members) > 1
    assert [title(pid) for pid in members if alive(pid)] == []
    with pytest.raises(ConnectionRefusedError):
        instance.connect("smtp")


def test_it_can_be_started_again_after_a_power_failure(instance: Instance) -> None:
    instance.kill()
    instance.start()
    send(instance, BOB)
    instance.wait_for(lambda: instance.mailbox(BOB))


def test_sendmail_submits(shared: Instance) -> None:
    shared.run(["sendmail", "-f", "alice@example.com", ANN], input=MAIL.replace(b"\r\n", b"\n"), check=True)
    shared.wait_for(lambda: shared.mailbox(ANN))


def test_a_setting_counts_after_a_reload(instance: Instance) -> None:
    instance.set("smtpd_banner", "changed.test ESMTP")
    instance.reload()

    def changed() -> bool:
        with instance.connect("smtp") as client:
            return client.recv(512).startswith(b"220 changed.test")

    instance.wait_for(changed)


def test_a_failed_command_shows_what_it_said(shared: Instance) -> None:
    with pytest.raises(AssertionError, match="already running"):
        shared.run(["pillarbox", "start"], check=True)


def test_mail_for_another_domain_goes_where_the_private_dns_says() -> None:
    if os.geteuid() != 0:
        raise AssertionError("this test needs root: mail exchangers are on port 25")
    address = loopback_address()
    with (
        SmtpSink(address=address, port=25) as sink,
        DnsServer(mail_zone("example.net", address)) as dns,
        Instance(settings={"dns_resolver": dns.resolver}) as instance,
    ):
        send(instance, "eve@example.net")
        instance.wait_for(lambda: sink.received("eve@example.net"))


def test_postfix_and_an_instance_find_each_other_by_mx_records(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    dns_address, our_address = loopback_address(), loopback_address()
    with (
        DnsServer(mail_zone("example.org", our_address), address=dns_address, port=53) as dns,
        Postfix(hostname="mx.example.net", mailboxes=["eve@example.net"], dns=dns, authority=authority) as postfix,
        Instance(
            users={BOB: "secret"}, address=our_address, port_base=0, settings={"dns_resolver": dns.resolver}
        ) as instance,
    ):
        dns.add(mail_zone("example.net", postfix.address))
        send(instance, "eve@example.net")
        postfix.wait_for(lambda: postfix.mailbox("eve@example.net"))
        with smtplib.SMTP(postfix.address, postfix.port, timeout=30) as client:
            client.sendmail("eve@example.net", [BOB], MAIL)
        instance.wait_for(lambda: instance.mailbox(BOB))
        assert b"with ESMTPS" in postfix.mailbox("eve@example.net")[0], "outbound mail did not use STARTTLS"
        assert b"with ESMTPS" in instance.mailbox(BOB)[0], "inbound mail did not use STARTTLS"


def test_a_test_that_ends_badly_still_stops_the_instance() -> None:
    code = (
        "from tests.lab.instance import Instance\n"
        "with Instance() as instance:\n"
        "    print(instance.master_pid(), instance.directory, flush=True)\n"
        "    raise SystemExit(3)\n"
    )
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, timeout=120)
    pid, directory = done.stdout.split()
    assert done.returncode == 3
    assert not alive(int(pid))
    assert not Path(directory).exists()


def test_connections_go_to_the_named_service(shared: Instance) -> None:
    with shared.connect("submission") as client:
        assert isinstance(client, socket.socket)
        assert client.recv(512).startswith(b"220 ")
