"""Sieve scripts of hosted users: what becomes of a message, and what of each fault."""

from __future__ import annotations

import os
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pillarbox.lib.log import log
from pillarbox.lib.sieve_box.usage import Usage
from pillarbox.lib.store import open_store
from pillarbox.lib.store.interface import SEEN
from tests.local.conftest import Services
from tests.virtual.conftest import AT_THE_END
from tests.virtual.test_delivery import Agent

ANN = "ann@example.com"


def services(directory: Path) -> Services:
    """A cleanup for the redirected; ends with the test."""
    made = Services(directory, "cleanup-virtual")
    AT_THE_END.append(made.close)
    return made


class Filtered(Agent):
    """An agent whose users have scripts, and a cleanup to send by."""

    def __init__(self, path: Path, **options: str) -> None:
        (path / "private").mkdir()
        self.services = services(path / "private")
        self.path = path
        super().__init__(path, queue_directory=str(path), myhostname="mx.example.com", **options)

    @property
    def home(self) -> Path:
        return self.base / "example.com" / "ann"

    def script(self, text: str, name: str = ".dovecot.sieve") -> Path:
        self.home.mkdir(parents=True, exist_ok=True)
        file = self.home / name
        file.parent.mkdir(exist_ok=True)
        file.write_text(text)
        return file

    def deliver(
        self, content: bytes = b"To: ann@example.com\nSubject: x\n\nbody\n", **how: Any
    ) -> tuple[str, str, str]:
        """Deliver one message to Ann; status, code, text."""
        address = how.pop("address", ANN)
        request = replace(self.request(address, content=content), **how)
        ((_, status, dsn, text),) = self.results(request)
        return status, dsn, text

    def names(self, folder: str = "INBOX") -> list[tuple[int, frozenset[str]]]:
        """Flags and keywords of the messages in a folder."""
        store = open_store(f"maildir:{self.home}")
        if not store.exists(folder):
            return []
        with store.open(folder, read_only=True) as mailbox:
            return [(message.flags, message.keywords) for message in mailbox.messages]

    def text(self, folder: str = "INBOX") -> bytes:
        """The one message in a folder."""
        with open_store(f"maildir:{self.home}").open(folder, read_only=True) as mailbox:
            (message,) = mailbox.messages
            with mailbox.read(message.uid) as content:
                return content.read().replace(b"\r\n", b"\n")

    @property
    def sent(self) -> list[tuple[str, list[str], bytes]]:
        """What went to cleanup: sender, recipients, content."""
        return [(str(each["sender"]), each["recipients"], content) for each, content in self.services.received]  # type: ignore[misc]


@pytest.fixture
def agent(tmp_path: Path) -> Filtered:
    return Filtered(tmp_path)


def test_without_a_script_nothing_is_different(agent: Filtered) -> None:
    assert agent.deliver() == ("sent", "2.0.0", "delivered to maildir")


def test_an_empty_script_keeps(agent: Filtered) -> None:
    agent.script("")
    assert agent.deliver() == ("sent", "2.0.0", "sieve: delivered to mailbox")
    assert agent.names() == [(0, frozenset())]


def test_fileinto_makes_a_folder_and_sets_flags(agent: Filtered) -> None:
    agent.script(
        'require ["fileinto", "mailbox", "imap4flags"]; fileinto :create :flags ["\\\\Seen", "$x"] "Lists/py";'
    )
    assert agent.deliver() == ("sent", "2.0.0", 'sieve: filed into "Lists/py"')
    assert agent.names("Lists/py") == [(SEEN, frozenset(["$x"]))]
    assert agent.names() == []
    assert agent.text("Lists/py").startswith(b"Return-Path: <s@example.org>\n")


def test_a_folder_that_is_not_there_is_no_reason_to_lose_a_message(agent: Filtered) -> None:
    agent.script('require "fileinto"; fileinto "Nowhere";')
    with log.capture() as lines:
        assert agent.deliver() == ("sent", "2.0.0", "sieve: delivered to mailbox")
    assert len(agent.names()) == 1
    assert any('there is no mailbox "Nowhere"' in line for line in lines)


