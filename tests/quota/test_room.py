"""The room `quota`: its answers, and quota from end to end."""

from __future__ import annotations

import imaplib
import smtplib
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from pillarbox.lib.clients.lookup import LookupUnavailable, RecipientVerdict
from pillarbox.lib.config import Config
from pillarbox.lib.config.parameters.quota import DOMAIN_QUOTA, DOMAIN_QUOTA_MAPS, MAILBOX_QUOTA, MAILBOX_QUOTA_MAPS
from pillarbox.lib.hosted.mailboxes import Mailboxes
from pillarbox.lib.ipc import Attributes, ProtocolError
from pillarbox.lib.store import open_store
from pillarbox.lib.store.maildir.maildirsize import NAME
from pillarbox.quota.program import PROGRAM, answer
from tests.e2e.wire import PASSWORD, client
from tests.lab.instance import Instance

USERS = ANN, BOB, EVE, DORA, FAY = [f"{name}@example.org" for name in ("ann", "bob", "eve", "dora", "fay")]


class Lookup:
    def __init__(self, quota: str, location: str = "") -> None:
        self.quota, self.location = quota, location

    def recipient(self, address: str) -> RecipientVerdict:
        if address.startswith("broken"):
            raise LookupUnavailable("away")
        return RecipientVerdict("ok", "virtual_mailbox", quota=self.quota, location=self.location)


class Room:
    def __init__(self, path: Path, quota: str, **settings: str) -> None:
        self.box = path / "example.org" / "ann"
        config = Config.for_tests(mail_directory=str(path), **settings)
        self.mailboxes = Mailboxes(config, Lookup(quota))  # type: ignore[arg-type]

    def ask(self, size: int = 1, address: str = ANN) -> dict[str, object]:
        request = Attributes({"do": "room", "address": address, "size": size})
        return answer(self.mailboxes, request)

    def hold(self, content: str) -> None:
        (self.box / "tmp").mkdir(parents=True)
        (self.box / NAME).write_text(content)


def test_there_is_room_until_the_quota_is_used(tmp_path: Path) -> None:
    room = Room(tmp_path, "1000S/0S")
    room.hold("1000S\n900 3\n")
    assert room.ask(100) == {"ok": True, "full": "", "temporary": False}
    assert room.ask(101) == {"ok": True, "full": "the quota of the mailbox is used up", "temporary": False}


def test_it_may_be_temporary(tmp_path: Path) -> None:
    room = Room(tmp_path, "2C/0S", quota_full_tempfail="yes")
    room.hold("2C\n0 2\n")
    assert room.ask()["temporary"] is True


def test_the_domain_counts_too(tmp_path: Path) -> None:
    room = Room(tmp_path, "0S/500S")
    room.hold("0S\n400 2\n")
    assert room.ask(100)["full"] == ""
    assert room.ask(101)["full"] == "the quota of the domain is used up"


def test_a_mailbox_that_is_not_there_yet_is_not_made(tmp_path: Path) -> None:
    assert Room(tmp_path, "100S/0S").ask(100)["full"] == ""
    assert Room(tmp_path, "100S/0S").ask(101)["full"] == "the quota of the mailbox is used up"
    assert Room(tmp_path, "0S/100S").ask(101)["full"] == ""
    assert list(tmp_path.iterdir()) == []


def test_mail_in_a_database_counts(tmp_path: Path) -> None:
    room = Room(tmp_path, "")
    location = f"sqlite:{room.box}/mail.sqlite"
    room.mailboxes = Mailboxes(Config.for_tests(mail_directory=str(tmp_path)), Lookup("100S/150S", location))  # type: ignore[arg-type]
    assert room.ask(101)["full"] == "the quota of the mailbox is used up"
    assert not room.box.exists()
    neighbour = Mailboxes(Config.for_tests(mail_directory=str(tmp_path)), Lookup("0S/150S")).find(BOB, frozenset())  # type: ignore[arg-type]
    with closing(open_store(f"maildir:{neighbour.path}", neighbour.quota)) as store:
        store.append("INBOX", [b"x" * 100])
    assert room.ask(50)["full"] == ""
    assert room.ask(51)["full"] == "the quota of the domain is used up"
    assert not room.box.exists()


def test_what_is_not_known_is_no_refusal(tmp_path: Path) -> None:
    room = Room(tmp_path, "1S/0S")
    assert room.ask(address="broken@example.org")["ok"] is False
    assert room.ask(address='"../../x"@example.org')["ok"] is False
    (room.box / "tmp").mkdir(parents=True)
    (room.box / NAME).mkdir()
    assert room.ask()["ok"] is False


@pytest.mark.parametrize(
    "request_", [{"do": "x", "address": ANN, "size": 1}, {"do": "room", "address": "", "size": 1}, {"do": "room"}]
)
def test_another_question_ends_the_connection(tmp_path: Path, request_: dict[str, object]) -> None:
    with pytest.raises(ProtocolError):
        answer(Room(tmp_path, "").mailboxes, Attributes(request_))


