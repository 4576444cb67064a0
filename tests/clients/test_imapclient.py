"""IMAPClient, the library with which many Python programs read mail."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

from tests.clients.site import Account, Site, letter

Script = Callable[[str], Any]

_FRAME = """\
import json, ssl, sys
from imapclient import IMAPClient, DELETED, FLAGGED, SEEN
given = json.load(sys.stdin)
context = ssl.create_default_context(cafile=given["trust"])
with IMAPClient("localhost", given["port"], ssl_context=context, timeout=30) as me:
    me.login(given["user"], given["password"])
{lines}
print(json.dumps(said, default=lambda it: it.decode() if isinstance(it, bytes) else str(it)))
"""


@pytest.fixture
def script(site: Site, account: Account) -> Script:
    """Run lines of Python in which `me` is logged in; gives what they have assigned to `said`."""

    def run(lines: str) -> Any:
        text = "".join(f"    {line}\n" for line in lines.strip("\n").splitlines())
        given = {"trust": str(site.trust), "port": site.port("imaps")}
        given |= {"user": account.address, "password": account.password}
        done = subprocess.run(
            [sys.executable, "-c", _FRAME.format(lines=text)],
            input=json.dumps(given),
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    return run


def test_it_searches_fetches_and_flags(account: Account, script: Script) -> None:
    account.deliver(letter("one", sender="boss@example.com"), letter("two"), letter("grün"))
    said = script(
        """
me.select_folder("INBOX")
found = me.search(["FROM", "boss"])
me.add_flags(found, [FLAGGED, "$Work"])
envelope = me.fetch(found, ["ENVELOPE", "BODYSTRUCTURE", "RFC822.SIZE", "INTERNALDATE"])[found[0]]
green = me.search(["SUBJECT", "grün"], "UTF-8")
said = [len(found), str(envelope[b"ENVELOPE"].from_[0]), envelope[b"ENVELOPE"].subject, len(green)]
"""
    )
    assert said == [1, "boss@example.com", "one", 1]
    assert account.flags()["one"] == {"\\Flagged", "$Work"}


def test_it_sorts_and_threads_on_the_server(account: Account, script: Script) -> None:
    account.deliver(letter("b"), letter("a"), letter("Re: b"))
    said = script(
        """
me.select_folder("INBOX", readonly=True)
said = [me.has_capability("SORT"), me.sort(["SUBJECT"]), me.thread("ORDEREDSUBJECT")]
"""
    )
    assert said == [True, [2, 1, 3], [[1, 3], [2]]]


def test_it_appends_moves_and_deletes(account: Account, script: Script) -> None:
    account.deliver(letter("stay"), letter("go"), letter("gone"))
    script(
        """
me.create_folder("Archive")
me.select_folder("INBOX")
me.move(me.search(["SUBJECT", "go"])[:1], "Archive")
me.delete_messages(me.search(["SUBJECT", "gone"]))
me.expunge()
me.append("Archive", b"Subject: put here\\r\\n\\r\\nhello\\r\\n", [SEEN])
said = me.folder_status("Archive", ["MESSAGES", "UNSEEN"])[b"MESSAGES"]
"""
    )
    assert set(account.flags()) == {"stay"}
    assert account.flags("Archive") == {"go": set(), "put here": {"\\Seen"}}


def test_it_is_told_in_idle(account: Account, script: Script) -> None:
    said = script(
        """
me.select_folder("INBOX")
with IMAPClient("localhost", given["port"], ssl_context=context, timeout=30) as other:
    other.login(given["user"], given["password"])
    me.idle()
    other.append("INBOX", b"Subject: new\\r\\n\\r\\nhello\\r\\n")
    told = me.idle_check(timeout=20)
me.idle_done()
said = [[number, what.decode()] for number, what, *_ in told]
"""
    )
    assert [1, "EXISTS"] in said


def test_namespaces_quotas_and_purposes(account: Account, script: Script) -> None:
    said = script(
        """
me.create_folder("Sent")
said = [str(me.namespace().personal[0][1]), me.find_special_folder(b"\\\\Sent"), me.has_capability("QUOTA")]
"""
    )
    assert said == ["/", "Sent", True]
