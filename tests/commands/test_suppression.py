"""pillarbox suppression: whom no mail is sent to."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from pillarbox.commands.pillarbox import main
from pillarbox.reputation.service import Memory
from tests.commands.reputation_service import ReputationService
from tests.commands.running import Said, run

DAY = 86400
USAGE = "usage: pillarbox suppression list | add ADDRESS [REASON...] | remove ADDRESS | export\n"
NOT_APPLIED = "pillarbox suppression: suppression_enable is no: the list is kept, but not applied\n"


@pytest.fixture
def service(instance: Path) -> Iterator[ReputationService]:
    def fill(memory: Memory) -> None:
        memory.suppression.refused("gone@far.test", "550 5.1.1 no such user", 1, 90 * DAY)
        memory.suppression.refused("once@far.test", "550 5.1.1 no such user", 2, 90 * DAY)

    with ReputationService(instance, fill) as running:
        yield running


def suppression(instance: Path, *words: str) -> Said:
    return run(main, "-c", instance / "etc", "suppression", *words)


def test_the_list_says_since_when_and_why(instance: Path, service: ReputationService) -> None:
    said = suppression(instance, "list")
    assert said.out == "gone@far.test: since 2026-11-22 (learnt, until 2027-02-20): 550 5.1.1 no such user\n"
    assert said.err == NOT_APPLIED


def test_add_and_remove(instance: Path, service: ReputationService) -> None:
    said = suppression(instance, "add", "Ann@Far.test", "wants", " no\nmail")
    assert said == Said(0, "ann@far.test gets no mail from here any more\n", NOT_APPLIED)
    assert (
        suppression(instance, "list").out.splitlines()[0] == "ann@far.test: since 2026-11-22 (by hand): wants no mail"
    )
    assert suppression(instance, "remove", "ANN@far.test") == Said(0, "ann@far.test gets mail again\n")
    said = suppression(instance, "remove", "ann@far.test")
    assert said == Said(67, "", "pillarbox suppression: ann@far.test is not on the list\n")


def test_where_it_is_applied_nothing_is_said_about_that(instance: Path, service: ReputationService) -> None:
    with (instance / "etc/main.yaml").open("a") as main_file:
        main_file.write("suppression_enable: yes\n")
    assert suppression(instance, "list").err == ""


def test_export_is_a_table(instance: Path, service: ReputationService) -> None:
    for number in range(70):
        suppression(instance, "add", f"u{number:02}@far.test", "reason", str(number))
    lines = suppression(instance, "export").out.splitlines()
    assert lines[0] == "gone@far.test 550 5.1.1 no such user"
    assert lines[1:] == [f"u{number:02}@far.test reason {number}" for number in range(70)]


@pytest.mark.parametrize(
    "address", ["ann", "@far.test", "ann@", "a b@far.test", "a@" + "x" * 400, "Postmaster@far.test"]
)
def test_what_cannot_be_suppressed(instance: Path, address: str) -> None:
    said = suppression(instance, "add", address)
    assert said.status == 65 and said.out == "" and said.err.count("\n") == 1


def test_without_the_mail_system(instance: Path) -> None:
    for words in (("list",), ("add", "a@far.test"), ("remove", "a@far.test"), ("export",)):
        said = suppression(instance, *words)
        assert said.status == 75
        assert said.err.endswith("is the mail system running?  See pillarbox status\n")


@pytest.mark.parametrize("words", [(), ("add",), ("remove",), ("remove", "a", "b"), ("list", "x"), ("explode",)])
def test_wrong_use(instance: Path, words: tuple[str, ...]) -> None:
    assert suppression(instance, *words) == Said(64, "", USAGE)
