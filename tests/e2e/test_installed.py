"""The suite as `pip install .` puts it: its commands work from there, and the whole of it as an ordinary user."""

from __future__ import annotations

import imaplib
import os
import poplib
import smtplib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.interpreter import InstalledInstance, shared_environment
from tests.e2e.wire import ALICE, BOB, HELLO, PASSWORD, client, only, trusting
from tests.lab.processes import tree
from tests.lab.sinks import SmtpSink

# From the range that Debian leaves to no one; as an ordinary user the tests run it as themselves.
USER = 61187
COMMANDS = (
    "pillarbox",
    "sendmail",
    "mailq",
    "newaliases",
    "postalias",
    "postmap",
    "postqueue",
    "postcat",
    "postsuper",
    "qshape",
    "postconf",
    "postlog",
)


@pytest.fixture(scope="module")
def installed() -> Path:
    return shared_environment()


@pytest.fixture(scope="module")
def sink() -> Iterator[SmtpSink]:
    with SmtpSink() as running:
        yield running


@pytest.fixture(scope="module")
def mail(installed: Path, sink: SmtpSink) -> Iterator[InstalledInstance]:
    """An instance that belongs to an ordinary user and was started by that user."""
    user = USER if os.geteuid() == 0 else None
    users = {ALICE: PASSWORD, BOB: PASSWORD}
    settings = {"relayhost": sink.nexthop}
    with InstalledInstance(installed, users=users, settings=settings, run_as=user) as instance:
        yield instance


def test_the_commands_are_there(installed: Path) -> None:
    missing = [name for name in COMMANDS if not os.access(installed / name, os.X_OK)]
    assert missing == []


def test_the_installed_suite_starts_takes_mail_and_stops(installed: Path) -> None:
    with InstalledInstance(installed, users={BOB: PASSWORD}) as mail:
        with client(mail) as session:
            session.sendmail("carol@example.com", [BOB], HELLO)
        only(lambda: mail.mailbox(BOB), mail)
        members = tree(mail.master_pid())
        assert len(members) > 10
        mail.stop()
        assert mail.run(["pillarbox", "status"]).returncode == 1


def test_nothing_of_the_repository_is_needed(installed: Path) -> None:
    assert list((installed.parent / "lib").rglob("*pillarbox*.pth")) == []
    assert list((installed.parent / "lib").rglob("site-packages/pillarbox/etc/main.yaml"))


# As an ordinary user


def test_every_process_is_the_users(mail: InstalledInstance) -> None:
    owners = {os.stat(f"/proc/{each.pid}").st_uid for each in tree(mail.master_pid())}
    # A process that is not dumpable shows root as the owner of its directory; its status tells.
    uids = {
        line.split()[1]
        for each in tree(mail.master_pid())
        for line in Path(f"/proc/{each.pid}/status").read_text().splitlines()
        if line.startswith("Uid:")
    }
    assert uids == {str(USER if os.geteuid() == 0 else os.geteuid())}, owners


def test_it_is_confined_all_the_same(mail: InstalledInstance) -> None:
    status = [Path(f"/proc/{each.pid}/status").read_text() for each in tree(mail.master_pid())]
    confined = [text for text in status if "Seccomp:\t2" in text and "NoNewPrivs:\t1" in text]
    # Master itself and those that run people's commands are not.
    assert len(confined) >= len(status) - 6, [text.splitlines()[0] for text in status if "Seccomp:\t2" not in text]
    assert mail.log_matching(r"smtpd: confined: .*seccomp")


def test_submission_reaches_imap_and_pop3(mail: InstalledInstance) -> None:
    with client(mail, "submission", tls=True, user=ALICE) as session:
        session.sendmail(ALICE, [BOB], HELLO.replace(b"hello", b"as a user"))
    only(lambda: [each for each in mail.mailbox(BOB) if b"as a user" in each], mail)
    with imaplib.IMAP4_SSL(mail.address, mail.port("imaps"), ssl_context=trusting(mail)) as imap:
        imap.login(BOB, PASSWORD)
        imap.select("INBOX")
        numbers = imap.search(None, "TEXT", '"as a user"')[1][0].split()
        _, (found, *_) = imap.fetch(numbers[0].decode(), "(BODY.PEEK[TEXT])")
    assert isinstance(found, tuple)
    assert found[1] == b"as a user\r\n"
    pop3 = poplib.POP3_SSL(mail.address, mail.port("pop3s"), timeout=60, context=trusting(mail))
    pop3.user(BOB)
    pop3.pass_(PASSWORD)
    assert pop3.stat()[0] >= 1
    pop3.quit()


