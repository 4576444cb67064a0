"""The log in the eyes of the programs that administrators have: pflogsumm's counts, fail2ban's filters."""

from __future__ import annotations

import imaplib
import poplib
import re
import smtplib
import socket
import subprocess
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.clients.site import letter
from tests.lab.certificates import Authority
from tests.lab.instance import Instance
from tests.lab.sinks import SmtpSink
from tests.peers import peer
from tests.peers.postfix import Postfix

BOB, SECRET = "bob@example.org", "secret"
STRANGER = "127.0.0.9"  # not in mynetworks

# Our services on the ports 465 and 24 have names of their own behind the suite's.
SYSLOG_NAME = r"pillarbox(?:/\w+)?"


@pytest.fixture(scope="module")
def outside() -> Iterator[SmtpSink]:
    sink = SmtpSink()
    sink.replies["rcpt"] = {"later@example.net": "450 4.2.0 busy", "gone@example.net": "550 5.1.1 unknown"}
    with sink:
        yield sink


@pytest.fixture(scope="module")
def ours(outside: SmtpSink) -> Iterator[Instance]:
    settings = {"relayhost": outside.nexthop, "mynetworks": "127.0.0.1/32", "auth_failure_delay": "0s"}
    with Instance(users={BOB: SECRET}, settings=settings) as mail:
        yield mail


Log = Callable[[], list[str]]


@pytest.fixture
def log(ours: Instance) -> Log:
    """What has been logged since the test began: the instance serves several."""
    before = len(ours.log_lines())
    return lambda: ours.log_lines()[before:]


def count(log: Log, text: str) -> int:
    return sum(text in line for line in log())


def traffic(address: str, port: int, sendmail: Callable[[bytes], object]) -> None:
    """Seven accepted messages, one of them for two recipients, and three refusals."""
    with smtplib.SMTP(address, port, timeout=30) as client:
        for number in range(2):
            client.sendmail("a@example.com", [BOB], letter(f"in {number}"))
        client.sendmail(BOB, ["one@example.net", "two@example.net"], letter("out"))
        client.sendmail(BOB, ["later@example.net"], letter("later"))
        client.sendmail(BOB, ["gone@example.net"], letter("gone"))
        for _ in range(2):
            with suppress(smtplib.SMTPRecipientsRefused):
                client.sendmail("a@example.com", ["nobody@example.org"], letter("no"))
    sendmail(letter("local").replace(b"\r\n", b"\n"))
    with smtplib.SMTP(address, port, timeout=30, source_address=(STRANGER, 0)) as client:
        client.sendmail("a@example.com", [BOB], letter("from a stranger"))
        with suppress(smtplib.SMTPRecipientsRefused):
            client.sendmail("a@example.com", ["x@example.net"], letter("relay"))


def totals(log: list[str], directory: Path, name: str) -> dict[str, int]:
    """The grand totals that pflogsumm prints, without sizes and host counts."""
    file = directory / "log"
    file.write_text("\n".join(log) + "\n")
    text = peer("pflogsumm").run(["pflogsumm", f"--syslog-name={name}", file], check=True).stdout
    found = re.findall(r"(?m)^ +(\d+)k? +(received|delivered|forwarded|deferred|bounced|rejected|discarded)", text)
    return {word: int(number) for number, word in found}


def settled(lines: Callable[[], list[str]]) -> bool:
    """Whether all of the traffic has come to its end, bounce included; only the deferred message stays."""
    return ended("\n".join(lines()), sessions=2, deliveries=9, removed=7)


def ended(log: str, *, sessions: int, deliveries: int, removed: int) -> bool:
    """Whether so many of each are in the log: every process writes its own lines, at its own time."""
    return (
        len(re.findall(r"\]: disconnect from ", log)) >= sessions
        and len(re.findall(r": to=<", log)) >= deliveries
        and len(re.findall(r"qmgr\[\d+\]: \w+: removed", log)) == removed
    )


COUNTED = {
    "received": 7,
    "delivered": 7,
    "forwarded": 0,
    "deferred": 1,
    "bounced": 1,
    "rejected": 3,
    "discarded": 0,
}


def test_pflogsumm_counts_what_has_happened(ours: Instance, log: Log, tmp_path: Path) -> None:
    traffic(
        ours.address, ours.port("smtp"), lambda text: ours.run(["sendmail", "-f", BOB, BOB], input=text, check=True)
    )
    ours.wait_for(lambda: settled(log))
    assert totals(log(), tmp_path, SYSLOG_NAME) == COUNTED


