"""swaks walks through the SMTP and LMTP dialogues and shows each reply."""

from __future__ import annotations

import re
import smtplib
import subprocess

import pytest

from tests.clients.site import Account, Site
from tests.peers import peer

# swaks's exit statuses.
REFUSED_RCPT, REFUSED_AUTH, NO_XCLIENT = 24, 28, 33


def swaks(site: Site, service: str, *options: str, check: bool = False) -> subprocess.CompletedProcess[str]:
    command = ["swaks", "--server", "127.0.0.1", "--port", str(site.port(service)), "--helo", "client.test"]
    sender = () if "--from" in options else ("--from", "a@example.com")
    return peer("swaks").run([*command, *sender, *options], check=check)


def extensions(output: str) -> set[str]:
    """The words of the last EHLO or LHLO reply."""
    after = re.split(r"(?m)^ ?[~-]> [EL]HLO.*$", output)[-1]
    return set(re.findall(r"(?m)^<[~-] +250[- ](\S+)", after.partition("-> ")[0].partition("~> ")[0]))


def test_it_is_told_the_extensions_of_the_relay_port(site: Site) -> None:
    done = swaks(site, "smtp", "--quit-after", "EHLO", check=True)
    assert extensions(done.stdout) >= {
        "PIPELINING",
        "SIZE",
        "STARTTLS",
        "ENHANCEDSTATUSCODES",
        "8BITMIME",
        "DSN",
        "SMTPUTF8",
        "CHUNKING",
    }
    assert "AUTH" not in extensions(done.stdout)


def test_submission_offers_auth_under_tls_only(site: Site) -> None:
    clear = swaks(site, "submission", "--quit-after", "EHLO", check=True)
    assert "AUTH" not in extensions(clear.stdout)
    secured = swaks(site, "submission", "--tls", "--quit-after", "EHLO", check=True)
    assert "AUTH" in extensions(secured.stdout)
    assert "STARTTLS" not in extensions(secured.stdout)


@pytest.mark.parametrize(
    "service, options",
    [
        ("smtp", []),
        ("smtp", ["--tls"]),
        ("smtp", ["--pipeline"]),
        ("smtp", ["--tls", "--pipeline"]),
        ("smtp", ["--protocol", "SMTP"]),
        ("lmtp", ["--protocol", "LMTP"]),
        ("lmtp", ["--protocol", "LMTP", "--tls", "--pipeline"]),
    ],
    ids=" ".join,
)
def test_it_sends(site: Site, account: Account, service: str, options: list[str]) -> None:
    swaks(site, service, *options, "--to", account.address, check=True)
    account.arrived()


@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN"])
@pytest.mark.parametrize("service, tls", [("submission", "--tls"), ("submissions", "--tlsc")])
def test_it_submits(site: Site, account: Account, mechanism: str, service: str, tls: str) -> None:
    login = ["--auth", mechanism, "--auth-user", account.address, "--auth-password", account.password]
    swaks(site, service, tls, *login, "--from", account.address, "--to", account.address, check=True)
    assert b"with ESMTPSA" in account.arrived()[0]


def test_plain_without_an_initial_response_is_asked_for_it(site: Site, account: Account) -> None:
    login = ["--auth", "PLAIN", "--auth-user", account.address, "--auth-password", account.password]
    done = swaks(site, "submission", "--tls", *login, "--auth-plaintext", "--quit-after", "AUTH", check=True)
    assert "235 2.7.0 Authentication successful" in done.stdout


def test_a_wrong_password_is_refused(site: Site, account: Account) -> None:
    done = swaks(
        site,
        "submission",
        "--tls",
        "--auth",
        "PLAIN",
        "--to",
        account.address,
        "--au",
        account.address,
        "--ap",
        "wrong",
    )
    assert done.returncode == REFUSED_AUTH
    assert "535 5.7.8 Error: authentication failed" in done.stdout


def test_lmtp_answers_for_each_recipient(site: Site, account: Account) -> None:
    other = site.new_account()
    done = swaks(site, "lmtp", "--protocol", "LMTP", "--to", f"{account.address},{other.address}", check=True)
    assert done.stdout.count("Ok: queued as") == 2
    account.arrived()
    other.arrived()


def test_lmtp_refuses_an_unknown_recipient_and_serves_the_other(site: Site, account: Account) -> None:
    done = swaks(site, "lmtp", "--protocol", "LMTP", "--to", f"nobody@example.org,{account.address}")
    assert "550 5.1.1 <nobody@example.org>" in done.stdout
    account.arrived()


def test_ehlo_is_no_lmtp(site: Site) -> None:
    done = swaks(site, "lmtp", "--quit-after", "EHLO")
    assert "502 5.5.1" in done.stdout or "500 5.5.2" in done.stdout
    assert done.returncode != 0


def test_relaying_is_refused_on_submission_without_a_password(site: Site) -> None:
    done = swaks(site, "submission", "--tls", "--to", "x@example.net")
    assert done.returncode == REFUSED_RCPT
    assert "554 5.7.1" in done.stdout


def test_xclient_is_not_offered_to_anybody(site: Site) -> None:
    done = swaks(site, "smtp", "--xclient", "ADDR=192.0.2.1", "--to", "x@example.org")
    assert done.returncode == NO_XCLIENT, done.stdout


def test_an_xclient_that_was_not_offered_is_refused(site: Site) -> None:
    with smtplib.SMTP("127.0.0.1", site.port("smtp"), timeout=30) as client:
        client.ehlo("client.test")
        assert client.docmd("XCLIENT", "ADDR=192.0.2.1 LOGIN=boss") == (550, b"5.7.0 Error: insufficient authorization")


def test_a_client_that_pretends_to_be_a_proxy_is_not_believed(site: Site) -> None:
    proxy = [
        "--proxy-version",
        "1",
        "--proxy-family",
        "TCP4",
        "--proxy-source",
        "192.0.2.1",
        "--proxy-source-port",
        "9",
    ]
    done = swaks(site, "smtp", *proxy, "--proxy-dest", "192.0.2.2", "--proxy-dest-port", "25", "--quit-after", "EHLO")
    assert re.search(r"(?m)^<\*\* 50[02] |^<-.*50[02] 5\.5\.2", done.stdout), done.stdout
