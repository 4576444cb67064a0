"""getmail takes mail over POP3 and IMAP, from any mailbox, remembers what it has, and deletes what it should."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.clients.site import Account, Site, body_of, letter
from tests.peers import peer

RETRIEVERS = {
    "pop3": "SimplePOP3Retriever",
    "pop3s": "SimplePOP3SSLRetriever",
    "imap": "SimpleIMAPRetriever",
    "imaps": "SimpleIMAPSSLRetriever",
}

Fetch = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def fetch(site: Site, account: Account, tmp_path: Path) -> Fetch:
    """Run getmail once: `fetch(service, more)`; what it takes is appended to `taken`."""

    def run(service: str, options: str = "", retriever: str = "") -> subprocess.CompletedProcess[str]:
        tls = f"ca_certs = {site.trust}\n" if service.endswith("s") else ""
        (tmp_path / "getmailrc").write_text(
            f"[retriever]\ntype = {RETRIEVERS[service]}\nserver = localhost\nport = {site.port(service)}\n"
            f"username = {account.address}\npassword = {account.password}\n{tls}{retriever}"
            # To a Maildir it delivers for no root.
            f"[destination]\ntype = MDA_external\npath = /bin/sh\nallow_root_commands = true\n"
            f'arguments = ("-c", "cat >> {tmp_path}/taken")\n[options]\nverbose = 1\n{options}'
        )
        command = ["getmail", "--getmaildir", tmp_path, "--rcfile", "getmailrc"]
        return peer("getmail").run(command, env={"HOME": str(tmp_path)}, check=True)

    return run


def subjects(directory: Path) -> list[bytes]:
    lines = (directory / "taken").read_bytes().splitlines()
    return [line.removeprefix(b"Subject: ") for line in lines if line.startswith(b"Subject: ")]


@pytest.mark.parametrize("service", RETRIEVERS)
def test_it_takes_all_and_leaves_nothing(account: Account, fetch: Fetch, tmp_path: Path, service: str) -> None:
    account.deliver(letter("one"), letter("two"))
    fetch(service, "delete = true\n")
    assert subjects(tmp_path) == [b"one", b"two"]
    assert account.messages() == []
    assert (tmp_path / "taken").read_bytes().count(body_of(letter("one"))) == 2


@pytest.mark.parametrize("service", ["pop3s", "imaps"])
def test_what_it_has_it_does_not_take_again(account: Account, fetch: Fetch, tmp_path: Path, service: str) -> None:
    account.deliver(letter("one"))
    fetch(service, "read_all = false\n")
    fetch(service, "read_all = false\n")
    account.deliver(letter("two"))
    fetch(service, "read_all = false\n")
    assert subjects(tmp_path) == [b"one", b"two"]
    assert len(account.messages()) == 2


def test_it_takes_from_other_mailboxes_and_moves_what_it_has_taken(
    account: Account, fetch: Fetch, tmp_path: Path
) -> None:
    with account.imap() as client:
        for name in ("Work", "Done"):
            assert client.create(name)[0] == "OK"
        client.append("Work", "", "", letter("at work"))  # type: ignore[arg-type]
    fetch("imaps", "delete = true\n", 'mailboxes = ("Work",)\nmove_on_delete = Done\n')
    assert subjects(tmp_path) == [b"at work"]
    assert set(account.flags("Work")) == set()
    assert set(account.flags("Done")) == {"at work"}
