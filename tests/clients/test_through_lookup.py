"""Content checks in tables that only lookup can ask."""

from __future__ import annotations

from pathlib import Path

import pytest

from pillarbox.cleanup.checks import Checks
from pillarbox.lib.clients.through_lookup import through_lookup
from pillarbox.lib.log import log
from pillarbox.lib.tables import LookupFailed, Maps, Table
from pillarbox.lib.tables.registry import MODULES
from pillarbox.lib.tables.remote import REMOTE, remote_parts
from pillarbox.smtp_client.header_edits import HeaderEdits
from pillarbox.smtp_client.tables import asks_lookup
from tests.lookup.serving import configuration, served
from tests.tables.answering import Answering

RULES = "pcre:{{/^X-Local:/ WARN here}}"


def answer(received: bytes) -> bytes:
    if not received.endswith(b"\n"):
        return b""
    return b"200 REJECT%20no\n" if received.startswith(b"get X-Bad:") else b"500 none\n"


def test_header_checks_ask_servers_through_lookup_and_try_expressions_themselves(tmp_path: Path) -> None:
    with Answering(answer) as server:
        config = configuration(tmp_path, header_checks=f"{RULES}, tcp:127.0.0.1:{server.port}")
        check = Checks(config).header
        assert check is not None
        assert check.find("X-Local: yes") == "WARN here"  # nobody serves yet
        with served(config):
            assert check.find("X-Bad: " + "y" * 3000) == "REJECT no"
            assert check.find("X-Good: y") is None
        assert b"X-Local" not in b"".join(server.asked)
        assert not check.maps.reach().ports


def test_a_long_header_field_is_asked_whole(tmp_path: Path) -> None:
    config = configuration(tmp_path, header_checks="proxy:pcre:{{/yz$/ REJECT long}}")
    with served(config):
        assert _find(Checks(config), "X: " + "y" * 102_000 + "z") == "REJECT long"


def _find(checks: Checks, key: str) -> str | None:
    assert checks.header is not None
    return checks.header.find(key)


def test_the_tables_in_a_composite_are_asked_one_by_one(tmp_path: Path) -> None:
    spec = "unionmap:{inline:{a=here}, proxy:inline:{a=there}}"
    config = configuration(tmp_path, smtp_header_checks=spec)
    with served(config):
        assert Maps.open("x", [spec], registry=through_lookup(config)).find("a") == "here,there"
    assert remote_parts(spec) == ("proxy:inline:{a=there}",)


def test_a_table_that_no_configuration_names_is_not_asked(tmp_path: Path) -> None:
    config = configuration(tmp_path, header_checks="proxy:inline:{a=b}")
    with served(config), log.capture():
        table = through_lookup(config).open("proxy:inline:{a=c}")
        with pytest.raises(LookupFailed, match="no table that the configuration names"):
            table.get("a")


def test_where_the_server_or_lookup_is_away_the_mail_waits(tmp_path: Path) -> None:
    config = configuration(tmp_path, header_checks="tcp:127.0.0.1:1")
    table: Table = through_lookup(config).open("tcp:127.0.0.1:1")
    with served(config), log.capture(), pytest.raises(LookupFailed, match="Connection refused"):
        table.get("a")


def test_the_smtp_client_edits_by_such_tables_and_may_then_ask(tmp_path: Path) -> None:
    config = configuration(tmp_path, smtp_header_checks="proxy:pcre:{{/^X-Secret:/ IGNORE}}")
    assert asks_lookup(config)
    assert not asks_lookup(configuration(tmp_path, smtp_header_checks="pcre:{{/^X-Secret:/ IGNORE}}"))
    with served(config):
        edits = HeaderEdits(config)
        assert edits.apply(b"X-Secret: a\nSubject: b\n", "ID", "") == b"Subject: b\n"


def test_every_type_that_needs_lookup_is_known() -> None:
    """Who adds a type says whether other programs can ask it themselves: files and memory can, servers cannot."""
    alone = {"btree", "cdb", "cidr", "environ", "fail", "hash", "inline", "lmdb", "pcre", "pipemap", "randmap"}
    alone |= {"regexp", "static", "texthash", "unionmap", "unix"}
    assert {*MODULES, "accounts", "logins"} == alone | REMOTE