def test_pflogsumm_counts_the_same_for_postfix(outside: SmtpSink, tmp_path: Path) -> None:
    parameters = {"relayhost": outside.nexthop, "mynetworks": "127.0.0.1/32"}
    with Postfix(hostname="mx.example.org", mailboxes=[BOB], parameters=parameters) as postfix:

        def sendmail(text: bytes) -> None:
            command, environment = postfix.sendmail_command("-f", BOB, BOB)
            subprocess.run(command, env=environment, input=text, check=True, timeout=60)

        traffic(postfix.address, postfix.port, sendmail)
        postfix.wait_for(lambda: settled(postfix.log_lines))
        assert totals(postfix.log_lines(), tmp_path, "postfix") == COUNTED


def test_pflogsumm_counts_mail_from_every_port(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    chain = authority.issue("localhost").chain
    with Instance(users={BOB: SECRET}, settings={"smtpd_tls_chain_files": [str(chain)]}) as mail:
        with smtplib.LMTP(mail.address, mail.port("lmtp"), timeout=30) as client:
            client.sendmail(BOB, [BOB], letter("lmtp"))
        with smtplib.SMTP_SSL("localhost", mail.port("submissions"), context=authority.client_context) as client:
            client.login(BOB, SECRET)
            client.sendmail(BOB, [BOB], letter("submissions"))
        with smtplib.SMTP("localhost", mail.port("submission"), timeout=30) as client:
            client.starttls(context=authority.client_context)
            client.login(BOB, SECRET)
            client.sendmail(BOB, [BOB], letter("submission"))
        mail.wait_for(lambda: ended("\n".join(mail.log_lines()), sessions=3, deliveries=3, removed=3))
        counted = totals(mail.log_lines(), tmp_path, SYSLOG_NAME)
    assert (counted["received"], counted["delivered"]) == (3, 3)


def banned(log: list[str], filter: str, directory: Path) -> list[str]:
    """The lines of the log that a filter of fail2ban counts as a failure, and of whom."""
    file = directory / "log"
    file.write_text("\n".join(log) + "\n")
    program = peer("fail2ban")
    configuration = program.root / "etc" / "fail2ban"
    done = program.run(["fail2ban-regex", "-c", configuration, "-o", "<ip> <msg>", file, filter])
    return done.stdout.splitlines()


POSTFIX = rf'postfix[_daemon="{SYSLOG_NAME}/\w+",mode={{mode}}]'
DOVECOT = r'dovecot[_daemon="pillarbox/(?:imap|pop3)-login"]'


def test_fail2ban_sees_refused_relaying_and_unknown_users(ours: Instance, log: Log, tmp_path: Path) -> None:
    with smtplib.SMTP(ours.address, ours.port("smtp"), timeout=30, source_address=(STRANGER, 0)) as client:
        for recipient in ("x@example.net", "nobody@example.org"):
            with suppress(smtplib.SMTPRecipientsRefused):
                client.sendmail("a@example.com", [recipient], letter("no"))
        client.sendmail("a@example.com", [BOB], letter("yes"))
    ours.wait_for(lambda: count(log, "disconnect from"))
    found = banned(log(), POSTFIX.format(mode="normal"), tmp_path)
    assert [line.partition(" ")[0] for line in found] == [STRANGER, STRANGER]
    assert ["Relay access denied" in found[0], "User unknown" in found[1]] == [True, True]


@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN"])
def test_fail2ban_sees_wrong_passwords_at_submission(tmp_path: Path, mechanism: str) -> None:
    authority = Authority(tmp_path)
    chain = authority.issue("localhost").chain
    settings = {"smtpd_tls_chain_files": [str(chain)], "auth_failure_delay": "0s"}
    with Instance(users={BOB: SECRET}, settings=settings) as mail:
        with smtplib.SMTP("localhost", mail.port("submission"), timeout=30, source_address=(STRANGER, 0)) as client:
            client.starttls(context=authority.client_context)
            client.ehlo()
            client.user, client.password = BOB, "wrong"
            method = client.auth_plain if mechanism == "PLAIN" else client.auth_login
            with pytest.raises(smtplib.SMTPAuthenticationError):
                client.auth(mechanism, method)
        mail.wait_for(lambda: mail.log_matching("disconnect from"))
        log = mail.log_lines()
    for mode in ("auth", "extra", "aggressive"):
        found = banned(log, POSTFIX.format(mode=mode), tmp_path)
        assert found, mode
        assert {line.partition(" ")[0] for line in found} == {STRANGER}
    assert banned(log, POSTFIX.format(mode="normal"), tmp_path) == []


def test_fail2ban_sees_wrong_passwords_of_imap_and_pop3(ours: Instance, log: Log, tmp_path: Path) -> None:
    imap = imaplib.IMAP4(ours.address, ours.port("imap"), timeout=30)
    with pytest.raises(imaplib.IMAP4.error):
        imap.login(BOB, "wrong")
    with pytest.raises(imaplib.IMAP4.error):
        imap.authenticate("PLAIN", lambda _: b"\0nobody@example.org\0wrong")
    imap.logout()
    pop = poplib.POP3(ours.address, ours.port("pop3"), timeout=30)
    pop.user(BOB)
    with pytest.raises(poplib.error_proto):
        pop.pass_("wrong")
    pop.close()  # without a farewell, as a guesser does
    good = imaplib.IMAP4(ours.address, ours.port("imap"), timeout=30)
    good.login(BOB, SECRET)
    good.logout()
    ours.wait_for(lambda: count(log, "auth failed") == 2)
    found = banned(log(), DOVECOT, tmp_path)
    assert [line.partition(" ")[0] for line in found] == ["127.0.0.1", "127.0.0.1"]
    assert ["imap-login" in found[0], "pop3-login" in found[1]] == [True, True]


def test_fail2ban_sees_nothing_in_ordinary_traffic(ours: Instance, log: Log, tmp_path: Path) -> None:
    with smtplib.SMTP(ours.address, ours.port("smtp"), timeout=30) as client:
        client.sendmail("a@example.com", [BOB], letter("yes"))
    imap = imaplib.IMAP4(ours.address, ours.port("imap"), timeout=30)
    imap.login(BOB, SECRET)
    imap.logout()
    ours.wait_for(lambda: count(log, "ogged out"))
    for filter in (POSTFIX.format(mode="aggressive"), DOVECOT):
        assert banned(log(), filter, tmp_path) == []


def test_fail2ban_sees_who_is_locked_out_in_every_protocol(tmp_path: Path) -> None:
    """What fails in SMTP counts for IMAP and POP3; the owner gets in from elsewhere."""
    settings = {"auth_failure_delay": "0s", "auth_lockout_address_failures": "2", "auth_lockout_exceptions": ""}
    chain = Authority(tmp_path).issue("localhost").chain
    submission = {"smtpd_tls_chain_files": [str(chain)], "auth_allow_cleartext": "yes", "smtpd_sasl_auth_enable": "yes"}
    with Instance(users={BOB: SECRET}, settings={**settings, **submission}) as mail:
        with smtplib.SMTP(mail.address, mail.port("smtp"), timeout=30, source_address=(STRANGER, 0)) as client:
            client.ehlo()
            replies = []
            for password in ("guess", "another", SECRET):
                client.user, client.password = BOB, password
                with pytest.raises(smtplib.SMTPAuthenticationError) as caught:
                    client.auth("PLAIN", client.auth_plain)
                replies.append(caught.value.smtp_code)
        assert replies == [535, 535, 454]
        imap = imaplib.IMAP4(mail.address, mail.port("imap"), timeout=30)
        imap.login(BOB, SECRET)  # from another address
        imap.logout()
        assert _from_stranger(mail, "imap", f'a LOGIN {BOB} "{SECRET}"\r\n')[-1].startswith(b"a NO [UNAVAILABLE]")
        assert _from_stranger(mail, "pop3", f"USER {BOB}\r\n", f"PASS {SECRET}\r\n")[-1].startswith(b"-ERR [SYS/TEMP]")
        mail.wait_for(lambda: len(mail.log_matching("auth failed")) == 2)
        log = mail.log_lines()
    assert [line for line in log if f"{STRANGER} is locked out for 60s: too many failed logins" in line]
    found = banned(log, POSTFIX.format(mode="auth"), tmp_path)
    assert [line.partition(" ")[0] for line in found] == [STRANGER] * 3
    found = banned(log, DOVECOT, tmp_path)
    assert [line.partition(" ")[0] for line in found] == [STRANGER] * 2


def _from_stranger(mail: Instance, service: str, *lines: str) -> list[bytes]:
    with socket.create_connection((mail.address, mail.port(service)), 30, source_address=(STRANGER, 0)) as connection:
        stream = connection.makefile("rb")
        answers = [stream.readline()]
        for line in lines:
            connection.sendall(line.encode())
            answers.append(stream.readline())
    return answers


def test_fail2ban_bans_nobody_for_our_own_troubles(tmp_path: Path) -> None:
    """A service that is away, and a client that gives up, are no wrong passwords (as smtpd words them)."""
    start = f"Nov 17 10:00:00 mx pillarbox/smtpd[1]: warning: unknown[{STRANGER}]: SASL PLAIN authentication"
    lost = f"{start} failed: Connection lost to authentication server: auth service: the connection was closed"
    wrong = f"{start} failed: authentication failed, sasl_username={BOB}"
    for mode in ("auth", "extra", "aggressive"):
        assert len(banned([lost, f"{start} aborted", wrong], POSTFIX.format(mode=mode), tmp_path)) == 1, mode
