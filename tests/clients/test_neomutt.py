"""neomutt works in IMAP folders as a person would: header cache, flags, moves, new folders, drafts, sent mail."""

from __future__ import annotations

import mailbox
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.clients.site import Account, Site, letter
from tests.lab.terminal import in_terminal
from tests.peers import peer

Neomutt = Callable[..., str]

_SETTINGS = """\
set imap_user="{user}" imap_pass="{password}" certificate_file="{trust}" ssl_force_tls=yes
set folder="imaps://localhost:{port}/" spoolfile="imaps://localhost:{port}/INBOX"
set record="imaps://localhost:{port}/Sent" postponed="=Drafts"
set header_cache="{cache}" message_cachedir="{cache}" mbox_type=Maildir imap_qresync={qresync} imap_condstore={qresync}
set confirmappend=no confirmcreate=no delete=yes move=no mark_old=no wait_key=no sleep_time=0 quit=yes copy=yes
set from="{user}" realname="A Person" hostname=client.test use_envelope_from=yes send_charset=utf-8
set smtp_url="smtps://{user}@localhost:{smtp}/" smtp_pass="{password}"
"""


@pytest.fixture
def neomutt(site: Site, account: Account, tmp_path: Path) -> Neomutt:
    """Run neomutt in a terminal: `neomutt(keys=...)`."""
    program = peer("neomutt")
    (tmp_path / "cache").mkdir()

    def run(keys: str, settings: str = "", qresync: bool = False) -> str:
        rc = tmp_path / "neomuttrc"
        rc.write_text(
            _SETTINGS.format(
                user=account.address,
                password=account.password,
                trust=site.trust,
                port=site.port("imaps"),
                smtp=site.port("submissions"),
                cache=tmp_path / "cache",
                qresync="yes" if qresync else "no",
            )
            + settings
            + f'\npush "{keys}"\n'
        )
        command = ["neomutt", "-n", "-F", str(rc)]
        environment = {"HOME": str(tmp_path), "TERM": "xterm"}
        return in_terminal(program.command(command), program.environment(environment))

    return run


def test_it_reads_flags_and_deletes(account: Account, neomutt: Neomutt, tmp_path: Path) -> None:
    account.deliver(*(letter(name) for name in ("one", "two", "three")))
    neomutt(
        keys="1<enter><flag-message>2<enter><display-message><exit>"
        f"<copy-message>{tmp_path}/saved<enter>3<enter><delete-message><sync-mailbox><quit>"
    )
    assert account.flags() == {"one": {"\\Flagged"}, "two": {"\\Seen"}}
    (message,) = mailbox.Maildir(tmp_path / "saved", create=False)
    assert message["Subject"] == "two"


@pytest.mark.parametrize("qresync", [False, True])
def test_what_happened_meanwhile_is_seen_with_its_header_cache(
    account: Account, neomutt: Neomutt, qresync: bool
) -> None:
    account.deliver(letter("gone"), letter("seen"), letter("stays"))
    neomutt(keys="<last-entry><quit>", qresync=qresync)
    with account.imap() as client:
        client.select()
        client.store("1", "+FLAGS", r"(\Deleted)")
        client.expunge()
        client.store("1", "+FLAGS", r"(\Seen)")
    account.deliver(letter("new"))
    neomutt(keys="<tag-pattern>~U<enter><tag-prefix><flag-message><sync-mailbox><quit>", qresync=qresync)
    assert account.flags() == {"seen": {"\\Seen"}, "stays": {"\\Flagged"}, "new": {"\\Flagged"}}


def test_it_moves_messages_into_a_new_folder(account: Account, neomutt: Neomutt) -> None:
    account.deliver(letter("stay"), letter("go 1"), letter("go 2"))
    neomutt(keys="<tag-pattern>~s go<enter><tag-prefix><save-message>=Kept<enter><sync-mailbox><quit>")
    assert set(account.flags()) == {"stay"}
    assert set(account.flags("Kept")) == {"go 1", "go 2"}


def test_it_submits_and_keeps_a_copy_in_an_imap_folder(account: Account, neomutt: Neomutt) -> None:
    with account.imap() as client:
        assert client.create("Sent")[0] == "OK"
    settings = 'set editor="true" abort_unmodified=no\n'
    neomutt(keys=f"<mail>{account.address}<enter>hello<enter><send-message><quit>", settings=settings)
    (message,) = account.arrived()
    assert b"with ESMTPSA" in message
    assert list(account.flags("Sent").values()) == [{"\\Seen"}]


def test_it_keeps_a_draft_in_an_imap_folder(account: Account, neomutt: Neomutt) -> None:
    with account.imap() as client:
        assert client.create("Drafts")[0] == "OK"
    settings = 'set editor="true" abort_unmodified=no abort_nosubject=no\n'
    neomutt(keys=f"<mail>{account.address}<enter>later<enter><postpone-message><quit>", settings=settings)
    assert set(account.flags("Drafts")) == {"later"}
