"""mutt works in IMAP and POP3 folders as a person would, and sends through submission."""

from __future__ import annotations

import mailbox
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.clients.site import Account, Site, letter, stored
from tests.lab.terminal import in_terminal
from tests.peers import peer

Mutt = Callable[..., str]

_SETTINGS = """\
set imap_user="{user}" imap_pass="{password}" pop_user="{user}" pop_pass="{password}"
set certificate_file="{trust}" ssl_force_tls={tls} ssl_starttls={tls}
set folder="{folder}" spoolfile="{folder}INBOX" record="" postponed="" header_cache="" mbox_type=Maildir
set confirmappend=no confirmcreate=no delete=yes move=no mark_old=no wait_key=no sleep_time=0 quit=yes copy=no
set from="{user}" realname="A Person" hostname=client.test use_envelope_from=yes send_charset=utf-8
set smtp_url="{smtp}" smtp_pass="{password}" pop_delete=no
"""


@pytest.fixture
def mutt(site: Site, account: Account, tmp_path: Path) -> Mutt:
    """Run mutt in a terminal: `mutt("-f", url, keys=..., tls=...)`."""
    program = peer("mutt")

    def run(*arguments: str | Path, keys: str = "", settings: str = "", tls: bool = True, input: str = "") -> str:
        rc = tmp_path / "muttrc"
        smtp = f"smtps://{account.address}@127.0.0.1:{site.port('submissions')}/"
        rc.write_text(
            _SETTINGS.format(
                user=account.address,
                password=account.password,
                trust=site.trust,
                tls="yes" if tls else "no",
                folder=f"imap://127.0.0.1:{site.port('imap')}/",
                smtp=smtp,
            )
            + settings
            + (f'\npush "{keys}"\n' if keys else "")
        )
        command = ["mutt", "-n", "-F", rc, *arguments]
        environment = {"HOME": str(tmp_path), "TERM": "xterm"}
        if keys:
            return in_terminal(program.command(command), program.environment(environment))
        return program.run(command, env=environment, input=input, check=True).stdout

    return run


def folder(site: Site, service: str, name: str = "") -> str:
    """The URL by which mutt knows a mailbox; it calls POP3 pop."""
    return f"{service.replace('pop3', 'pop')}://127.0.0.1:{site.port(service)}/{name}"


WAYS = [("imap", False), ("imap", True), ("imaps", True)]


@pytest.mark.parametrize("service, tls", WAYS, ids=["clear", "starttls", "wrapped"])
def test_it_reads_a_message(site: Site, account: Account, mutt: Mutt, tmp_path: Path, service: str, tls: bool) -> None:
    account.deliver(letter("first"), letter("second"))
    keys = f"2<enter><display-message><exit><copy-message>{tmp_path}/saved<enter><quit>"
    mutt("-f", folder(site, service, "INBOX"), keys=keys, tls=tls)
    (message,) = mailbox.Maildir(tmp_path / "saved", create=False)
    assert message["Subject"] == "second"
    assert account.flags() == {"first": set(), "second": {"\\Seen"}}


def test_it_flags_and_deletes(site: Site, account: Account, mutt: Mutt) -> None:
    account.deliver(*(letter(name) for name in ("one", "two", "three", "four")))
    mutt(
        "-f", folder(site, "imaps", "INBOX"), keys="1<enter><flag-message>3<enter><delete-message><sync-mailbox><quit>"
    )
    flags = account.flags()
    assert set(flags) == {"one", "two", "four"}
    assert "\\Flagged" in flags["one"]
    assert "\\Flagged" not in flags["two"]


def test_it_moves_messages_into_a_new_folder(site: Site, account: Account, mutt: Mutt) -> None:
    account.deliver(letter("stay"), letter("go 1"), letter("go 2"))
    keys = "<tag-pattern>~s go<enter><tag-prefix><save-message>=Kept<enter>y<sync-mailbox><quit>"
    mutt("-f", folder(site, "imaps", "INBOX"), keys=keys, settings=f'set folder="{folder(site, "imaps")}"')
    assert set(account.flags()) == {"stay"}
    assert set(account.flags("Kept")) == {"go 1", "go 2"}


def test_it_marks_what_it_answers(site: Site, account: Account, mutt: Mutt) -> None:
    account.deliver(letter("question", sender=account.address))
    settings = 'set editor="true" abort_unmodified=no include=no fast_reply=yes reply_self=yes'
    mutt("-f", folder(site, "imaps", "INBOX"), keys="<reply>y<sync-mailbox><quit>", settings=settings)
    account.arrived(2)
    assert "\\Answered" in account.flags()["question"]
    assert "Re: question" in account.flags()


