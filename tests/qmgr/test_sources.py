"""The choice of a source address, and how much a new one may send."""

from __future__ import annotations

import datetime
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pillarbox.lib.config import Config, Service
from pillarbox.lib.config.sources import Source
from pillarbox.lib.log import log
from pillarbox.qmgr import warm_up
from pillarbox.qmgr.sources import Sources, choose, today, tomorrow
from pillarbox.qmgr.warm_up import Counts

POOL = tuple(Source((f"192.0.2.{n}",), f"out{n}.test") for n in range(1, 5))
DAY = datetime.date(2026, 11, 26)
NOON = datetime.datetime(2026, 11, 26, 12, tzinfo=datetime.UTC).timestamp()


def anything(source: Source) -> int | None:
    return None


class Clock:
    def __init__(self) -> None:
        self.now = NOON

    def __call__(self) -> float:
        return self.now


def sources(counts: Counts | None = None, **settings: str) -> tuple[Sources, Clock]:
    services = {
        "smtp": Service("smtp", "smtp_client"),
        "bulk": Service("bulk", "smtp_client", options={"source_addresses": "192.0.2.9 bulk.test"}),
        "local": Service("local", "local"),
    }
    values = {
        "source_addresses": "192.0.2.1 out1.test, 192.0.2.2 2001:db8::2 out2.test",
        "warm_up": '{"2001:db8::2": {since: 2026-11-25, per_day: [5, 10, 20]}}',
        **settings,
    }
    clock = Clock()
    return Sources.of(Config(values, services), counts or Counts(), clock), clock


class TestChoice:
    def test_a_destination_stays_with_its_source(self) -> None:
        first = choose(POOL, "a.test", {}, anything)
        assert first is not None and first == choose(POOL, "a.test", {}, anything)

    def test_destinations_are_spread(self) -> None:
        found = Counter(
            chosen[0].name for n in range(400) if (chosen := choose(POOL, f"d{n}.test", {}, anything)) is not None
        )
        assert set(found) == {source.name for source in POOL} and min(found.values()) > 60

    def test_deliveries_at_once_are_spread(self) -> None:
        busy: dict[str, int] = {}
        for _ in range(8):
            chosen = choose(POOL, "a.test", busy, anything)
            assert chosen is not None
            busy[chosen[0].name] = busy.get(chosen[0].name, 0) + 1
        assert set(busy.values()) == {2}

    def test_one_that_is_exhausted_is_passed_over(self) -> None:
        first = choose(POOL, "a.test", {}, anything)
        assert first is not None
        second = choose(POOL, "a.test", {}, lambda source: 0 if source == first[0] else 7)
        assert second is not None and second[0] != first[0] and second[1] == 7

    def test_none_has_room(self) -> None:
        assert choose(POOL, "a.test", {}, lambda source: 0) is None

    @given(st.sets(st.sampled_from(POOL), min_size=1), st.text(max_size=20))
    def test_a_source_that_leaves_the_pool_moves_its_own_destinations_only(
        self, some: set[Source], destination: str
    ) -> None:
        whole, part = choose(POOL, destination, {}, anything), choose(tuple(some), destination, {}, anything)
        assert whole is not None and part is not None
        assert whole[0] not in some or part[0] == whole[0]


class TestPools:
    def test_a_transport_has_its_own_or_the_common_one(self) -> None:
        made, _ = sources()
        assert {name: [source.name for source in pool] for name, pool in made.pools.items()} == {
            "smtp": ["192.0.2.1", "192.0.2.2"],
            "bulk": ["192.0.2.9"],
        }
        assert made.choose("local", "a.test") is None

    def test_without_a_pool_nothing_is_chosen(self) -> None:
        made, _ = sources(source_addresses="")
        assert made.choose("smtp", "a.test") is None


