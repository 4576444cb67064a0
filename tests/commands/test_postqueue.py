"""mailq and postqueue: the listing byte for byte, over showq and from the directory."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pillarbox.commands import postqueue
from pillarbox.commands.queue_listing import json_lines, listing
from pillarbox.lib.clients.showq import ShowqClient
from pillarbox.lib.config import Config, load
from pillarbox.lib.ipc import AsyncChannel, ChannelClosed
from pillarbox.lib.message.date import format_date
from pillarbox.lib.queue import Queue, Recipient, outcomes
from pillarbox.lib.queue.file import mark_done
from pillarbox.lib.queue.listing import FORCED_EXPIRE, FORCED_RELEASE, Entry, Waiting, entries
from pillarbox.lib.queue.outcomes import DELAYED, Outcome, log_path
from pillarbox.showq.program import answer
from tests.commands.queued import put_message

REFUSED = "connect to 127.0.0.1[127.0.0.1]:3599: Connection refused"


@pytest.fixture(autouse=True)
def zone(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "UTC0")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def entry(queue: str, queue_id: str, size: int, arrival: float, sender: str, *waiting: Waiting, **more: bool) -> Entry:
    return Entry(queue, queue_id, arrival, size, sender, more.get("forced_expire", False), iter(waiting))


def test_the_short_form_is_that_of_postfix() -> None:
    found = [
        entry("deferred", "300F622E352", 261, 1795318761, "", Waiting("y@down.test", "", REFUSED), forced_expire=True),
        entry("active", "0A6F922EFD1", 264, 1795320433, "a@example.test", Waiting("s3@slow.test", "", "")),
        entry("hold", "A15AF22E322", 275, 1795318760, "alice@example.test", Waiting("x@down.test", "", REFUSED)),
    ]
    assert "\n".join(listing(found, short=True)) == (
        "-Queue ID-  --Size-- ----Arrival Time---- -Sender/Recipient-------\n"
        "300F622E352#     261 Sun Nov 22 03:39:21  MAILER-DAEMON\n"
        "                    (connect to 127.0.0.1[127.0.0.1]:3599: Connection refused)\n"
        "                                         y@down.test\n"
        "\n"
        "0A6F922EFD1*     264 Sun Nov 22 04:07:13  a@example.test\n"
        "                                         s3@slow.test\n"
        "\n"
        "A15AF22E322!     275 Sun Nov 22 03:39:20  alice@example.test\n"
        "                    (connect to 127.0.0.1[127.0.0.1]:3599: Connection refused)\n"
        "                                         x@down.test\n"
        "\n"
        "-- 0 Kbytes in 3 Requests."
    )


def test_the_long_form_is_that_of_postfix() -> None:
    found = [
        entry(
            "deferred",
            "4jXFYl6dnjzKD6m",
            257,
            1795319643,
            "a@example.test",
            Waiting("l1@down.test", "", REFUSED),
        )
    ]
    assert "\n".join(listing(found)) == (
        "----Queue ID----- --Size-- ---Arrival Time---- --Sender/Recipient------\n"
        "4jXFYl6dnjzKD6m        257 Sun Nov 22 03:54:03 a@example.test\n"
        "                    (connect to 127.0.0.1[127.0.0.1]:3599: Connection refused)\n"
        "                                               l1@down.test\n"
        "\n"
        "-- 0 Kbytes in 1 Request."
    )


def test_a_reason_is_written_where_it_changes() -> None:
    waiting = (Waiting("a@x", "", "one"), Waiting("b@x", "", "one"), Waiting("c@x", "", "two"), Waiting("d@x", "", ""))
    lines = list(listing([entry("deferred", "4jXFYl6dnjzKD6m", 2048, 0, "s@x", *waiting)]))
    assert [line.strip() for line in lines[2:]] == [
        *("(one)", "a@x", "b@x", "(two)", "c@x", "(reason unavailable)", "d@x"),
        *("", "-- 2 Kbytes in 1 Request."),
    ]


def test_a_long_reason_begins_at_the_margin() -> None:
    (line,) = list(listing([entry("deferred", "4jXFYl6dnjzKD6m", 1, 0, "s@x", Waiting("a@x", "", "r" * 90))]))[2:3]
    assert line == f"({'r' * 90})"


def test_an_empty_queue() -> None:
    assert list(listing([])) == ["Mail queue is empty"]


def test_hostile_text_does_not_reach_the_terminal() -> None:
    lines = "\n".join(listing([entry("deferred", "4jXFYl6dnjzKD6m", 1, 0, "s\x1b[2J@x", Waiting("a\n@x", "", "\x07"))]))
    assert "\x1b" not in lines and "\x07" not in lines and "s?[2J@x" in lines


def test_json() -> None:
    one = entry(
        "deferred", "4jXFYl6dnjzKD6m", 257, 1795319643.9, "", Waiting("a@x", "o@x", REFUSED), Waiting("b@x", "", "")
    )
    (line,) = json_lines([one])
    assert json.loads(line) == {
        "queue_name": "deferred",
        "queue_id": "4jXFYl6dnjzKD6m",
        "arrival_time": 1795319643,
        "message_size": 257,
        "forced_expire": False,
        "sender": "",
        "recipients": [{"orig_address": "o@x", "address": "a@x", "delay_reason": REFUSED}, {"address": "b@x"}],
    }


def test_a_message_that_waits_for_its_release_time_says_so(tmp_path: Path) -> None:
    queue = Queue(str(tmp_path))
    queue.create()
    release = time.time() + 1000
    put_message(tmp_path, "deferred", release=release)
    (found,) = [json.loads(line) for line in json_lines(entries(queue))]
    reason = f"held until {format_date(release)} as its sender asked (FUTURERELEASE)"
    assert found["queue_name"] == "deferred"
    assert found["recipients"] == [{"address": "b@y.test", "delay_reason": reason}]
    (path,) = (tmp_path / "deferred").iterdir()
    path.chmod(path.stat().st_mode | FORCED_RELEASE)
    (found,) = [json.loads(line) for line in json_lines(entries(queue))]
    assert found["recipients"] == [{"address": "b@y.test"}]


class TestTheDirectory:
    def test_all_queues_in_order(self, instance: Path) -> None:
        spool = instance / "spool"
        ids = {name: put_message(spool, name) for name in ("hold", "deferred", "incoming", "active")}
        found = [(one.queue, one.queue_id) for one in entries(Queue(str(spool)))]
        assert found == [(name, ids[name]) for name in ("active", "incoming", "deferred", "hold")]

    def test_reasons_come_from_the_log_and_done_recipients_are_gone(self, instance: Path) -> None:
        spool = instance / "spool"
        recipients = tuple(Recipient(f"r{i}@y.test", original="o@x.test") for i in range(3))
        queue_id = put_message(spool, "deferred", recipients=recipients)
        path = spool / "deferred" / queue_id
        from pillarbox.lib.queue import QueueFile

        descriptor = os.open(path, os.O_RDWR)
        stored = list(QueueFile(descriptor).recipients())
        mark_done(descriptor, stored[0].n)
        os.close(descriptor)
        path.chmod(0o600 | FORCED_EXPIRE)
        log = os.open(log_path(str(spool), "defer", queue_id), os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        outcomes.append(log, [Outcome(recipients[2], stored[2].n, DELAYED, "4.4.1", REFUSED, 0.0)])
        os.close(log)
        (one,) = entries(Queue(str(spool)))
        assert one.forced_expire
        assert list(one.recipients) == [Waiting("r2@y.test", "o@x.test", REFUSED), Waiting("r1@y.test", "o@x.test", "")]

    def test_broken_files_are_passed_over(self, instance: Path) -> None:
        spool = instance / "spool"
        (spool / "deferred" / "4jXFYl6dnjzKD6m").write_bytes(b"broken")
        (spool / "active" / "4jXFYl6dnjzKD6n").symlink_to("/etc/passwd")
        put_message(spool, "hold")
        assert [one.queue for one in entries(Queue(str(spool)))] == ["hold"]


class ShowqThread(threading.Thread):
    """showq on its socket, in a thread of this process."""

    def __init__(self, config: Config) -> None:
        super().__init__(daemon=True)
        self._config = config
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(config.socket_path("showq"))
        self._listener.listen()

    def run(self) -> None:
        async def serve() -> None:
            connection, _ = self._listener.accept()
            channel = AsyncChannel(connection)
            try:
                await answer(Queue(str(Path(self._config.socket_path("showq")).parent.parent)), channel)
            except ChannelClosed:
                pass
            finally:
                channel.close()
                self._listener.close()

        asyncio.run(serve())


class TestOverShowq:
    def test_the_same_as_the_directory_says(self, instance: Path) -> None:
        spool = instance / "spool"
        for number in range(3):
            put_message(spool, "deferred", recipients=tuple(Recipient(f"{i}@y{number}.test") for i in range(1500)))
        config = load(f"{instance}/etc")
        thread = ShowqThread(config)
        thread.start()
        over = list(listing(ShowqClient(config).entries()))
        thread.join(30)
        assert over == list(listing(entries(Queue(str(spool)))))
        assert len(over) > 4500

    def test_recipients_that_nobody_reads_are_passed_over(self, instance: Path) -> None:
        spool = instance / "spool"
        for _ in range(2):
            put_message(spool, "deferred", recipients=tuple(Recipient(f"{i}@y.test") for i in range(3000)))
        config = load(f"{instance}/etc")
        thread = ShowqThread(config)
        thread.start()
        assert [one.queue for one in ShowqClient(config).entries()] == ["deferred"] * 2
        thread.join(30)


class TestTheCommand:
    def test_while_down_the_owner_reads_the_directory(self, instance: Path, capsys: pytest.CaptureFixture[str]) -> None:
        queue_id = put_message(instance / "spool", "deferred")
        assert postqueue.main(["-c", f"{instance}/etc", "-p"]) == 0
        out, err = capsys.readouterr()
        assert queue_id in out
        assert err.startswith(
            "postqueue: warning: Mail system is down -- accessing queue directly (Connect to the showq"
        )

    def test_while_down_others_are_told(
        self, instance: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(os, "access", lambda path, mode: False)
        assert postqueue.main(["-c", f"{instance}/etc", "-j"]) == 69
        assert "Queue report unavailable - mail system is down (" in capsys.readouterr().err

    @pytest.mark.parametrize(
        ("arguments", "status", "text"),
        [
            ([], 64, "usage: postqueue"),
            (["-p", "-f"], 64, "usage: postqueue"),
            (["-p", "word"], 64, "usage: postqueue"),
            (["-z"], 64, "invalid option -- 'z'"),
            (["-i", "a/b"], 64, 'Cannot flush queue ID - invalid name: "a/b"'),
            (["-s", "a b"], 64, "invalid destination"),
            (["-f"], 69, "Cannot flush mail queue - mail system is down"),
            (["-c", "/nonexistent", "-p"], 78, "/nonexistent/main.yaml"),
        ],
    )
    def test_refusals(
        self, instance: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], status: int, text: str,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:  # fmt: skip
        monkeypatch.setenv("MAIL_CONFIG", f"{instance}/etc")
        assert postqueue.main(arguments) == status
        assert text in capsys.readouterr().err
