"""What is due when, what domains wish, and that nothing is sent twice whatever happens in between."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Sequence
from pathlib import Path

import pytest

from pillarbox.lib.clients.tlsrpt import TlsOutcome
from pillarbox.lib.log import log
from pillarbox.tlsrpt.counts import Counts
from pillarbox.tlsrpt.daily import ATTEMPTS_LIMIT, FIRST_PAUSE, Daily
from pillarbox.tlsrpt.delivery import Later, Refused
from pillarbox.tlsrpt.ledger import Ledger
from pillarbox.tlsrpt.report import DAY, Report, Reporter

FAR = "far.test"
TODAY = 20000
MAIL, WEB = "mailto:tls@reports.test", "https://reports.test/tls"
REPORTER = Reporter("X", "c@x.test", "x.test")


class Killed(BaseException):
    """The process is killed here."""


class World:
    """far.test wishes `wish` (None: nobody can say); deliveries do what `fate` says, in this order, then succeed."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.now = TODAY * DAY + 60.0
        self.wish: dict[str, tuple[str, ...] | None] = {FAR: (MAIL,)}
        self.asked: list[str] = []
        self.sent: list[tuple[str, str]] = []
        self.fate: list[BaseException] = []
        self.unique = itertools.count()
        self.chance = 0.5
        self.begin()

    def begin(self) -> None:
        """As at the start of a process."""
        self.counts = Counts(str(self.directory))
        self.ledger = Ledger(str(self.directory), durable=False)
        self.daily = Daily(
            self.counts,
            self.ledger,
            self._ask,
            self,
            REPORTER,
            delay=4 * 3600.0,
            unique=lambda: f"u{next(self.unique)}",
            clock=lambda: self.now,
            chance=lambda: self.chance,
        )

    async def _ask(self, domain: str) -> tuple[str, ...] | None:
        self.asked.append(domain)
        return self.wish.get(domain, ())

    async def mail(self, report: Report, recipients: Sequence[str]) -> str:
        return self._deliver(report, ",".join(recipients))

    async def post(self, report: Report, url: str) -> str:
        return self._deliver(report, url)

    def _deliver(self, report: Report, where: str) -> str:
        if self.fate:
            fate = self.fate.pop(0)
            if isinstance(fate, Killed) and fate.args:
                self.sent.append((report.domain, where))  # it arrived, and then the process died
            raise fate
        self.sent.append((report.domain, where))
        return "sent"

    def count(self, day: int = TODAY - 1, domain: str = FAR, times: int = 1) -> None:
        self.counts.add(day, [(TlsOutcome(domain, "sts"), times)])

    def run(self, hours: float = 0.0) -> list[str]:
        """Let time go by, then do what is due; the log."""
        self.now += hours * 3600
        with log.capture() as lines:
            asyncio.run(self.daily.round())
        return lines


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_a_day_is_reported_at_its_moment_once(world: World) -> None:
    world.count()
    world.run()
    assert world.sent == [] and world.asked == [], "not before the random moment"
    assert any(
        "report 20241003.u0@x.test on TLS sent to mailto:tls@reports.test: sent" in line for line in world.run(2)
    )
    for _ in range(3):
        world.run(5)
    assert world.sent == [(FAR, "tls@reports.test")]
    assert world.counts.days() == []


def test_the_moment_stays_over_a_restart(world: World) -> None:
    world.count()
    world.run()
    world.chance = 0.0
    world.begin()
    world.run()
    assert world.sent == []
    world.run(2)
    assert len(world.sent) == 1


def test_the_day_that_is_not_over_is_not_reported(world: World) -> None:
    world.count(TODAY)
    world.run(23)
    assert world.sent == []
    world.run(5)
    assert len(world.sent) == 1


def test_a_domain_that_wishes_none_costs_one_look_up(world: World) -> None:
    world.wish = {}
    world.count()
    for _ in range(5):
        world.run(3)
    assert world.asked == [FAR] and world.sent == [] and world.counts.days() == []


def test_where_nobody_can_say_it_is_asked_again_later(world: World) -> None:
    world.wish = {FAR: None}
    world.count()
    world.run(3)
    world.run()
    assert world.asked == [FAR]
    world.wish = {FAR: (MAIL,)}
    world.run(FIRST_PAUSE / 3600)
    assert len(world.sent) == 1


def test_each_place_gets_it(world: World) -> None:
    world.wish = {FAR: (MAIL, WEB, "mailto:other@b.test")}
    world.count()
    world.run(3)
    assert world.sent == [(FAR, "tls@reports.test,other@b.test"), (FAR, WEB)]


