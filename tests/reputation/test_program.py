"""The program as a real worker: dropped, confined to its directory, killed at any time, started again."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pillarbox.lib.clients import ServiceUnavailable
from pillarbox.lib.clients.reputation import AccountLimits, AsyncReputationClient, GreylistPolicy, ReputationClient
from pillarbox.lib.config import Config, Service
from pillarbox.lib.process.worker import READY, Worker, enter
from pillarbox.reputation.database import NAME
from pillarbox.reputation.program import PROGRAM

UID = 54341
POLICY = GreylistPolicy(0, 172800, 3024000, 0)
LIMITS = AccountLimits(1_000_000, 0, 0, 86400)


@pytest.fixture
def config() -> Iterator[Config]:
    # Not tmp_path, which only root may enter when root runs the tests: the process runs as another user then.
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        (folder / "private").mkdir()
        (folder / "state").mkdir(0o700)
        yield Config.for_tests(
            queue_directory=name,
            data_directory=f"{name}/state",
            lookup_owner=str(UID),
            mail_owner=str(UID + 1),
            reputation_commit_interval="0.01s",
        )


class Process:
    def __init__(self, config: Config) -> None:
        self.listener = socket.socket(socket.AF_UNIX)
        path = config.socket_path("reputation")
        Path(path).unlink(missing_ok=True)
        self.listener.bind(path)
        self.listener.listen(16)
        self.listener.setblocking(False)
        self.status, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.pid = os.fork()
        if self.pid == 0:
            self.status.close()
            enter(Worker(PROGRAM, Service("reputation", "reputation"), config, [self.listener], theirs))
        theirs.close()
        self.status.settimeout(20)
        assert self.status.recv(16) == READY, "the process did not get ready"

    def end(self, number: int = signal.SIGTERM) -> int:
        os.kill(self.pid, number)
        code = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        self.status.close()
        self.listener.close()
        return code


@contextmanager
def process(config: Config) -> Iterator[Process]:
    running = Process(config)
    status = -1
    try:
        yield running
    finally:
        status = running.end()
    assert status == 0


def directory(config: Config) -> Path:
    return Path(f"{config.expanded('data_directory')}/reputation")


def test_its_directory_is_its_own(config: Config) -> None:
    with process(config):
        assert ReputationClient(config).accounts() == []
        status = directory(config).stat()
        assert status.st_mode & 0o7777 == 0o700
        if os.geteuid() == 0:
            assert status.st_uid == UID
            assert directory(config).parent.stat().st_mode & 0o7777 == 0o711
            assert {path.stat().st_uid for path in directory(config).iterdir()} == {UID}


def test_what_was_learnt_survives_a_stop(config: Config) -> None:
    async def learn() -> None:
        client = AsyncReputationClient(config)
        await client.submit("ann@here.example", ["a", "b"], LIMITS)
        client.close()

    with process(config):
        asyncio.run(learn())
    with process(config):
        assert [each.recipients for each in ReputationClient(config).accounts()] == [2]


def test_a_kill_in_the_middle_of_many_questions_costs_nothing_but_the_last_moment(config: Config) -> None:
    processes = [Process(config)]

    async def load() -> int:
        client = AsyncReputationClient(config)
        answered = 0
        for number in range(200):
            asked = [client.submit(f"u{n}", [f"{number}"], LIMITS) for n in range(10)]
            if number == 100:
                os.kill(processes[0].pid, signal.SIGKILL)
            outcomes = await asyncio.gather(*asked, return_exceptions=True)
            if number == 100:
                processes[0].listener.close()
                processes.append(await asyncio.to_thread(Process, config))  # as master does at once
                client.service.down_until = 0.0
            answered += sum(not isinstance(outcome, ServiceUnavailable) for outcome in outcomes)
            assert not [
                each for each in outcomes if isinstance(each, Exception) and type(each) is not ServiceUnavailable
            ]
        client.close()
        return answered

    answered = asyncio.run(load())
    assert os.waitstatus_to_exitcode(os.waitpid(processes[0].pid, 0)[1]) == -signal.SIGKILL
    processes[0].status.close()
    assert answered >= 1990, "only what was asked in the moment of the kill may go without an answer"
    accounts = ReputationClient(config).accounts()
    assert len(accounts) == 10
    assert all(each.messages == each.new_recipients for each in accounts), "what belongs together is kept together"
    assert sum(each.messages for each in accounts) >= 1000
    assert not list(directory(config).glob("damaged*"))
    assert processes[1].end() == 0


def test_a_process_that_takes_over_works_beside_the_one_that_ends(config: Config) -> None:
    """As at a reload: the old one drains with work in hand, the new one writes already."""

    async def learn(client: AsyncReputationClient, account: str) -> None:
        await client.submit(account, ["x"], LIMITS)

    async def scenario() -> None:
        old = Process(config)
        first = AsyncReputationClient(config)
        await learn(first, "a")
        new = await asyncio.to_thread(Process, config)
        second = AsyncReputationClient(config)
        for number in range(50):
            await asyncio.gather(learn(first, f"old{number}"), learn(second, f"new{number}"))
        assert await asyncio.to_thread(old.end) == 0
        await learn(first, "a"), await learn(second, "a")
        accounts = await asyncio.to_thread(ReputationClient(config).accounts)
        assert {each.account: each.messages for each in accounts}["a"] == 3
        assert len(accounts) == 101
        first.close()
        second.close()
        assert await asyncio.to_thread(new.end) == 0

    asyncio.run(scenario())


def test_a_damaged_file_is_no_reason_not_to_start(config: Config) -> None:
    directory(config).mkdir()
    (directory(config) / NAME).write_bytes(b"rubbish" * 5000)
    with process(config):
        assert ReputationClient(config).accounts() == []
    assert (directory(config) / "damaged.sqlite").exists()


def test_a_deleted_file_is_made_anew_while_it_runs(config: Config) -> None:
    async def learn(account: str) -> None:
        client = AsyncReputationClient(config)
        await client.submit(account, [], LIMITS)
        client.close()

    with process(config):
        asyncio.run(learn("a"))
        for path in directory(config).iterdir():
            path.unlink()
        for _ in range(200):
            asyncio.run(learn("b"))
            if (directory(config) / NAME).exists():
                break
            os.sched_yield()
        asyncio.run(learn("c"))
    assert (directory(config) / NAME).exists()
    with process(config):
        assert "c" in [each.account for each in ReputationClient(config).accounts()]
