"""Foreign clients with everything but a plain password: bound SCRAM, certificates, bearer tokens, app passwords."""

from __future__ import annotations

import base64
import imaplib
import os
import poplib
import smtplib
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.clients.site import DOMAIN, Account, Site, letter, stored
from tests.clients.test_curl import curl, send
from tests.clients.test_msmtp import msmtp
from tests.lab.certificates import Authority, Certificate
from tests.lab.instance import Instance
from tests.lab.processes import children, title
from tests.lab.terminal import in_terminal
from tests.oauth.authorization import IntrospectionServer, good
from tests.peers import peer

CURL_LOGIN_DENIED = 67


class Modern(Site):
    """A site that asks clients for certificates and knows an authorization server."""

    def __init__(self, mail: Instance, authority: Authority, tokens: IntrospectionServer) -> None:
        super().__init__(mail, authority)
        self.tokens = tokens


@pytest.fixture(scope="module")
def modern(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Modern]:
    authority = Authority(tmp_path_factory.mktemp("authority"))
    chain = authority.issue("localhost", "127.0.0.1").chain
    with IntrospectionServer() as tokens:
        settings = {
            "smtpd_tls_chain_files": [str(chain)],
            "auth_failure_delay": "0s",
            "auth_mechanisms": "scram-sha-256-plus, scram-sha-256, external, oauthbearer, xoauth2, plain, login",
            "smtpd_tls_ask_ccert": "yes",
            "login_tls_ask_ccert": "yes",
            "oauth_introspection_url": tokens.url,
        }
        with Instance(domains=[DOMAIN], settings=settings) as mail:
            yield Modern(mail, authority, tokens)
            assert mail.log_matching(r"\]: (panic|fatal|error): |Traceback") == []


@pytest.fixture
def account(modern: Modern) -> Account:
    return modern.new_account()


def command(site: Site, *words: str) -> str:
    return site.mail.run(["pillarbox", *words], check=True).stdout.strip()


def client_certificate(site: Site, account: Account) -> Certificate:
    """A certificate of an authority that nobody trusts, added to the account."""
    directory = Path(site.authority.directory, account.address)
    made = Authority(directory, "Somebody").issue("someone")
    command(site, "certificate", "add", account.address, str(made.certificate))
    return made


# --- SCRAM-SHA-256-PLUS
def gsasl(
    site: Site, account: Account, service: str, mechanism: str, *options: str
) -> subprocess.CompletedProcess[str]:
    return peer("gsasl").run(
        [
            *("gsasl", f"--{'smtp' if service == 'submission' else 'imap'}", "--starttls"),
            *(f"--connect=localhost:{site.port(service)}", f"--x509-ca-file={site.trust}", f"--mechanism={mechanism}"),
            *(f"--authentication-id={account.address}", f"--password={account.password}", "--verbose", *options),
        ]
    )


@pytest.mark.parametrize("service", ["submission", "imap"])
@pytest.mark.parametrize(
    "priority", ["NORMAL:-VERS-ALL:+VERS-TLS1.2", "NORMAL:-VERS-ALL:+VERS-TLS1.3"], ids=["tls-unique", "tls-exporter"]
)
def test_scram_is_bound_to_the_channel(modern: Modern, account: Account, service: str, priority: str) -> None:
    done = gsasl(modern, account, service, "SCRAM-SHA-256-PLUS", f"--priority={priority}")
    assert done.returncode == 0, done.stdout + done.stderr
    bound = base64.b64encode(b"p=tls-exporter" if "1.3" in priority else b"p=tls-unique").decode()
    assert bound[:12] in done.stdout, "the client did bind it"


def test_a_bound_wrong_password_is_refused(modern: Modern, account: Account) -> None:
    wrong = Account(modern, account.address, "wrong")
    done = gsasl(modern, wrong, "submission", "SCRAM-SHA-256-PLUS")
    assert done.returncode != 0
    assert "535 5.7.8" in done.stdout + done.stderr


# --- certificates
@pytest.mark.parametrize("service", ["submission", "submissions"])
def test_msmtp_logs_in_by_certificate(modern: Modern, account: Account, service: str) -> None:
    mine = client_certificate(modern, account)
    files = (f"--tls-cert-file={mine.certificate}", f"--tls-key-file={mine.key}")
    done = msmtp(modern, account, stored(letter("x")), "--auth=external", *files, service=service)
    assert done.returncode == 0, done.stderr
    assert b"with ESMTPSA" in account.arrived()[0]
    assert modern.mail.log_matching(f"sasl_method=EXTERNAL, sasl_username={account.address}$")


