"""Whose rights a step has: the user's, a list's or a table's owner's, never more."""

from __future__ import annotations

import os
import pwd
from pathlib import Path

import pytest

from tests.local.conftest import FIRST_UID, NOBODY_UID, House, Person, needs_root

pytestmark = needs_root


def one(house: House, address: str) -> tuple[str, str, str]:
    (result,) = house.deliver(address)
    print(result)  # for whom it fails
    return result.status, result.dsn, result.text


def place(house: House) -> Path:
    """A directory that everybody may write."""
    path = house.path / "out"
    path.mkdir()
    path.chmod(0o1777)
    return path


@pytest.mark.parametrize(
    ("owner", "runs_as"), [(0, NOBODY_UID), (FIRST_UID, FIRST_UID), (FIRST_UID + 77, FIRST_UID + 77)]
)
def test_what_an_alias_says_is_done_as_the_owner_of_its_table(house: House, owner: int, runs_as: int) -> None:
    out = place(house)
    tables = [house.path / name for name in ("first", "second")]
    for table in tables:
        table.write_text("run x\n")
    os.chown(tables[1], owner, owner)
    house.options["alias_maps"] = ", ".join(f"texthash:{table}" for table in tables)
    house.services.table = 1
    house.services.aliases["run"] = f'"|id -u > {out}/command", {out}/file'
    assert one(house, "run@example.com")[0] == "sent"
    assert int((out / "command").read_text()) == runs_as
    assert (out / "file").stat().st_uid == runs_as


@pytest.mark.parametrize("spec", ["inline:{{run=x}}", "texthash:{path}/missing"])
def test_a_table_without_a_file_has_default_privs(house: House, spec: str) -> None:
    out = place(house)
    house.options["alias_maps"] = spec.format(path=house.path)
    house.services.aliases["run"] = f'"|id -u > {out}/command"'
    assert one(house, "run@example.com")[0] == "sent"
    assert int((out / "command").read_text()) == NOBODY_UID


@pytest.fixture
def root(house: House) -> Person:
    home = house.path / "root"
    home.mkdir(mode=0o700)
    house.people["root"] = Person("root", 0, home)
    return house.people["root"]


def test_mail_for_root_goes_where_its_forward_file_says(house: House, root: Person) -> None:
    house.write("root", ".forward", "admin@far.example\n", mode=0o600)
    assert one(house, "root@example.com")[0] == "sent"
    assert house.services.received[0][0]["recipients"] == ["admin@far.example"]


def test_commands_and_files_of_roots_forward_file_are_default_privs(house: House, root: Person) -> None:
    out = place(house)
    house.write("root", ".forward", f'\\root\n"|id -u > {out}/command"\n{out}/file\n')
    assert one(house, "root@example.com")[0] == "sent"
    assert int((out / "command").read_text()) == NOBODY_UID
    assert (out / "file").stat().st_uid == NOBODY_UID
    assert (house.spool / "root").stat().st_uid == 0


def test_no_command_and_no_filter_runs_as_root(house: House, root: Person) -> None:
    out = place(house)
    house.options["mailbox_command"] = f"id -u > {out}/command"
    (root.home / ".dovecot.sieve").write_text('require "fileinto"; fileinto "x";\n')
    assert one(house, "root@example.com")[2] == "delivered to mailbox"
    assert not (out / "command").exists()


def test_root_is_known_by_its_number_not_its_name(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    out = place(house)
    home = house.path / "toor"
    home.mkdir()
    house.people["toor"] = Person("toor", 0, home)
    house.write("toor", ".forward", f'"|id -u > {out}/command"\n')
    assert pwd.getpwnam("toor").pw_uid == 0
    assert one(house, "toor@example.com")[0] == "sent"
    assert int((out / "command").read_text()) == NOBODY_UID


def _secret(house: House) -> Path:
    """A list of bob's that only bob can read."""
    path = house.write("bob", "list", "bobs@far.example\n", mode=0o600)
    house.people["bob"].home.chmod(0o700)
    return path


@pytest.mark.parametrize("named_by", ["forward", "list", "table"])
def test_naming_anothers_list_gives_nobody_the_others_rights(house: House, named_by: str) -> None:
    path = _secret(house)
    address = "all@example.com"
    if named_by == "forward":
        house.write("ann", ".forward", f":include:{path}\n")
        address = "ann@example.com"
    elif named_by == "list":
        house.services.aliases["all"] = f":include:{house.write('ann', 'list', f':include:{path}')}"
    else:
        table = house.write("ann", "aliases", "all: x\n")
        house.options["alias_maps"] = f"texthash:{table}"
        house.services.aliases["all"] = f":include:{path}"
    status, dsn, text = one(house, address)
    assert (status, dsn) == ("deferred", "4.3.5") and "Permission denied" in text
    assert house.services.received == []


def test_what_a_list_of_anothers_says_is_done_as_who_names_it(house: House) -> None:
    out = place(house)
    house.options["allow_mail_to_commands"] = "alias, forward, include"
    path = house.write("bob", "list", f'"|id -u > {out}/who"\nx@far.example\n')
    house.write("ann", ".forward", f":include:{path}\n")
    assert one(house, "ann@example.com")[0] == "sent"
    assert int((out / "who").read_text()) == FIRST_UID
    assert house.services.received[0][0]["recipients"] == ["x@far.example"]


def test_a_list_of_roots_that_names_a_users_list_leaves_it_to_its_owner(house: House) -> None:
    outer = house.write("ann", "outer", f":include:{_secret(house)}\n", uid=0)
    house.services.aliases["all"] = f":include:{outer}"
    assert one(house, "all@example.com")[0] == "sent"
    assert house.services.received[0][0]["recipients"] == ["bobs@far.example"]
