"""ACL, QUOTA, METADATA and NOTIFY beside Dovecot: what two accounts say gets the same answers.

Compared without what may differ: texts and codes of tagged answers, the order of rights and of identifiers.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.imap.dialogue import MESSAGE, run
from tests.imap.test_acl import client
from tests.peers.dovecot import Dovecot

ANN, BOB = "ann@example.org", "bob@example.org"

EXTRA = """
mail_plugins = acl quota
protocol imap {
  mail_plugins = acl imap_acl quota imap_quota
  imap_metadata = yes
}
mail_attribute_dict = file:%h/dovecot-attributes
plugin {
  acl = vfile
  acl_shared_dict = file:%h/../shared.db
  quota = maildir:User quota
  quota_rule = *:storage=2048K:messages=6
}
namespace inbox {
  separator = /
}
namespace {
  type = shared
  separator = /
  prefix = Other Users/%%u/
  location = maildir:%%h/Maildir
  subscriptions = no
  list = children
}
"""

SCRIPT = r"""
ann CREATE Box
ann CREATE Box/Below
ann APPEND Box
ann MYRIGHTS Box
ann SETACL Box bob@example.org lr
ann SETACL Box bob@example.org +sw
ann SETACL Box bob@example.org -w
ann SETACL Box bob@example.org lrq
ann GETACL Box
ann SETACL Box bob@example.org +c
ann SETACL Box bob@example.org +d
ann SETACL Box -bob@example.org t
ann SETACL Box $staff lr
ann GETACL Box
ann DELETEACL Box $staff
ann DELETEACL Box -bob@example.org
ann SETACL Box bob@example.org lrs
ann LISTRIGHTS Box bob@example.org
ann SETACL Nowhere bob@example.org lr
ann GETACL Nowhere
bob MYRIGHTS #Box
bob LIST "" "Other Users/*/*"
bob STATUS #Box (MESSAGES UNSEEN)
bob SELECT #Box
bob FETCH 1 (FLAGS RFC822.SIZE)
bob STORE 1 +FLAGS.SILENT (\Seen)
bob FETCH 1 FLAGS
bob STORE 1 -FLAGS (\Seen)
bob EXPUNGE
bob CLOSE
bob APPEND #Box
bob GETACL #Box
bob SETACL #Box bob@example.org lrswipkxtea
bob CREATE #Box/New
bob DELETE #Box
bob RENAME #Box #Box2
bob SELECT #Secret
bob STATUS #INBOX (MESSAGES)
bob SELECT #Box/../Secret
bob SELECT #Box
bob COPY 1 INBOX
bob MOVE 1 INBOX
bob UNSELECT
ann SETACL Box bob@example.org lrste
bob RECONNECT
bob SELECT #Box
bob STORE 1 +FLAGS (\Deleted)
bob EXPUNGE
bob UNSELECT
ann SETACL Box bob@example.org lri
bob RECONNECT
bob APPEND #Box
bob SELECT #Box
bob UNSELECT
ann DELETEACL Box bob@example.org
bob RECONNECT
bob SELECT #Box
bob LIST "" "Other Users/*/*"
ann GETQUOTAROOT INBOX
ann GETQUOTA "User quota"
ann GETQUOTA nonsense
ann SETQUOTA "User quota" (STORAGE 5)
ann APPEND INBOX
ann APPEND INBOX
ann APPEND INBOX
ann APPEND INBOX
ann APPEND INBOX
ann APPEND INBOX
ann GETQUOTA "User quota"
ann GETMETADATA INBOX /private/x
ann SETMETADATA INBOX (/private/x "y" /shared/z "w")
ann GETMETADATA INBOX /private/x
ann GETMETADATA INBOX (/private/x /shared/z)
ann GETMETADATA (DEPTH 1) INBOX /private
ann GETMETADATA (DEPTH infinity) INBOX /shared
ann SETMETADATA INBOX (/private/x NIL)
ann GETMETADATA INBOX /private/x
ann GETMETADATA Nowhere /private/x
ann SETMETADATA INBOX (bad "y")
ann NOTIFY SET STATUS (SUBTREE Box (MessageNew MessageExpunge))
ann NOTIFY SET (SELECTED (MessageNew))
ann NOTIFY SET (SELECTED (MessageNew MessageExpunge)) (SELECTED-DELAYED (MessageNew MessageExpunge))
ann NOTIFY SET (PERSONAL (MessageNew MessageExpunge MailboxName SubscriptionChange))
ann CREATE Fresh
ann RENAME Fresh Old
ann DELETE Old
ann NOTIFY NONE
ann SELECT INBOX
ann NOTIFY SET (SELECTED NONE)
bob NOTIFY NONE
"""
"""Who says what; RECONNECT begins a new session, since those of Dovecot keep access lists for a while; `#` stands for
the beginning of the names of Ann's mailboxes as Bob sees them."""