def test_msmtp_may_not_act_for_another_account(modern: Modern, account: Account) -> None:
    mine = client_certificate(modern, account)
    files = (f"--tls-cert-file={mine.certificate}", f"--tls-key-file={mine.key}")
    other = modern.new_account()
    done = msmtp(modern, other, b"", "--auth=external", *files)
    assert done.returncode == os.EX_NOPERM
    assert "535 5.7.8" in done.stderr


def test_without_a_certificate_external_is_not_offered(modern: Modern, account: Account) -> None:
    done = msmtp(modern, account, b"", "--auth=external")
    assert done.returncode != 0
    assert "does not support" in done.stderr


@pytest.mark.parametrize(("scheme", "service"), [("imaps", "imaps"), ("pop3s", "pop3s")])
def test_curl_reads_mail_by_certificate(modern: Modern, account: Account, scheme: str, service: str) -> None:
    account.deliver(letter("one"))
    mine = client_certificate(modern, account)
    path = "INBOX;MAILINDEX=1" if scheme == "imaps" else "1"
    options = (
        "--cert",
        mine.certificate,
        "--key",
        mine.key,
        "--login-options",
        "AUTH=EXTERNAL",
        "--user",
        account.address,
    )
    done = curl(modern, (scheme, service, []), path, *options, check=False)
    assert done.returncode == 0, done.stderr
    assert "Subject: one" in done.stdout


# --- bearer tokens
@pytest.mark.parametrize("mechanism", ["oauthbearer", "xoauth2"])
def test_msmtp_submits_with_a_token(modern: Modern, account: Account, mechanism: str) -> None:
    token = f"token-of-{account.address.partition('@')[0]}"
    modern.tokens.answers[token] = good(account.address)
    done = msmtp(modern, account, stored(letter("x")), f"--auth={mechanism}", password=token)
    assert done.returncode == 0, done.stderr
    account.arrived()
    done = msmtp(modern, account, b"", f"--auth={mechanism}", password="worthless")
    assert done.returncode == os.EX_NOPERM
    assert "535 5.7.8" in done.stderr


@pytest.mark.parametrize("mechanism", ["OAUTHBEARER", "XOAUTH2"])
def test_curl_uses_a_token_with_every_protocol(
    modern: Modern, account: Account, tmp_path: Path, mechanism: str
) -> None:
    token = f"curl-{mechanism}-{account.address.partition('@')[0]}"
    modern.tokens.answers[token] = good(account.address)
    login = ("--oauth2-bearer", token, "--user", account.address, "--login-options", f"AUTH={mechanism}")
    envelope = ("--mail-from", account.address, "--mail-rcpt", account.address)
    (tmp_path / "message").write_bytes(letter("by token"))
    upload = ("--upload-file", tmp_path / "message")
    curl(modern, ("smtps", "submissions", []), "client.test", *envelope, *upload, *login)
    account.arrived()
    for scheme, path in (("imaps", "INBOX;MAILINDEX=1"), ("pop3s", "1")):
        assert "by token" in curl(modern, (scheme, scheme, []), path, *login).stdout
    modern.tokens.answers["short-lived"] = {"active": False}
    bad = ("--oauth2-bearer", "short-lived", "--user", account.address, "--login-options", f"AUTH={mechanism}")
    for scheme, path in (("imaps", "INBOX;MAILINDEX=1"), ("pop3s", "1")):
        assert curl(modern, (scheme, scheme, []), path, *bad, check=False).returncode != 0


def test_mutt_reads_mail_with_a_token(modern: Modern, account: Account, tmp_path: Path) -> None:
    account.deliver(letter("one"))
    token = f"mutt-{account.address.partition('@')[0]}"
    modern.tokens.answers[token] = good(account.address)
    rc = tmp_path / "muttrc"
    folder = f"imaps://127.0.0.1:{modern.port('imaps')}/INBOX"
    rc.write_text(
        f'set imap_user="{account.address}" imap_authenticators="oauthbearer" certificate_file="{modern.trust}"\n'
        f'set imap_oauth_refresh_command="echo {token}" folder="{folder}" spoolfile="{folder}" mbox_type=Maildir\n'
        "set confirmappend=no confirmcreate=no delete=yes move=no wait_key=no sleep_time=0 quit=yes copy=no\n"
        f'push "1<enter><copy-message>{tmp_path}/saved<enter><quit>"\n'
    )
    program = peer("mutt")
    words = program.command(["mutt", "-n", "-F", rc, "-f", folder])
    in_terminal(words, program.environment({"HOME": str(tmp_path), "TERM": "xterm"}))
    assert list((tmp_path / "saved").glob("*/*")), "the message was copied"
    assert modern.mail.log_matching(f"imap-login: Login: user=<{account.address}>, method=OAUTHBEARER")