def test_the_site_may_have_folders_made(tmp_path: Path) -> None:
    agent = Filtered(tmp_path, lda_mailbox_autocreate="yes")
    agent.script('require "fileinto"; fileinto "New"; fileinto "New";')
    assert agent.deliver()[2] == 'sieve: filed into "New"'
    assert len(agent.names("New")) == 1


@pytest.mark.parametrize("name", ["../../x", "a//b", "..", "a\x01b", "", "x" * 300])
def test_no_name_leaves_the_mailbox(agent: Filtered, name: str) -> None:
    agent.script(f'require ["fileinto", "mailbox"]; fileinto :create "{name}";')
    before = {path for path in agent.path.rglob("*") if path.is_dir()}
    assert agent.deliver()[0] == "sent"
    made = {path for path in agent.path.rglob("*") if path.is_dir()} - before
    assert all(agent.home in path.parents for path in made)
    assert len(list(agent.home.rglob("new/*"))) == 1


@pytest.mark.parametrize(("script", "folder"), [("keep;", "Work"), ('require "fileinto"; fileinto "INBOX";', "INBOX")])
def test_keep_goes_where_the_address_says_and_inbox_is_inbox(tmp_path: Path, script: str, folder: str) -> None:
    agent = Filtered(tmp_path, recipient_delimiter="+", save_to_detail_mailbox="create")
    agent.script(script)
    assert agent.deliver(address="ann+Work@example.com")[0] == "sent"
    assert {name: len(agent.names(name)) for name in ("INBOX", "Work")} == {"INBOX": 0, "Work": 0} | {folder: 1}


def test_discard_leaves_nothing(agent: Filtered) -> None:
    agent.script("discard;")
    assert agent.deliver() == ("sent", "2.0.0", "sieve: discarded")
    assert agent.names() == []


def test_reject_goes_back_to_the_sender_with_its_text_on_one_line(agent: Filtered) -> None:
    agent.script('require "reject"; reject text:\nNo, thank\nyou.\n.\n;')
    assert agent.deliver() == ("bounced", "5.7.1", "No, thank you.")
    assert agent.names() == []


