"""fetchmail takes mail over POP3 and IMAP: all, or what is new, kept on the server or deleted."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.clients.site import Account, Site, letter
from tests.peers import peer

NOTHING_NEW = 1  # fetchmail's exit status
AUTHENTICATION_FAILED = 3

WAYS = {
    "pop3": ("pop3", "pop3", "sslproto ''"),
    "pop3 with STLS": ("pop3", "pop3", "sslproto 'auto' sslcertck sslcertfile '{trust}'"),
    "pop3s": ("pop3", "pop3s", "ssl sslcertck sslcertfile '{trust}'"),
    "imap": ("imap", "imap", "sslproto ''"),
    "imap with STARTTLS": ("imap", "imap", "sslproto 'auto' sslcertck sslcertfile '{trust}'"),
    "imaps": ("imap", "imaps", "ssl sslcertck sslcertfile '{trust}'"),
}

Fetch = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def fetch(site: Site, account: Account, tmp_path: Path) -> Fetch:
    """Run fetchmail once: `fetch(way, options)`; what it takes is appended to `taken`."""

    def run(way: str, options: str = "", password: str = account.password) -> subprocess.CompletedProcess[str]:
        protocol, service, tls = WAYS[way]
        rc = tmp_path / "fetchmailrc"
        rc.touch(mode=0o600)
        rc.write_text(
            f"poll localhost protocol {protocol} service {site.port(service)} {'uidl' if protocol == 'pop3' else ''} "
            f'user "{account.address}" password "{password}" {tls.format(trust=site.trust)} '
            f'mda "cat >> {tmp_path}/taken" {options}\n'
        )
        home = {"HOME": str(tmp_path), "FETCHMAILHOME": str(tmp_path)}
        return peer("fetchmail").run(["fetchmail", "-f", rc, "--nodetach", "--nosyslog", "-v"], env=home)

    return run


def subjects(directory: Path) -> list[bytes]:
    lines = (directory / "taken").read_bytes().splitlines()
    return [line.removeprefix(b"Subject: ") for line in lines if line.startswith(b"Subject: ")]


@pytest.mark.parametrize("way", WAYS)
def test_it_takes_all_and_leaves_nothing(account: Account, fetch: Fetch, tmp_path: Path, way: str) -> None:
    account.deliver(letter("one"), letter("two"), letter("three"))
    done = fetch(way, "fetchall")
    assert done.returncode == 0, done.stdout + done.stderr
    assert subjects(tmp_path) == [b"one", b"two", b"three"]
    assert account.messages() == []


@pytest.mark.parametrize("way", ["pop3", "imap"])
def test_what_is_kept_is_not_taken_again(account: Account, fetch: Fetch, tmp_path: Path, way: str) -> None:
    account.deliver(letter("one"), letter("two"))
    assert fetch(way, "keep").returncode == 0
    assert fetch(way, "keep").returncode == NOTHING_NEW
    account.deliver(letter("three"))
    assert fetch(way, "keep").returncode == 0
    assert subjects(tmp_path) == [b"one", b"two", b"three"]
    assert len(account.messages()) == 3


@pytest.mark.parametrize("way", ["pop3", "imap"])
def test_content_arrives_unchanged(account: Account, fetch: Fetch, tmp_path: Path, way: str) -> None:
    account.deliver(letter("one"))
    fetch(way, "fetchall")
    body = letter("one").partition(b"\r\n\r\n")[2].replace(b"\r\n", b"\n")
    assert body in (tmp_path / "taken").read_bytes().replace(b"\r\n", b"\n")


@pytest.mark.parametrize("way", ["pop3s", "imaps"])
def test_a_wrong_password_is_an_authentication_failure(account: Account, fetch: Fetch, way: str) -> None:
    assert fetch(way, password="wrong").returncode == AUTHENTICATION_FAILED
