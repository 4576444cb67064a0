"""The suppression list: what a person puts there, and what is learnt."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from pillarbox.lib.clients import ServiceUnavailable
from pillarbox.lib.clients.suppression import AsyncSuppressionClient, Reason, SuppressionClient, exempt, refusal
from pillarbox.lib.config import Config
from pillarbox.lib.log import log
from pillarbox.reputation import schema, suppression
from pillarbox.reputation.database import NAME, Database
from pillarbox.reputation.suppression import Suppression
from pillarbox.reputation.sweep import sweep
from tests.reputation.scene import Clock, opened, serving

ANN, BOB = "ann@far.test", "bob@far.test"
SAID = "550 5.1.1 no such user"
HOUR, DAY = 3600, 86400


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def database(tmp_path: Path, clock: Clock) -> Iterator[Database]:
    made = opened(tmp_path, clock)
    yield made
    made.close()


@pytest.fixture
def suppressed(database: Database, clock: Clock) -> Suppression:
    return Suppression(database, clock)


class TestLearnt:
    def refuse(self, suppressed: Suppression, clock: Clock, times: int) -> list[bool]:
        found = []
        for _ in range(times):
            found.append(suppressed.refused(ANN, SAID, 3, 90 * DAY))
            clock.now += HOUR
        return found

    def test_after_so_many_refusals(self, suppressed: Suppression, clock: Clock) -> None:
        assert self.refuse(suppressed, clock, 2) == [False, False]
        assert suppressed.reasons((ANN, BOB)) == {}
        assert self.refuse(suppressed, clock, 2) == [True, False]
        assert suppressed.reasons((ANN, BOB)) == {ANN: (SAID, False)}

    def test_refusals_within_an_hour_are_one(self, suppressed: Suppression, clock: Clock) -> None:
        assert not any(suppressed.refused(ANN, SAID, 3, 90 * DAY) for _ in range(50))
        clock.now += HOUR
        assert not suppressed.refused(ANN, SAID, 3, 90 * DAY)

    def test_they_are_forgotten_in_time(self, suppressed: Suppression, clock: Clock, database: Database) -> None:
        self.refuse(suppressed, clock, 3)
        clock.now += 90 * DAY
        assert suppressed.reasons((ANN,)) == {} and suppressed.listed("", 9) == []
        assert self.refuse(suppressed, clock, 2) == [False, False], "the count begins anew"
        clock.now += 90 * DAY
        list(sweep(database, int(clock.now)))
        assert database.row("SELECT count(*) FROM suppressed") == (0,)

    def test_without_a_limit_none_is_listed(self, suppressed: Suppression, clock: Clock) -> None:
        for _ in range(9):
            assert not suppressed.refused(ANN, SAID, 0, 90 * DAY)
            clock.now += HOUR

    def test_there_is_an_end_to_what_is_learnt(
        self, suppressed: Suppression, monkeypatch: pytest.MonkeyPatch, database: Database
    ) -> None:
        monkeypatch.setattr(suppression, "LEARNT_LIMIT", 10)
        for number in range(50):
            suppressed.refused(f"u{number}@far.test", SAID, 1, DAY)
        assert database.row("SELECT count(*) FROM suppressed") == (10,)
        suppressed.suppress(ANN, "mine")
        assert suppressed.reasons((ANN,)) == {ANN: ("mine", True)}

    def test_a_refusal_does_not_read_the_whole_list(
        self, suppressed: Suppression, monkeypatch: pytest.MonkeyPatch, database: Database, clock: Clock
    ) -> None:
        monkeypatch.setattr(suppression, "LEARNT_LIMIT", 40)
        asked: list[str] = []
        row = database.row

        def noted(statement: str, values: Sequence[object] = ()) -> tuple[Any, ...] | None:
            asked.append(statement)
            return row(statement, values)

        monkeypatch.setattr(database, "row", noted)
        for number in range(60):
            suppressed.refused(f"u{number}@far.test", SAID, 1, DAY)
        assert sum("count(" in statement for statement in asked) == 1, "and not again within a minute"
        suppressed.lift("u0@far.test")
        clock.now += 61
        suppressed.refused("new@far.test", SAID, 1, DAY)
        assert suppressed.reasons(("new@far.test",)), "there is room again"


class TestByHand:
    def test_it_stays_until_it_is_lifted(self, suppressed: Suppression, clock: Clock, database: Database) -> None:
        suppressed.suppress(ANN, "wants none")
        clock.now += 9000 * DAY
        list(sweep(database, int(clock.now)))
        assert suppressed.reasons((ANN,)) == {ANN: ("wants none", True)}
        assert not suppressed.refused(ANN, SAID, 1, 1), "a refusal does not make it a learnt one"
        assert suppressed.lift(ANN) and not suppressed.lift(ANN)
        assert suppressed.reasons((ANN,)) == {}

    def test_a_full_database_does_not_cost_it(self, tmp_path: Path, clock: Clock) -> None:
        database = opened(tmp_path, clock, 400_000)
        kept = Suppression(database, clock)
        kept.suppress(ANN, "wants none")
        with log.capture() as lines:
            for number in range(12_000):
                database.change("INSERT INTO correspondents VALUES (?, ?)", (f"k{number:030}", number))
                if number % 100 == 0:
                    database.commit()
        assert any("has reached reputation_size_limit" in line for line in lines)
        assert kept.reasons((ANN,)) == {ANN: ("wants none", True)}
        database.close()

    def test_the_list_comes_in_pages(self, suppressed: Suppression) -> None:
        for number in range(7):
            suppressed.suppress(f"u{number}@far.test", "x")
        first = suppressed.listed("", 4)
        assert [each.address for each in first] == [f"u{n}@far.test" for n in range(4)]
        assert [each.address for each in suppressed.listed(first[-1].address, 4)] == [
            f"u{n}@far.test" for n in (4, 5, 6)
        ]
        assert first[0].expires == 0 and first[0].manual


def test_a_database_of_the_former_version_gets_the_table_and_keeps_what_it_has(tmp_path: Path, clock: Clock) -> None:
    database = opened(tmp_path, clock)
    database.change("INSERT INTO correspondents VALUES ('k', 99)")
    database.close()
    connection = sqlite3.connect(tmp_path / NAME)
    connection.executescript("DROP TABLE suppressed; PRAGMA user_version = 1;")
    connection.close()
    database = opened(tmp_path, clock)
    Suppression(database, clock).suppress(ANN, "x")
    assert database.row("SELECT * FROM correspondents") == ("k", 99)
    database.close()
    connection = sqlite3.connect(tmp_path / NAME)
    assert schema.version(connection) == schema.VERSION
    indexes = connection.execute("SELECT name FROM sqlite_schema WHERE type = 'index'").fetchall()
    assert ("suppressed_expires",) in indexes
    connection.close()


class TestClient:
    def test_to_and_fro(self, tmp_path: Path, clock: Clock) -> None:
        async def scenario() -> None:
            async with serving(tmp_path, clock) as (config, memory):
                client = AsyncSuppressionClient(config)
                client.refused("Ann@Far.test", SAID, 1, DAY)
                while not await client.suppressed([ANN]):
                    await asyncio.sleep(0.001)
                many = [f"u{number}@far.test" for number in range(200)]
                assert await client.suppressed([*many, "ANN@far.test", "x" * 999]) == {
                    "ANN@far.test": Reason(SAID, False)
                }
                memory.suppression.suppress("u150@far.test", "x")
                assert set(await client.suppressed(many)) == {"u150@far.test"}
                client.close()

        asyncio.run(scenario())

    def test_the_longest_answers_fit_into_a_frame(self, tmp_path: Path, clock: Clock) -> None:
        async def scenario() -> None:
            async with serving(tmp_path, clock) as (config, memory):
                many = [f"{number:03}{chr(0x1F4E7) * 300}@far.test" for number in range(100)]
                for address in many:
                    memory.suppression.suppress(address, chr(0x1F4E7) * 999)
                client = AsyncSuppressionClient(config)
                assert set(await client.suppressed(many)) == set(many)
                client.close()
                entries = await asyncio.to_thread(lambda: list(SuppressionClient(config).entries()))
                assert [entry.address for entry in entries] == many

        asyncio.run(scenario())

    def test_without_the_service(self, tmp_path: Path) -> None:
        config = Config.for_tests(queue_directory=str(tmp_path))

        async def scenario() -> None:
            client = AsyncSuppressionClient(config)
            with pytest.raises(ServiceUnavailable):
                await client.suppressed([ANN])
            client.refused(ANN, SAID, 1, 1)
            await asyncio.sleep(0)
            client.close()

        asyncio.run(scenario())
        with pytest.raises(ServiceUnavailable):
            SuppressionClient(config).add(ANN, "x")


class TestWords:
    def test_the_sender_hears_why_and_who_can_change_it(self) -> None:
        assert refusal("moved away", "mx.test") == (
            "5.7.1 The address gets no mail from mx.test: moved away; postmaster@mx.test can change that"
        )
        assert refusal(SAID, "mx.test", learnt=True).startswith("5.1.1 ")

    @pytest.mark.parametrize(
        ("address", "expected"),
        [("postmaster@far.test", True), ("PostMaster@x", True), ("double-bounce@here.test", True), (ANN, False)],
    )
    def test_some_are_exempt(self, address: str, expected: bool) -> None:
        assert exempt(address, "double-bounce") is expected