class TestRedirect:
    def test_the_message_goes_on_with_its_sender_and_a_trace(self, agent: Filtered) -> None:
        agent.script('redirect "bob@example.org";')
        assert agent.deliver() == ("sent", "2.0.0", "sieve: redirected to <bob@example.org>")
        ((sender, recipients, content),) = agent.sent
        assert (sender, recipients) == ("s@example.org", ["bob@example.org"])
        assert agent.services.received[0][0]["origin"] == "local", "as what a forward file sends on"
        received, _, rest = content.partition(b"Delivered-To: ann@example.com\n")
        assert received.startswith(b"Received: by mx.example.com")
        assert rest == b"To: ann@example.com\nSubject: x\n\nbody\n"
        assert agent.names() == []

    @pytest.mark.parametrize(
        ("how", "sender"),
        [
            ("recipient", ANN),
            ("orig_recipient", ANN),
            ("<srs@example.com>", "srs@example.com"),
            ("sender", "s@example.org"),
        ],
    )
    def test_the_site_says_who_sends_it_but_never_for_the_null_sender(
        self, tmp_path: Path, how: str, sender: str
    ) -> None:
        agent = Filtered(tmp_path, sieve_redirect_envelope_from=how)
        agent.script('redirect "bob@example.org";')
        agent.deliver()
        agent.deliver(sender="")
        assert [each[0] for each in agent.sent] == [sender, ""]

    def test_copy_keeps_too(self, agent: Filtered) -> None:
        agent.script('require "copy"; redirect :copy "bob@example.org";')
        assert agent.deliver()[0] == "sent"
        assert len(agent.sent) == len(agent.names()) == 1

    def test_to_oneself_is_to_keep(self, agent: Filtered) -> None:
        agent.script('redirect "Ann@Example.com";')
        assert agent.deliver()[0] == "sent"
        assert (agent.sent, len(agent.names())) == ([], 1)

    def test_no_loop_is_begun(self, agent: Filtered) -> None:
        agent.script('redirect "bob@example.org";')
        assert agent.deliver(b"Delivered-To: bob@example.org\n\nx\n")[0] == "sent"
        assert (agent.sent, len(agent.names())) == ([], 1)

    def test_too_many_are_an_error_and_keep(self, tmp_path: Path) -> None:
        agent = Filtered(tmp_path, sieve_max_redirects="2", sieve_error_notice="no")
        agent.script("".join(f'redirect "a{number}@example.org";' for number in range(3)))
        assert agent.deliver()[0] == "sent"
        assert (agent.sent, len(agent.names())) == ([], 1)

    def test_without_cleanup_the_message_waits_and_nothing_is_done_twice(self, agent: Filtered) -> None:
        agent.script('require ["copy"]; redirect :copy "bob@example.org";')
        request = agent.request(ANN)
        agent.services.close()
        (agent.path / "private" / "cleanup-virtual").unlink()
        assert agent.results(request)[0][1:3] == ("deferred", "4.3.0")
        agent.services = services(agent.path / "private2")
        os.rename(agent.path / "private2" / "cleanup-virtual", agent.path / "private" / "cleanup-virtual")
        assert agent.results(request)[0][1] == "sent"
        assert len(agent.names()) == len(agent.sent) == 1

    def test_a_store_that_fails_sends_nothing(self, agent: Filtered) -> None:
        agent.script(
            'require ["copy", "fileinto", "mailbox"]; redirect :copy "bob@example.org"; fileinto :create "X"; keep;'
        )
        request = agent.request(ANN)
        (agent.home / "tmp").symlink_to("/nonexistent/x")
        assert agent.results(request)[0][1] == "deferred"
        assert agent.sent == []
        (agent.home / "tmp").unlink()
        assert agent.results(request)[0][1] == "sent"
        assert len(agent.sent) == len(agent.names()) == len(agent.names("X")) == 1

    def test_what_cleanup_will_never_take_is_kept(self, agent: Filtered) -> None:
        agent.script('redirect "bob@example.org";')
        agent.services.refusal = (554, "5.3.4", "too large")
        assert agent.deliver()[0] == "sent"
        assert len(agent.names()) == 1


