"""Mailing lists by `:include:`: of any length, in bounded memory, sent on once or not at all."""

from __future__ import annotations

import os
import tracemalloc
from pathlib import Path

import pytest

from pillarbox.lib.config import Config
from pillarbox.local import deliverer, sending
from pillarbox.local.steps import Message
from pillarbox.local.users import User
from tests.local.conftest import FIRST_UID, NOBODY_UID, House, needs_root


def one(house: House, address: str) -> tuple[str, str, str]:
    (result,) = house.deliver(address)
    print(result)  # for whom it fails
    return result.status, result.dsn, result.text


def test_a_list_of_100_000_members_is_expanded_in_bounded_memory(house: House) -> None:
    members = "".join(f"member{number}@far.example\n" for number in range(100_000))
    path = house.write("ann", "list", members)
    house.services.aliases["members"] = f":include:{path}"
    house.services.counting = True
    status, _, text = one(house, "members@example.com")
    assert (status, text[:13]) == ("sent", "forwarded as "), text
    assert house.services.counts == [sending.MEMBERS_PER_MESSAGE] * 2


def test_a_reader_of_a_list_keeps_no_member(tmp_path: Path) -> None:
    path = tmp_path / "list"
    path.write_text("".join(f"member{number}@far.example\n" for number in range(5_000)))
    me = os.geteuid()
    reader = deliverer.Deliverer(
        Config.for_tests(duplicate_filter_limit="10"), User("me", me, os.getegid(), str(tmp_path), "/bin/sh")
    )
    message = Message("id", "s@example.org", "list@example.com", "", 0.0, 0, 0, -1, user="list", domain="example.com")
    report = reader.include(message, str(path))
    assert (report.listed, report.forward) == (5_000, [])
    tracemalloc.start()
    try:
        found = sum(len(batch) for batch in reader.members(message, str(path), report.signature))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert found == 5_000
    assert peak < path.stat().st_size


def test_all_addresses_of_a_recipient_go_into_one_message(house: House) -> None:
    first = house.write("ann", "first", "a@far.example, b@far.example\n")
    second = house.write("bob", "second", f"c@far.example\n:include:{first}\n")
    house.services.aliases["all"] = f"zero@far.example, :include:{second}"
    assert one(house, "all@example.com")[0] == "sent"
    ((envelope, _),) = house.services.received
    assert sorted(envelope["recipients"]) == [f"{name}@far.example" for name in ("a", "b", "c", "zero")]  # type: ignore[call-overload]


@pytest.mark.parametrize("each", [1, 2, 3, 6])
def test_long_lists_become_several_messages_and_lose_nobody(
    house: House, monkeypatch: pytest.MonkeyPatch, each: int
) -> None:
    monkeypatch.setattr(sending, "MEMBERS_PER_MESSAGE", each)
    monkeypatch.setattr(deliverer, "BATCH", 1)
    paths = [
        house.write("ann", f"list{number}", f"a{number}@far.example\nb{number}@far.example\n") for number in (1, 2)
    ]
    house.services.aliases["all"] = ", ".join(
        ["x@far.example", "y@far.example", *(f":include:{path}" for path in paths)]
    )
    assert one(house, "all@example.com")[0] == "sent"
    found = [address for envelope, _ in house.services.received for address in envelope["recipients"]]  # type: ignore[attr-defined]
    assert sorted(found) == [f"{name}@far.example" for name in ("a1", "a2", "b1", "b2", "x", "y")]


def test_members_that_come_twice_get_one_copy(house: House) -> None:
    path = house.write("ann", "list", "a@far.example\nb@far.example, a@far.example\n")
    house.services.aliases["all"] = f":include:{path}"
    one(house, "all@example.com")
    assert house.services.received[0][0]["recipients"] == ["a@far.example", "b@far.example"]


@pytest.mark.parametrize("alone", [True, False])
def test_a_user_in_a_list_of_the_own_forward_file_gets_the_mailbox(house: House, alone: bool) -> None:
    path = house.write("ann", "list", "ann\n" if alone else "ann, x@far.example\n")
    house.write("ann", ".forward", f":include:{path}\n")
    assert one(house, "ann@example.com")[0] == "sent"
    assert (house.spool / "ann").read_text().count("Subject: hi") == 1
    assert len(house.services.received) == (0 if alone else 1)


def test_the_mailbox_gets_one_copy_wherever_the_user_is_named(house: House) -> None:
    path = house.write("ann", "list", "ann\n")
    house.write("ann", ".forward", f"\\ann, :include:{path}\n")
    house.services.aliases["ann"] = f"ann, :include:{path}"
    assert one(house, "ann@example.com")[0] == "sent"
    assert (house.spool / "ann").read_text().count("Subject: hi") == 1


