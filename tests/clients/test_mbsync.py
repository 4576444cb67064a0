"""mbsync keeps a Maildir and an account the same, both ways, and then has nothing left to do."""

from __future__ import annotations

import mailbox
import os
from pathlib import Path

import pytest

from tests.clients.site import Account, Site, letter, stored
from tests.peers import peer

_CONFIGURATION = """\
IMAPAccount us
Host {host}
Port {port}
User {user}
Pass "{password}"
SSLType {tls}
AuthMechs {mechanism}
CertificateFile {trust}
SystemCertificates no

IMAPStore far
Account us

MaildirStore near
Path {local}/
Inbox {local}/INBOX
SubFolders Verbatim

Channel all
Far :far:
Near :near:
Patterns *
Create Both
Remove Both
Expunge Both
CopyArrivalDate yes
SyncState *
"""


class Sync:
    """A local copy of an account and the way to bring both together."""

    def __init__(self, site: Site, account: Account, directory: Path) -> None:
        self.site, self.account, self.directory = site, account, directory
        self.local = directory / "local"
        self.local.mkdir()

    def __call__(self, service: str = "imaps", tls: str = "IMAPS", mechanism: str = "LOGIN") -> str:
        """Run mbsync once; what it did and said."""
        (self.directory / "mbsyncrc").write_text(
            _CONFIGURATION.format(
                host="localhost",
                port=self.site.port(service),
                user=self.account.address,
                password=self.account.password,
                tls=tls,
                mechanism=mechanism,
                trust=self.site.trust,
                local=self.local,
            )
        )
        done = peer("isync").run(
            ["mbsync", "-c", self.directory / "mbsyncrc", "-D", "all"], env={"HOME": str(self.directory)}, check=True
        )
        return done.stdout + done.stderr

    def box(self, name: str = "INBOX") -> mailbox.Maildir:
        return mailbox.Maildir(self.local / name, create=False)

    def contents(self) -> list[bytes]:
        """The messages without the field by which mbsync finds what it has just stored."""
        box = self.box()
        lines = (box.get_bytes(key).splitlines(True) for key in box.iterkeys())
        return [b"".join(line for line in each if not line.startswith(b"X-TUID:")) for each in lines]

    def key(self, subject: str, name: str = "INBOX") -> str:
        (key,) = (key for key, message in self.box(name).items() if message["Subject"] == subject)
        return key

    def set_flags(self, subject: str, flags: str) -> None:
        box, key = self.box(), self.key(subject)
        message = box[key]
        message.set_subdir("cur")
        message.set_flags(flags)
        box[key] = message

    def files(self) -> list[str]:
        """All files with their names and sizes, sync state included."""
        found = []
        for directory, _, names in os.walk(self.local):
            found += [f"{directory}/{name} {os.stat(os.path.join(directory, name)).st_size}" for name in names]
        return sorted(found)


@pytest.fixture
def sync(site: Site, account: Account, tmp_path: Path) -> Sync:
    return Sync(site, account, tmp_path)


@pytest.mark.parametrize(
    "service, tls, mechanism",
    [
        ("imap", "None", "LOGIN"),
        ("imap", "STARTTLS", "LOGIN"),
        ("imaps", "IMAPS", "LOGIN"),
        ("imaps", "IMAPS", "PLAIN"),
    ],
)
def test_it_copies_every_message_unchanged(
    sync: Sync, account: Account, service: str, tls: str, mechanism: str
) -> None:
    account.deliver(*(letter(f"letter {number}") for number in range(5)))
    sync(service, tls, mechanism)
    assert sorted(sync.contents()) == sorted(account.messages())


def test_a_second_run_changes_nothing(sync: Sync, account: Account) -> None:
    account.deliver(letter("one"), letter("two"))
    with account.imap() as client:
        client.create("Empty")
    sync()
    here, there = sync.files(), account.files()
    sync()
    assert sync.files() == here
    assert account.files() == there
    assert {path.name for path in sync.local.iterdir()} >= {"INBOX", "Empty"}


