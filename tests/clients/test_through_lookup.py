"""Content checks in tables that only lookup can ask."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from pillarbox.cleanup.checks import Checks
from pillarbox.lib.clients.lookup import AsyncLookupClient
from pillarbox.lib.clients.through_lookup import through_lookup
from pillarbox.lib.config import Config
from pillarbox.lib.log import log
from pillarbox.lib.tables import LookupFailed, Maps, Table
from pillarbox.lib.tables.registry import MODULES
from pillarbox.lib.tables.remote import REMOTE, remote_parts
from pillarbox.smtp_client import content_edits
from pillarbox.smtp_client.content_edits import ContentEdits
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
        assert asyncio.run(_edited(config, b"X-Secret: a\nSubject: b\n")) == b"Subject: b\n"


async def _edited(config: Config, header: bytes, meanwhile: Callable[[], None] = lambda: None) -> bytes:
    lookup = AsyncLookupClient(config)
    try:
        task = asyncio.get_running_loop().create_task(ContentEdits(config, lookup).header(header, "ID", ""))
        await asyncio.sleep(0)
        meanwhile()
        return await task
    finally:
        await lookup.close()


def test_a_server_that_takes_its_time_holds_up_no_other_delivery(tmp_path: Path) -> None:
    others_went_on = threading.Event()

    def slow(received: bytes) -> bytes:
        if not received.endswith(b"\n"):
            return b""
        return b"200 IGNORE\n" if others_went_on.wait(5) else b"400 nobody%20else%20got%20anywhere\n"

    with Answering(slow) as server:
        spec = (
            f"pipemap:{{pcre:{{ {{/^X-(.*):/ $1}} }}, unionmap:{{tcp:127.0.0.1:{server.port}, inline:{{none=x}} }} }}"
        )
        config = configuration(tmp_path, smtp_header_checks=spec)
        with served(config):
            header = b"X-One: a\nSubject: b\nX-Two: c\n"
            assert asyncio.run(_edited(config, header, others_went_on.set)) == b"Subject: b\n"


def test_all_fields_of_a_header_share_the_processor_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(content_edits, "TIME_LIMIT", 0.1)
    config = configuration(tmp_path, smtp_header_checks="pcre:{{/^X: (a|aa)+$/ IGNORE}}")
    with pytest.raises(LookupFailed, match=r"0\.1 s of processor time were used up at the header field X"):
        asyncio.run(_edited(config, (b"X: " + b"a" * 28 + b"b\n") * 200))


def test_every_type_that_needs_lookup_is_known() -> None:
    """Who adds a type says whether other programs can ask it themselves: files and memory can, servers cannot."""
    alone = {"btree", "cdb", "cidr", "environ", "fail", "hash", "inline", "lmdb", "pcre", "pipemap", "randmap"}
    alone |= {"regexp", "static", "texthash", "unionmap", "unix"}
    assert {*MODULES, "accounts", "logins"} == alone | REMOTE
