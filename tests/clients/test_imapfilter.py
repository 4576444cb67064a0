"""imapfilter searches on the server, flags, copies, moves, deletes and marks, as its Lua scripts say."""

from __future__ import annotations

import os
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.clients.site import Account, Site, letter
from tests.peers import peer

Filter = Callable[[str], str]

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="imapfilter finds its scripts in a mount namespace only")


@pytest.fixture
def script(site: Site, account: Account, tmp_path: Path) -> Filter:
    """Run a script in which `me` is the account."""
    (tmp_path / ".imapfilter").mkdir()

    def run(lines: str) -> str:
        (tmp_path / "config.lua").write_text(
            f"options.timeout = 30\noptions.certificates = true\noptions.create = true\noptions.subscribe = true\n"
            f'me = IMAP {{ server = "localhost", port = {site.port("imaps")}, username = "{account.address}", '
            f'password = "{account.password}", ssl = "auto" }}\n{lines}\n'
        )
        program = peer("imapfilter")
        command = program.command(["imapfilter", "-c", tmp_path / "config.lua", "-t", site.trust])
        done = subprocess.run(
            program.in_place(command),  # it finds its own scripts there only
            env=program.environment({"HOME": str(tmp_path)}),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=60,
        )
        assert done.returncode == 0, done.stdout
        return done.stdout

    return run


def test_it_searches_flags_and_deletes(account: Account, script: Filter) -> None:
    account.deliver(letter("one", sender="boss@example.com"), letter("two"), letter("three", body="needle\r\n"))
    script(
        """
        me.INBOX:contain_from("boss"):mark_flagged()
        me.INBOX:contain_body("needle"):mark_seen()
        me.INBOX:contain_subject("two"):delete_messages()
        """
    )
    assert account.flags() == {"one": {"\\Flagged"}, "three": {"\\Seen"}}


def test_it_moves_into_folders_that_it_makes(account: Account, script: Filter) -> None:
    account.deliver(letter("list 1"), letter("list 2"), letter("other"))
    script('me.INBOX:contain_subject("list"):move_messages(me["Lists"])')
    assert set(account.flags()) == {"other"}
    assert set(account.flags("Lists")) == {"list 1", "list 2"}
    with account.imap() as client:
        subscribed = client.lsub()[1]
    assert any(b"Lists" in line for line in subscribed if isinstance(line, bytes))


def test_sets_of_messages_and_header_fields(account: Account, script: Filter) -> None:
    account.deliver(*(letter(f"letter {number}", body="x" * 5000 if number == 2 else "") for number in range(4)))
    said = script(
        """
        large = me.INBOX:is_larger(4000)
        unseen = me.INBOX:is_unseen()
        print("found", #large, #unseen, #(unseen - large), #me.INBOX:match_subject("letter [12]"))
        total, recent, unseen = me.INBOX:check_status()
        print("status", total, unseen)
        both = me.INBOX:select_all() * large - me.INBOX:has_keyword("none")
        both:copy_messages(me["Large"])
        """
    )
    assert "found\t1\t4\t3\t2" in said, said
    assert "status\t4\t4" in said, said
    assert set(account.flags("Large")) == {"letter 2"}


def test_it_waits_in_idle_for_new_mail(account: Account, script: Filter) -> None:
    """The script ends once the server has told of what is delivered meanwhile."""
    woken = threading.Event()

    def deliver() -> None:
        for number in range(20):  # the first may come before it waits
            if woken.wait(1):
                return
            account.deliver(letter(f"new {number}"))

    thread = threading.Thread(target=deliver)
    thread.start()
    try:
        said = script('me.INBOX:enter_idle()\nprint("woken", me.INBOX:check_status() > 0)')
    finally:
        woken.set()
        thread.join()
    assert "woken\ttrue" in said, said
