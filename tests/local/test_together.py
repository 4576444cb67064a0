"""Jobs for one user that come together: one process does them, and a Maildir's share their waits for the disk."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pillarbox.lib.config import Config
from pillarbox.lib.ipc import Attributes, Channel
from pillarbox.lib.store.maildir.writer import MaildirDelivery
from pillarbox.local import children as module
from pillarbox.local.children import ChildFailed, Children
from pillarbox.local.filings import TOGETHER, Filings
from pillarbox.local.jobs import Serve
from pillarbox.local.steps import Message, Outcome, Report
from pillarbox.local.users import User
from tests.local.conftest import House

# --- through the whole agent


def test_each_of_many_that_come_together_is_delivered(house: House) -> None:
    house.options["home_mailbox"] = "Maildir/"
    results = house.deliver(*["ann@example.com", "bob@example.com"] * 50, together=True)
    assert [result.status for result in results] == ["sent"] * 100
    for name in ("ann", "bob"):
        assert len(list((house.people[name].home / "Maildir" / "new").iterdir())) == 50


def test_a_loop_among_them_is_its_own_alone(house: House) -> None:
    house.options |= {"home_mailbox": "Maildir/", "recipient_delimiter": "+"}
    text = b"Delivered-To: ann+x@example.com\n\nx\n"
    results = house.deliver(*["ann@example.com", "ann+x@example.com"] * 5, content=text, together=True)
    assert [result.status for result in results] == ["sent", "bounced"] * 5
    assert len(list((house.people["ann"].home / "Maildir" / "new").iterdir())) == 5


def test_a_command_does_not_keep_those_before_it_waiting(house: House) -> None:
    """ann+x's mail is a command that waits until the message before it is in the mailbox."""
    house.options |= {"home_mailbox": "Maildir/", "recipient_delimiter": "+"}
    waits = "for i in `seq 100`; do ls $HOME/Maildir/new/* && exit 0; sleep 0.1; done; exit 75"
    house.write("ann", ".forward+x", f'"|{waits}"\n')
    results = house.deliver("ann@example.com", "ann+x@example.com", "ann@example.com", together=True)
    assert [result.status for result in results] == ["sent"] * 3


def test_one_that_also_goes_to_very_many_is_in_the_mailbox_once(house: House) -> None:
    """What the child reports of it takes several frames."""
    house.options["home_mailbox"] = "Maildir/"
    many = [f"{number:05}{'x' * 50}@far.example.com" for number in range(5_000)]
    house.write("ann", ".forward", "\\ann\n" + "\n".join(many) + "\n")
    results = house.deliver("ann@example.com", "bob@example.com", together=True)
    assert [result.status for result in results] == ["sent", "sent"]
    assert len(list((house.people["ann"].home / "Maildir" / "new").iterdir())) == 1
    ((envelope, _),) = house.services.received
    assert envelope["recipients"] == many


def test_a_full_or_forbidden_mailbox_defers_all_of_them(house: House) -> None:
    house.options["home_mailbox"] = "not/there/"
    house.write("ann", "not", "a file\n")
    results = house.deliver(*["ann@example.com"] * 5, together=True)
    assert {result.status for result in results} == {"deferred"}


# --- the child


@pytest.fixture
def pair() -> Iterator[tuple[Channel, Channel]]:
    ours, theirs = socket.socketpair()
    yield Channel(ours), Channel(theirs)
    ours.close()
    theirs.close()


def _delivery(path: Path, text: bytes) -> tuple[MaildirDelivery, int]:
    with tempfile.TemporaryFile() as file:
        file.write(text)
        file.flush()
        fd = os.dup(file.fileno())
    return MaildirDelivery(str(path), b"", fd, 0, len(text)), fd


def test_nothing_is_there_before_they_are_finished(tmp_path: Path, pair: tuple[Channel, Channel]) -> None:
    filings = Filings(pair[1])
    for number in range(3):
        delivery, fd = _delivery(tmp_path / "box", b"text\n")
        filings.add(Report(warnings=[str(number)]), delivery, [fd])
    assert not (tmp_path / "box").exists()
    filings.finish()
    assert len(list((tmp_path / "box" / "new").iterdir())) == 3
    reports = [Report.parse(pair[0].receive()) for _ in range(3)]
    assert [report.warnings for report in reports] == [["0"], ["1"], ["2"]]
    assert all(report.outcomes == [Outcome.sent("delivered to maildir")] for report in reports)
    filings.finish()
    assert not pair[0].fill(socket.MSG_DONTWAIT)


def test_a_failure_is_its_own(tmp_path: Path, pair: tuple[Channel, Channel]) -> None:
    filings = Filings(pair[1])
    (tmp_path / "file").write_text("")
    for name in ("box", "file", "box"):
        delivery, fd = _delivery(tmp_path / name, b"text\n")
        filings.add(Report(), delivery, [fd])
    filings.finish()
    assert [Report.parse(pair[0].receive()).outcomes[0].status for _ in range(3)] == ["sent", "deferred", "sent"]


def test_so_many_and_no_more_wait(tmp_path: Path, pair: tuple[Channel, Channel]) -> None:
    filings = Filings(pair[1])
    for _ in range(TOGETHER):
        delivery, fd = _delivery(tmp_path / "box", b"text\n")
        filings.add(Report(), delivery, [fd])
    assert len(list((tmp_path / "box" / "new").iterdir())) == TOGETHER


