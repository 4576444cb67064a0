"""The habits of the client that parameters change: EHLO, QUIT, kept connections, probes, time limits, workarounds."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
import tracemalloc
from collections.abc import Callable

import pytest

from pillarbox.lib.smtp.client import Client
from pillarbox.smtp_client.connection import Connection
from pillarbox.smtp_client.route import Server
from pillarbox.smtp_client.terms import Terms
from pillarbox.smtp_client.tls_policy import TlsPolicy
from tests.smtp_client.conftest import ClientUnderTest
from tests.smtp_client.fake_server import fake_server


@pytest.mark.parametrize(
    ("parameters", "greeting", "first"),
    [
        ({}, "220 mx.test ESMTP", "EHLO"),
        ({}, "220 mx.test", "EHLO"),
        ({"smtp_always_send_ehlo": "no"}, "220 mx.test ready", "HELO"),
        ({"smtp_always_send_ehlo": "no"}, "220 mx.test ESMTP ready", "EHLO"),
        ({"smtp_never_send_ehlo": "yes"}, "220 mx.test ESMTP", "HELO"),
        ({}, "220 **********0**200", "EHLO"),
        ({"smtp_pix_workarounds": "disable_esmtp"}, "220 **********0**200", "HELO"),
        ({"smtp_pix_workarounds": "disable_esmtp"}, "220 mx.test ESMTP", "EHLO"),
    ],
)
def test_the_first_word(client: ClientUnderTest, parameters: dict[str, str], greeting: str, first: str) -> None:
    client.parameters |= parameters
    with fake_server({"greeting": greeting}) as server:
        assert client.deliver_one(server.nexthop).one.status == "sent"
        assert server.commands[0] == f"{first} me.test"


def test_lmtp_begins_with_lhlo_whatever_smtp_does(client: ClientUnderTest) -> None:
    client.service = "lmtp"
    client.parameters["smtp_never_send_ehlo"] = "yes"
    with fake_server(lmtp=True) as server:
        assert client.deliver_one(server.nexthop).one.status == "sent"
        assert server.commands[0] == "LHLO me.test"


@pytest.mark.parametrize("large", [False, True])
def test_the_dot_comes_late_behind_a_pix(client: ClientUnderTest, large: bool) -> None:
    """What arrives is the same message."""
    content = b"Subject: x\n\n" + b"line\n" * (40_000 if large else 1)
    client.parameters |= {
        "smtp_pix_workarounds": "delay_dotcrlf",
        "smtp_pix_workaround_threshold_time": "0s",
        "smtp_pix_workaround_delay_time": "0.1s",
    }
    with fake_server({"greeting": "220 ********"}) as server:
        assert client.deliver_one(server.nexthop, content=content).one.status == "sent"
        assert server.messages == [content.replace(b"\n", b"\r\n")]


def test_connections_are_kept_to_chosen_destinations_only(client: ClientUnderTest) -> None:
    client.parameters |= {
        "smtp_connection_cache_on_demand": "no",
        "smtp_connection_cache_destinations": "127.0.0.1, example.org",
    }
    with fake_server() as chosen, fake_server(address="127.0.0.2") as other:
        client.deliver(*(client.request(chosen.nexthop) for _ in range(2)))
        client.deliver(*(client.request(f"[127.0.0.2]:{other.port}") for _ in range(2)))
        assert (len(chosen.heard), len(other.heard)) == (1, 2)


@pytest.mark.parametrize(
    ("target", "data", "status"),
    [("rcpt", "554 no", "sent"), ("data", "554 5.7.1 no", "bounced"), ("data", "451 later", "deferred")],
)
def test_how_far_a_probe_goes(client: ClientUnderTest, target: str, data: str, status: str) -> None:
    client.parameters["smtp_address_verify_target"] = target
    for ehlo in ("250-mx.test\n250 PIPELINING", "250 mx.test"):
        with fake_server({"DATA": data, "EHLO": ehlo}) as server:
            result = client.deliver_one(server.nexthop, probe=True).one
            assert result.status == status
            assert server.messages == []
            assert ("DATA" in server.commands) == (target == "data")


def test_a_probe_that_may_send_data_sends_none(client: ClientUnderTest) -> None:
    client.parameters["smtp_address_verify_target"] = "data"
    with fake_server() as server:
        outcomes = client.deliver(*(client.request(server.nexthop, probe=True) for _ in range(2)))
        assert [outcome.one.status for outcome in outcomes] == ["sent", "sent"]
        assert server.messages == []
        assert len(server.heard) == 2, "behind 354 there is nothing but a message"


def test_the_reply_to_quit_can_be_waited_for(client: ClientUnderTest) -> None:
    client.parameters |= {"smtp_skip_quit_response": "no", "smtp_connection_cache_on_demand": "no"}
    with fake_server() as server:
        client.linger_until = server.ended.is_set
        assert client.deliver_one(server.nexthop).one.status == "sent"
        assert server.commands[-1] == "QUIT"


@pytest.mark.parametrize(("quoted", "command"), [("yes", '"a b"@b.test'), ("no", "a b@b.test")])
def test_quotes_may_be_left_out(client: ClientUnderTest, quoted: str, command: str) -> None:
    client.parameters["smtp_quote_rfc821_envelope"] = quoted
    with fake_server({"EHLO": "250 mx.test"}) as server:
        client.deliver_one(server.nexthop, ['"a b"@b.test'], sender='"a b"@b.test')
        assert server.commands[1:3] == [f"MAIL FROM:<{command}>", f"RCPT TO:<{command}>"]


class TestTime:
    def test_a_reply_in_drops_has_no_more_time_than_another(self, client: ClientUnderTest) -> None:
        client.parameters |= {"smtp_mail_timeout": "1s", "smtp_rcpt_timeout": "1s"}
        with dripping(every=0.2) as server:
            result = client.deliver_one(server.nexthop).one
        assert (result.status, result.dsn) == ("deferred", "4.4.2")
        assert "timed out while sending MAIL FROM" in result.text

    def test_content_that_nobody_reads_is_given_up(self, client: ClientUnderTest) -> None:
        """Each block is taken within its time, the whole is not."""
        content = b"Subject: x\n\n" + (b"x" * 70 + b"\n") * 200_000
        client.parameters |= {
            "smtp_data_xfer_timeout": "2s",
            "smtp_per_request_deadline": "yes",
            "smtp_min_data_rate": "1000000000",
        }
        with slow_reader(piece=300_000, every=0.2) as server:
            result = client.deliver_one(server.nexthop, content=content).one
        assert result.status == "deferred"
        assert "timed out while sending message body" in result.text


def test_nonsense_that_goes_on_does_not_pile_up() -> None:
    class Transport(asyncio.Transport):
        aborted = False

        def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
            pass

        def abort(self) -> None:
            self.aborted = True

    async def feed() -> None:
        client = Client("me.test")
        connection = Connection(Server("mx.test", "192.0.2.1", 25), client, {}, Terms(TlsPolicy("may")))
        connection.connection_made(transport := Transport())
        for _ in range(100):
            connection.data_received(b"x" * 65536)
        assert transport.aborted
        assert not connection.alive
        tracemalloc.start()
        for _ in range(100):
            connection.data_received(b"x" * 65536)
        assert tracemalloc.get_traced_memory()[0] < 1 << 20
        tracemalloc.stop()

    asyncio.run(feed())


class _Raw:
    """A server of a few lines: `serve` has the connection."""

    def __init__(self, serve: Callable[[socket.socket, threading.Event], None]) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.listener.settimeout(0.05)
        self.stopping = threading.Event()
        self._serve = serve
        self._thread = threading.Thread(target=self._run, daemon=True)

    @property
    def nexthop(self) -> str:
        return f"[127.0.0.1]:{self.listener.getsockname()[1]}"

    def _run(self) -> None:
        while not self.stopping.is_set():
            try:
                connection, _ = self.listener.accept()
            except TimeoutError:
                continue
            connection.settimeout(20)
            with connection, contextlib.suppress(OSError):
                self._serve(connection, self.stopping)

    def __enter__(self) -> _Raw:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stopping.set()
        self._thread.join()
        self.listener.close()


def dripping(every: float) -> _Raw:
    """Answers MAIL octet by octet, for ever."""

    def serve(connection: socket.socket, stopping: threading.Event) -> None:
        connection.sendall(b"220 mx.test\r\n")
        connection.recv(1000)
        connection.sendall(b"250 mx.test\r\n")
        connection.recv(1000)
        connection.sendall(b"250 ")
        while not stopping.wait(every):
            connection.sendall(b"x")

    return _Raw(serve)


def slow_reader(piece: int, every: float) -> _Raw:
    """Takes the content a piece at a time."""

    def serve(connection: socket.socket, stopping: threading.Event) -> None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        for reply in (b"220 mx.test\r\n", b"250 mx.test\r\n", b"250 ok\r\n", b"250 ok\r\n", b"354 go\r\n"):
            connection.sendall(reply)
            if reply[:3] != b"354":
                connection.recv(1000)
        while not stopping.wait(every) and connection.recv(piece):
            pass

    return _Raw(serve)
