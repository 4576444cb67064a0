"""What explains a second copy, and what never does."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence

import pytest

from tests.crash.accounting import NOTICE, Account, Kill, Swallowing, draw_up
from tests.lab.takings import Taking

RECIPIENT, SERVER, SIZE = "n1@[10.1.0.1]", "10.1.0.1", 100
QMGR, CLIENT = 50, 60


def copy(
    begun: float, port: int = 4000, *, replied: float | None = None, lost: bool = False, late: float = 0
) -> Taking:
    """A copy whose content was asked for at `begun`, came `late`, and was answered 0.1 s later or at `replied`."""
    first = begun + 0.01 + late
    told = first + 0.1 if replied is None else replied
    return Taking(RECIPIENT, SERVER, port, SIZE, begun, first, first, 0.0 if lost else told, lost)


def kill(program: str, when: float, pid: int, *connections: int) -> Kill:
    return Kill(program, pid, when, when + 0.01, frozenset((SERVER, port) for port in connections))


def line(when: float, pid: int, message: str) -> str:
    return json.dumps({"time": when - 5, "pid": pid, "queue_id": "ID", "message": message})


def taken_up(when: float, pid: int = QMGR) -> str:
    return line(when, pid, "from=<a@x.test>, size=1, nrcpt=1 (queue active)")


def sent(when: float, pid: int = CLIENT) -> str:
    return line(when, pid, f"to=<{RECIPIENT}>, relay=x, status=sent (250 ok)")


def broken_off(when: float) -> str:
    return line(when, CLIENT, f"to=<{RECIPIENT}>, status=deferred (timed out while sending end of data -- message)")


def removed(when: float) -> str:
    return line(when, QMGR, "removed")


def account(
    copies: Sequence[Taking],
    kills: Sequence[Kill] = (),
    log: Iterable[str] = (),
    swallowings: Sequence[Swallowing] = (),
) -> Account:
    return draw_up({RECIPIENT: SIZE}, list(kills), list(swallowings), list(copies), log, 5.0)


TWICE = [copy(10.0), copy(20.0, 4001)]
USUAL = [taken_up(9.0), sent(10.2), taken_up(19.0, 51), sent(20.2), removed(20.3)]


@pytest.mark.parametrize(
    ("kills", "cause"),
    [
        ([kill("qmgr", 10.15, QMGR)], "qmgr"),
        ([kill("qmgr", 10.05, QMGR)], "qmgr, on its way"),
        ([kill("smtp_client", 10.15, CLIENT)], "smtp_client"),
        ([kill("smtp_client", 10.15, 61, 4000)], "smtp_client"),
        ([kill("smtp_client", 10.05, 61, 4000)], "smtp_client, on its way"),
        ([kill("all", 10.15, 0)], "all"),
        ([kill("qmgr", 10.15, 51)], None),  # of another queue manager
        ([kill("qmgr", 9.9, QMGR)], None),  # before it was given
        ([kill("qmgr", 20.1, QMGR)], None),  # when the next copy had begun
        ([kill("smtp_client", 10.15, 61)], None),  # another client
        ([kill("smtp_client", 10.15, 61, 4001)], None),  # another connection
        ([kill("smtpd", 10.15, QMGR), kill("bounce", 10.15, CLIENT, 4000)], None),
        ([], None),
    ],
)
def test_the_process_that_carried_or_ordered_it_must_have_been_killed(kills: list[Kill], cause: str | None) -> None:
    found = account(TWICE, kills, USUAL)
    assert found.doubled == 1
    assert dict(found.causes) == ({cause: 1} if cause else {})
    assert len(found.unexplained) == (cause is None)


def test_a_copy_that_began_after_the_record_is_never_explained() -> None:
    log = [taken_up(9.0), sent(10.2), removed(10.3), sent(20.2)]
    kills = [kill("qmgr", 10.15, QMGR), kill("all", 10.2, 0)]
    assert account(TWICE, kills, log).unexplained
    assert account([copy(10.0, lost=True), copy(20.0)], kills, log).unexplained


def test_a_kill_after_the_record_explains_nothing() -> None:
    log = [taken_up(9.0), sent(10.2), removed(10.3)]
    assert account(TWICE, [kill("qmgr", 10.4, QMGR)], log).unexplained


def test_a_third_copy_needs_a_second_cause() -> None:
    copies = [*TWICE, copy(30.0, 4002)]
    log = [taken_up(9.0), sent(10.2), taken_up(19.0, 51), sent(20.2), taken_up(29.0, 52), sent(30.2), removed(30.3)]
    one = [kill("smtp_client", 10.15, CLIENT, 4000, 4001)]
    assert len(account(copies, one, log).unexplained) == 1
    assert not account(copies, [*one, kill("qmgr", 20.15, 51)], log).unexplained


def test_content_that_began_when_its_queue_manager_was_dead_is_never_explained() -> None:
    killed = [kill("qmgr", 10.0, QMGR)]
    assert account([copy(10.0, late=2 * NOTICE), copy(20.0)], killed, USUAL).unexplained
    assert not account([copy(10.0), copy(20.0)], killed, USUAL).unexplained


def test_replies_that_were_not_sent_or_swallowed_are_classes_of_their_own() -> None:
    found = account([copy(10.0, lost=True), copy(20.0)], [kill("qmgr", 10.15, QMGR)], USUAL)
    assert dict(found.causes) == {"unsent": 1}
    log = [taken_up(9.0), broken_off(15.0), taken_up(19.0), sent(20.2), removed(20.3)]
    assert dict(account(TWICE, [], log, [Swallowing("10.1.0.0/16", 10.0, 12.0)]).causes) == {"swallowed": 1}
    assert account(TWICE, [], log, [Swallowing("10.2.0.0/16", 10.0, 12.0)]).unexplained
    assert account(TWICE, [], log, [Swallowing("10.1.0.0/16", 10.2, 12.0)]).unexplained
    assert account(TWICE, [], USUAL, [Swallowing("10.1.0.0/16", 10.0, 12.0)]).unexplained  # the client had its reply


def test_what_was_answered_never_is_lost_and_what_is_short_is_cut() -> None:
    assert account([copy(10.0, lost=True)]).lost == [RECIPIENT]
    assert account([]).lost == [RECIPIENT]
    assert not account([copy(10.0, lost=True), copy(20.0)]).lost
    short = copy(10.0)
    short.size -= 1
    assert account([short]).cut == [RECIPIENT]


def test_two_messages_of_ours_to_one_recipient_are_no_duplicate_of_a_kill() -> None:
    other = sent(20.2).replace("ID", "OTHER")
    assert account(TWICE, [kill("qmgr", 10.15, QMGR)], [taken_up(9.0), sent(10.2), other]).unexplained