@pytest.mark.parametrize("parameter", [DOMAIN_QUOTA, DOMAIN_QUOTA_MAPS, MAILBOX_QUOTA, MAILBOX_QUOTA_MAPS])
def test_it_is_warm_where_a_parameter_sets_a_quota(parameter: object) -> None:
    assert not PROGRAM.needed(Config.for_tests())
    value = "inline:{a=1G}" if parameter in (DOMAIN_QUOTA_MAPS, MAILBOX_QUOTA_MAPS) else "1G"
    assert PROGRAM.needed(Config.for_tests(**{parameter.name: value}))  # type: ignore[attr-defined]


# --- end to end


@pytest.fixture(scope="module")
def mail() -> Iterator[Instance]:
    settings = {
        "mailbox_quota": "20K",
        "mailbox_quota_maps": f"inline:{{ {{ {EVE} = 3C }} }}",
        "quota_rules": {"Trash": "ignore"},
        "quota_warnings": "80",
    }
    with Instance(users=dict.fromkeys(USERS, PASSWORD), settings=settings) as instance:
        yield instance


def submit(mail: Instance, recipient: str, size: int) -> None:
    text = b"Subject: x\r\n\r\n" + b"0123456789abcdef\r\n" * (size // 18)
    with client(mail) as session:
        session.sendmail("s@client.example", [recipient], text)


def refused(mail: Instance, recipient: str, size: int) -> str:
    with client(mail) as session, pytest.raises(smtplib.SMTPRecipientsRefused) as caught:
        session.sendmail("s@client.example", [recipient], b"x" * size)
    code, text = caught.value.recipients[recipient]
    return f"{code} {text.decode()}"


def test_a_full_mailbox_is_refused_at_rcpt_and_imap_sees_the_same(mail: Instance) -> None:
    submit(mail, ANN, 10_000)
    mail.wait_for(lambda: len(mail.mailbox(ANN)) == 1)
    mail.wait_for(lambda: (mail.maildir(ANN) / NAME).read_text().startswith("20480S\n0 0\n"))
    expected = f"552 5.2.2 <{ANN}>: Recipient address rejected: mailbox is full: the quota of the mailbox is used up"
    assert refused(mail, ANN, 15_000) == expected
    with imaplib.IMAP4(mail.address, mail.port("imap")) as imap:
        imap.login(ANN, PASSWORD)
        imap.create("Trash")
        status, (text, *_) = imap.append("INBOX", "", "", b"x" * 15_000)
        assert status == "NO" and b"[OVERQUOTA]" in text
        assert imap.append("Trash", "", "", b"x" * 15_000)[0] == "OK"
        imap.select("INBOX")
        imap.uid("STORE", "1:*", "+FLAGS", "\\Deleted")
        imap.expunge()
    submit(mail, ANN, 15_000)
    mail.wait_for(lambda: len(mail.mailbox(ANN)) == 1)


def test_an_accounts_own_quota_goes_before_that_for_all(mail: Instance) -> None:
    for quota, shown in (("1K", "1024S used 0S,0C"), ("100C", "100C used 0S,0C")):
        mail.run(["pillarbox", "user", "quota", BOB, quota], check=True)
        assert mail.run(["pillarbox", "user", "quota", BOB], check=True).stdout.strip() == shown
    submit(mail, BOB, 30_000)
    mail.wait_for(lambda: len(mail.mailbox(BOB)) == 1)
    mail.wait_for(lambda: (mail.maildir(BOB) / NAME).read_text().startswith("100C\n0 0\n"))
    mail.run(["pillarbox", "user", "quota", BOB, "1K"], check=True)
    mail.wait_for(lambda: "552 5.2.2" in _said(mail, BOB))
    mail.run(["pillarbox", "user", "quota", BOB, "none"], check=True)
    mail.wait_for(lambda: _said(mail, BOB) == "250")


def _said(mail: Instance, recipient: str) -> str:
    with client(mail) as session:
        session.ehlo()
        session.mail("s@client.example")
        code, text = session.rcpt(recipient)
    return "250" if code == 250 else f"{code} {text.decode()}"


def test_a_table_says_what_single_mailboxes_may_hold(mail: Instance) -> None:
    for number in range(3):
        submit(mail, EVE, 100)
        mail.wait_for(lambda number=number: len(mail.mailbox(EVE)) == number + 1)  # type: ignore[misc]
    mail.wait_for(lambda: "552 5.2.2" in _said(mail, EVE))


def test_delivery_looks_again(mail: Instance) -> None:
    """A message whose size was not said is accepted, and comes back."""
    submit(mail, FAY, 10_000)
    mail.wait_for(lambda: len(mail.mailbox(FAY)) == 1)
    with client(mail) as session:
        session.ehlo()
        session.mail("s@client.example")
        assert session.rcpt(FAY)[0] == 250
        session.data(b"Subject: x\r\n\r\n" + b"0123456789abcdef\r\n" * 1000)
    mail.wait_for(lambda: mail.log_matching(f"to=<{FAY}>.*dsn=5.2.2, status=bounced .mailbox is full"))


def test_the_owner_is_warned_by_mail(mail: Instance) -> None:
    submit(mail, DORA, 18_500)
    mail.wait_for(lambda: len(mail.mailbox(DORA)) == 2)
    warning = mail.mailbox(DORA)[1]
    assert b"Return-Path: <>" in warning and b"Your mailbox is 8" in warning and b"of at most 20 KB" in warning
    assert mail.log_matching(f"quota warning for {DORA}: 8.% used")
