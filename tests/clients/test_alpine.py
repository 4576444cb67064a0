"""alpine, the University of Washington's client: reads, deletes, saves into folders, and sends, in a terminal."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.clients.site import Account, Site, letter
from tests.lab.terminal import in_terminal
from tests.peers import peer

Alpine = Callable[..., str]


@pytest.fixture
def alpine(site: Site, account: Account, tmp_path: Path) -> Alpine:
    """Run alpine with these keys from the index of INBOX on; what it showed."""
    program = peer("alpine")
    server = f"localhost:{site.port('imap')}/user={account.address}/notls"
    (tmp_path / "pinerc").write_text(
        f"inbox-path={{{server}}}INBOX\n"
        f"folder-collections=Mail {{{server}}}[]\n"
        f"default-fcc={{{server}}}Sent\n"
        f"smtp-server=localhost:{site.port('submission')}/user={account.address}/tls/novalidate-cert\n"
        "feature-list=quit-without-confirm,expunge-without-confirm,expunge-without-confirm-everywhere,"
        "enable-aggregate-command-set,enable-flag-cmd,auto-move-read-msgs,no-save-will-quote-leading-froms,"
        "disable-password-file-saving\n"
        "goto-default-rule=folder-in-recent-collection\nsaved-msg-name-rule=default-folder\n"
        f"customized-hdrs=From: A Person <{account.address}>\n"
        f"personal-name=A Person\nuser-domain={account.address.partition('@')[2]}\nlast-version-used=9.99\n"
        "mail-check-interval=0\ninit-cmd-keys=\n"
    )
    passwords = tmp_path / "passwords"
    passwords.touch(mode=0o600)

    def run(*dialogue: tuple[str, str]) -> str:
        command = program.command(["alpine", "-p", str(tmp_path / "pinerc"), "-i"])
        environment = program.environment({"HOME": str(tmp_path), "TERM": "xterm", "LC_ALL": "C.UTF-8"})
        return in_terminal(command, environment, (("PASSWORD:", f"{account.password}\r"), *dialogue))

    return run


def test_it_reads_deletes_and_moves_into_a_new_folder(account: Account, alpine: Alpine) -> None:
    account.deliver(*(letter(name) for name in ("one", "two", "three", "four")))
    alpine(
        ("four", "\r"),  # the index is there: show the first message
        ("two dots", "d"),  # which shows the next one
        ("two dots", "s"),
        ("SAVE", "Kept\r"),
        ("Create", "y"),
        ("DEL", "q"),  # stands in the title
    )
    assert account.flags() == {"three": set(), "four": set()}
    assert set(account.flags("Kept")) == {"two"}


def test_it_flags_and_searches_on_the_server(account: Account, alpine: Alpine) -> None:
    account.deliver(letter("one", body="needle\r\n"), letter("two", body="straw\r\n"))
    alpine(
        ("two", ";"),  # select by text, all of it
        ("SELECT criteria", "t"),
        ("ased on", "a"),
        ("TEXT to match", "needle\r"),
        ("matched 1", "*"),  # the mark is for what is shown now
        ("mportant", "*"),
        ("lagged", "q"),
    )
    assert [subject for subject, flags in account.flags().items() if "\\Flagged" in flags] == ["one"]


def test_it_sends_and_keeps_a_copy_in_sent(account: Account, alpine: Alpine) -> None:
    account.deliver(letter("one"))
    alpine(
        ("one", "c"),
        ("To      :", f"{account.address}\r\r\rhello\r"),
        ("Message Text", "by alpine\r"),
        ("alpine", "\x18"),
        ("Send message", "y"),
        ("Create", "y"),
        ("PASSWORD:", f"{account.password}\r"),
        ("MESSAGE INDEX", "q"),
    )
    messages = account.arrived(2)
    assert b"with ESMTPSA" in messages[-1]
    assert set(account.flags("Sent")) == {"hello"}
