"""s-nail, the mail(1) of scripts: through our `sendmail`, by SMTP, and as a reader of POP3 and IMAP."""

from __future__ import annotations

import shlex
import stat
import subprocess
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

import pytest

from tests.clients.site import Account, Site, letter
from tests.peers import peer

Nail = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def nail(site: Site, tmp_path: Path) -> Nail:
    """Run s-nail with settings: `nail(["-s", "subject", address], {"mta": ...}, input)`."""

    def run(
        arguments: list[str], settings: dict[str, str], input: str = "", check: bool = True
    ) -> subprocess.CompletedProcess[str]:
        rc = tmp_path / "mailrc"
        settings = {"tls-ca-file": str(site.trust), "tls-ca-no-defaults": "", "tls-verify": "strict", **settings}
        rc.write_text("".join(f"set {name}={shlex.quote(value)}\n" for name, value in settings.items()))
        environment = {"HOME": str(tmp_path), "MAILRC": str(rc), "TERM": "dumb", "LC_ALL": "C.UTF-8"}
        return peer("s-nail").run(["s-nail", "-n", *arguments], env=environment, input=input, check=check)

    return run


@pytest.fixture
def sendmail(site: Site, tmp_path: Path) -> Path:
    """Our `sendmail` as one file, as it lies on PATH after an installation."""
    path = tmp_path / "sendmail"
    environment = site.mail.environment()
    exports = "".join(f"export {name}={shlex.quote(environment[name])}\n" for name in ("PYTHONPATH", "MAIL_CONFIG"))
    path.write_text(f'#!/bin/sh\n{exports}exec {shlex.join(site.mail.command(["sendmail"]))} "$@"\n')
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


def test_it_sends_through_our_sendmail(account: Account, nail: Nail, sendmail: Path) -> None:
    nail(["-s", "by s-nail", account.address], {"mta": str(sendmail)}, "Hello,\n.\nstill here\n")
    (message,) = account.arrived()
    assert b"\nSubject: by s-nail\n" in message
    # s-nail calls sendmail with -i: a line with a dot is no end.
    assert message.endswith(b"\n\nHello,\n.\nstill here\n")


def test_the_sender_that_it_names_is_the_reverse_path(account: Account, nail: Nail, sendmail: Path) -> None:
    nail(["-r", "boss@example.com", "-s", "x", account.address], {"mta": str(sendmail)}, "Hello\n")
    assert b"Return-Path: <boss@example.com>" in account.arrived()[0]


def test_blind_copies_stay_blind(site: Site, account: Account, nail: Nail, sendmail: Path) -> None:
    hidden = site.new_account()
    nail(["-s", "x", "-b", hidden.address, account.address], {"mta": str(sendmail)}, "Hello\n")
    for message in (*account.arrived(), *hidden.arrived()):
        assert hidden.address.encode() not in message.partition(b"\nSubject:")[2].partition(b"\n\n")[0]
        assert b"\nBcc:" not in message


def test_an_attachment_arrives(account: Account, nail: Nail, sendmail: Path, tmp_path: Path) -> None:
    (tmp_path / "data.bin").write_bytes(bytes(range(256)) * 1000)
    nail(["-s", "x", "-a", str(tmp_path / "data.bin"), account.address], {"mta": str(sendmail)}, "See there\n")
    (message,) = account.arrived()
    assert b"multipart/mixed" in message
    assert b"data.bin" in message


def test_it_is_told_of_an_address_that_makes_no_sense(nail: Nail, sendmail: Path) -> None:
    assert nail(["-s", "x", "a b@@c"], {"mta": str(sendmail)}, "Hello\n", check=False).returncode != 0


@pytest.mark.parametrize("mechanism", ["plain", "login"])
@pytest.mark.parametrize("scheme, service", [("submission", "submission"), ("submissions", "submissions")])
def test_it_submits(site: Site, account: Account, nail: Nail, mechanism: str, scheme: str, service: str) -> None:
    who = f"{quote(account.address, safe='')}:{quote(account.password, safe='')}"
    settings = {
        "v15-compat": "",
        "mta": f"{scheme}://{who}@localhost:{site.port(service)}",
        "smtp-auth": mechanism,
        "from": account.address,
    }
    if scheme == "submission":
        settings["smtp-use-starttls"] = ""
    nail(["-s", "x", account.address], settings, "Hello\n")
    assert b"with ESMTPSA" in account.arrived()[0]


@pytest.mark.parametrize("scheme", ["pop3", "pop3s", "imap", "imaps"])
def test_it_shows_what_is_in_a_mailbox(site: Site, account: Account, nail: Nail, scheme: str) -> None:
    account.deliver(letter("first letter"), letter("second letter"))
    who = f"{quote(account.address, safe='')}:{quote(account.password, safe='')}"
    url = f"{scheme}://{who}@localhost:{site.port(scheme)}" + ("/INBOX" if scheme.startswith("imap") else "")
    settings = {"v15-compat": "", "pop3-auth": "plain", "imap-auth": "login"}
    done = nail(["-R", "-f", url], settings, "headers\nexit\n")
    assert "first letter" in done.stdout
    assert "second letter" in done.stdout