class TestErrors:
    def test_a_syntax_error_falls_to_inbox_and_says_where(self, agent: Filtered) -> None:
        agent.script("keep;\nfiletno;")
        with log.capture() as lines:
            assert agent.deliver()[0] == "sent"
        assert len(agent.names()) == 1
        assert any(".dovecot.sieve:2:1: " in line for line in lines)

    def test_the_user_is_told_once_a_day(self, agent: Filtered) -> None:
        agent.script("keep")
        agent.deliver()
        agent.deliver()
        ((sender, recipients, content),) = agent.sent
        assert (sender, recipients) == ("", [ANN])
        assert b"Auto-Submitted: auto-generated" in content and b".dovecot.sieve:1:" in content

    @pytest.mark.parametrize("how", ["cannot be remembered", "is about a notice"])
    def test_notices_make_no_notices(self, agent: Filtered, how: str) -> None:
        agent.script("keep")
        if how == "cannot be remembered":
            (agent.home / ".sieve-remembered").mkdir()
        assert agent.deliver(sender="" if how == "is about a notice" else "bob@example.org")[0] == "sent"
        assert agent.sent == [] and len(agent.names()) == 1

    def test_a_broken_script_of_the_site_makes_mail_wait(self, tmp_path: Path) -> None:
        agent = Filtered(tmp_path, sieve_before=str(tmp_path / "before.sieve"))
        assert agent.deliver()[:2] == ("deferred", "4.3.5")
        (tmp_path / "before.sieve").write_text("nonsense")
        status, dsn, text = agent.deliver()
        assert (status, dsn) == ("deferred", "4.3.5") and "before.sieve:1:" in text
        (tmp_path / "before.sieve").write_text("keep;")
        assert agent.deliver()[0] == "sent"

    @pytest.mark.parametrize("kind", ["directory", "fifo", "loop", "large", "bytes"])
    def test_a_script_that_cannot_be_read_falls_to_inbox(self, tmp_path: Path, kind: str) -> None:
        agent = Filtered(tmp_path, sieve_max_script_size="1000")
        path = agent.script("discard;" + " " * (2000 if kind == "large" else 0))
        if kind == "bytes":
            path.write_bytes(b"discard; # \xff\n")
        elif kind != "large":
            path.unlink()
            if kind == "directory":
                path.mkdir()
            elif kind == "fifo":
                os.mkfifo(path)
            else:
                path.symlink_to(path.name)
        assert agent.deliver()[0] == "sent"
        assert len(agent.names()) == 1

    def test_a_message_that_cannot_be_read_waits(self, agent: Filtered) -> None:
        agent.script('require "body"; if body :contains "x" { discard; }')
        request = agent.request(ANN, content=b"Subject: x\n\n" + b"y\n" * 50_000)
        os.truncate(agent.path / "queue1", 70_000)
        assert agent.results(request)[0][1] == "deferred"


class TestSequence:
    def agent(self, path: Path, before: str, own: str | None, after: str, **options: str) -> Filtered:
        for name, text in (("before", before), ("after", after)):
            (path / f"{name}.sieve").write_text(text)
        agent = Filtered(
            path, sieve_before=str(path / "before.sieve"), sieve_after=str(path / "after.sieve"), **options
        )
        if own is not None:
            agent.script(own)
        return agent

    def test_flags_and_header_go_from_one_to_the_next(self, tmp_path: Path) -> None:
        agent = self.agent(
            tmp_path,
            'require ["editheader", "imap4flags"]; addheader "X-Spam" "yes"; keep :flags "\\\\Seen";',
            'require "fileinto"; if header :is "X-Spam" "yes" { keep; } else { discard; }',
            "",
        )
        assert agent.deliver()[0] == "sent"
        assert b"\nX-Spam: yes\n" in agent.text()

    def test_what_is_not_kept_is_not_seen_by_the_next(self, tmp_path: Path) -> None:
        agent = self.agent(tmp_path, "discard;", "keep;", 'redirect "x@example.org";')
        assert agent.deliver()[2] == "sieve: discarded"
        assert agent.sent == []

    def test_the_default_is_for_those_without_a_script(self, tmp_path: Path) -> None:
        (tmp_path / "default.sieve").write_text("discard;")
        agent = self.agent(tmp_path, "", None, "", sieve_default=str(tmp_path / "default.sieve"))
        assert agent.deliver()[2] == "sieve: discarded"
        agent.script("keep;")
        assert agent.deliver()[2] == "sieve: delivered to mailbox"


def test_a_changed_script_holds_for_the_next_message(agent: Filtered) -> None:
    path = agent.script("discard;")
    agent.deliver()
    path.write_text("keep; ")
    os.utime(path, ns=(time.time_ns(), time.time_ns() + 1))
    assert agent.deliver()[2] == "sieve: delivered to mailbox"


def test_a_large_message_with_another_header_is_whole(agent: Filtered) -> None:
    agent.script('require "editheader"; deleteheader "Subject"; addheader "X-New" "1";')
    body = os.urandom(300_000).hex().encode() + b"\n"
    assert agent.deliver(b"To: x@y\nSubject: a\n b\nFrom: z\n\n" + body)[0] == "sent"
    header, _, rest = agent.text().partition(b"\n\n")
    assert rest == body
    assert b"Subject" not in header and b"X-New: 1" in header and b"Delivered-To: " in header


