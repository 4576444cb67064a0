"""Thunderbird, as its windows use it: folders, reading, marking, moving, drafts, sending, what arrives while it waits.

Asked for by `make test-thunderbird` only: the unpacked program takes 345 MB.
"""

from __future__ import annotations

import base64
import email
import email.policy
import os
import random
import re
from collections.abc import Iterator
from email.message import EmailMessage
from pathlib import Path

import pytest

from tests.clients.site import Account, Site, letter
from tests.clients.thunderbird import Thunderbird

if "PILLARBOX_THUNDERBIRD" not in os.environ:
    pytest.skip("Thunderbird (345 MB) is tested by `make test-thunderbird` only", allow_module_level=True)

_REFUSED = re.compile(r"CreateNewLineFromSocket: (?:\w+ (?:NO|BAD)|\* BAD).*")


@pytest.fixture(scope="module")
def person(site: Site) -> Account:
    return site.new_account()


@pytest.fixture(scope="module")
def thunderbird(person: Account, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Thunderbird]:
    """One for all tests, which keep to subjects of their own; in the end nothing that it asked for was refused."""
    person.deliver(letter("first"))
    running = Thunderbird(person, tmp_path_factory.mktemp("thunderbird"))
    with running:
        running.do("discover")
        running.do("open", "INBOX")
        yield running
    assert _REFUSED.findall(running.dialogue()) == []


def test_it_finds_the_inbox_and_shows_a_message(thunderbird: Thunderbird, person: Account) -> None:
    assert "INBOX" in thunderbird.do("folders", "imap")
    shown = thunderbird.do("show", "INBOX", "first")
    assert "..two dots" in shown and "grün, 水" in shown
    person.site.mail.wait_for(lambda: person.flags()["first"] == {"\\Seen"})


def test_a_file_that_comes_with_a_message_is_what_was_sent(thunderbird: Thunderbird, person: Account) -> None:
    octets = random.Random(1).randbytes(1_000_000)
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = "sender@example.com", person.address, "with a file"
    message.set_content("Grün.\n")
    message.add_attachment(octets, maintype="application", subtype="octet-stream", filename="Öl.bin")
    person.deliver(message.as_bytes(policy=email.policy.SMTP))
    assert "Grün" in thunderbird.do("show", "INBOX", "with a file")
    assert base64.b64decode(thunderbird.do("attachment", "INBOX", "with a file", "Öl.bin")) == octets


def test_headers_in_utf_8_are_shown(thunderbird: Thunderbird, person: Account) -> None:
    person.deliver("From: Jürgen <jürgen@example.com>\r\nSubject: Grüße 水\r\n\r\nHallo.\r\n".encode())
    thunderbird.do("arrival", "INBOX", "Grüße 水")
    assert thunderbird.state("INBOX", "Grüße 水")["author"] == "Jürgen <jürgen@example.com>"


def test_a_message_that_arrives_while_it_waits_is_there_at_once(thunderbird: Thunderbird, person: Account) -> None:
    person.deliver(letter("pushed"))
    thunderbird.do("arrival", "INBOX", "pushed")
    assert thunderbird.state("INBOX", "pushed")["author"] == "<sender@example.com>"


def test_what_another_client_marks_or_removes_shows_while_it_waits(thunderbird: Thunderbird, person: Account) -> None:
    person.deliver(letter("marked elsewhere"), letter("removed elsewhere"))
    thunderbird.do("arrival", "INBOX", "removed elsewhere")
    with person.imap() as client:
        client.select()
        client.store(client.search(None, 'SUBJECT "marked elsewhere"')[1][0].decode(), "+FLAGS", r"(\Flagged)")
        client.store(client.search(None, 'SUBJECT "removed elsewhere"')[1][0].decode(), "+FLAGS", r"(\Deleted)")
        client.expunge()
    thunderbird.do("departure", "INBOX", "removed elsewhere")
    person.site.mail.wait_for(lambda: thunderbird.state("INBOX", "marked elsewhere")["flagged"])


def test_it_marks_stars_and_tags(thunderbird: Thunderbird, person: Account) -> None:
    person.deliver(letter("starred"), letter("tagged"))
    thunderbird.do("mark", "INBOX", "starred", "flagged", True)
    thunderbird.do("mark", "INBOX", "tagged", "$label1", True)
    thunderbird.do("mark", "INBOX", "tagged", "read", True)
    person.site.mail.wait_for(lambda: person.flags()["tagged"] == {"$label1", "\\Seen"})
    assert person.flags()["starred"] == {"\\Flagged"}
    thunderbird.do("mark", "INBOX", "tagged", "$label1", False)
    thunderbird.do("mark", "INBOX", "tagged", "read", False)
    person.site.mail.wait_for(lambda: person.flags()["tagged"] == set())


