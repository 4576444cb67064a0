"""aerc, on a client library of its own (go-imap): reads, flags, moves, searches and sends, in a terminal."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

import pytest

from tests.clients.site import Account, Site, letter
from tests.lab.terminal import in_terminal
from tests.peers import peer

Aerc = Callable[..., str]


@pytest.fixture
def aerc(site: Site, account: Account, tmp_path: Path) -> Aerc:
    """Run aerc, which opens INBOX, with these commands, each once what is before it is there."""
    program = peer("aerc")
    configuration = tmp_path / "aerc"
    configuration.mkdir()
    login = f"{quote(account.address, safe='')}:{quote(account.password)}@localhost"
    accounts = configuration / "accounts.conf"
    accounts.touch(mode=0o600)
    accounts.write_text(
        f"[us]\nsource = imaps://{login}:{site.port('imaps')}\noutgoing = smtps+plain://{login}:{site.port('submissions')}\n"
        f"default = INBOX\nfrom = A Person <{account.address}>\ncopy-to = Sent\ncache-headers = false\n"
    )
    shared = program.root / "usr/share/aerc"
    (configuration / "aerc.conf").write_text(
        f"[general]\n[ui]\nstylesets-dirs={shared}/stylesets\ndirlist-delay=0ms\n[viewer]\npager=cat\n"
        f"[compose]\neditor=sed -i s/^$/written/\n[templates]\ntemplate-dirs={shared}/templates\n"
        "[filters]\ntext/plain=cat\n"
    )
    (configuration / "binds.conf").write_text("[messages]\n[view]\n[compose::review]\ny = :send<Enter>\n")

    def run(*dialogue: tuple[str, str]) -> str:
        environment = program.environment(
            {
                "HOME": str(tmp_path),
                "XDG_CONFIG_HOME": str(tmp_path),
                "SSL_CERT_FILE": str(site.trust),
                "TERM": "xterm",
                "LINES": "50",
                "COLUMNS": "160",
            }
        )
        typed = [(shown, f":{command}\r") for shown, command in dialogue]
        return in_terminal(["setsid", "--ctty", *program.command(["aerc"])], environment, typed)

    return run


def test_it_reads_and_flags(account: Account, aerc: Aerc) -> None:
    account.deliver(letter("one"), letter("two"))
    aerc(
        ("two", "view"),
        ("dots", "close"),
        (lambda: account.flags()["two"] == {"\\Seen"}, "next"),
        ("", "flag"),
        (lambda: account.flags()["one"] == {"\\Flagged"}, "quit -f"),
    )


def test_it_moves_copies_and_deletes(account: Account, aerc: Aerc) -> None:
    account.deliver(*(letter(name) for name in ("one", "two", "three")))
    kept = "Gr&APw-n"
    aerc(
        ("three", "mkdir Grün"),
        (lambda: kept in account.folders(), "cf INBOX"),
        ("three", "move Grün"),
        (lambda: set(account.flags(kept)) == {"three"} and len(account.flags()) == 2, "copy Grün"),
        (lambda: set(account.flags(kept)) == {"three", "two"}, "delete"),
        (lambda: set(account.flags()) == {"one"}, "quit -f"),
    )


def test_it_searches_on_the_server(account: Account, aerc: Aerc) -> None:
    account.deliver(letter("one", body="needle\r\n"), letter("two", body="straw\r\n"))
    aerc(
        ("two", "filter -b needle"),
        ("-b needle", "select 0"),
        ("", "delete"),
        (lambda: set(account.flags()) == {"two"}, "quit -f"),
    )


def test_it_sends_and_keeps_a_copy_in_sent(account: Account, aerc: Aerc) -> None:
    account.deliver(letter("one"))
    aerc(
        ("one", "mkdir Sent"),
        (lambda: "Sent" in account.folders(), f"compose -H To:{account.address} -H Subject:hello words"),
        ("Send this", "send"),
        (lambda: "Sent" in account.folders() and set(account.flags("Sent")) == {"hello"}, "quit -f"),
    )
    assert b"with ESMTPSA" in account.arrived(2)[-1]
