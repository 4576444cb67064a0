"""Tables that a server answers: kept connections, dead and dull servers, and the three outcomes."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from pillarbox.lib.log import log
from pillarbox.lib.tables import STANDARD, LookupFailed, Options, TableError
from pillarbox.lib.tables.blocking import WouldBlock, waiting_allowed
from pillarbox.lib.tables.endpoint import Endpoint, parse_endpoint
from pillarbox.lib.tables.exchange import RETRY_AFTER, Exchange, Patience, ProtocolFault
from pillarbox.lib.tables.query_pool import CONNECTIONS, ServerGone
from pillarbox.lib.tables.tcp_map import line
from tests.tables.answering import Answering


@pytest.fixture(autouse=True)
def may_wait() -> Iterator[None]:
    with waiting_allowed(), log.capture():
        yield


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def server(port: int, clock: Clock | None = None, answer: float = 10.0) -> Exchange:
    return Exchange(Endpoint("127.0.0.1", port), Patience(answer, 10), clock=clock or Clock())


def echo(received: bytes) -> bytes:
    return b"200 " + received[4:] if received.endswith(b"\n") else b""


def test_a_connection_is_kept() -> None:
    with Answering(echo) as peer:
        asking = server(peer.port)
        assert [asking.ask(b"get a\n", line)[4:], asking.ask(b"get b\n", line)[4:]] == [b"a", b"b"]
        assert (peer.connections, peer.asked) == (1, [b"get a\n", b"get b\n"])


@pytest.mark.parametrize(("unused", "connections"), [(9.0, 1), (11.0, 2)])
def test_an_idle_connection_is_replaced(unused: float, connections: int) -> None:
    clock = Clock()
    with Answering(echo) as peer:
        asking = server(peer.port, clock)
        asking.ask(b"get a\n", line)
        clock.now += unused
        asking.ask(b"get a\n", line)
        assert peer.connections == connections


def test_what_a_server_says_unasked_is_not_the_answer_to_the_next_question() -> None:
    with Answering(echo) as peer:
        asking = server(peer.port)
        asking.ask(b"get a\n", line)
        peer.say(b"200 forged\n")
        assert asking.ask(b"get b\n", line) == b"200 b"
        assert peer.connections == 2


def test_a_server_that_was_started_anew_is_asked_again() -> None:
    with Answering(echo) as peer:
        asking = server(peer.port)
        asking.ask(b"get a\n", line)
        peer.hang_up()
        assert asking.ask(b"get b\n", line) == b"200 b"


def test_a_server_that_hangs_up_on_everybody_is_not_asked_for_ever() -> None:
    with Answering(lambda received: None) as peer:
        with pytest.raises(ServerGone, match="closed the connection instead of an answer"):
            server(peer.port).ask(b"get a\n", line)
        assert peer.connections == 1


def test_half_an_answer_is_no_answer() -> None:
    def half(received: bytes) -> bytes:
        return b"200 hal"

    with Answering(half) as peer:
        threading.Timer(0.05, peer.hang_up).start()
        with pytest.raises(ProtocolFault, match="in the middle of an answer"):
            server(peer.port).ask(b"get a\n", line)


def test_more_than_an_answer_is_none() -> None:
    """What comes unasked would be taken for the answer to the next question."""
    with Answering(lambda received: b"200 a\n200 forged\n") as peer:
        asking = server(peer.port)
        for connections in (1, 2):
            with pytest.raises(ProtocolFault, match="more than one answer"):
                asking.ask(b"get a\n", line)
            assert peer.connections == connections


def test_a_server_that_says_nothing_is_given_up() -> None:
    with Answering(lambda received: b"") as peer:
        asking = Exchange(Endpoint("127.0.0.1", peer.port), Patience(answer=0.05))
        with pytest.raises(ServerGone, match="no answer in time"):
            asking.ask(b"get a\n", line)


def test_a_server_that_is_away_is_left_alone_for_a_moment() -> None:
    clock = Clock()
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))  # bound, but not listening: refused
        port = nobody.getsockname()[1]
        asking = server(port, clock)
        for _ in range(2):
            with pytest.raises(ServerGone, match=f"inet:127.0.0.1:{port}: Connection refused"):
                asking.ask(b"get a\n", line)
        nobody.listen()
        with pytest.raises(ServerGone, match="Connection refused"):
            asking.ask(b"get a\n", line)
        nobody.setblocking(False)
        with pytest.raises(BlockingIOError):
            nobody.accept()
        clock.now += RETRY_AFTER
        nobody.setblocking(True)
        with ThreadPoolExecutor(1) as threads:
            asked = threads.submit(asking.ask, b"get a\n", line)
            connection, _ = nobody.accept()
            with connection:
                assert connection.recv(100) == b"get a\n"
                connection.sendall(b"500 no\n")
                assert asked.result(5) == b"500 no"


def test_no_more_connections_than_the_ceiling() -> None:
    hold = threading.Event()
    most = threading.Semaphore(0)

    def slow(received: bytes) -> bytes:
        most.release()
        hold.wait(10)
        return echo(received)

    with Answering(slow) as peer, ThreadPoolExecutor(CONNECTIONS * 2) as threads:
        asking = server(peer.port)
        asked = [threads.submit(asking.ask, b"get a\n", line) for _ in range(CONNECTIONS * 2)]
        for _ in range(CONNECTIONS):
            assert most.acquire(timeout=10)
        assert peer.connections == CONNECTIONS
        hold.set()
        assert [each.result(10) for each in asked] == [b"200 a"] * CONNECTIONS * 2
        assert peer.connections == CONNECTIONS


# --- the types
def answers(reply: bytes) -> Answering:
    return Answering(lambda received: reply)


def test_socketmap_finds_and_does_not_find() -> None:
    def reply(received: bytes) -> bytes:
        return b"8:OK value," if b" ann@x.example," in received else b"9:NOTFOUND ,"

    with Answering(reply) as peer:
        table = STANDARD.open(f"socketmap:inet:127.0.0.1:{peer.port}:people")
        assert table.get("ann@x.example") == "value"
        assert table.get("Bob") is None
        assert peer.asked == [b"20:people ann@x.example,", b"10:people Bob,"]
        assert (table.patterns, table.reach().ports, table.reach().names) == (True, {peer.port}, False)


def test_socketmap_over_a_unix_socket(tmp_path: Path) -> None:
    with Answering(lambda received: b"8:OK value,", str(tmp_path / "s")):
        table = STANDARD.open(f"socketmap:unix:{tmp_path}/s:people")
        assert table.get("ann") == "value"
        assert not table.reach().ports


@pytest.mark.parametrize("reply", [b"9:TEMP busy,", b"7:PERM no,", b"nonsense", b"3:abc,", b"8:OK value;"])
def test_socketmap_cannot_say(reply: bytes) -> None:
    with answers(reply) as peer, pytest.raises(LookupFailed, match=r"table socketmap:inet:127\.0\.0\.1:"):
        STANDARD.open(f"socketmap:inet:127.0.0.1:{peer.port}:people").get("ann")


def test_tcp_finds_and_does_not_find() -> None:
    with Answering(lambda received: b"200 a%20b\n" if received == b"get An%20n%25\n" else b"500 none\n") as peer:
        table = STANDARD.open(f"tcp:127.0.0.1:{peer.port}")
        assert table.get("An n%") == "a b"
        assert table.get("ann") is None


@pytest.mark.parametrize("reply", [b"400 busy\n", b"nonsense\n", b"2" * 5000])
def test_tcp_cannot_say(reply: bytes) -> None:
    with answers(reply) as peer, pytest.raises(LookupFailed, match=r"table tcp:127\.0\.0\.1:"):
        STANDARD.open(f"tcp:127.0.0.1:{peer.port}").get("ann")


@pytest.mark.parametrize("spec", ["tcp:127.0.0.1:9", "socketmap:inet:127.0.0.1:9:x"])
def test_nobody_is_asked_without_permission_to_wait(spec: str) -> None:
    table = STANDARD.open(spec)
    outcome: list[BaseException] = []

    def ask() -> None:
        try:
            table.get("ann")
        except WouldBlock as error:
            outcome.append(error)

    thread = threading.Thread(target=ask)  # the fixture's permission is that of its thread
    thread.start()
    thread.join()
    assert outcome


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ("socketmap:inet:host:25", "inet:host:port"),
        ("socketmap:host:25:name", "socketmap:inet:host:port:name"),
        ("socketmap:unix::name", "inet:host:port"),
        ("tcp:host", "inet:host:port"),
        ("tcp:host:0", "inet:host:port"),
        ("tcp:host:noservice", "inet:host:port"),
        ("tcp:unix:/x", "host:port"),
        ("tcp:a b:25", "inet:host:port"),
    ],
)
def test_names_that_make_no_sense(spec: str, expected: str) -> None:
    with pytest.raises(TableError, match=f"table {spec}: .*{expected}.* was expected"):
        STANDARD.open(spec)


def test_what_decides_about_rights_is_not_asked_of_strangers() -> None:
    strict = Options(authentic=True)
    with pytest.raises(TableError, match="not allowed for security-sensitive data"):
        STANDARD.open("tcp:192.0.2.1:1234", strict)
    for spec in ("tcp:127.0.0.1:1234", "tcp:localhost:1234", "tcp:[::1]:1234", "socketmap:unix:/x:name"):
        STANDARD.open(spec, strict)


@pytest.mark.parametrize(
    ("text", "endpoint"),
    [
        ("inet:host.example:25", Endpoint("host.example", 25)),
        ("host:smtp", Endpoint("host", 25)),
        ("inet:[2001:db8::1]:25", Endpoint("2001:db8::1", 25)),
        ("unix:/a:b", Endpoint(path="/a:b")),
        ("host", Endpoint("host", 7)),
        ("[::1]", Endpoint("::1", 7)),
    ],
)
def test_endpoints(text: str, endpoint: Endpoint) -> None:
    assert parse_endpoint(text, 7) == endpoint


def test_a_host_name_needs_a_resolver() -> None:
    assert parse_endpoint("db.example:25").reach().names
    assert not parse_endpoint("localhost:25").reach().names
