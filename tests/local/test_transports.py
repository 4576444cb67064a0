"""What takes mail in place of a mailbox: transports and commands, by parameter or by table."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest

from pillarbox.lib.config.access import list_problems
from tests.local.conftest import House

assert list_problems  # pillarbox check looks at the same tables


def one(house: House, address: str) -> tuple[str, str, str]:
    (result,) = house.deliver(address)
    return result.status, result.dsn, result.text


def taken(house: House) -> list[tuple[object, object]]:
    """Where messages were handed over to, and for whom."""
    return [(envelope.get("filter", ""), envelope["recipients"]) for envelope, _ in house.services.received]


def test_mailbox_transport_gets_the_mail_as_it_is(house: House) -> None:
    house.options["mailbox_transport"] = "lmtp:unix:/run/store"
    (result,) = house.deliver("Ann@example.com")
    assert result.status == "sent" and result.text.startswith("forwarded as ")
    assert result.handed == "entrusted", "who asked for a report gets it from there"
    ((envelope, content),) = house.services.received
    assert envelope["filter"] == "lmtp:unix:/run/store"
    assert envelope["recipients"] == ["Ann@example.com"]
    assert envelope["overrides"] == "no_address_mappings no_header_body_checks"
    assert b"Delivered-To:" not in content, "the other agent would take it for a loop"
    assert not (house.spool / "ann").exists() or not (house.spool / "ann").stat().st_size


def test_mailbox_transport_takes_those_who_are_no_users_as_well(house: House) -> None:
    house.options["mailbox_transport"] = "lmtp:store.example"
    assert one(house, "who@example.com")[0] == "sent"
    assert taken(house) == [("lmtp:store.example", ["who@example.com"])]


def test_a_forward_file_comes_before_mailbox_transport(house: House) -> None:
    house.options["mailbox_transport"] = "lmtp:store.example"
    house.write("ann", ".forward", "ann@far.example\n")
    one(house, "ann@example.com")
    assert taken(house) == [("", ["ann@far.example"])]
    house.services.received.clear()
    house.write("ann", ".forward", "\\ann, ann@far.example\n")
    one(house, "ann@example.com")
    assert sorted(taken(house)) == [("", ["ann@far.example"]), ("lmtp:store.example", ["ann@example.com"])]


def test_a_table_of_transports_comes_first(house: House) -> None:
    house.options["mailbox_transport_maps"] = "inline:{x=y}"
    house.options["mailbox_transport"] = "lmtp:store.example"
    house.services.tables["mailbox_transport_maps"] = {"ann": "keep:there"}
    house.deliver("ann@example.com", "bob@example.com")
    assert taken(house) == [("keep:there", ["ann@example.com"]), ("lmtp:store.example", ["bob@example.com"])]


def test_an_alias_to_oneself_leads_to_mailbox_transport(house: House) -> None:
    house.options["mailbox_transport"] = "lmtp:store.example"
    house.services.aliases["who"] = "who"
    assert one(house, "who@example.com")[0] == "sent"
    assert taken(house) == [("lmtp:store.example", ["who@example.com"])]


def test_fallback_transport_takes_unknown_users_before_luser_relay(house: House) -> None:
    house.options |= {"fallback_transport": "smtp:old.example", "luser_relay": "lost@example.net"}
    house.options["fallback_transport_maps"] = "inline:{x=y}"
    house.services.tables["fallback_transport_maps"] = {"her": "smtp:her.example"}
    house.deliver("who@example.com", "her@example.com", "ann@example.com")
    assert taken(house) == [("smtp:old.example", ["who@example.com"]), ("smtp:her.example", ["her@example.com"])]
    assert (house.spool / "ann").stat().st_size


def test_an_alias_to_oneself_without_a_user_is_unknown(house: House) -> None:
    house.services.aliases["who"] = "who, copy@far.example"
    results = house.deliver("who@example.com")
    assert (results[0].status, results[0].dsn) == ("bounced", "5.1.1")
    house.options["luser_relay"] = "lost@example.net"
    house.services.received.clear()
    assert one(house, "who@example.com")[0] == "sent"
    assert house.services.received[0][0]["recipients"] == ["copy@far.example", "lost@example.net"]


def test_what_a_sender_wrote_is_quoted_for_luser_relay(house: House) -> None:
    house.options["luser_relay"] = "$local@elsewhere.example"
    assert one(house, '"no, such user"@example.com')[0] == "sent"
    assert house.services.received[0][0]["recipients"] == ['"no, such user"@elsewhere.example']


def test_a_table_of_commands_comes_before_mailbox_command(house: House, tmp_path: Path) -> None:
    home = house.people["ann"].home
    table = tmp_path / "commands"
    table.write_text(f"ann cat > {home}/mine\n")
    house.options |= {"mailbox_command_maps": f"texthash:{table}", "mailbox_command": "cat > $HOME/general"}
    assert one(house, "ann@example.com") == ("sent", "2.0.0", f"delivered to command: cat > {home}/mine")
    assert one(house, "bob@example.com")[0] == "sent"
    assert (home / "mine").exists() and (house.people["bob"].home / "general").exists()


def test_a_table_of_commands_that_is_broken_defers(house: House, tmp_path: Path) -> None:
    house.options["mailbox_command_maps"] = f"texthash:{tmp_path}/missing"
    assert one(house, "ann@example.com")[:2] == ("deferred", "4.3.0")


@pytest.mark.parametrize("spec", ["regexp:{path}", "pcre:{path}"])
def test_a_pattern_brings_no_part_of_an_address_into_a_command(house: House, tmp_path: Path, spec: str) -> None:
    table = tmp_path / "commands"
    table.write_text(f"/(.*)/ touch {tmp_path}/got-$1\n")
    house.options["mailbox_command_maps"] = spec.format(path=table)
    assert one(house, "ann@example.com")[0] == "deferred"
    assert not (tmp_path / "got-ann").exists()


def test_an_extension_cannot_name_a_forward_file_elsewhere(house: House) -> None:
    with tempfile.TemporaryDirectory(prefix="p") as short:
        _look_for_trap(house, Path(short))


def _look_for_trap(house: House, place: Path) -> None:
    place.chmod(0o755)
    trap = place / "t"
    trap.write_text("evil@far.example\n")
    if os.geteuid() == 0:
        os.chown(trap, house.people["ann"].uid, -1)
    house.options["recipient_delimiter"] = "+"
    for address in (f'"ann+x,{trap}"@example.com', f'"ann+x {trap}"@example.com', '"ann+/../../ann/trap"@example.com'):
        assert one(house, address)[2] == "delivered to mailbox"
    assert house.services.received == []