def test_the_content_type_is_what_the_file_has(agent: Filtered) -> None:
    """A body of octets becomes lines before scripts see it."""
    agent.script('require "editheader"; addheader "X-New" "1";')
    content = b"MIME-Version: 1.0\nContent-Type: x/y\nContent-Transfer-Encoding: binary\n\n" + bytes(range(256))
    assert agent.deliver(content, body="binarymime")[0] == "sent"
    assert b"Content-Transfer-Encoding: binary" not in agent.text()


PERSON = b"From: Bob <bob@example.org>\nTo: ann@example.com\nSubject: Hi\nMessage-ID: <1@example.org>\n\nbody\n"
AWAY = 'require "vacation"; vacation :days 1 :subject "Away" "I am away.";'


class TestReplies:
    def test_a_sender_is_answered_once(self, agent: Filtered) -> None:
        agent.script(AWAY)
        for sender in ("bob@example.org", "Bob@example.org", "eve@example.org"):
            assert agent.deliver(PERSON, sender=sender)[2] == "sieve: delivered to mailbox"
        assert [each[:2] for each in agent.sent] == [("", ["bob@example.org"]), ("", ["eve@example.org"])]
        content = agent.sent[0][2]
        assert b"\nFrom: ann@example.com\nTo: bob@example.org\nSubject: Away\n" in content
        assert b"\nAuto-Submitted: auto-replied (vacation)\n" in content and content.endswith(b"\n\nI am away.\n")

    def test_a_reply_that_was_not_sent_is_not_remembered(self, agent: Filtered) -> None:
        agent.script(AWAY)
        agent.services.refusal = (451, "4.3.0", "later")
        assert agent.deliver(PERSON, sender="bob@example.org")[0] == "sent"
        agent.services.refusal = None
        agent.deliver(PERSON, sender="bob@example.org")
        assert len(agent.sent) == 1

    def test_a_sender_is_answered_once_in_a_batch(self, agent: Filtered) -> None:
        agent.script(AWAY)
        requests = [replace(agent.request(ANN, content=PERSON), sender="bob@example.org") for _ in range(6)]
        assert {status for _, status, _, _ in agent.results(*requests)} == {"sent"}
        assert len(agent.sent) == 1 and len(agent.names()) == 6

    def test_who_cannot_be_remembered_is_not_answered(self, agent: Filtered) -> None:
        """Two programs that answer each other's answers would never end."""
        agent.script(AWAY)
        (agent.home / ".sieve-remembered").mkdir()
        assert agent.deliver(PERSON, sender="bob@example.org")[2] == "sieve: delivered to mailbox"
        assert agent.sent == []

    def test_another_reply_is_another(self, agent: Filtered) -> None:
        path = agent.script(AWAY)
        agent.deliver(PERSON, sender="bob@example.org")
        path.write_text(AWAY.replace("away", "back soon"))
        agent.deliver(PERSON, sender="bob@example.org")
        path.write_text(AWAY.replace(":days 1", ':handle "h"'))
        agent.deliver(PERSON, sender="bob@example.org")
        path.write_text(AWAY.replace(":days 1", ':handle "h"').replace("away", "here"))
        agent.deliver(PERSON, sender="bob@example.org")
        assert len(agent.sent) == 3

    @pytest.mark.parametrize(
        ("sender", "content"),
        [
            ("", PERSON),
            ("owner-x@example.org", PERSON),
            ("bob@example.org", b"List-Id: x\n" + PERSON),
            ("bob@example.org", PERSON.replace(b"ann@", b"all@")),
        ],
    )
    def test_machines_lists_and_crowds_are_not(self, agent: Filtered, sender: str, content: bytes) -> None:
        agent.script(AWAY)
        assert agent.deliver(content, sender=sender)[0] == "sent"
        assert agent.sent == []

    def test_an_address_of_the_script_counts_as_the_user(self, agent: Filtered) -> None:
        agent.script(AWAY.replace(":days 1", ':addresses ["All@example.com"]'))
        agent.deliver(PERSON.replace(b"ann@", b"all@"), sender="bob@example.org")
        assert len(agent.sent) == 1

    def test_the_original_recipient_answers(self, agent: Filtered) -> None:
        agent.script(AWAY)
        request = agent.request(ANN, content=PERSON.replace(b"ann@", b"info@"))
        recipient = replace(request.recipients[0], original="info@example.com")
        agent.results(replace(request, recipients=(recipient,), sender="bob@example.org"))
        assert b"\nFrom: info@example.com\n" in agent.sent[0][2]

    def test_a_notification_is_sent_but_not_for_one(self, agent: Filtered) -> None:
        agent.script('require "enotify"; notify :message "New" "mailto:m@phone.example";')
        agent.deliver(PERSON)
        agent.deliver(b'Auto-Submitted: auto-notified; owner-email="x@y"\n' + PERSON)
        ((sender, recipients, content),) = agent.sent
        assert (sender, recipients) == ("", ["m@phone.example"])
        assert b'\nAuto-Submitted: auto-notified; owner-email="ann@example.com"\n' in content


