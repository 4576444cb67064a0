"""mpop takes mail over POP3 with each way to log in, pipelined, and remembers unique-ids."""

from __future__ import annotations

import mailbox
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.clients.site import Account, Site, body_of, letter
from tests.peers import peer

Fetch = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def fetch(site: Site, account: Account, tmp_path: Path) -> Fetch:
    """Run mpop once: `fetch(service, *options)`; what it takes is in the Maildir `taken`."""
    mailbox.Maildir(tmp_path / "taken").close()

    def run(service: str, *options: str, password: str = account.password) -> subprocess.CompletedProcess[str]:
        command = ["mpop", "--file=/dev/null", "--host=localhost", f"--port={site.port(service)}", "--tls=on"]
        command += [f"--tls-starttls={'off' if service == 'pop3s' else 'on'}", f"--tls-trust-file={site.trust}"]
        command += [f"--user={account.address}", '--passwordeval=echo "$PASSWORD"']
        command += [f"--delivery=maildir,{tmp_path}/taken", f"--uidls-file={tmp_path}/uidls", *options]
        return peer("mpop").run(command, env={"PASSWORD": password, "HOME": str(tmp_path)})

    return run


def subjects(directory: Path) -> list[str]:
    return sorted(message["Subject"] for message in mailbox.Maildir(directory / "taken", create=False))


@pytest.mark.parametrize("service", ["pop3", "pop3s"])
@pytest.mark.parametrize("mechanism", ["user", "plain", "scram-sha-256"])
def test_it_takes_all_and_leaves_nothing(
    account: Account, fetch: Fetch, tmp_path: Path, service: str, mechanism: str
) -> None:
    account.deliver(letter("one"), letter("two"), letter("three"))
    done = fetch(service, f"--auth={mechanism}", "--keep=off", "--pipelining=on")
    assert done.returncode == 0, done.stderr
    assert subjects(tmp_path) == ["one", "three", "two"]
    assert account.messages() == []
    taken = mailbox.Maildir(tmp_path / "taken", create=False)
    assert {body_of(taken.get_bytes(key)) for key in taken.iterkeys()} == {body_of(letter("one"))}


def test_what_is_kept_is_not_taken_again(account: Account, fetch: Fetch, tmp_path: Path) -> None:
    account.deliver(letter("one"))
    for subject in ("two", "three"):
        assert fetch("pop3s", "--keep=on", "--only-new=on").returncode == 0
        account.deliver(letter(subject))
    assert fetch("pop3s", "--keep=on", "--only-new=on").returncode == 0
    assert subjects(tmp_path) == ["one", "three", "two"]
    assert len(account.messages()) == 3


def test_it_filters_by_headers(account: Account, fetch: Fetch, tmp_path: Path) -> None:
    """A filter that says kill has the message deleted without its having been taken whole (TOP)."""
    account.deliver(letter("junk"), letter("mail"))
    done = fetch("pop3s", "--keep=off", '--filter=if grep -q "Subject: junk"; then exit 1; else exit 0; fi')
    assert done.returncode == 0, done.stderr
    assert subjects(tmp_path) == ["mail"]
    assert account.messages() == []


def test_a_wrong_password_is_refused(fetch: Fetch) -> None:
    assert fetch("pop3s", password="wrong").returncode != 0


def test_it_shows_what_the_server_can_do(fetch: Fetch) -> None:
    done = fetch("pop3s", "--serverinfo")
    for word in ("PIPELINING", "TOP", "UIDL", "EXPIRE", "PLAIN", "SCRAM-SHA-256"):
        assert word in done.stdout, done.stdout + done.stderr