def test_a_dead_authorization_server_is_a_temporary_failure(modern: Modern, account: Account) -> None:
    modern.tokens.script = b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n"
    try:
        done = msmtp(modern, account, b"", "--auth=oauthbearer", password="never-seen-before")
    finally:
        modern.tokens.script = None
    assert done.returncode != 0
    assert "454 4.7.0" in done.stderr


# --- app passwords
def test_an_app_password_is_good_for_its_protocol_only(modern: Modern, account: Account, tmp_path: Path) -> None:
    account.deliver(letter("one"))
    secret = command(modern, "app-password", "add", account.address, "--name", "phone", "--protocol", "imap")
    phone = Account(modern, account.address, secret)
    done = curl(modern, ("imaps", "imaps", []), "INBOX;MAILINDEX=1", account=phone)
    assert "Subject: one" in done.stdout
    denied = curl(modern, ("pop3s", "pop3s", []), "1", account=phone, check=False)
    assert denied.returncode == CURL_LOGIN_DENIED
    denied = send(
        modern, ("smtps", "submissions", []), letter("x"), tmp_path, account.address, account=phone, check=False
    )
    assert denied.returncode == CURL_LOGIN_DENIED
    assert "for imap from 127.0.0.1" in command(modern, "app-password", "list", account.address)
    command(modern, "app-password", "del", account.address, "phone")
    denied = curl(modern, ("imaps", "imaps", []), "INBOX;MAILINDEX=1", account=phone, check=False)
    assert denied.returncode == CURL_LOGIN_DENIED


def test_an_app_password_works_with_scram(modern: Modern, account: Account) -> None:
    secret = command(modern, "app-password", "add", account.address, "--name", "laptop", "--protocol", "smtp")
    done = msmtp(modern, account, stored(letter("x")), "--auth=scram-sha-256", password=secret)
    assert done.returncode == 0, done.stderr
    account.arrived()


def test_the_password_can_be_kept_from_old_protocols(modern: Modern, account: Account) -> None:
    command(modern, "user", "protocols", account.address, "imap", "smtp")
    pop = poplib.POP3("127.0.0.1", modern.port("pop3"), timeout=30)
    pop.user(account.address)
    with pytest.raises(poplib.error_proto, match="AUTH"):
        pop.pass_(account.password)
    pop.close()
    with imaplib.IMAP4("127.0.0.1", modern.port("imap"), timeout=30) as client:
        client.login(account.address, account.password)


# --- the service dies in the middle
def test_an_auth_service_that_is_killed_in_the_middle(modern: Modern, account: Account) -> None:
    context = ssl.create_default_context(cafile=str(modern.trust))
    with smtplib.SMTP_SSL("localhost", modern.port("submissions"), timeout=30, context=context) as client:
        client.ehlo()
        assert client.docmd("AUTH LOGIN")[0] == 334
        _kill_auth(modern.mail)
        code, text = client.docmd(base64.b64encode(account.address.encode()).decode())
        assert (code, text[:5]) == (454, b"4.7.0"), text
        client.login(account.address, account.password)  # in the same session, as soon as there is another process
        client.sendmail(account.address, [account.address], letter("later"))
    account.arrived()


def _kill_auth(mail: Instance) -> None:
    """SIGKILL to the process of the service, and wait until it is gone."""
    killed = [pid for pid in children(mail.master_pid()) if _is_auth(pid)]
    assert len(killed) == 1
    os.kill(killed[0], 9)
    mail.wait_for(lambda: killed[0] not in children(mail.master_pid()))


def _is_auth(pid: int) -> bool:
    return title(pid).split(": ")[-1].split(" ")[0] == "auth"


# --- the header of submitted mail
def test_the_header_of_submitted_mail_is_mended(modern: Modern, account: Account) -> None:
    context = ssl.create_default_context(cafile=str(modern.trust))
    with smtplib.SMTP_SSL("localhost", modern.port("submissions"), timeout=30, context=context) as client:
        client.login(account.address, account.password)
        client.sendmail(account.address, [account.address], b"To: root\r\nSubject: bare\r\n\r\nx\r\n")
        client.sendmail(
            account.address,
            [account.address],
            b"From: boss@elsewhere.example\r\nDate: Mon, 17 Nov 2025 10:00:00 +0000\r\n"
            b"Message-ID: <x@y.example>\r\nSubject: other\r\n\r\nx\r\n",
        )
    messages = {b"bare" if b"Subject: bare" in one else b"other": one for one in account.arrived(2)}
    for line in (b"To: root@", b"From: " + account.address.encode(), b"\nMessage-ID: <", b"\nDate: "):
        assert line in messages[b"bare"], line
    assert b"\nSender:" not in messages[b"bare"]
    assert b"\nSender: " + account.address.encode() + b"\n" in messages[b"other"]
    assert messages[b"other"].count(b"Message-ID:") == 1
