"""pillarbox account: what is held, and letting it go."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from pillarbox.commands.pillarbox import main
from pillarbox.lib.clients.reputation import Standing, held_account
from pillarbox.reputation.accounts import Limits
from pillarbox.reputation.service import Memory
from tests.commands.queued import put_message
from tests.commands.reputation_service import ReputationService
from tests.commands.running import Said, run

ANN, BOB = "ann@one.test", "bob@one.test"
LIMITS = Limits(1, 0, 0, 86400)
REASON = f"account {ANN}: 2 messages within 1 day, 1 are allowed"


@pytest.fixture
def service(instance: Path) -> Iterator[ReputationService]:
    def fill(memory: Memory) -> None:
        for account in (ANN, ANN, BOB):
            memory.accounts.submit(account, 1, ("x", "y"), LIMITS)

    with ReputationService(instance, fill) as running:
        yield running


def account(instance: Path, *words: str) -> Said:
    return run(main, "-c", instance / "etc", "account", *words)


def held(instance: Path, reason: str) -> str:
    return put_message(instance / "spool", "hold", hold=reason)


def test_list_shows_braked_accounts_first(instance: Path, service: ReputationService) -> None:
    held(instance, REASON)
    held(instance, REASON)
    held(instance, "header check")
    held(instance, "account gone@one.test: 2 messages within 1 day, 1 are allowed")
    said = account(instance, "list")
    first, second, third = said.out.splitlines()
    assert first.startswith(f"{ANN}: braked since 20")
    assert first.endswith("2 messages within 1 day, 1 are allowed; 2 messages held")
    assert second.startswith(f"{BOB}: 1 message, 2 recipients, 2 of them new since 20")
    assert third == "gone@one.test: released, 1 message still held"


def test_release_lets_the_messages_of_the_account_go_and_no_others(instance: Path, service: ReputationService) -> None:
    mine = [held(instance, REASON) for _ in range(3)]
    others = [held(instance, reason) for reason in ("", "header check", REASON.replace(ANN, f"x{ANN}"))]
    said = account(instance, "release", "Ann@One.test")
    assert said == Said(0, f"{ANN} was braked and may send again; 3 held messages let go\n")
    assert sorted(path.name for path in (instance / "spool/deferred").iterdir()) == sorted(mine)
    assert sorted(path.name for path in (instance / "spool/hold").iterdir()) == sorted(others)
    assert ANN not in account(instance, "list").out.splitlines()[0]


def test_an_account_of_which_nothing_is_held(instance: Path, service: ReputationService) -> None:
    assert account(instance, "release", "nobody@one.test") == Said(
        67, "", "pillarbox account: nobody@one.test is not braked, and nothing of it is held\n"
    )


def test_what_is_left_in_hold_can_be_released_when_the_brake_was_forgotten(
    instance: Path, service: ReputationService
) -> None:
    queue_id = held(instance, "account old@one.test: 2 messages within 1 day, 1 are allowed")
    said = account(instance, "release", "old@one.test")
    assert said.out == "old@one.test was not braked and may send again; 1 held message let go\n"
    assert (instance / "spool/deferred" / queue_id).exists()


def test_a_damaged_file_in_hold_is_passed_over(instance: Path, service: ReputationService) -> None:
    queue_id = held(instance, REASON)
    (instance / "spool/hold" / queue_id).write_bytes(b"rubbish")
    assert account(instance, "release", ANN).out.endswith("0 held messages let go\n")


def test_without_the_mail_system(instance: Path) -> None:
    for words in (("list",), ("release", ANN)):
        said = account(instance, *words)
        assert said.status == 75
        assert said.err.startswith("pillarbox account: reputation: connect to ")
        assert said.err.endswith("is the mail system running?  See pillarbox status\n")


@pytest.mark.parametrize("words", [(), ("release",), ("list", "x"), ("explode",)])
def test_wrong_use(instance: Path, words: tuple[str, ...]) -> None:
    assert account(instance, *words) == Said(64, "", "usage: pillarbox account list | release ADDRESS\n")


def test_the_account_is_read_from_the_reason() -> None:
    standing = Standing(ANN, 0, 2, 4, 2, 5, "2 messages within 1 day, 1 are allowed")
    assert standing.hold == REASON
    assert held_account(standing.hold) == ANN
    assert held_account("") == held_account("milter: account of") == held_account("account") == ""
