"""Sieve scripts of system users, run with real processes and, as root, real uids."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pillarbox.lib.delivery import DeliveryRecipient
from pillarbox.lib.log import log
from pillarbox.lib.store import open_store
from pillarbox.lib.store.interface import SEEN
from pillarbox.local import mails
from tests.local.conftest import House, needs_root

CONTENT = b"To: ann@example.com\nSubject: hi\n\nHello\n"


def deliver(house: House, script: str, **how: object) -> tuple[str, str, str]:
    house.write("ann", ".dovecot.sieve", script)
    (result,) = house.deliver("ann@example.com", content=CONTENT, **how)  # type: ignore[arg-type]
    return result.status, result.dsn, result.text


def home(house: House) -> Path:
    return house.people["ann"].home


def folder(house: House, location: str, name: str) -> list[tuple[int, frozenset[str]]]:
    store = open_store(location)
    if not store.exists(name):
        return []
    with store.open(name, read_only=True) as mailbox:
        return [(message.flags, message.keywords) for message in mailbox.messages]


FILE = 'require ["fileinto", "mailbox", "imap4flags"]; fileinto :create :flags ["\\\\Seen", "$x"] "Lists/py";'


@pytest.mark.parametrize("kind", ["maildir", "mbox"])
def test_fileinto_goes_where_imap_looks(house: House, kind: str) -> None:
    if kind == "maildir":
        house.options["home_mailbox"] = "Maildir/"
        location = f"maildir:{home(house)}/Maildir"
    else:
        location = f"mbox:{home(house)}/mail:INBOX={house.spool}/ann"
    assert deliver(house, FILE) == ("sent", "2.0.0", 'sieve: filed into "Lists/py"')
    assert folder(house, location, "Lists/py") == [(SEEN, frozenset(["$x"]))]
    store = open_store(location)
    with store.open("Lists/py", read_only=True) as mailbox, mailbox.read(mailbox.messages[0].uid) as content:
        text = content.read().replace(b"\r\n", b"\n")
    assert text.startswith(b"Return-Path: <s@example.org>\n") and text.endswith(b"\n\nHello\n")


@pytest.mark.parametrize("kind", ["maildir", "mbox"])
def test_keep_is_the_mailbox(house: House, kind: str) -> None:
    if kind == "maildir":
        house.options["home_mailbox"] = "Maildir/"
    assert deliver(house, "keep;") == ("sent", "2.0.0", "sieve: delivered to mailbox")
    if kind == "maildir":
        assert len(list((home(house) / "Maildir" / "new").iterdir())) == 1
    else:
        assert (house.spool / "ann").read_bytes().count(b"\nSubject: hi\n") == 1


def test_mail_goes_into_a_database_with_and_without_a_script(house: House) -> None:
    house.options["auth_system_mail"] = "sqlite:%h/mail.sqlite"
    location = f"sqlite:{home(house)}/mail.sqlite"
    (result,) = house.deliver("ann@example.com", content=CONTENT)
    assert (result.status, result.text) == ("sent", "delivered to mailbox")
    assert deliver(house, FILE) == ("sent", "2.0.0", 'sieve: filed into "Lists/py"')
    assert deliver(house, 'require "imap4flags"; keep :flags "\\\\Seen";')[0] == "sent"
    assert folder(house, location, "INBOX") == [(0, frozenset()), (SEEN, frozenset())]
    assert folder(house, location, "Lists/py") == [(SEEN, frozenset(["$x"]))]
    assert (house.spool / "ann").stat().st_size == 0  # as it was made with the account


@needs_root
def test_everything_belongs_to_the_user(house: House) -> None:
    deliver(house, FILE)
    uid = house.people["ann"].uid
    assert {path.lstat().st_uid for path in home(house).rglob("*")} == {uid}


@needs_root
def test_a_script_reads_with_the_users_rights(house: House) -> None:
    secret = house.path / "secret.sieve"
    secret.write_text("discard;")
    secret.chmod(0o600)
    (home(house) / ".dovecot.sieve").symlink_to(secret)
    with log.capture() as lines:
        (result,) = house.deliver("ann@example.com", content=CONTENT)
    assert result.text == "sieve: delivered to mailbox"
    assert any("Permission denied" in line for line in lines)


def test_redirect_goes_through_cleanup(house: House) -> None:
    status, dsn, text = deliver(house, 'redirect "bob@example.org";')
    assert (status, dsn) == ("sent", "2.0.0") and text.startswith("forwarded as ")
    ((envelope, content),) = house.services.received
    assert envelope["sender"] == "s@example.org" and envelope["recipients"] == ["bob@example.org"]
    assert b"\nDelivered-To: ann@example.com\n" in content and content.endswith(CONTENT)


@pytest.mark.parametrize("alone", [True, False])
def test_wishes_go_on_with_the_one_address_that_is_all(house: House, alone: bool) -> None:
    house.options["sieve_redirect_envelope_from"] = "recipient"
    recipient = DeliveryRecipient(0, "ann@example.com", "", "rfc822;ann@x", ("success",))
    script = 'require "copy"; redirect "bob@example.org";' + ("" if alone else "keep;")
    deliver(house, script, recipients=(recipient,))
    ((envelope, _),) = house.services.received
    assert envelope["sender"] == "ann@example.com" and envelope["orcpts"] == ["rfc822;ann@x"]
    assert envelope["notify"] == [("success",) if alone else ("never",)]


def test_what_is_stored_is_not_stored_again_where_sending_fails(house: House) -> None:
    script = 'require "copy"; redirect :copy "bob@example.org";'
    house.services.refusal = (451, "4.3.0", "try again later")
    assert deliver(house, script)[0] == "deferred"
    house.services.refusal = None
    assert deliver(house, script)[0] == "sent"
    assert (house.spool / "ann").read_bytes().count(b"\nSubject: hi\n") == 1
    assert len(house.services.received) == 1


@pytest.mark.parametrize(
    "action", ['redirect :copy "bob@example.org";', 'addheader "X" "y"; redirect :copy "b@c.example";']
)
def test_what_is_stored_and_never_sent_on_is_no_failure(house: House, action: str) -> None:
    house.services.refusal = (552, "5.3.4", "too large")
    with log.capture() as lines:
        status, _, text = deliver(house, 'require ["copy", "editheader"]; ' + action)
    assert (status, text) == ("sent", "sieve: delivered to mailbox")
    assert (house.spool / "ann").read_bytes().count(b"\nSubject: hi\n") == 1
    assert sum("kept, but not sent on: too large" in line for line in lines) == 1


@pytest.mark.parametrize("action", ['redirect "bob@example.org";', 'addheader "X" "y"; redirect "b@c.example";'])
def test_what_a_script_only_sends_on_is_kept_where_that_is_refused(house: House, action: str) -> None:
    house.services.refusal = (552, "5.3.4", "too large")
    status, _, text = deliver(house, 'require "editheader"; ' + action)
    assert (status, text) == ("sent", "delivered to mailbox")
    assert (house.spool / "ann").read_bytes().count(b"\nSubject: hi\n") == 1


@pytest.mark.parametrize("file, status", [("\\ann, bob@example.org", "sent"), ("bob@example.org", "bounced")])
def test_what_a_forward_file_keeps_is_no_failure_either(house: House, file: str, status: str) -> None:
    house.services.refusal = (552, "5.3.4", "too large")
    house.write("ann", ".forward", file)
    (result,) = house.deliver("ann@example.com", content=CONTENT)
    assert result.status == status
    stored = (house.spool / "ann").read_bytes() if (house.spool / "ann").exists() else b""
    assert stored.count(b"\nSubject: hi\n") == (status == "sent")


def test_a_message_whose_sending_failed_is_no_duplicate_of_itself(house: House) -> None:
    """It was remembered before it was sent on, and is nowhere yet."""
    house.write(
        "ann", ".dovecot.sieve", 'require "duplicate"; if duplicate { discard; stop; } redirect "b@example.org";'
    )
    content = b"Message-ID: <1@x>\n" + CONTENT
    house.services.refusal = (451, "4.3.0", "try again later")
    assert [house.deliver("ann@example.com", content=content)[0].status for _ in range(2)] == ["deferred"] * 2
    house.services.refusal = None
    assert house.deliver("ann@example.com", content=content)[0].status == "sent"
    assert len(house.services.received) == 1
    (result,) = house.deliver("ann@example.com", content=content, queue_id="4jXFYl6dnjzKD6n")
    assert result.text == "sieve: discarded"


def test_sending_that_is_repeated_repeats_no_notification(house: House) -> None:
    script = 'require "enotify"; notify :message "New" "mailto:m@phone.example"; redirect "b@example.org";'
    house.services.refused_for = "b@example.org"
    assert [deliver(house, script)[0] for _ in range(3)] == ["deferred"] * 3
    house.services.refused_for = ""
    assert deliver(house, script)[0] == "sent"
    assert [each["recipients"] for each, _ in house.services.received] == [["m@phone.example"], ["b@example.org"]]


def test_one_header_for_several_addresses_is_one_mail(house: House) -> None:
    addresses = ["b@example.org", "c@example.org"]
    script = 'require ["editheader", "copy"]; addheader "X-A" "b"; redirect "b@example.org"; redirect "c@example.org";'
    house.services.refused_for = "c@example.org"
    assert deliver(house, script)[0] == "deferred" and house.services.received == []
    house.services.refused_for = ""
    recipient = DeliveryRecipient(0, "ann@example.com", "", "", ("success",))
    assert deliver(house, script, recipients=(recipient,))[0] == "sent"
    ((envelope, _),) = house.services.received
    assert envelope["recipients"] == addresses and envelope["notify"] == [("never",)] * 2


@pytest.mark.parametrize("too_large", [False, True])
def test_a_reply_as_long_as_a_script_is_sent_and_a_longer_one_lost(
    house: House, monkeypatch: pytest.MonkeyPatch, too_large: bool
) -> None:
    if too_large:
        monkeypatch.setattr(mails, "HEAD_LIMIT", 3_000_000)
    reason = "\N{EURO SIGN}" * 340_000  # three times as long in quoted-printable
    with log.capture() as lines:
        assert deliver(house, f'require "vacation"; vacation "{reason}";')[0] == "sent"
    assert len(house.services.received) == (not too_large)
    assert any("a reply is lost" in line for line in lines) == too_large


def test_nobody_is_answered_or_told_by_who_cannot_remember_it(house: House) -> None:
    (home(house) / ".sieve-remembered").mkdir()
    with log.capture() as lines:
        assert deliver(house, "keep;\nnonsense;")[0] == "sent"
        assert deliver(house, 'require "vacation"; vacation "away";')[0] == "sent"
    assert house.services.received == []
    assert sum(".sieve-remembered: " in line for line in lines) >= 2


def test_reject_goes_back(house: House) -> None:
    assert deliver(house, 'require "reject"; reject "no";') == ("bounced", "5.7.1", "no")
    assert not (house.spool / "ann").exists() or (house.spool / "ann").read_bytes() == b""


def test_an_error_falls_to_the_mailbox_and_the_user_is_told(house: House) -> None:
    with log.capture() as lines:
        assert deliver(house, "keep;\nnonsense;")[2] == "sieve: delivered to mailbox"
        deliver(house, "keep;\nnonsense;")
    assert any(".dovecot.sieve:2:1: " in line for line in lines)
    ((envelope, content),) = house.services.received
    assert envelope["sender"] == "" and envelope["recipients"] == ["ann@example.com"]
    assert b"Auto-Submitted: auto-generated" in content


def test_a_reply_that_is_lost_makes_nothing_wait(house: House) -> None:
    house.services.refusal = (451, "4.3.0", "try again later")
    with log.capture() as lines:
        assert deliver(house, "nonsense;")[0] == "sent"
    assert any("a reply is lost" in line for line in lines)


def test_mailbox_command_comes_first_and_an_empty_parameter_is_off(house: House) -> None:
    house.options["mailbox_command"] = "cat > /dev/null"
    assert deliver(house, "discard;")[2].startswith("delivered to command")
    house.options = {"sieve": ""}
    assert deliver(house, "discard;")[2] == "delivered to mailbox"


def test_a_probe_runs_no_script(house: House) -> None:
    assert deliver(house, 'redirect "bob@example.org";', probe=True)[2] == "delivers to mailbox"
    assert house.services.received == []


def test_no_descriptor_is_left_open(house: House) -> None:
    house.options["sieve_redirect_envelope_from"] = "recipient"
    before = len(os.listdir("/proc/self/fd"))
    two = 'redirect "bob@example.org"; addheader "X-A" "b"; redirect "eve@example.org";'
    for _ in range(3):
        deliver(house, f'require ["editheader", "copy"]; {two}')
    assert len(house.services.received) == 6
    assert len(os.listdir("/proc/self/fd")) - before <= 6, "the test's own services hold one each"