class TestDuplicate:
    SCRIPT = 'require ["duplicate"]; if duplicate { discard; }'

    def test_the_second_is_seen(self, agent: Filtered) -> None:
        agent.script(self.SCRIPT)
        assert [agent.deliver(PERSON)[2] for _ in range(2)] == ["sieve: delivered to mailbox", "sieve: discarded"]

    def test_so_is_one_that_comes_in_the_same_batch(self, agent: Filtered) -> None:
        agent.script(self.SCRIPT)
        requests = [agent.request(ANN, content=PERSON) for _ in range(5)]
        texts = [text for *_, text in agent.results(*requests)]
        assert texts == ["sieve: delivered to mailbox", *["sieve: discarded"] * 4]
        assert len(agent.names()) == 1

    def test_one_that_comes_in_the_same_batch_counts_where_the_first_failed(self, agent: Filtered) -> None:
        agent.script(self.SCRIPT.replace("}", '} else { redirect "bob@example.org"; }'))
        agent.services.refusal = (550, "5.7.1", "no")
        requests = [agent.request(ANN, content=PERSON) for _ in range(3)]
        texts = [text for *_, text in agent.results(*requests)]
        assert texts == ["sieve: delivered to mailbox", *["sieve: discarded"] * 2]
        agent.services.refusal = (451, "4.7.1", "later")
        requests = [agent.request(ANN, content=PERSON.replace(b"<", b"<2")) for _ in range(3)]
        assert [status for _, status, _, _ in agent.results(*requests)] == ["deferred"] * 3

    def test_what_failed_was_not_seen(self, agent: Filtered) -> None:
        agent.script(self.SCRIPT)
        (agent.home / "tmp").symlink_to("/nonexistent/x")
        assert agent.deliver(PERSON)[0] == "deferred"
        (agent.home / "tmp").unlink()
        assert agent.deliver(PERSON)[2] == "sieve: delivered to mailbox"