def test_many_addresses_want_a_list(house: House) -> None:
    many = ", ".join(f"m{number}@far.example" for number in range(10_001))
    house.write("ann", ".forward", many)
    house.services.aliases["many"] = many
    for address in ("ann@example.com", "many@example.com"):
        assert one(house, address) == ("deferred", "4.3.5", "more than 10000 addresses without :include:")
    assert house.services.received == []


def test_an_error_in_a_list_names_file_and_line_and_nothing_is_sent(house: House) -> None:
    path = house.write("ann", "list", "good@far.example\n\n# fine\n<unclosed\nbad bad@x\n")
    house.services.aliases["all"] = f"other@far.example, :include:{path}"
    status, dsn, text = one(house, "all@example.com")
    assert (status, dsn) == ("deferred", "4.3.5")
    assert f":include:{path}, line 4: " in text
    assert house.services.received == []


def test_a_list_that_changes_between_its_readings_is_sent_to_nobody(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = house.write("ann", "list", "a@far.example\n")
    house.services.aliases["all"] = f":include:{path}"
    real = deliverer.Deliverer.include

    def include(self: deliverer.Deliverer, *arguments: object, **how: bool) -> object:
        report = real(self, *arguments, **how)  # type: ignore[arg-type]
        path.write_text("a@far.example\nb@far.example\n")
        return report

    monkeypatch.setattr(deliverer.Deliverer, "include", include)
    assert one(house, "all@example.com") == ("deferred", "4.3.0", f":include:{path}: the file changes while it is read")
    assert house.services.received == []


def test_what_must_be_tried_again_keeps_the_rest_from_being_sent_twice(house: House) -> None:
    house.services.aliases["ann"] = '\\ann, copy@far.example, "|exit 75"'
    status, dsn, _ = one(house, "ann@example.com")
    assert (status, dsn) == ("deferred", "4.3.0")
    assert house.services.received == [], "at the next attempt the copy would be sent again"
    assert not (house.spool / "ann").exists(), "and the mailbox would get the message again"


def test_a_step_that_fails_for_good_keeps_nothing_from_anyone(house: House) -> None:
    house.services.aliases["ann"] = '\\ann, copy@far.example, "|exit 69"'
    results = house.deliver("ann@example.com")
    assert results[0].status == "bounced"
    assert (house.spool / "ann").exists()
    assert house.services.received[0][0]["recipients"] == ["copy@far.example"]


def test_a_list_beside_a_command_is_not_forgotten(house: House) -> None:
    path = house.write("ann", "list", "a@far.example\n")
    house.services.aliases["all"] = f'"|cat >/dev/null", :include:{path}, b@far.example'
    assert one(house, "all@example.com")[0] == "sent"
    assert sorted(house.services.received[-1][0]["recipients"]) == ["a@far.example", "b@far.example"]  # type: ignore[call-overload]


@needs_root
def test_a_list_is_read_by_its_owner(house: House) -> None:
    hidden = house.people["ann"].home / "hidden"
    hidden.mkdir(mode=0o700)
    os.chown(hidden, FIRST_UID, FIRST_UID)
    (hidden / "list").write_text("a@far.example\n")
    os.chown(hidden / "list", FIRST_UID, FIRST_UID)
    house.services.aliases["all"] = f":include:{hidden}/list"
    assert one(house, "all@example.com")[0] == "sent"
    os.chown(hidden / "list", FIRST_UID + 1, -1)
    assert one(house, "all@example.com")[0] == "deferred", "bob may not look into ann's directory"


@needs_root
def test_commands_in_a_list_run_as_its_owner(house: House) -> None:
    house.options["allow_mail_to_commands"] = "alias, forward, include"
    home = house.people["ann"].home
    path = house.write("ann", "list", f'"|id -u > {home}/who"\n')
    house.services.aliases["all"] = f":include:{path}"
    assert one(house, "all@example.com")[0] == "sent"
    assert (home / "who").read_text() == f"{FIRST_UID}\n"


@needs_root
def test_a_list_of_roots_is_read_by_default_privs(house: House) -> None:
    house.options["allow_mail_to_commands"] = "alias, forward, include"
    place = house.path / "out"
    place.mkdir()
    place.chmod(0o777)
    path = house.write("ann", "list", f'"|id -u > {place}/who"\n', uid=0)
    house.services.aliases["all"] = f":include:{path}"
    assert one(house, "all@example.com")[0] == "sent"
    assert (place / "who").read_text() == f"{NOBODY_UID}\n"


def test_a_hundred_commands_in_one_place_are_the_most(house: House) -> None:
    house.options["allow_mail_to_commands"] = "alias, forward, include"
    path = house.write("ann", "list", "".join(f'"|echo {number}"\n' for number in range(101)))
    house.services.aliases["all"] = f":include:{path}"
    assert one(house, "all@example.com")[:2] == ("deferred", "4.3.5")
