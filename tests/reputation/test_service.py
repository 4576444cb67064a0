"""Client and service over a real UNIX socket."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from pillarbox.lib.clients import ServiceUnavailable
from pillarbox.lib.clients.reputation import (
    AccountLimits,
    AsyncReputationClient,
    GreylistPolicy,
    Passed,
    ReputationClient,
    address_key,
    triplet_key,
)
from pillarbox.lib.config import Config
from pillarbox.lib.ipc import Attributes, ProtocolError
from pillarbox.reputation.service import Memory
from tests.reputation.scene import Clock, asking, opened, serving

POLICY = GreylistPolicy(300, 172800, 3024000, 5)
LIMITS = AccountLimits(1, 0, 0, 86400)


def test_keys_do_not_tell_upper_from_lower_case() -> None:
    assert address_key("Ann@Example.COM") == address_key("ann@example.com")
    assert address_key("ann@example.com") != address_key("anne@example.com")
    assert triplet_key("n", "A", "b") == triplet_key("n", "a", "B")
    assert triplet_key("n", "a", "b") != triplet_key("na", "", "b")


def test_what_a_client_has_passed_goes_to_and_fro(tmp_path: Path) -> None:
    async def scenario() -> None:
        clock = Clock()
        async with serving(tmp_path, clock) as (config, _), asking(config) as first, asking(config) as second:
            assert await first.client("192.0.2.1") is None
            passed = Passed(int(clock.now) + 50, int(clock.now) + 90, -3)
            first.passed("192.0.2.1", passed)
            while await second.client("192.0.2.1") is None:
                await asyncio.sleep(0.001)
            assert await second.client("192.0.2.1") == passed
            clock.now += 91
            assert await second.client("192.0.2.1") is None

    asyncio.run(scenario())


def test_many_questions_at_once(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with serving(tmp_path, Clock()) as (config, _), asking(config) as client:
            asked = [client.greylist("192.0.2.0/24", f"t{number % 50}", "s", POLICY) for number in range(200)]
            answers = await asyncio.gather(*asked)
            assert [answer.why for answer in answers] == ["new"] * 50 + ["early"] * 150

    asyncio.run(scenario())


def test_whom_users_have_written_to(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with serving(tmp_path, Clock()) as (config, memory), asking(config) as client:
            client.written([address_key(f"{number}@x.example") for number in range(5000)], 60)
            while memory.database.row("SELECT count(*) FROM correspondents") != (5000,):
                await asyncio.sleep(0.005)
            assert (await client.greylist("n", "t", address_key("4999@x.example"), POLICY)).why == "correspondent"

    asyncio.run(scenario())


def test_an_account_is_braked_listed_and_released(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with serving(tmp_path, Clock()) as (config, _), asking(config) as client:
            ann = "ann@here.example"
            assert not (await client.submit(ann, ["a"], LIMITS)).braked
            standing = await client.submit(ann, [str(number) for number in range(4500)], LIMITS)
            assert standing.braked and standing.tell
            assert (standing.messages, standing.recipients, standing.new_recipients) == (2, 4501, 4501)
            client.told(ann)
            command = ReputationClient(config)
            (listed,) = await asyncio.to_thread(command.accounts)
            assert (listed.account, listed.reason) == (ann, "2 messages within 1 day, 1 are allowed")
            released = await asyncio.to_thread(command.release, ann)
            assert released is not None and released.braked
            assert await asyncio.to_thread(command.release, ann) is None
            assert not (await client.submit(ann, ["a"], LIMITS)).braked

    asyncio.run(scenario())


def test_a_service_that_is_away_is_unavailable_and_found_when_it_is_back(tmp_path: Path) -> None:
    async def scenario() -> None:
        clock = Clock()
        async with serving(tmp_path, clock) as (config, _):
            client = AsyncReputationClient(config)
            assert (await client.greylist("n", "t", "s", POLICY)).why == "new"
        Path(config.socket_path("reputation")).unlink()
        for _ in range(3):
            with pytest.raises(ServiceUnavailable, match="reputation"):
                await client.greylist("n", "t", "s", POLICY)
        client.passed("a", Passed(1, 1, 1))  # fails in silence
        with pytest.raises(ServiceUnavailable):
            await asyncio.to_thread(ReputationClient(config).accounts)
        async with serving(tmp_path, clock) as (config, _):
            client.service.down_until = 0.0
            clock.now += 300
            assert (await client.greylist("n", "t", "s", POLICY)).why == "passed", "and it has remembered"
            client.close()

    asyncio.run(scenario())


def test_a_database_that_fails_is_unavailable(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with serving(tmp_path, Clock()) as (config, memory), asking(config) as client:
            memory.database.path = str(tmp_path / "nowhere" / "x.sqlite")
            with pytest.raises(ServiceUnavailable, match="unable to open"):
                await client.client("a")

    asyncio.run(scenario())


@pytest.mark.parametrize(
    "request_",
    [
        {},
        {"do": "explode"},
        {"do": "client"},
        {"do": "client", "address": "a" * 600},
        {"do": "client", "address": 7},
        {"do": "passed", "address": "a", "greet": -1, "dnsbl": 0, "rank": 0},
        {"do": "passed", "address": "a", "greet": 2**63, "dnsbl": 0, "rank": 0},
        {"do": "passed", "address": "a", "greet": 1.5, "dnsbl": 0, "rank": 0},
        {"do": "greylist", "network": "n", "triplet": "t", "sender": "s", "policy": [1, 2, 3]},
        {"do": "greylist", "network": "n", "triplet": "t", "sender": "s", "policy": [1, 2, 3, "x"]},
        {"do": "greylist", "network": "n", "triplet": "t", "sender": "s", "policy": [1, 2, 3, True]},
        {"do": "written", "addresses": "a", "lifetime": 3},
        {"do": "written", "addresses": ["a" * 600], "lifetime": 3},
        {"do": "submit", "account": "a", "messages": 1, "recipients": [], "limits": [1, 2, 3, -4]},
    ],
)
def test_a_request_that_makes_no_sense_is_refused(tmp_path: Path, request_: dict[str, object]) -> None:
    clock = Clock()
    with pytest.raises(ProtocolError):
        Memory(opened(tmp_path, clock), clock).answer(Attributes(request_))


def test_a_peer_that_asks_nonsense_is_cut_off_and_no_other(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with serving(tmp_path, Clock()) as (config, _), asking(config) as good, asking(config) as bad:
            assert await good.client("a") is None
            with pytest.raises(ServiceUnavailable):
                await bad.client("a" * 600)
            assert await good.client("a") is None

    asyncio.run(scenario())


def test_commands_need_a_running_service() -> None:
    with pytest.raises(ServiceUnavailable):
        ReputationClient(Config.for_tests(queue_directory="/nonexistent")).accounts()