def test_what_failed_for_now_is_tried_again_and_nothing_else(world: World) -> None:
    world.wish = {FAR: (MAIL, WEB)}
    world.fate = [Later("cleanup is away")]
    world.count()
    world.run(3)
    assert world.sent == [(FAR, WEB)]
    world.run()
    assert len(world.sent) == 1
    world.run(FIRST_PAUSE / 3600)
    assert world.sent == [(FAR, WEB), (FAR, "tls@reports.test")]
    assert world.asked == [FAR] and world.counts.days() == []


def test_it_is_given_up_after_some_attempts(world: World) -> None:
    world.fate = [Later("away") for _ in range(99)]
    world.count()
    lines: list[str] = []
    for _ in range(80):
        lines += world.run(0.5)
    assert 99 - len(world.fate) == ATTEMPTS_LIMIT
    assert sum("given up" in line for line in lines) == 1 and world.counts.days() == []


def test_what_is_refused_is_not_tried_again(world: World) -> None:
    world.fate = [Refused("HTTP status 404")]
    world.count()
    assert any("HTTP status 404" in line for line in world.run(3))
    world.run(3)
    assert world.sent == []


@pytest.mark.parametrize("arrived", [True, False])
def test_a_process_killed_while_it_sends_sends_nothing_twice(world: World, arrived: bool) -> None:
    world.wish = {FAR: (MAIL, WEB)}
    world.fate = [Killed("arrived") if arrived else Killed()]
    world.count()
    with pytest.raises(Killed):
        world.run(3)
    for _ in range(4):
        world.begin()
        world.run(1)
    assert world.sent == ([(FAR, "tls@reports.test")] if arrived else []) + [(FAR, WEB)]
    assert world.counts.days() == []


def test_killed_at_any_step_nothing_is_sent_twice(tmp_path: Path) -> None:
    """A kill before each call to the ledger and to the outside, in turn."""
    for step in range(40):
        directory = tmp_path / str(step)
        directory.mkdir()
        world = World(directory)
        world.wish = {FAR: (MAIL, WEB), "b.test": (WEB,), "c.test": ()}
        for domain in (FAR, "b.test", "c.test"):
            world.count(domain=domain)
        left = [step]
        real_write, real_forget, real_find = Ledger.write, Counts.forget, Ledger.find

        def counted(real, left=left):  # type: ignore[no-untyped-def]
            def call(*arguments):  # type: ignore[no-untyped-def]
                left[0] -= 1
                if left[0] == -1:
                    raise Killed
                result = real(*arguments)
                if left[0] == 0:
                    left[0] = -1
                    raise Killed
                return result

            return call

        with pytest.MonkeyPatch.context() as patch:
            for owner, name, real in (
                (Ledger, "write", real_write),
                (Counts, "forget", real_forget),
                (Ledger, "find", real_find),
                (World, "_deliver", World._deliver),
            ):
                patch.setattr(owner, name, counted(real))
            try:
                world.run(3)
            except Killed:
                pass
        for _ in range(4):
            world.begin()
            world.run(1)
        assert len(world.sent) == len(set(world.sent)) <= 3, (step, world.sent)
        assert world.counts.days() == [], step


def test_nothing_is_sent_where_that_cannot_be_noted(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.count()
    monkeypatch.setattr(Ledger, "write", lambda *_: False)
    world.run(3)
    assert world.sent == []


def test_reports_about_nothing_but_reports_are_not_sent(world: World) -> None:
    """Two systems that report to each other would never end (section 3)."""
    world.wish = {FAR: (MAIL,), "reports.test": ("mailto:tls@reports.test",)}
    world.count()
    world.run(3)
    world.count(TODAY, "reports.test", 1)  # the session in which the report went
    world.run(24)
    assert world.sent == [(FAR, "tls@reports.test")]
    world.run(24)
    world.count(TODAY + 1, "reports.test", 1)
    world.run(5)
    assert world.sent[1:] == [("reports.test", "tls@reports.test")], "other mail is reported on"


def test_many_domains(world: World) -> None:
    world.wish = {f"d{n}.test": (MAIL,) for n in range(70)}
    for domain in world.wish:
        world.count(domain=domain)
    world.run(3)
    assert sorted(domain for domain, _ in world.sent) == sorted(world.wish)


def test_what_is_too_old_is_dropped(world: World) -> None:
    world.count(TODAY - 3)
    world.run()
    assert world.counts.days() == [] and world.asked == []
    world.count(TODAY - 2)
    world.run()
    assert len(world.sent) == 1


def test_a_fault_of_ours_is_seen_and_ends_that_report(world: World) -> None:
    world.fate = [RuntimeError("oh")]
    world.count()
    assert any("panic" in line for line in world.run(3))
    world.run(3)
    assert world.sent == [] and world.counts.days() == []
