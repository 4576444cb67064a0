"""`pillarbox mailbox` with a database server at either end."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from pillarbox.commands.mailbox import main
from pillarbox.lib.store import open_store
from pillarbox.lib.store.interface import FLAGGED, INBOX, SEEN, Store
from tests.peers.databases import PostgreSQL
from tests.store.conftest import close_pools, location, use_postgresql


@pytest.fixture
def database(postgresql: PostgreSQL, tmp_path: Path) -> Iterator[str]:
    use_postgresql(postgresql)
    yield location("pgsql", tmp_path)
    close_pools()


def rows(store: Store) -> list[tuple[bytes, int, frozenset[str], float]]:
    with store.open("Work") as mailbox:
        found = []
        for state in mailbox.messages:
            with mailbox.read(state.uid) as content:
                found.append((content.read(), state.flags, state.keywords, mailbox.internal_date(state.uid)))
        return found


def test_mail_goes_into_a_database_and_back(tmp_path: Path, database: str) -> None:
    before, after = f"maildir:{tmp_path}/before", f"maildir:{tmp_path}/after"
    store = open_store(before)
    store.create("Work")
    for number in range(100):
        flags = SEEN if number % 2 else FLAGGED
        store.append("Work", [b"Subject: %d\r\n\r\nbody\r\n" % number], flags, ["$x"] * (number % 3 == 0), 1e9 + number)
    store.subscribe("Work", True)
    journal = str(tmp_path / "journal")
    assert main(["convert", before, database], None) == 64  # where would the journal lie?
    assert main(["convert", before, database, "--journal", journal], None) == 0
    assert main(["convert", before, database, "--journal", journal], None) == 0  # nothing twice
    assert main(["verify", database], None) == 0
    assert main(["convert", database, after], None) == 0
    assert rows(open_store(after)) == rows(store)
    assert open_store(after).subscriptions() == ("Work",)
    identities = []
    for place in (before, database, after):  # clients find the same mailbox in all three
        with open_store(place).open("Work") as mailbox:
            identities.append((mailbox.uid_validity, mailbox.mailbox_id, list(mailbox.messages.uids)))
    assert identities[0] == identities[1] == identities[2]
    assert open_store(after).status(INBOX).messages == 0
