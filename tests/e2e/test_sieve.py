"""Sieve scripts through a running, confined instance: hosted and system users.  Needs root, for the users."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from pillarbox.lib.store import open_store
from tests.e2e.users import UserInstance
from tests.e2e.wire import ALICE, BOB, parsed, send

HOST = "mx.example.org"
ANN = f"ann@{HOST}"


@pytest.fixture(scope="module")
def mail(tmp_path_factory: pytest.TempPathFactory) -> Iterator[UserInstance]:
    site = tmp_path_factory.mktemp("site")
    (site / "before.sieve").write_text(
        'require ["fileinto", "mailbox"]; if header "X-Spam-Flag" "YES" { fileinto :create "Junk"; stop; }'
    )
    for place in (site, *site.parents[:3]):
        place.chmod(place.stat().st_mode | 0o011)
    (site / "before.sieve").chmod(0o644)
    site.chmod(0o755)
    settings = {"sieve_before": str(site / "before.sieve"), "sieve_vacation_min_period": "1s"}
    with UserInstance(("ann",), hostname=HOST, users={BOB: "secret", ALICE: "secret"}, settings=settings) as instance:
        yield instance


def script(mail: UserInstance, who: str, text: str) -> None:
    """Give a user a script."""
    home = mail.maildir(who) if "@" in who else mail.home(who)
    path = home / ".dovecot.sieve"
    path.write_text(text)
    path.chmod(0o644)


def content(text: str, to: str, *fields: str) -> bytes:
    lines = ("From: Carol <carol@example.com>", f"To: {to}", f"Subject: {text}", *fields, "", text, "")
    return "\r\n".join(lines).encode()


def folder(path: Path, name: str) -> list[bytes]:
    """The messages in a folder of a Maildir."""
    place = path if name == "INBOX" else path / f".{name}"
    return [file.read_bytes() for kind in ("new", "cur") for file in place.glob(f"{kind}/*")]


def test_hosted_mail_is_filed_answered_and_sent_on(mail: UserInstance) -> None:
    send(mail, BOB, content("first", BOB))
    mail.wait_for(lambda: mail.mailbox(BOB))
    script(
        mail,
        BOB,
        'require ["fileinto", "mailbox", "imap4flags", "vacation", "copy", "editheader"];'
        'addheader "X-Seen-By" "bob";'
        f'redirect :copy "{ANN}";'
        'vacation :subject "Away" "I am away.";'
        'fileinto :create :flags "\\\\Seen" "Work";',
    )
    send(mail, BOB, content("second", BOB), sender=ALICE)
    mail.wait_for(lambda: mail.mailbox(ALICE))
    (reply,) = map(parsed, mail.mailbox(ALICE))
    assert (reply["Subject"], reply["Return-Path"]) == ("Away", "<>")
    assert reply["Auto-Submitted"] == "auto-replied (vacation)"
    (work,) = folder(mail.maildir(BOB), "Work")
    assert b"\nX-Seen-By: bob\n" in work and b"Subject: second" in work
    spool = Path(mail.settings["mail_spool_directory"]) / "ann"
    mail.wait_for(lambda: spool.exists() and b"Subject: second" in spool.read_bytes())
    text = spool.read_bytes()
    assert b"\nReturn-Path: <alice@example.org>\n" in text and b"\nDelivered-To: bob@example.org\n" in text


def test_the_scripts_of_the_site_come_first(mail: UserInstance) -> None:
    send(mail, ALICE, content("spam", ALICE, "X-Spam-Flag: YES"))
    mail.wait_for(lambda: folder(mail.maildir(ALICE), "Junk"))
    assert not any(b"Subject: spam" in each for each in mail.mailbox(ALICE))


def test_a_system_users_script_runs_as_that_user(mail: UserInstance) -> None:
    script(
        mail,
        "ann",
        f'require ["fileinto", "mailbox", "vacation", "editheader"]; addheader "X-A" "b"; redirect "{ALICE}";'
        'vacation "Not here."; if header "subject" "keep" { fileinto :create "Lists"; }',
    )
    send(mail, ANN, content("keep", ANN), sender=BOB)
    box = f"mbox:{mail.home('ann')}/mail"
    mail.wait_for(lambda: open_store(box).exists("Lists"))
    assert (mail.home("ann") / "mail" / "Lists").stat().st_uid == mail.uids["ann"]
    mail.wait_for(lambda: any(b"\nX-A: b\n" in each for each in mail.mailbox(ALICE)))
    mail.wait_for(lambda: any(b"\n\nNot here." in each for each in folder(mail.maildir(BOB), "Work")))


def test_reject_comes_back_to_the_sender(mail: UserInstance) -> None:
    script(mail, ALICE, 'require "reject"; if header "subject" "no" { reject "Not wanted here."; }')
    send(mail, ALICE, content("no", ALICE), sender=ANN)
    spool = Path(mail.settings["mail_spool_directory"]) / "ann"
    # Ann's script answers no report; it sends it on, to Alice, whose script keeps it.
    mail.wait_for(lambda: any(b"Not wanted here." in each for each in mail.mailbox(ALICE)))
    assert spool.exists()


def test_check_finds_a_broken_script_of_the_site(mail: UserInstance) -> None:
    path = Path(mail.settings["sieve_before"])
    good = path.read_text()
    path.write_text("keep;\nnonsense;\n")
    try:
        found = mail.run(["pillarbox", "check"])
    finally:
        path.write_text(good)
    assert found.returncode == 78
    assert f"sieve_before: {path}:2:1: " in found.stderr
