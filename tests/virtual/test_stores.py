"""Delivery into hosted mailboxes that are no Maildirs in their usual place."""

from __future__ import annotations

from pathlib import Path

import pytest

from pillarbox.lib.clients.lookup import RecipientVerdict
from pillarbox.lib.config.quota import parse_limits
from pillarbox.lib.store import open_store
from pillarbox.lib.store.interface import INBOX, SEEN, Store
from pillarbox.lib.store.quota import grant_text
from tests.virtual.test_delivery import Agent, Lookup

ADDRESS = "ann@example.com"


class Located(Lookup):
    """Knows where the accounts have their mail."""

    def __init__(self) -> None:
        super().__init__()
        self.locations: dict[str, str] = {}
        self.quota = ""

    def recipient(self, address: str) -> RecipientVerdict:
        return RecipientVerdict("ok", "virtual_mailbox", quota=self.quota, location=self.locations.get(address, ""))


@pytest.fixture(params=["sqlite", "mbox", "maildir"])
def location(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return f"{request.param}:{tmp_path}/mail/elsewhere/ann"


class StoreAgent(Agent):
    def __init__(self, path: Path, location: str, **options: str) -> None:
        self.lookup: Located
        super().__init__(path, **options)
        self.lookup = Located()
        self.lookup.locations[ADDRESS] = location
        self.delivery._mailboxes._lookup = self.lookup  # type: ignore[attr-defined]
        self.location = location

    def store(self) -> Store:
        return open_store(self.location)

    def texts(self, mailbox: str = INBOX) -> list[bytes]:
        found = []
        with self.store().open(mailbox) as opened:
            for uid in opened.messages.uids:
                with opened.read(uid) as content:
                    found.append(content.read())
        return found

    def script(self, text: str) -> None:
        home = self.base / "example.com" / "ann"
        home.mkdir(parents=True, exist_ok=True)
        (home / ".dovecot.sieve").write_text(text)


def test_a_message_goes_into_the_store_with_its_trace_lines(tmp_path: Path, location: str) -> None:
    agent = StoreAgent(tmp_path, location)
    rows = agent.results(agent.request(ADDRESS, "bob@example.com"), agent.request(ADDRESS, content=b"Subject: y\n\n"))
    assert [row[1:] for row in rows] == [
        ("sent", "2.0.0", "delivered to mailbox"),
        ("sent", "2.0.0", "delivered to maildir"),
        ("sent", "2.0.0", "delivered to mailbox"),
    ]
    first, second = agent.texts()
    assert first.startswith(b"Return-Path: <s@example.org>\r\n")
    assert first.endswith(b"Delivered-To: ann@example.com\r\nSubject: x\r\n\r\nbody\r\n")
    assert b"Subject: y\r\n" in second
    assert len(agent.messages("example.com/bob")) == 1
    assert not (agent.base / "example.com" / "ann" / "new").exists()


def test_a_folder_by_the_address_is_made_where_that_is_wanted(tmp_path: Path, location: str) -> None:
    agent = StoreAgent(tmp_path, location, recipient_delimiter="+", save_to_detail_mailbox="create")
    agent.lookup.locations["ann+lists@example.com"] = location
    agent.results(agent.request("ann+lists@example.com"))
    assert len(agent.texts("lists")) == 1


def test_a_script_files_into_folders_with_flags(tmp_path: Path, location: str) -> None:
    agent = StoreAgent(tmp_path, location)
    agent.script(
        'require ["fileinto", "mailbox", "imap4flags", "copy"];\n'
        'fileinto :create :copy :flags ["\\\\Seen", "$label"] "Work";\n'
        'if mailboxexists "Nothing" { discard; }\n'
    )
    assert agent.results(agent.request(ADDRESS))[0][1] == "sent"
    with agent.store().open("Work") as work:
        assert [(state.flags, state.keywords) for state in work.messages] == [(SEEN, {"$label"})]
    assert len(agent.texts()) == 1


def test_no_room_is_said_as_for_a_maildir(tmp_path: Path) -> None:
    agent = StoreAgent(tmp_path, f"sqlite:{tmp_path}/mail/ann.sqlite", quota_warnings="")
    agent.lookup.quota = grant_text(parse_limits("1C"), parse_limits(""))
    assert agent.results(agent.request(ADDRESS))[0][1] == "sent"
    ((_, status, dsn, text),) = agent.results(agent.request(ADDRESS))
    assert (status, dsn) == ("bounced", "5.2.2") and "mailbox is full" in text


def test_a_store_that_cannot_be_opened_makes_mail_wait(tmp_path: Path) -> None:
    agent = StoreAgent(tmp_path, f"sqlite:{tmp_path}/mail/file/ann.sqlite")
    (agent.base / "file").write_bytes(b"")
    ((_, status, dsn, _),) = agent.results(agent.request(ADDRESS))
    assert status == "deferred" and dsn.startswith("4.")
