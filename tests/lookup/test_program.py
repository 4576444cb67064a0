"""The lookup program as a real worker process: dropped, confined to its table files, ending when one is replaced."""

from __future__ import annotations

import os
import signal
import socket
import sqlite3
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pillarbox.lib.clients.lookup import LookupClient, LookupUnavailable
from pillarbox.lib.config import Config, Service
from pillarbox.lib.config.parameters.lookup import ALIAS_MAPS
from pillarbox.lib.ipc import Channel, ChannelClosed
from pillarbox.lib.log import log
from pillarbox.lib.process.worker import READY, Worker, enter
from pillarbox.lib.tables import LookupFailed
from pillarbox.lib.tables.build import Builder
from pillarbox.lookup.program import PROGRAM
from pillarbox.lookup.service import Lookup
from tests.lookup.serving import configuration
from tests.system.forked import in_child
from tests.tables.answering import Answering

LOOKUP_UID = 54331


@pytest.fixture
def folder() -> Iterator[Path]:
    # Not tmp_path, which only root may enter when root runs the tests: the process runs as another user then.
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        Path(name, "private").mkdir()
        yield Path(name)


def settings(folder: Path, **values: str) -> Config:
    return configuration(
        folder,
        lookup_owner=str(LOOKUP_UID),
        mail_owner=str(LOOKUP_UID + 1),
        net_owner=str(LOOKUP_UID + 2),
        vmail_owner=str(LOOKUP_UID + 3),
        auth_owner=str(LOOKUP_UID + 4),
        lookup_cache_ttl="0s",
        virtual_mailbox_domains="hosted.example",
        alias_maps="inline:{a=b}",
        **{"virtual_mailbox_maps": f"hash:{folder}/boxes"} | values,
    )


def build(folder: Path, name: str, entries: dict[str, str]) -> None:
    builder = Builder("hash", str(folder / name))
    for key, value in entries.items():
        builder.put(key, value)
    builder.commit()
    os.utime(folder / f"{name}.cdb", (1, len(entries)))  # long ago: loaded once


@contextmanager
def worker(config: Config) -> Iterator[int]:
    """A running lookup process; gives its pid.  It must end well after SIGTERM or by itself."""
    with socket.socket(socket.AF_UNIX) as listener:
        path = config.socket_path("lookup")
        Path(path).unlink(missing_ok=True)
        listener.bind(path)
        listener.listen(16)
        listener.setblocking(False)
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        pid = os.fork()
        if pid == 0:
            ours.close()
            enter(Worker(PROGRAM, Service("lookup", "lookup"), config, [listener], theirs))
        theirs.close()
        ours.settimeout(20)
        status = -1
        try:
            assert ours.recv(16) == READY, "the process did not get ready"
            yield pid
        finally:
            os.kill(pid, signal.SIGTERM)
            status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
            ours.close()
        assert status == 0


def test_a_confined_process_answers_from_its_tables(folder: Path) -> None:
    build(folder, "boxes", {"ann@hosted.example": "x"})
    config = settings(folder)
    with worker(config) as pid:
        client = LookupClient(config)
        assert client.recipient("ann@hosted.example").status == "ok"
        assert client.recipient("bob@hosted.example").status == "unknown"
        assert client.recipient("root@localhost").status == "ok", "the user database is readable"
        client.close()
        status = Path(f"/proc/{pid}/status").read_text()
        assert "NoNewPrivs:\t1" in status
        if os.geteuid() == 0:
            assert f"Uid:\t{LOOKUP_UID}\t{LOOKUP_UID}\t{LOOKUP_UID}\t{LOOKUP_UID}" in status


def test_a_table_that_only_root_may_read_is_loaded_before_rights_are_given_up(folder: Path) -> None:
    build(folder, "boxes", {"ann@hosted.example": "x"})
    (folder / "boxes.cdb").chmod(0o600)
    config = settings(folder)
    with worker(config):
        assert LookupClient(config).recipient("ann@hosted.example").status == "ok"


def test_the_process_may_not_read_what_is_no_table_of_the_configuration(folder: Path) -> None:
    build(folder, "boxes", {"ann@hosted.example": "x"})
    (folder / "secret").write_text("key")
    config = settings(folder)

    def check() -> list[str]:
        assert PROGRAM.confinement is not None
        report = PROGRAM.confinement(config).apply()
        if not any(word.startswith("landlock") for word in report.held):
            return ["no landlock"]
        found = []
        for name in ("boxes.cdb", "secret"):
            try:
                os.close(os.open(folder / name, os.O_RDONLY))
                found.append(name)
            except PermissionError:
                pass
        try:
            socket.socket(socket.AF_INET, socket.SOCK_STREAM).connect(("127.0.0.1", 9))
        except ConnectionRefusedError:
            found.append("network")
        except OSError:
            pass
        return found

    assert in_child(check) in (["boxes.cdb"], ["no landlock"])


