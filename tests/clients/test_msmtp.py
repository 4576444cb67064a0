"""msmtp submits with each way to log in, and passes refusals on as exit status and text."""

from __future__ import annotations

import os
import subprocess

import pytest

from tests.clients.site import Account, Site, body_of, letter, stored
from tests.peers import peer


def msmtp(
    site: Site,
    account: Account,
    message: bytes,
    *options: str,
    to: str = "",
    service: str = "submission",
    password: str = "",
) -> subprocess.CompletedProcess[str]:
    """Send to the account itself; `options` are added and win."""
    command = [
        "msmtp",
        "--file=/dev/null",
        "--host=localhost",
        f"--port={site.port(service)}",
        "--tls=on",
        f"--tls-starttls={'off' if service == 'submissions' else 'on'}",
        f"--tls-trust-file={site.trust}",
        "--auth=on",
        f"--user={account.address}",
        '--passwordeval=echo "$PASSWORD"',
        f"--from={account.address}",
        *options,
        *([] if "--serverinfo" in options else [to or account.address]),
    ]
    return peer("msmtp").run(command, env={"PASSWORD": password or account.password}, input=message)


@pytest.mark.parametrize("service", ["submission", "submissions"])
@pytest.mark.parametrize("mechanism", ["plain", "login", "scram-sha-256", "on"])
def test_it_submits(site: Site, account: Account, service: str, mechanism: str) -> None:
    done = msmtp(site, account, stored(letter("by msmtp")), f"--auth={mechanism}", service=service)
    assert done.returncode == 0, done.stderr
    (message,) = account.arrived()
    assert b"with ESMTPSA" in message
    assert body_of(message) == body_of(letter("by msmtp"))


@pytest.mark.parametrize("mechanism", ["plain", "login", "scram-sha-256"])
def test_a_wrong_password_is_refused(site: Site, account: Account, mechanism: str) -> None:
    done = msmtp(site, account, b"", f"--auth={mechanism}", password="wrong")
    assert done.returncode == os.EX_NOPERM
    assert "authentication failed" in done.stderr


def test_without_tls_no_mechanism_is_offered(site: Site, account: Account) -> None:
    done = msmtp(site, account, b"", "--tls=off")
    assert done.returncode != 0
    assert "does not support authentication" in done.stderr


def test_it_sees_what_the_server_can(site: Site, account: Account) -> None:
    done = msmtp(site, account, b"", "--serverinfo")
    assert done.returncode == 0, done.stderr
    for word in ("SIZE 10240000", "PIPELINING", "AUTH:", "PLAIN", "SCRAM-SHA-256", "DSN"):
        assert word in done.stdout, word


def test_it_asks_for_delivery_notifications(site: Site, account: Account) -> None:
    done = msmtp(site, account, stored(letter("with notice")), "--dsn-notify=success", "--dsn-return=hdrs")
    assert done.returncode == 0, done.stderr
    both = account.arrived(2)
    (notice,) = (message for message in both if b"multipart/report" in message)
    assert b"Action: delivered" in notice
    assert b"Final-Recipient: rfc822; " + account.address.encode() in notice


def test_an_unknown_recipient_is_a_refusal_with_its_code(site: Site, account: Account) -> None:
    done = msmtp(site, account, stored(letter("x")), to="nobody@example.org")
    assert done.returncode == os.EX_DATAERR
    assert "550 5.1.1" in done.stderr


def test_a_certificate_that_nobody_trusts_is_not_spoken_to(site: Site, account: Account) -> None:
    done = msmtp(site, account, b"", "--tls-trust-file=/etc/ssl/certs/ca-certificates.crt")
    assert done.returncode != 0
    assert account.messages() == []