def test_directories_are_synced_once_for_all(
    tmp_path: Path, pair: tuple[Channel, Channel], monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[str] = []
    monkeypatch.setattr("pillarbox.lib.store.maildir.writer.sync_directory", lambda path: synced.append(path))
    filings = Filings(pair[1])
    for _ in range(10):
        delivery, fd = _delivery(tmp_path / "box", b"text\n")
        filings.add(Report(), delivery, [fd])
    filings.finish()
    assert synced == [str(tmp_path / "box" / "new")]


# --- the parent's side


def _echo(job: Attributes, fd: int) -> Report:
    if job.text("do") == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    if job.text("do") == "sleep":
        time.sleep(60)
    return Report(warnings=[job.text("do"), os.pread(fd, 10, 0).decode(), str(os.getpid())])


class Crew:
    """Children that echo, and messages whose content is known."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, time_limit: float = 30.0) -> None:
        monkeypatch.setattr(module, "begin_deliverer", lambda *_: _echo)
        self._path = tmp_path
        self._time_limit = time_limit
        self.pool: Children

    def run(self, *jobs: str, alone: frozenset[str] = frozenset()) -> list[Report | BaseException]:
        """All at once, for one user; those of `alone` have something beside."""

        async def put(addresses: list[str]) -> None:
            raise AssertionError

        async def one(name: str) -> Report:
            path = self._path / name
            path.write_text(name)
            fd = os.open(path, os.O_RDONLY)
            try:
                message = Message("id", "s@x", "r@x", "", 0.0, 1, 0, fd)
                user = User("u", 1, 1, "/", "/bin/sh")
                return await pool.deliverer(user, {"do": name}, message, put if name in alone else None)
            finally:
                os.close(fd)

        async def run() -> list[Report | BaseException]:
            results = await asyncio.gather(*(one(name) for name in jobs), return_exceptions=True)
            again.append(await one("again"))
            pool.close()
            return results

        again: list[Report] = []
        pool = Children(Config.for_tests())
        pool._time_limit = self._time_limit
        results = asyncio.run(run())
        assert again[0].warnings[0] == "again"
        return results


def test_they_share_a_child_and_each_has_its_report(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    names = [f"job{number}" for number in range(60)]
    reports = Crew(monkeypatch, tmp_path).run(*names)
    assert [report.warnings[:2] for report in reports if isinstance(report, Report)] == [[n, n] for n in names]
    assert len({report.warnings[2] for report in reports if isinstance(report, Report)}) == 1


def test_what_needs_the_child_alone_waits_for_the_others_and_they_for_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    names = [f"job{number}" for number in range(20)]
    reports = Crew(monkeypatch, tmp_path).run(*names, alone=frozenset({"job3", "job4", "job15"}))
    assert [report.warnings[:2] for report in reports if isinstance(report, Report)] == [[n, n] for n in names]


def test_a_child_that_dies_fails_all_that_it_had(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    reports = Crew(monkeypatch, tmp_path).run("a", "b", "die", "c", "d")
    assert [isinstance(report, Report) for report in reports][:2] == [True, True]
    assert all(isinstance(report, ChildFailed) for report in reports[2:])


def test_a_child_that_hangs_fails_all_that_it_had(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    reports = Crew(monkeypatch, tmp_path, 0.5).run("a", "sleep", "c", "d")
    assert isinstance(reports[0], Report)
    assert all(isinstance(report, ChildFailed) for report in reports[1:])


def test_who_gives_up_makes_the_child_useless(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The report that nobody waits for any more must not be taken for the next job's."""
    monkeypatch.setattr(module, "begin_deliverer", lambda *_: _echo)
    (tmp_path / "x").write_text("x")
    user = User("u", 1, 1, "/", "/bin/sh")

    async def run() -> None:
        pool = Children(Config.for_tests())
        with open(tmp_path / "x") as file:
            message = Message("id", "s@x", "r@x", "", 0.0, 1, 0, file.fileno())
            calls = [pool.deliverer(user, {"do": name}, message) for name in ("a", "b", "c")]
            tasks = [asyncio.ensure_future(call) for call in calls]
            await asyncio.sleep(0)
            tasks[1].cancel()
            with pytest.raises(asyncio.CancelledError):
                await tasks[1]
            with pytest.raises(ChildFailed):
                await tasks[2]
            assert (await tasks[0]).warnings[0] == "a"
            assert (await pool.deliverer(user, {"do": "d"}, message)).warnings[0] == "d"
        pool.close()

    asyncio.run(run())


def test_descriptors_of_a_child_are_not_kept(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def begin(_config: Config, _user: User, channel: Channel, _filings: Filings) -> Serve:
        def serve(job: Attributes, fd: int) -> Report:
            for _ in range(300):
                channel.send({**Report().members(), "more": True}, [fd])
            return Report(warnings=[job.text("do")])

        return serve

    crew = Crew(monkeypatch, tmp_path)
    monkeypatch.setattr(module, "begin_deliverer", begin)
    before = len(os.listdir("/proc/self/fd"))
    assert isinstance(crew.run("a")[0], Report)
    assert len(os.listdir("/proc/self/fd")) == before