def test_it_searches_on_the_server(site: Site, account: Account, mutt: Mutt) -> None:
    account.deliver(letter("one", body="needle\r\n"), letter("two", body="straw\r\n"))
    mutt("-f", folder(site, "imaps", "INBOX"), keys="<tag-pattern>=b needle<enter><tag-prefix><flag-message><quit>")
    assert [subject for subject, flags in account.flags().items() if "\\Flagged" in flags] == ["one"]


def test_it_submits_and_keeps_a_copy_in_an_imap_folder(site: Site, account: Account, mutt: Mutt) -> None:
    record = folder(site, "imaps", "Sent")
    with account.imap() as client:
        assert client.create("Sent")[0] == "OK"
    settings = f'set copy=yes record="{record}"'
    mutt("-s", "grün", "--", account.address, settings=settings, input="Hello,\n.\n水\n")
    (message,) = account.arrived()
    assert b"with ESMTPSA" in message
    assert b"\n\nHello,\n.\n" in message
    assert list(account.flags("Sent").values()) == [{"\\Seen"}]


@pytest.mark.parametrize("mechanism", ["plain", "login", "scram-sha-256"])
def test_it_submits_with_starttls(site: Site, account: Account, mutt: Mutt, mechanism: str) -> None:
    url = f"smtp://{account.address}@127.0.0.1:{site.port('submission')}/"
    settings = f'set smtp_url="{url}" smtp_authenticators="{mechanism}"'
    mutt("-s", "x", "--", account.address, settings=settings, input="Hello\n")
    (message,) = account.arrived()
    assert b"with ESMTPSA" in message


@pytest.mark.parametrize("service, tls", [("pop3", False), ("pop3", True), ("pop3s", True)])
def test_it_reads_a_pop3_folder(
    site: Site, account: Account, mutt: Mutt, tmp_path: Path, service: str, tls: bool
) -> None:
    account.deliver(letter("first"), letter("second"))
    keys = f"1<enter><delete-message>2<enter><copy-message>{tmp_path}/saved<enter><sync-mailbox><quit>"
    mutt("-f", folder(site, service), keys=keys, tls=tls)
    (message,) = mailbox.Maildir(tmp_path / "saved", create=False)
    assert message["Subject"] == "second"
    assert [b"Subject: second" in each for each in account.messages()] == [True]


def test_it_uploads_a_whole_folder(site: Site, account: Account, mutt: Mutt, tmp_path: Path) -> None:
    local = mailbox.Maildir(tmp_path / "local")
    for number in range(20):
        local.add(stored(letter(f"upload {number}")))
    target = folder(site, "imaps", "Uploaded")
    mutt("-f", tmp_path / "local", keys=f"<tag-pattern>~A<enter><tag-prefix><copy-message>{target}<enter>y<quit>")
    assert set(account.flags("Uploaded")) == {f"upload {number}" for number in range(20)}


def test_it_works_in_a_folder_with_a_name_in_another_script(site: Site, account: Account, mutt: Mutt) -> None:
    account.deliver(letter("one"))
    keys = "<copy-message>=Gr\u00fcn/\u65e5\u672c<enter>y<quit>"
    mutt("-f", folder(site, "imaps", "INBOX"), keys=keys, settings=f'set folder="{folder(site, "imaps")}"')
    assert set(account.flags("Gr&APw-n/&ZeVnLA-")) == {"one"}


def test_it_recalls_a_draft_that_it_postponed(site: Site, account: Account, mutt: Mutt) -> None:
    settings = f'set postponed="{folder(site, "imaps", "Drafts")}" editor="true" abort_unmodified=no postpone=yes'
    with account.imap() as client:
        client.create("Drafts")
    mutt(
        "-f",
        folder(site, "imaps", "INBOX"),
        keys=f"<mail>{account.address}<enter>unfinished<enter>Py<quit>",
        settings=settings,
    )
    assert list(account.flags("Drafts")) == ["unfinished"]
    mutt("-f", folder(site, "imaps", "INBOX"), keys="<recall-message>y<quit>", settings=settings)
    assert b"\nSubject: unfinished\n" in account.arrived()[0]
    assert account.flags("Drafts") == {}


def test_it_keeps_a_header_cache_across_sessions(site: Site, account: Account, mutt: Mutt, tmp_path: Path) -> None:
    account.deliver(letter("one"), letter("two"))
    settings = f'set header_cache="{tmp_path}/cache"'
    mutt("-f", folder(site, "imaps", "INBOX"), keys="<quit>", settings=settings)
    with account.imap() as client:
        client.select()
        client.store("1", "+FLAGS", r"\Deleted")
        client.expunge()
    account.deliver(letter("three"))
    keys = f"<tag-pattern>~A<enter><tag-prefix><copy-message>{tmp_path}/saved<enter><quit>"
    mutt("-f", folder(site, "imaps", "INBOX"), keys=keys, settings=settings)
    saved = mailbox.Maildir(tmp_path / "saved", create=False)
    assert sorted(message["Subject"] for message in saved) == ["three", "two"]
