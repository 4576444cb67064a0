"""Log lines: exactly Postfix's form, or JSON; one event is one line, whatever it contains."""

from __future__ import annotations

import json
import os
import re
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pillarbox.lib.log.logger import LINE_LIMIT, Logger, file_destination, syslog_destination

WHEN = 1795319643.935049


@pytest.fixture(autouse=True)
def utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "UTC0")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def logger(lines: list[str], when: float = WHEN, **options: bool) -> Logger:
    made = Logger(lambda: when)
    made.configure("pillarbox/smtpd", lambda line: lines.append(line.decode()), host="mx.example.org", **options)
    return made


class TestText:
    def test_the_line_is_that_of_postfix(self) -> None:
        lines: list[str] = []
        logger(lines).info("4jXFYl6dnjzKD6m: client=host.test[192.0.2.1]")
        assert lines == [
            f"Nov 22 03:54:03 mx pillarbox/smtpd[{os.getpid()}]: 4jXFYl6dnjzKD6m: client=host.test[192.0.2.1]\n"
        ]

    def test_a_day_of_one_digit_is_padded_with_a_blank(self) -> None:
        lines: list[str] = []
        logger(lines, 1796100000.0).info("x")
        assert lines[0].startswith("Dec  1 04:40:00 mx ")

    @pytest.mark.parametrize("level", ["warning", "error", "fatal", "panic"])
    def test_the_level_is_a_prefix(self, level: str) -> None:
        lines: list[str] = []
        getattr(logger(lines), level)("x")
        assert lines[0].endswith(f"]: {level}: x\n")

    def test_the_stamp_follows_the_clock(self) -> None:
        lines: list[str] = []
        now = WHEN
        made = Logger(lambda: now)
        made.configure("p", lambda line: lines.append(line.decode()), host="h")
        made.info("x")
        now += 0.9
        made.info("x")
        now += 60
        made.info("x")
        assert [line[7:15] for line in lines] == ["03:54:03", "03:54:04", "03:55:04"]

    @pytest.mark.parametrize(
        ("text", "logged"),
        [
            ("a\nb\r\0c", "a?b??c"),
            ("\x1b[2Jx", "?[2Jx"),
            ("\x7f\x85\x9b", "???"),
            ("é日本 \u00a0x", "é日本 \u00a0x"),
            ("\udcff\ud800", "??"),
            ("a\u2028b", "a?b"),
            ("", ""),
        ],
    )
    def test_what_could_harm_a_reader_is_replaced(self, text: str, logged: str) -> None:
        lines: list[str] = []
        logger(lines).info(text)
        assert lines[0].partition("]: ")[2] == f"{logged}\n"

    def test_a_long_text_is_cut(self) -> None:
        lines: list[str] = []
        logger(lines).warning("é" * (LINE_LIMIT + 1))
        assert lines[0].partition("]: ")[2] == "warning: " + "é" * LINE_LIMIT + "...\n"
        logger(lines).info("x" * LINE_LIMIT)
        assert not lines[1].endswith("...\n")

    @given(st.text(max_size=100))
    def test_one_event_is_one_line(self, text: str) -> None:
        lines: list[str] = []
        for options in ({}, {"json_lines": True}):
            logger(lines, **options).info(text)
        assert all(line.count("\n") == 1 and line.endswith("\n") and "\x1b" not in line for line in lines)