def test_mail_goes_out(mail: InstalledInstance, sink: SmtpSink) -> None:
    with client(mail, "submissions", user=ALICE) as session:
        session.sendmail(ALICE, ["eve@example.net"], HELLO)
    mail.wait_for(lambda: sink.received("eve@example.net"))


def test_sendmail_works_for_the_user(mail: InstalledInstance) -> None:
    mail.run(["sendmail", "-f", ALICE, BOB], input=b"Subject: x\n\nby sendmail\n", check=True)
    only(lambda: [each for each in mail.mailbox(BOB) if b"by sendmail" in each], mail)


def test_another_user_may_not_look_into_the_mailboxes(mail: InstalledInstance) -> None:
    kept = list((mail.root / "state").iterdir())
    assert kept
    for path in (mail.root / "mail", mail.root / "spool" / "incoming", *kept):
        assert path.stat().st_mode & 0o077 == 0, path
    # Programs with users of their own pass through state/ to what is theirs; nobody sees what else lies there.
    assert (mail.root / "state").stat().st_mode & 0o066 == 0


def test_reload_and_stop_work_for_the_user(mail: InstalledInstance) -> None:
    mail.reload()
    mail.wait_for(lambda: mail.log_matching("reload -- "))
    mail.stop()
    mail.start()
    with client(mail) as session:
        session.sendmail("carol@example.com", [BOB], HELLO.replace(b"hello", b"after all"))
    only(lambda: [each for each in mail.mailbox(BOB) if b"after all" in each], mail)


# As root, for people who are not


@pytest.mark.skipif(os.geteuid() != 0, reason="an instance of root's needs root")
class TestRootsInstance:
    @pytest.fixture(scope="class")
    def roots(self, installed: Path) -> Iterator[InstalledInstance]:
        sink = SmtpSink()  # never started: everything waits
        settings = {"relayhost": sink.nexthop}
        with InstalledInstance(installed, users={BOB: PASSWORD}, settings=settings) as instance:
            yield instance

    def test_an_ordinary_user_may_send(self, roots: InstalledInstance) -> None:
        roots.run(["sendmail", BOB], input=b"Subject: x\n\nfrom a person\n", check=True, user=USER)
        found = only(lambda: [each for each in roots.mailbox(BOB) if b"from a person" in each], roots)
        assert b"uid 61187" in found or b"userid 61187" in found, "who submitted it is not told"

    def test_an_ordinary_user_may_see_the_queue(self, roots: InstalledInstance) -> None:
        roots.run(["sendmail", "-f", BOB, "eve@example.net"], input=b"Subject: x\n\nx\n", check=True)
        roots.wait_for(lambda: roots.log_matching("status=deferred"))
        roots.wait_for(lambda: "Connection refused)" in roots.run(["mailq"], user=USER).stdout)

    def test_an_ordinary_user_may_not_remove_from_the_queue(self, roots: InstalledInstance) -> None:
        before = roots.queue_ids()
        done = roots.run(["postsuper", "-d", "ALL"], user=USER)
        assert done.returncode != 0
        assert "Traceback" not in done.stderr
        assert done.stderr
        assert roots.queue_ids() == before

    def test_an_ordinary_user_may_not_stop_it(self, roots: InstalledInstance) -> None:
        done = roots.run(["pillarbox", "stop"], user=USER)
        assert done.returncode != 0
        assert "Traceback" not in done.stderr
        assert roots.run(["pillarbox", "status"]).returncode == 0

    def test_every_program_runs_as_a_user_of_its_own(self, roots: InstalledInstance) -> None:
        uids = {}
        for each in tree(roots.master_pid()):
            title = Path(f"/proc/{each.pid}/cmdline").read_bytes().split(b"\0")[0].decode().split()[1]
            lines = Path(f"/proc/{each.pid}/status").read_text().splitlines()
            uids[title] = next(line.split()[1] for line in lines if line.startswith("Uid:"))
        assert {name for name, uid in uids.items() if uid == "0"} <= {"master", "local", "imap-system", "pop3-system"}
        rooms = ("smtpd", "cleanup", "lookup", "auth", "virtual")
        assert len({uids[name] for name in rooms}) == len(rooms)


def test_smtplib_is_refused_what_a_stranger_wants(mail: InstalledInstance) -> None:
    with client(mail, "submission", tls=True) as session, pytest.raises(smtplib.SMTPRecipientsRefused):
        session.sendmail(ALICE, ["eve@example.net"], HELLO)