class TestInclude:
    def test_personal_and_global_scripts_are_found(self, tmp_path: Path) -> None:
        (tmp_path / "global").mkdir()
        (tmp_path / "global" / "site.sieve").write_text('require "fileinto"; fileinto "Site";')
        agent = Filtered(tmp_path, sieve_global=str(tmp_path / "global"), lda_mailbox_autocreate="yes")
        agent.script('require ["fileinto", "copy"]; fileinto :copy "Own";', "sieve/own.sieve")
        agent.script('require "include"; include "own"; include :global "site";')
        agent.deliver()
        assert (len(agent.names("Own")), len(agent.names("Site")), agent.names()) == (1, 1, [])

    def test_a_changed_part_holds_for_the_next_message(self, agent: Filtered) -> None:
        agent.script('require "include"; include :optional "own";')
        assert agent.deliver()[2] == "sieve: delivered to mailbox"
        agent.script("discard;", "sieve/own.sieve")
        assert agent.deliver()[2] == "sieve: discarded"

    @pytest.mark.parametrize("name", ["../secret", ".hidden", "a/b"])
    def test_no_name_leaves_the_directory(self, agent: Filtered, name: str) -> None:
        for place in ("secret", "sieve/.hidden", "sieve/a/b"):
            path = agent.home / f"{place}.sieve"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("discard;")
        agent.script(f'require "include"; include :optional "{name}";')
        assert agent.deliver()[2] == "sieve: delivered to mailbox"

    def test_two_users_with_one_script_of_the_site_have_their_own_parts(self, tmp_path: Path) -> None:
        (tmp_path / "before.sieve").write_text('require "include"; include :optional "own";')
        agent = Filtered(tmp_path, sieve_before=str(tmp_path / "before.sieve"))
        agent.script("discard;", "sieve/own.sieve")
        assert agent.deliver()[2] == "sieve: discarded"
        assert agent.deliver(address="bob@example.com")[2] == "sieve: delivered to mailbox"
        assert agent.deliver()[2] == "sieve: discarded"


def test_scores_of_spam_filters_are_read(tmp_path: Path) -> None:
    agent = Filtered(tmp_path, sieve_spamtest_status_header="X-Spam-Status: score=([0-9.]+)")
    agent.script(
        'require ["spamtestplus", "relational", "comparator-i;ascii-numeric"];'
        'if spamtest :percent :value "ge" :comparator "i;ascii-numeric" "70" { discard; }'
    )
    for score, text in ((b"8.1", "discarded"), (b"2.0", "delivered to mailbox")):
        assert agent.deliver(b"X-Spam-Status: Yes, score=" + score + b" required=5\n\nx\n")[2] == f"sieve: {text}"


def test_a_script_that_takes_too_long_falls_to_inbox(agent: Filtered, monkeypatch: pytest.MonkeyPatch) -> None:
    def forever(*_: object) -> object:
        while True:
            pass

    monkeypatch.setattr("pillarbox.lib.sieve_box.running.execute", forever)
    agent.delivery._filtering._filter._runner._time = 0.05
    agent.script("discard;")
    with log.capture() as lines:
        assert agent.deliver()[2] == "sieve: delivered to mailbox"
    assert any("processor time" in line for line in lines)


def test_a_slow_script_is_given_a_rest_and_other_users_are_not(
    agent: Filtered, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs: list[str] = []

    def forever(_: object, message: Any, state: object) -> object:
        runs.append(message.envelope["to"])
        while True:
            pass

    monkeypatch.setattr("pillarbox.lib.sieve_box.running.execute", forever)
    runner = agent.delivery._filtering._filter._runner
    now = 1e9
    runner._time, runner._usage = 0.05, Usage(0.05, 600, lambda: now)
    agent.script("discard;")
    with log.capture() as lines:
        assert [agent.deliver()[2] for _ in range(5)] == ["sieve: delivered to mailbox"] * 5
    assert runs == [ANN]
    assert len([line for line in lines if "is not run for a while" in line]) == 4
    other = agent.base / "example.com" / "bob"
    other.mkdir(parents=True)
    (other / ".dovecot.sieve").write_text("discard;")
    agent.deliver(address="bob@example.com")
    assert runs == [ANN, "bob@example.com"]
    now += 600
    agent.deliver()
    assert runs == [ANN, "bob@example.com", ANN]


def test_a_fault_of_ours_falls_to_inbox(agent: Filtered, monkeypatch: pytest.MonkeyPatch) -> None:
    def faulty(*_: object) -> object:
        raise RecursionError("too deep")

    monkeypatch.setattr("pillarbox.lib.sieve_box.running.execute", faulty)
    agent.script("discard;")
    assert agent.deliver()[2] == "sieve: delivered to mailbox"