class Peer:
    """A client of Dovecot."""

    def __init__(self, dovecot: Dovecot, address: str) -> None:
        self._socket = socket.create_connection((dovecot.address, dovecot.port("imap")), timeout=30)
        self._file = self._socket.makefile("rb")
        self._tags = 0
        self._file.readline()
        assert self.command(f"LOGIN {address} secret")[-1].startswith(b"OK")

    def command(self, text: str, literal: bytes | None = None) -> list[bytes]:
        self._tags += 1
        tag = b"t%d" % self._tags
        rest = b"" if literal is None else b" {%d+}\r\n%b" % (len(literal), literal)
        self._socket.sendall(tag + b" " + text.encode() + rest + b"\r\n")
        lines = []
        while not (line := self._file.readline().rstrip(b"\r\n")).startswith(tag):
            while found := re.search(rb"\{(\d+)\}$", line):  # short literals, which go quoted with us
                line = line[: found.start()] + b'"' + self._file.read(int(found[1])) + b'"'
                line += self._file.readline().rstrip(b"\r\n")
            lines.append(line)
        return [*lines, line.removeprefix(tag + b" ")]

    def close(self) -> None:
        self._file.close()
        self._socket.close()


@pytest.fixture
def dovecot() -> Iterator[Dovecot]:
    with Dovecot({ANN: "secret", BOB: "secret"}, extra=EXTRA) as running:
        yield running


def normal(line: bytes) -> str:
    """What must be the same of a line."""
    text = line.decode()
    if found := re.match(r"(\* )?(OK|NO|BAD|BYE)", text):
        return found[0]
    text = re.sub(r"UIDVALIDITY \d+", "UIDVALIDITY N", text)
    if text.startswith(("* ACL", "* MYRIGHTS", "* LISTRIGHTS")):
        # Identifiers have rights behind them: words of the letters of rights are sorted within, then all words.
        return " ".join(sorted("".join(sorted(word)) for word in re.findall(r"[^\s]+", text)))
    if "FLAGS" in text or text.startswith(("* LIST", "* METADATA")):
        return " ".join(sorted(re.findall(r"[\\*\w=@./$-]+", text.replace("\\Recent", ""))))
    return text


def told(lines: list[bytes]) -> list[str]:
    """An answer in its normal form, without the untagged OKs of SELECT and what MODSEQs add."""
    return sorted(text for text in map(normal, lines) if text not in ("* OK",) and "RECENT" not in text)


def test_the_same_commands_get_the_same_answers(dovecot: Dovecot, tmp_path: Path) -> None:
    addresses = {"ann": ANN, "bob": BOB}
    base = tmp_path / "ours"

    async def dialogue() -> None:
        for name in addresses:
            place = base / "example.org" / name
            for part in ("tmp", "new", "cur"):
                (place / part).mkdir(parents=True)
            (place / "maildirsize").write_bytes(b"2097152S,6C\n0 0\n")
        theirs = {name: Peer(dovecot, address) for name, address in addresses.items()}
        ours = {name: client(base, address) for name, address in addresses.items()}
        for row in SCRIPT.split("\n")[1:-1]:
            name, _, command = row.partition(" ")
            if command == "RECONNECT":
                theirs[name].close()
                await ours[name].close()
                theirs[name], ours[name] = Peer(dovecot, addresses[name]), client(base, addresses[name])
                continue
            command = re.sub(r"#(\S+)", rf'"Other Users/{ANN}/\1"', command)
            literal = MESSAGE if command.startswith("APPEND") else None
            their, our = theirs[name].command(command, literal), await ours[name].command(command, literal)
            assert told(our) == told(their), f"{row}\n{our}\n{their}"
        for name, peer in theirs.items():
            peer.close()
            await ours[name].close()

    run(dialogue())
