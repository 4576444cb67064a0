"""The program as it runs: a confined worker process that takes requests over a channel, as from the queue manager."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import signal
import socket
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pillarbox.lib.config import Config, Service
from pillarbox.lib.ipc import Attributes, Channel
from pillarbox.lib.process.worker import Worker, enter
from pillarbox.lib.system import landlock
from pillarbox.smtp_client.program import PROGRAM, confinement
from tests.dns.name_server import name_server
from tests.smtp_client.conftest import CONTENT, MakeContext
from tests.smtp_client.fake_server import fake_server

NOBODY = "65534"


class Agent:
    """A worker of our own and a channel to it."""

    def __init__(self, folder: Path, parameters: dict[str, str], service: str, sessions: int) -> None:
        folder.chmod(0o711)
        path = str(folder / "agent")
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        listener.bind(path)
        listener.listen(5)
        listener.setblocking(False)
        self.log = folder / "log"
        self.status, status = socket.socketpair()
        config = Config(
            {
                "config_directory": "/nonexistent/etc",
                "net_owner": NOBODY,
                "mail_owner": NOBODY,
                "myhostname": "me.test",
                "service_name": service,
                **parameters,
            }
        )
        self.pid = os.fork()
        if self.pid == 0:
            os.dup2(os.open(self.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666), 2)
            # The program is one per process; a copy keeps the parent's untouched.
            program = dataclasses.replace(PROGRAM)
            enter(Worker(program, Service(service, "smtp_client", sessions=sessions), config, [listener], status))
        listener.close()
        status.close()
        self.status.settimeout(30)
        assert self.status.recv(1) == b"R", self.log.read_text()
        self.channel = Channel.connect(path, 5)
        self.hello = self.channel.receive(10)

    def send(self, tag: int, nexthop: str, file: Path, content: bytes = CONTENT, **options: object) -> None:
        if not file.exists():  # it is being read for the requests before this one
            file.write_bytes(content)
        descriptor = os.open(file, os.O_RDONLY)
        now = time.time()
        self.channel.send(
            {
                "do": "deliver",
                "tag": tag,
                "id": "4jXFYl6dnjzKD6m",
                "sender": "a@a.test",
                "offset": 0,
                "length": len(content),
                "transport": "smtp",
                "nexthop": nexthop,
                "arrival": now,
                "active": now,
                "recipients": [{"n": 3, "address": "b@b.test"}],
                **options,
            },
            fds=(descriptor,),
        )
        os.close(descriptor)

    def reply(self) -> Attributes:
        return self.channel.receive(30)

    def stop(self) -> int:
        os.kill(self.pid, signal.SIGTERM)
        self.channel.close()
        _, status = os.waitpid(self.pid, 0)
        self.pid = 0
        return os.waitstatus_to_exitcode(status)

    def close(self) -> None:
        self.channel.close()
        self.status.close()
        if self.pid:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)


@contextlib.contextmanager
def agent(folder: Path, parameters: dict[str, str], service: str = "smtp", sessions: int = 10) -> Iterator[Agent]:
    running = Agent(folder, parameters, service, sessions)
    try:
        yield running
    finally:
        running.close()


def status(reply: Attributes) -> str:
    return reply.groups("results")[0].text("status")


def test_delivers_confined_with_dns_and_tls(tmp_path: Path, make_context: MakeContext) -> None:
    zone = {"b.test.": {"MX": ["10 mx.b.test."]}, "mx.b.test.": {"A": ["127.0.0.1"]}}
    ehlo = "250-mx.test\n250-PIPELINING\n250 STARTTLS"
    with name_server(zone) as ns, fake_server({"EHLO": ehlo}, context=make_context()) as server:
        parameters = {"dns_resolver": f"127.0.0.1:{ns.port}", "smtp_tcp_port": str(server.port)}
        with agent(tmp_path, parameters) as running:
            assert running.hello.integer("capacity") == 10
            for tag in range(20):
                running.send(tag, "b.test", tmp_path / "message")
            replies = [running.reply() for _ in range(20)]
            assert {reply.integer("tag") for reply in replies} == set(range(20))
            assert {status(reply) for reply in replies} == {"sent"}
            assert all(reply.groups("results")[0].integer("n") == 3 for reply in replies)
            assert all(heard.encrypted for heard in server.heard)
            assert running.stop() == 0
            assert len(server.messages) == 20
        lines = running.log.read_text().splitlines()
        sent = [line for line in lines if "status=sent" in line]
        assert len(sent) == 20
        assert all(" pillarbox/smtp[" in line for line in sent)


def test_delivers_lmtp_to_a_unix_socket(tmp_path: Path) -> None:
    # Not below tmp_path, whose parents only its owner may enter; the worker is someone else where tests run as root.
    with tempfile.TemporaryDirectory() as folder, fake_server(path=f"{folder}/lmtp", lmtp=True) as server:
        path = f"{folder}/lmtp"
        os.chmod(folder, 0o711)
        os.chmod(path, 0o777)
        with agent(tmp_path, {}, "lmtp") as running:
            running.send(1, f"unix:{path}", tmp_path / "message")
            assert status(running.reply()) == "sent"
            assert running.stop() == 0
        assert server.commands[0] == "LHLO me.test"
        assert " pillarbox/lmtp[" in running.log.read_text()


def test_a_large_message_is_converted_while_confined(tmp_path: Path) -> None:
    content = b"Subject: x\n\n" + "ä\n".encode() * 300_000
    with fake_server({"EHLO": "250 mx.test"}) as server, agent(tmp_path, {}) as running:
        running.send(1, server.nexthop, tmp_path / "message", content, body="8bitmime")
        assert status(running.reply()) == "sent", running.log.read_text()
        assert running.stop() == 0
        assert server.messages[0].endswith(b"=C3=A4\r\n" * 300_000)


def test_requiretls_is_kept_while_confined(tmp_path: Path, make_context: MakeContext) -> None:
    context = make_context("localhost")
    with fake_server({"EHLO": "250-mx.test\n250-STARTTLS\n250 REQUIRETLS"}, context=context) as server:
        parameters = {"smtp_tls_CAfile": str(tmp_path / "localhost.pem"), "inet_protocols": "ipv4"}
        with agent(tmp_path, parameters) as running:
            running.send(1, f"[localhost]:{server.port}", tmp_path / "message", requiretls=True)
            assert status(running.reply()) == "sent", running.log.read_text()
            assert running.stop() == 0
        assert any("REQUIRETLS" in command for command in server.commands)


def test_idle_connections_are_left_with_quit_on_stop(tmp_path: Path) -> None:
    with fake_server() as server, agent(tmp_path, {}) as running:
        running.send(1, server.nexthop, tmp_path / "message")
        running.reply()
        assert running.stop() == 0
        assert server.ended.wait(30)
        assert server.commands[-1] == "QUIT"


@pytest.mark.skipif(landlock.abi_version() < 4, reason="this kernel's Landlock has no network rules")
def test_a_port_outside_the_configured_ones_is_not_reached(tmp_path: Path) -> None:
    with fake_server() as server, agent(tmp_path, {"smtp_client_ports": "25, submission"}) as running:
        running.send(1, server.nexthop, tmp_path / "message")
        reply = running.reply()
        assert status(reply) == "deferred"
        assert "Permission denied" in reply.groups("results")[0].text("text")
        assert not server.heard


@pytest.mark.parametrize(
    ("parameters", "text"),
    [
        ({"smtp_line_length_limit": "5"}, "smtp_line_length_limit"),
        ({"smtp_tcp_port": "nonsense"}, "smtp_tcp_port"),
        ({"dns_resolver": "nonsense"}, "nonsense"),
    ],
)
def test_a_wrong_parameter_is_named(tmp_path: Path, parameters: dict[str, str], text: str) -> None:
    with pytest.raises(AssertionError) as failure:
        Agent(tmp_path, parameters, "smtp", 1)
    assert text in str(failure.value)
    os.wait()


def test_the_rights_are_small() -> None:
    rights = confinement(Config.for_tests())
    assert rights.connect_tcp is None
    assert rights.bind_tcp == ()
    assert not rights.exec
    assert not rights.write
    assert confinement(Config.for_tests(smtp_client_ports="25")).connect_tcp == (25, 53)
    assert confinement(Config.for_tests(smtp_bind_address="192.0.2.1")).bind_tcp == (0,)
    alone = {"smtp_mta_sts": "no", "smtp_tlsrpt_enable": "no", "notify_classes": ""}
    assert not confinement(Config.for_tests(**alone)).unix
    for names in ({"smtp_generic_maps": "static:x@y.test"}, {"srs_domain": "own.test"}):
        assert confinement(Config.for_tests(**alone, **names)).unix, "lookup is asked"
