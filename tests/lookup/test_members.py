"""EXPN: what of an alias may be seen."""

from __future__ import annotations

from pathlib import Path

import pytest

from pillarbox.lib.tables import LookupFailed
from pillarbox.lookup.members import MEMBERS_LIMIT, Members
from pillarbox.lookup.service import Lookup
from tests.lookup.serving import configuration


def members(folder: Path, **values: str) -> Members:
    return Lookup(
        configuration(
            folder, mydestination="own.example", virtual_mailbox_domains="", local_recipient_maps="", **values
        )
    ).members


def test_addresses_of_a_local_alias_but_no_commands_and_files(tmp_path: Path) -> None:
    table = tmp_path / "aliases"
    table.write_text("""root ann, bob@else.example, "|rm -rf /", /var/mail/x\nprog "|rm -rf /"\n""")
    found = members(tmp_path, alias_maps=f"texthash:{table}")
    assert found.find("root@own.example") == ("ann", "bob@else.example")
    assert found.find("prog@own.example") == ("prog@own.example",), "that it is an alias is all"
    assert found.find("ann@own.example") == ()
    assert found.find("root@else.example") == (), "an address elsewhere is none of our aliases"


def test_a_virtual_alias(tmp_path: Path) -> None:
    found = members(
        tmp_path, virtual_alias_maps="inline:{list@v.example=ann@own.example}", virtual_alias_domains="v.example"
    )
    assert found.find("list@v.example") == ("ann@own.example",)


def test_there_are_no_more_than_the_limit(tmp_path: Path) -> None:
    table = tmp_path / "aliases"
    table.write_text("all " + ", ".join(f"u{number}" for number in range(2 * MEMBERS_LIMIT)) + "\n")
    assert len(members(tmp_path, alias_maps=f"texthash:{table}").find("all@own.example")) == MEMBERS_LIMIT


def test_an_alias_that_cannot_be_read_is_no_answer(tmp_path: Path) -> None:
    table = tmp_path / "aliases"
    table.write_text('root "\n')
    with pytest.raises(LookupFailed, match='alias "root"'):
        members(tmp_path, alias_maps=f"texthash:{table}").find("root@own.example")