class TestWarmUp:
    def fill(self, made: Sources, destination: str = "a.test") -> int:
        """Send one recipient at a time until nothing more goes from the new address; how many went."""
        count = 0
        while (chosen := made.choose("smtp", destination)) is not None and chosen.source is not None:
            if count > 100:
                return count
            made.ended(made.begun("smtp", destination, chosen.source, 1), 0)
            count += 1
        return count

    ONLY_NEW = {"source_addresses": "192.0.2.2 2001:db8::2"}  # noqa: RUF012

    def test_the_limit_of_the_day_holds_for_each_destination(self) -> None:
        made, clock = sources(**self.ONLY_NEW)
        assert self.fill(made) == 10
        assert self.fill(made, "b.test") == 10
        clock.now += 86400
        assert self.fill(made) == 20
        clock.now += 86400
        assert self.fill(made) == 101, "after the list it is free"

    def test_what_is_over_the_limit_goes_from_another_address(self) -> None:
        made, _ = sources()
        assert self.fill(made) == 101
        assert made.counts.sent(DAY, "192.0.2.2", "a.test") <= 10

    def test_what_finds_none_waits_until_tomorrow(self) -> None:
        made, _ = sources(**self.ONLY_NEW)
        self.fill(made)
        chosen = made.choose("smtp", "a.test")
        assert chosen is not None and chosen.source is None
        assert chosen.until == NOON + 43200 and "warm_up" in chosen.text and "2026-11-27 00:00 UTC" in chosen.text

    def test_a_delivery_may_have_as_many_recipients_as_are_left(self) -> None:
        made, _ = sources(**self.ONLY_NEW)
        chosen = made.choose("smtp", "a.test")
        assert chosen is not None and chosen.source is not None and chosen.recipients == 10
        made.begun("smtp", "a.test", chosen.source, 8)
        again = made.choose("smtp", "a.test")
        assert again is not None and again.recipients == 2

    def test_what_was_not_sent_does_not_count(self) -> None:
        made, _ = sources(**self.ONLY_NEW)
        chosen = made.choose("smtp", "a.test")
        assert chosen is not None and chosen.source is not None
        made.ended(made.begun("smtp", "a.test", chosen.source, 4), 3)
        assert made.counts.sent(DAY, "192.0.2.2", "a.test") == 1
        made.ended(made.begun("smtp", "a.test", chosen.source, 4))
        assert made.counts.sent(DAY, "192.0.2.2", "a.test") == 1

    def test_what_ends_on_the_next_day_takes_nothing_from_its_count(self) -> None:
        made, clock = sources(**self.ONLY_NEW)
        chosen = made.choose("smtp", "a.test")
        assert chosen is not None and chosen.source is not None
        outgoing = made.begun("smtp", "a.test", chosen.source, 4)
        clock.now += 86400
        made.ended(made.begun("smtp", "a.test", chosen.source, 5), 0)
        made.ended(outgoing, 4)
        assert made.counts.sent(DAY + datetime.timedelta(days=1), "192.0.2.2", "a.test") == 5

    def test_what_runs_is_forgotten_when_it_ends(self) -> None:
        made, _ = sources()
        self.fill(made)
        assert not made._busy

    def test_before_its_first_day_an_address_sends_nothing(self) -> None:
        made, clock = sources(**self.ONLY_NEW)
        clock.now -= 2 * 86400
        assert self.fill(made) == 0

    @given(st.floats(0, 4e9))
    def test_tomorrow_is_the_next_day(self, now: float) -> None:
        assert today(tomorrow(now)) - today(now) == datetime.timedelta(days=1)
        assert 0 < tomorrow(now) - now <= 86400


class TestCounts:
    def test_they_survive_a_restart(self, tmp_path: Path) -> None:
        counts = Counts(str(tmp_path))
        counts.add(DAY, "192.0.2.1", "a.test", 7)
        counts.save()
        assert [path.name for path in tmp_path.iterdir()] == [warm_up.NAME]
        again = Counts(str(tmp_path))
        again.load()
        assert again.sent(DAY, "192.0.2.1", "a.test") == 7
        assert again.sent(DAY + datetime.timedelta(days=1), "192.0.2.1", "a.test") == 0

    def test_nothing_new_is_not_written(self, tmp_path: Path) -> None:
        counts = Counts(str(tmp_path))
        counts.add(DAY, "s", "d", 1)
        counts.save()
        (tmp_path / warm_up.NAME).unlink()
        counts.save()
        assert not list(tmp_path.iterdir())

    @pytest.mark.parametrize(
        "data",
        [b"", b"{", b"[]", b"{}", b'{"day": 1, "sent": []}', b'{"day": "x", "sent": [["a", "b", "c"]]}', b"\xff"],
    )
    def test_a_damaged_file_counts_as_none(self, tmp_path: Path, data: bytes) -> None:
        (tmp_path / warm_up.NAME).write_bytes(data)
        counts = Counts(str(tmp_path))
        with log.capture() as lines:
            counts.load()
        assert len(counts) == 0 and "begin anew" in lines[0]
        counts.add(DAY, "s", "d", 1)
        counts.save()

    def test_a_directory_that_cannot_be_written_stops_nothing(self, tmp_path: Path) -> None:
        counts = Counts(str(tmp_path / "away"))
        counts.load()
        counts.add(DAY, "s", "d", 1)
        with log.capture() as lines:
            counts.save()
        assert "are not kept" in lines[0] and counts.sent(DAY, "s", "d") == 1

    def test_the_smallest_counts_are_forgotten_when_there_are_too_many(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(warm_up, "PAIRS_LIMIT", 10)
        counts = Counts()
        for n in range(100):
            counts.add(DAY, "s", f"d{n}", 1000 if n == 0 else 1)
            assert len(counts) <= 10
        assert counts.sent(DAY, "s", "d0") == 1000
