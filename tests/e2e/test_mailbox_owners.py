"""Hosted mailboxes with owners of their own (virtual_uid_maps): delivered to, and read, by processes of those users."""

from __future__ import annotations

import contextlib
import imaplib
import os
import poplib
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.interpreter import InstalledInstance, shared_environment
from tests.e2e.wire import send
from tests.lab.instance import Instance

NAMES = ("ann", "bob", "twin", "root", "low", "nobody", "bad", "moved")
ANN, BOB, TWIN, ROOT, LOW, NOBODY, BAD, MOVED = (f"{name}@example.org" for name in NAMES)
ANNS, BOBS, GROUP = 20001, 20002, 20009
BEFORE, AFTER = 20011, 20012
UIDS = f"{{ {ANN}={ANNS}, {BOB}={BOBS}, {TWIN}={ANNS}, {ROOT}=0, {LOW}=99, {BAD}=20001x }}"


@pytest.fixture(scope="module")
def mail() -> Iterator[Instance]:
    if os.geteuid() != 0:
        pytest.skip("only root can deliver as several users")
    users = dict.fromkeys((ANN, BOB, TWIN, ROOT, LOW, NOBODY, BAD, MOVED), "secret")
    settings = {
        "virtual_uid_maps": f"inline:{UIDS}, texthash:$instance_directory/etc/uids",
        "virtual_gid_maps": f"static:{GROUP}",
        "recipient_delimiter": "+",
        "mailbox_quota": "100M",
    }
    instance = Instance(users=users, settings=settings)
    try:
        instance.init()
        say_owner(instance, BEFORE)
        instance.start()
        yield instance
    finally:
        instance.close()


def say_owner(mail: Instance, uid: int) -> None:
    """Whose the mailbox of MOVED is, from now on."""
    (mail.config / "uids.new").write_text(f"{MOVED} {uid}\n")
    (mail.config / "uids.new").chmod(0o644)
    (mail.config / "uids.new").rename(mail.config / "uids")


def deliver(mail: Instance, address: str, subject: str) -> Path:
    """Send a message; the file that it became."""
    send(mail, address, f"From: c@example.com\r\nTo: {address}\r\nSubject: {subject}\r\n\r\nhello\r\n".encode())
    place = mail.maildir(re.sub(r"\+[^@]*", "", address))

    def found() -> list[Path]:
        files = [file for kind in ("new", "cur") for file in place.glob(f"{kind}/*")]
        return [file for file in files if f"Subject: {subject}\n".encode() in file.read_bytes()]

    mail.wait_for(found)
    return found()[0]


def ids(path: Path) -> tuple[int, int]:
    about = path.lstat()
    return about.st_uid, about.st_gid