def test_it_moves_and_copies_into_new_folders_with_names_in_other_scripts(
    thunderbird: Thunderbird, person: Account
) -> None:
    person.deliver(letter("to be moved"), letter("to be copied"))
    # What it hears of while it makes a folder it only looks at with the next news.
    thunderbird.do("arrival", "INBOX", "to be copied")
    thunderbird.do("create", "Kept")
    thunderbird.do("create", "Kept/Grün & 日本")
    thunderbird.do("transfer", "INBOX", ["to be moved"], "Kept/Grün & 日本", True)
    thunderbird.do("transfer", "INBOX", ["to be copied"], "Kept", False)
    assert set(person.flags('"Kept/Gr&APw-n &- &ZeVnLA-"')) == {"to be moved"}
    assert set(person.flags("Kept")) == {"to be copied"}
    assert "to be copied" in person.flags() and "to be moved" not in person.flags()
    thunderbird.do("open", "Kept/Grün & 日本")
    thunderbird.do("arrival", "Kept/Grün & 日本", "to be moved")


def test_folders_are_renamed_and_thrown_away(thunderbird: Thunderbird, person: Account) -> None:
    thunderbird.do("create", "Old")
    thunderbird.do("create", "Old/Deep")
    thunderbird.do("rename", "Old", "New")
    thunderbird.do("transfer", "INBOX", ["first"], "New/Deep", False)
    assert set(person.flags("New/Deep")) == {"first"}
    thunderbird.do("removeFolder", "New")
    person.site.mail.wait_for(lambda: "Trash/New/Deep" in thunderbird.do("folders", "imap"))
    assert set(person.flags("Trash/New/Deep")) == {"first"}
    with person.imap() as client:
        listed = b" ".join(line for line in client.list()[1] if isinstance(line, bytes))
    assert b'"/" Trash/New' in listed and b'"/" New' not in listed and b'"/" Old' not in listed


def test_what_is_deleted_is_in_the_trash_until_that_is_emptied(thunderbird: Thunderbird, person: Account) -> None:
    person.deliver(letter("rubbish"))
    thunderbird.do("remove", "INBOX", "rubbish")
    assert "rubbish" not in person.flags()
    assert "rubbish" in person.flags("Trash")
    thunderbird.do("emptyTrash")
    person.site.mail.wait_for(lambda: person.flags("Trash") == {})


def test_it_sends_through_submission_and_keeps_a_copy(thunderbird: Thunderbird, person: Account) -> None:
    thunderbird.do("write", person.address, "sent by thunderbird", "Hello, Grün.\n", False)
    thunderbird.do("arrival", "INBOX", "sent by thunderbird")
    (message,) = (each for each in person.messages() if b"sent by thunderbird" in each)
    assert b"with ESMTPSA" in message
    text = email.message_from_bytes(message, policy=email.policy.default).get_content()  # type: ignore[attr-defined]
    assert text == "Hello, Grün.\n"
    assert person.flags("Sent") == {"sent by thunderbird": {"\\Seen"}}


def test_a_draft_is_kept_on_the_server(thunderbird: Thunderbird, person: Account) -> None:
    thunderbird.do("write", "someone@example.com", "a draft", "Not yet.\n", True)
    assert set(person.flags("Drafts")) == {"a draft"}


def test_it_lets_the_server_search(thunderbird: Thunderbird, person: Account) -> None:
    person.deliver(letter("hay", body="nothing\r\n"), letter("stack", body="with a Nadel im Heuhaufen: Öhr\r\n"))
    thunderbird.do("arrival", "INBOX", "stack")
    assert thunderbird.do("search", "INBOX", "öhr") == ["stack"]
    assert thunderbird.do("search", "INBOX", "heuhaufen") == ["stack"]


def test_it_fetches_by_pop3_once(thunderbird: Thunderbird, person: Account) -> None:
    for _ in range(2):
        thunderbird.do("fetchByPop")
        fetched = [each["subject"] for each in thunderbird.do("messages", "INBOX", "pop3")]
        assert sorted(fetched) == sorted(person.flags())


def test_after_a_restart_it_learns_only_what_has_changed(site: Site, account: Account, tmp_path: Path) -> None:
    directory, preferences = tmp_path / "kept", {"mail.server.default.use_condstore": True}
    account.deliver(*(letter(f"letter {number}") for number in range(5)))
    with Thunderbird(account, directory, preferences) as before:
        before.do("discover")
        before.do("open", "INBOX")
        before.do("arrival", "INBOX", "letter 4")
    with account.imap() as client:
        client.select()
        client.store("2", "+FLAGS", r"(\Flagged)")
        client.store("4", "+FLAGS", r"(\Deleted)")
        client.expunge()
    account.deliver(letter("letter 5"))
    with Thunderbird(account, directory, preferences) as after:
        after.do("open", "INBOX")
        after.do("departure", "INBOX", "letter 3")
        after.do("arrival", "INBOX", "letter 5")
        assert [each["subject"] for each in after.do("messages", "INBOX", "imap") if each["flagged"]] == ["letter 1"]
    assert "CHANGEDSINCE" in after.dialogue().upper()
    assert _REFUSED.findall(after.dialogue()) == []