def test_flags_travel_both_ways(sync: Sync, account: Account) -> None:
    account.deliver(letter("far"), letter("near"), letter("both"))
    sync()
    with account.imap() as client:
        client.select()
        client.store("1", "+FLAGS", r"(\Seen \Answered)")
        client.store("3", "+FLAGS", r"(\Flagged)")
    sync.set_flags("near", "FS")
    sync.set_flags("both", "S")
    sync()
    assert account.flags() == {
        "far": {"\\Seen", "\\Answered"},
        "near": {"\\Seen", "\\Flagged"},
        "both": {"\\Seen", "\\Flagged"},
    }
    assert {message["Subject"]: message.get_flags() for message in sync.box()} == {
        "far": "RS",
        "near": "FS",
        "both": "FS",
    }


def test_a_flag_that_is_taken_away_goes_on_the_other_side(sync: Sync, account: Account) -> None:
    account.deliver(letter("far"), letter("near"))
    with account.imap() as client:
        client.select()
        client.store("1:2", "+FLAGS", r"(\Seen \Flagged)")
    sync()
    with account.imap() as client:
        client.select()
        client.store("1", "-FLAGS", r"(\Flagged)")
    sync.set_flags("near", "S")
    sync()
    assert account.flags() == {"far": {"\\Seen"}, "near": {"\\Seen"}}
    assert [message.get_flags() for message in sync.box()] == ["S", "S"]


def test_new_messages_go_up_with_flags_and_date(sync: Sync, account: Account) -> None:
    account.deliver(letter("far"))
    sync()
    message = mailbox.MaildirMessage(stored(letter("near")))
    message.set_subdir("cur")
    message.set_flags("RS")
    message.set_date(1_600_000_000)
    sync.box().add(message)
    sync()
    assert account.flags() == {"far": set(), "near": {"\\Seen", "\\Answered"}}
    with account.imap() as client:
        client.select(readonly=True)
        assert b'"13-Sep-2020' in bytes(client.fetch("2", "INTERNALDATE")[1][0])  # type: ignore[arg-type]


def test_expunge_travels_both_ways(sync: Sync, account: Account) -> None:
    account.deliver(letter("far"), letter("near"), letter("stays"))
    sync()
    with account.imap() as client:
        client.select()
        client.store("1", "+FLAGS", r"(\Deleted)")
        client.expunge()
    sync.box().remove(sync.key("near"))
    sync()
    assert set(account.flags()) == {"stays"}
    assert [message["Subject"] for message in sync.box()] == ["stays"]


def test_new_folders_travel_both_ways(sync: Sync, account: Account) -> None:
    with account.imap() as client:
        client.create('"Far/Deep box"')
        client.append('"Far/Deep box"', "", "", letter("far"))
    sync()
    assert [message["Subject"] for message in sync.box("Far/Deep box")] == ["far"]
    mailbox.Maildir(sync.local / "Near").add(stored(letter("near")))
    sync()
    assert set(account.flags("Near")) == {"near"}


NAMES = {
    "Gr\u00fcn & Co": "Gr&APw-n &- Co",
    "\u65e5\u672c\u8a9e": "&ZeVnLIqe-",
    'quote"d': r"quote\"d",
    "p%r*c": "p%r*c",
}


@pytest.mark.parametrize("name", NAMES)
def test_names_in_other_scripts_and_with_odd_characters_travel(sync: Sync, account: Account, name: str) -> None:
    mailbox.Maildir(sync.local / NAMES[name].replace("\\", "")).add(stored(letter("near")))
    sync()
    assert set(account.flags(f'"{NAMES[name]}"')) == {"near"}
    assert list(account.site.mail.maildir(account.address).rglob("cur/*"))


def test_a_folder_that_is_removed_here_goes_there(sync: Sync, account: Account) -> None:
    with account.imap() as client:
        client.create("Gone")
    sync()
    assert (sync.local / "Gone").is_dir()
    with account.imap() as client:
        client.delete("Gone")
    sync()
    assert not (sync.local / "Gone").exists()


def test_a_message_of_megabytes_goes_up_and_comes_down(sync: Sync, account: Account, tmp_path: Path) -> None:
    large = stored(letter("large", body=("0123456789" * 7 + "\r\n") * 40_000))
    sync()
    sync.box().add(large)
    sync()
    assert len(account.messages()) == 1
    (tmp_path / "other").mkdir()
    other = Sync(sync.site, account, tmp_path / "other")
    other()
    assert other.contents() == [large]