def processes(mail: Instance, uid: int) -> list[str]:
    """The command lines of the instance's processes that are this user in every respect, without other groups."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            status = (folder / "status").read_text()
            numbers = {name: re.search(rf"^{name}:(.*)$", status, re.M) for name in ("Uid", "Gid", "Groups")}
            uids, gids, groups = ({int(one) for one in match[1].split()} for match in numbers.values() if match)
            if uids == {uid} and gids == {GROUP} and groups <= {GROUP}:
                found.append((folder / "cmdline").read_bytes().decode(errors="replace"))
    return found


def test_everything_of_a_mailbox_belongs_to_its_owner(mail: Instance) -> None:
    deliver(mail, ANN, "one")
    deliver(mail, BOB, "two")
    for address, uid in ((ANN, ANNS), (BOB, BOBS)):
        root = mail.maildir(address)
        assert {ids(path) for path in (root, *root.rglob("*"))} == {(uid, GROUP)}
        assert all(path.stat().st_mode & 0o077 == 0 for path in (root, *root.rglob("*")))
    assert processes(mail, ANNS) and processes(mail, BOBS)


def test_no_owner_reads_what_is_anothers(mail: Instance) -> None:
    file = deliver(mail, ANN, "private")
    for uid, readable in ((ANNS, True), (BOBS, False)):
        pid = os.fork()
        if pid == 0:
            status = 2
            try:
                os.setgroups([])
                os.setresgid(GROUP, GROUP, GROUP)
                os.setresuid(uid, uid, uid)
                status = 0 if b"private" in file.read_bytes() else 2
            except PermissionError:
                status = 1
            finally:
                os._exit(status)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == (0 if readable else 1)


def test_the_owner_reads_and_files_it_over_imap_and_pop3(mail: Instance) -> None:
    deliver(mail, ANN, "to be read")
    client = imaplib.IMAP4(mail.address, mail.port("imap"), timeout=30)
    client.login(ANN, "secret")
    client.select()
    assert client.search(None, 'SUBJECT "to be read"')[1] != [b""]
    client.create("Kept")
    assert client.append("Kept", "", "", b"Subject: mine\r\n\r\nx\r\n")[0] == "OK"
    assert len(processes(mail, ANNS)) >= 1
    client.logout()
    root = mail.maildir(ANN)
    assert {ids(path) for path in (root, *root.rglob("*"))} == {(ANNS, GROUP)}
    box = poplib.POP3(mail.address, mail.port("pop3"), timeout=30)
    box.user(ANN)
    box.pass_("secret")
    texts = [b"\n".join(box.retr(number + 1)[1]) for number in range(len(box.list()[1]))]
    box.quit()
    assert any(b"Subject: to be read" in text for text in texts)


def test_who_logs_in_before_any_mail_has_come_has_a_mailbox(mail: Instance) -> None:
    assert not mail.maildir(TWIN).exists()
    client = imaplib.IMAP4(mail.address, mail.port("imap"), timeout=30)
    client.login(TWIN, "secret")
    assert client.select()[0] == "OK"
    client.logout()
    assert ids(mail.maildir(TWIN)) == (ANNS, GROUP)


@pytest.mark.parametrize(
    ("address", "warning"),
    [
        (ROOT, f"recipient {ROOT}: bad uid 0 in virtual_uid_maps"),
        (LOW, f"recipient {LOW}: bad uid 99 in virtual_uid_maps"),
        (BAD, f"recipient {BAD}: bad uid 20001x in virtual_uid_maps"),
        (NOBODY, f"recipient {NOBODY}: not found in virtual_uid_maps"),
    ],
)
def test_without_an_owner_mail_waits_and_nobody_logs_in(mail: Instance, address: str, warning: str) -> None:
    send(mail, address, b"Subject: x\r\n\r\nx\r\n")
    line = rf"to=<{address}>.* dsn=4\.3\.5, status=deferred \(mail system configuration error\)"
    mail.wait_for(lambda: mail.log_matching(line))
    assert mail.log_matching(re.escape(f"warning: {warning}"))
    client = imaplib.IMAP4(mail.address, mail.port("imap"), timeout=30)
    with pytest.raises(imaplib.IMAP4.error):
        client.login(address, "secret")
    assert not mail.maildir(address).exists()


def test_an_owners_filter_files_and_sends(mail: Instance) -> None:
    deliver(mail, ANN, "first")
    script = mail.maildir(ANN) / ".dovecot.sieve"
    script.write_text(
        'require ["fileinto", "mailbox", "copy"];'
        f'if header "subject" "go on" {{ redirect "{BOB}"; fileinto :create "Copies"; }}'
    )
    os.chown(script, ANNS, GROUP)
    send(mail, f"{ANN}", f"From: c@example.com\r\nTo: {ANN}\r\nSubject: go on\r\n\r\nx\r\n".encode())
    mail.wait_for(lambda: [each for each in mail.mailbox(BOB) if b"Subject: go on" in each])
    (copy,) = (mail.maildir(ANN) / ".Copies/new").iterdir()
    assert ids(copy) == (ANNS, GROUP)


def test_many_at_once_have_each_a_result(mail: Instance) -> None:
    for number in range(40):
        send(mail, (ANN, BOB)[number % 2], f"Subject: many {number}\r\n\r\nx\r\n".encode())
    for address in (ANN, BOB):
        mail.wait_for(lambda address=address: len([m for m in mail.mailbox(address) if b"Subject: many" in m]) == 20)


def test_the_log_says_it_as_ever(mail: Instance) -> None:
    deliver(mail, BOB, "logged")
    assert mail.log_matching(
        rf"pillarbox/virtual\[\d+\]: \w+: to=<{BOB}>, relay=virtual, .*status=sent \(delivered to maildir\)"
    )


def test_a_login_after_the_owner_has_changed_has_the_new_owners_rights(mail: Instance) -> None:
    file = deliver(mail, MOVED, "to be given away")
    assert ids(file) == (BEFORE, GROUP)
    old = imaplib.IMAP4(mail.address, mail.port("imap"), timeout=30)
    old.login(MOVED, "secret")
    assert old.select()[1] == [b"1"]
    say_owner(mail, AFTER)
    for path in (mail.maildir(MOVED), *mail.maildir(MOVED).rglob("*")):
        os.chown(path, AFTER, GROUP)

    def read() -> bytes:
        with imaplib.IMAP4(mail.address, mail.port("imap"), timeout=30) as new:
            new.login(MOVED, "secret")
            status, data = new.select()
            if status != "OK" or not data[0]:
                return b""
            assert processes(mail, AFTER) and processes(mail, BEFORE), "the session that was there goes on"
            return data[0]

    mail.wait_for(lambda: read() == b"1")
    assert old.noop()[0] == "OK"
    old.shutdown()
    box = poplib.POP3(mail.address, mail.port("pop3"), timeout=30)
    box.user(MOVED)
    box.pass_("secret")
    assert len(box.list()[1]) == 1
    box.quit()
    assert {ids(path) for path in mail.maildir(MOVED).rglob("*")} == {(AFTER, GROUP)}


def test_quotas_of_domains_have_no_effect_and_check_says_so(mail: Instance) -> None:
    mail.set("domain_quota", "1G")
    try:
        done = mail.run(["pillarbox", "check"])
        assert "domain_quota has no effect" in done.stdout + done.stderr
    finally:
        mail.set("domain_quota", "0")


def test_a_suite_of_an_ordinary_user_does_everything_as_that_user() -> None:
    starter = 61511 if os.geteuid() == 0 else None
    settings = {"virtual_uid_maps": f"static:{ANNS}", "virtual_gid_maps": f"static:{GROUP}"}
    with InstalledInstance(shared_environment(), users={ANN: "secret"}, settings=settings, run_as=starter) as mail:
        deliver(mail, ANN, "one")
        client = imaplib.IMAP4(mail.address, mail.port("imap"), timeout=30)
        client.login(ANN, "secret")
        assert client.select()[1] == [b"1"]
        client.logout()
        assert ids(mail.maildir(ANN))[0] == (os.geteuid() if starter is None else starter)
