"""offlineimap keeps a Maildir and an account the same, both ways."""

from __future__ import annotations

import mailbox
from pathlib import Path

import pytest

from tests.clients.site import Account, Site, letter
from tests.peers import peer

_CONFIGURATION = """\
[general]
accounts = us
metadata = {place}/state
ui = basic
[Account us]
localrepository = near
remoterepository = far
[Repository near]
type = Maildir
localfolders = {place}/local
[Repository far]
type = IMAP
remotehost = localhost
remoteport = {port}
remoteuser = {user}
remotepass = {password}
ssl = {ssl}
starttls = no
sslcacertfile = {trust}
auth_mechanisms = {mechanism}
"""


class Sync:
    """A local copy of an account and the way to bring both together."""

    def __init__(self, site: Site, account: Account, directory: Path) -> None:
        self.site, self.account, self.directory = site, account, directory

    def __call__(self, service: str = "imaps", mechanism: str = "PLAIN") -> None:
        (self.directory / "offlineimaprc").write_text(
            _CONFIGURATION.format(
                place=self.directory,
                port=self.site.port(service),
                user=self.account.address,
                password=self.account.password,
                ssl="yes" if service == "imaps" else "no",
                trust=self.site.trust,
                mechanism=mechanism,
            )
        )
        command = ["offlineimap", "-o", "-c", self.directory / "offlineimaprc"]
        peer("offlineimap").run(command, env={"HOME": str(self.directory)}, check=True)

    def box(self, name: str = "INBOX") -> mailbox.Maildir:
        return mailbox.Maildir(self.directory / "local" / name, create=False)

    def flags(self, name: str = "INBOX") -> dict[str, str]:
        return {message["Subject"]: message.get_flags() for message in self.box(name)}


@pytest.fixture
def sync(site: Site, account: Account, tmp_path: Path) -> Sync:
    return Sync(site, account, tmp_path)


@pytest.mark.parametrize("service, mechanism", [("imap", "LOGIN"), ("imaps", "PLAIN")])
def test_the_first_sync_copies_every_message_unchanged(
    sync: Sync, account: Account, service: str, mechanism: str
) -> None:
    account.deliver(*(letter(f"letter {number}") for number in range(5)))
    with account.imap() as client:
        client.create("Work/Deep")
        client.append("Work/Deep", "", "", letter("deep"))  # type: ignore[arg-type]
    sync(service, mechanism)
    box = sync.box()
    assert sorted(box.get_bytes(key) for key in box.iterkeys()) == sorted(account.messages())
    assert set(sync.flags("Work.Deep")) == {"deep"}


def test_flags_and_deletions_travel_both_ways(sync: Sync, account: Account) -> None:
    account.deliver(letter("far"), letter("near"), letter("gone there"), letter("gone here"))
    sync()
    with account.imap() as client:
        client.select()
        client.store("1", "+FLAGS", r"(\Seen \Answered)")
        client.store("3", "+FLAGS", r"(\Deleted)")
        client.expunge()
    box = sync.box()
    for key, message in list(box.items()):
        if message["Subject"] == "near":
            message.set_subdir("cur")
            message.set_flags("FS")
            box[key] = message
        elif message["Subject"] == "gone here":
            box.remove(key)
    sync()
    assert account.flags() == {"far": {"\\Seen", "\\Answered"}, "near": {"\\Seen", "\\Flagged"}}
    assert sync.flags() == {"far": "RS", "near": "FS"}


def test_new_messages_and_folders_go_up(sync: Sync, account: Account) -> None:
    account.deliver(letter("old"))
    sync()
    sync.box().add(letter("drafted here").replace(b"\r\n", b"\n"))
    made = mailbox.Maildir(sync.directory / "local" / "Sent")
    made.add(letter("sent here").replace(b"\r\n", b"\n"))
    sync()
    assert set(account.flags()) == {"old", "drafted here"}
    assert set(account.flags("Sent")) == {"sent here"}
    before = account.files()
    sync()
    assert account.files() == before, "a further run changes nothing"