class TestJson:
    def test_the_fields(self) -> None:
        lines: list[str] = []
        logger(lines, json_lines=True).info(
            "4jXFYl6dnjzKD6m: to=<a@b.test>, relay=mx[192.0.2.1]:25, delay=0.13, dsn=2.0.0, status=sent (250 ok)"
        )
        record = json.loads(lines[0])
        assert record["time"] == WHEN
        assert (record["host"], record["program"], record["pid"]) == ("mx", "pillarbox/smtpd", os.getpid())
        assert (record["level"], record["queue_id"]) == ("info", "4jXFYl6dnjzKD6m")
        assert (record["to"], record["relay"], record["delay"], record["dsn"]) == (
            "<a@b.test>",
            "mx[192.0.2.1]:25",
            "0.13",
            "2.0.0",
        )
        assert record["status"] == "sent"
        assert record["message"].endswith("status=sent (250 ok)")

    def test_no_queue_id(self) -> None:
        lines: list[str] = []
        logger(lines, json_lines=True).warning("disk is full")
        record = json.loads(lines[0])
        assert "queue_id" not in record and (record["level"], record["message"]) == ("warning", "disk is full")

    def test_a_text_cannot_change_the_fixed_fields(self) -> None:
        lines: list[str] = []
        logger(lines, json_lines=True).info("host=evil, pid=1, level=panic, message=x, time=0")
        record = json.loads(lines[0])
        assert (record["host"], record["pid"], record["level"], record["time"]) == ("mx", os.getpid(), "info", WHEN)

    @given(st.text(max_size=200))
    def test_every_line_is_json(self, text: str) -> None:
        lines: list[str] = []
        logger(lines, json_lines=True).info(text)
        assert isinstance(json.loads(lines[0]), dict)


class TestSyslog:
    @pytest.mark.parametrize(
        ("level", "priority"), [("info", 22), ("warning", 20), ("error", 19), ("fatal", 18), ("panic", 16)]
    )
    def test_the_datagram(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, level: str, priority: int) -> None:
        monkeypatch.chdir(tmp_path)
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as daemon:
            daemon.bind("log")
            daemon.settimeout(10)
            made = Logger(lambda: WHEN)
            made.configure("pillarbox/smtpd", syslog_destination("log"), syslog=True)
            getattr(made, level)("x")
            prefix = "" if level == "info" else f"{level}: "
            expected = f"<{priority}>Nov 22 03:54:03 pillarbox/smtpd[{os.getpid()}]: {prefix}x"
            assert daemon.recv(1000).decode() == expected

    def test_a_logger_that_is_away_or_restarted_stops_nobody(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        made = Logger(lambda: WHEN)
        made.configure("p", syslog_destination("log"), syslog=True)
        made.info("lost")
        for _ in range(2):
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as daemon:
                daemon.bind("log")
                daemon.settimeout(10)
                made.info("heard")
                assert daemon.recv(1000).endswith(b"heard")
            os.unlink("log")
            made.info("lost")


class TestDestination:
    def test_lines_of_several_processes_do_not_mix(self, tmp_path: Path) -> None:
        path = tmp_path / "log"
        pids = []
        for n in range(4):
            pid = os.fork()
            if pid == 0:
                made = Logger()
                made.configure(f"p{n}", file_destination(os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)))
                for _ in range(200):
                    made.info(str(n) * 500)
                os._exit(0)
            pids.append(pid)
        for pid in pids:
            os.waitpid(pid, 0)
        lines = path.read_text().splitlines()
        assert len(lines) == 800
        assert all(re.fullmatch(r".* p(\d)\[\d+\]: \1{500}", line) for line in lines)

    def test_a_disk_that_is_full_stops_nobody(self) -> None:
        descriptor = os.open("/dev/full", os.O_WRONLY)
        made = Logger()
        made.configure("p", file_destination(descriptor))
        made.info("x")
        os.close(descriptor)

    def test_after_a_fork_the_new_process_is_named(self) -> None:
        lines: list[str] = []
        made = logger(lines)
        made._tag = "pillarbox/master[1]: "
        made.set_program("pillarbox/qmgr")
        made.info("x")
        assert f" pillarbox/qmgr[{os.getpid()}]: x" in lines[0]


def test_capturing_gives_the_texts_and_puts_everything_back() -> None:
    lines: list[str] = []
    made = logger(lines, json_lines=True)
    with made.capture() as outer:
        made.info("one")
        with made.capture() as inner:
            made.warning("two")
    made.info("three")
    assert (outer, inner) == (["one"], ["warning: two"])
    assert json.loads(lines[0])["message"] == "three"