def test_a_replaced_table_is_used_by_this_process_or_its_successor(folder: Path) -> None:
    build(folder, "boxes", {"ann@hosted.example": "x"})
    config = settings(folder)
    with worker(config):
        channel = Channel.connect(config.socket_path("lookup"), 20)

        def status(address: str) -> str:
            channel.send({"do": "recipient", "address": address})
            return channel.receive().text("status")

        assert status("ann@hosted.example") == "ok"
        build(folder, "boxes", {"ann@hosted.example": "x", "bob@hosted.example": "y"})
        # It answers from the old table for a second; then it ends, being confined to the old file, or where the
        # kernel cannot confine it, reads the new one.
        for _ in range(400):
            try:
                if status("bob@hosted.example") == "ok":
                    break
            except ChannelClosed:
                break
            time.sleep(0.02)
        else:
            pytest.fail("the process went on with the old table")
        channel.close()
    with worker(config):
        assert LookupClient(config).recipient("bob@hosted.example").status == "ok"


def test_a_confined_process_asks_the_servers_of_its_tables(folder: Path) -> None:
    def boxes(received: bytes) -> bytes:
        if not received.endswith(b","):
            return b""
        return b"5:OK x/," if b"boxes ann@hosted.example," in received else b"9:NOTFOUND ,"

    with Answering(boxes) as server:
        config = settings(folder, virtual_mailbox_maps=f"socketmap:inet:127.0.0.1:{server.port}:boxes")
        with worker(config):
            client = LookupClient(config)
            assert client.recipient("ann@hosted.example").status == "ok"
            assert client.recipient("bob@hosted.example").status == "unknown"
            client.close()
        assert b":boxes ann@hosted.example," in b"".join(server.asked)


def test_only_the_ports_of_tables_are_open(folder: Path) -> None:
    with Answering(lambda received: b"500 no\n") as server, Answering(lambda received: b"500 no\n") as other:
        config = settings(folder, virtual_mailbox_maps=f"tcp:127.0.0.1:{server.port}")

        def check() -> list[str]:
            assert PROGRAM.confinement is not None
            report = PROGRAM.confinement(config).apply()
            if not any(word.startswith("landlock") and "tcp" in word for word in report.held):
                return ["no landlock"]
            found = []
            for name, port in (("server", server.port), ("other", other.port)):
                try:
                    socket.create_connection(("127.0.0.1", port), 5).close()
                    found.append(name)
                except OSError:
                    pass
            return found

        assert in_child(check) in (["server"], ["no landlock"])


def test_a_database_that_only_root_may_read_is_opened_before_rights_are_given_up(folder: Path) -> None:
    with sqlite3.connect(folder / "db") as database:
        database.execute("CREATE TABLE box (address TEXT, path TEXT)")
        database.execute("INSERT INTO box VALUES ('ann@hosted.example', 'x')")
    database.close()
    (folder / "boxes.cf").write_text(f"dbpath = {folder}/db\nquery = SELECT path FROM box WHERE address = '%s'\n")
    for name in ("db", "boxes.cf"):
        (folder / name).chmod(0o600)
    config = settings(folder, virtual_mailbox_maps=f"sqlite:{folder}/boxes.cf")
    with worker(config):
        client = LookupClient(config)
        assert client.recipient("ann@hosted.example").status == "ok"
        assert client.recipient("bob@hosted.example").status == "unknown"
        client.close()


def test_a_hostile_key_stops_no_process_not_even_from_a_thread(folder: Path) -> None:
    """The look-up waits for a server first, so that a thread answers; the expression is bounded all the same."""
    with Answering(lambda received: b"500 no\n") as server:
        maps = f"tcp:127.0.0.1:{server.port}, pcre:{{{{/^(a+)+@hosted/ x}}}}"
        config = settings(folder, virtual_mailbox_maps=maps)
        with worker(config) as pid:
            client = LookupClient(config)
            with pytest.raises(LookupUnavailable, match="processor time"):
                client.recipient("a" * 50 + "!@hosted.example")
            assert client.recipient("aaa@hosted.example").status == "ok"
            assert client.recipient("bob@hosted.example").status == "unknown"
            os.kill(pid, 0)
            client.close()


def test_aliases_come_from_no_server_elsewhere(folder: Path) -> None:
    """Whoever could answer in its place would say what is run here."""
    with log.capture() as lines:
        lookup = Lookup(configuration(folder, alias_maps="tcp:192.0.2.1:1234", transport_maps="tcp:192.0.2.1:1234"))
        lookup.preload()
        with pytest.raises(LookupFailed, match="not allowed for security-sensitive data"):
            lookup.tables.maps(ALIAS_MAPS).find("ann")
    assert any("alias_maps" in line for line in lines)
    assert not any("transport_maps" in line for line in lines)
