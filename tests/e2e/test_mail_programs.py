"""Mail for system users through other programs and agents: a real maildrop and procmail by mailbox_command_maps, and a
server by mailbox_transport_maps.  Needs root, for the users.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.e2e.users import UserInstance
from tests.e2e.wire import send
from tests.lab.sinks import SmtpSink
from tests.peers.install import peer

HOST = "mx.example.org"


@pytest.fixture(scope="module")
def sink() -> Iterator[SmtpSink]:
    with SmtpSink() as running:
        yield running


@pytest.fixture(scope="module")
def mail(sink: SmtpSink) -> Iterator[UserInstance]:
    with UserInstance(("drop", "pro", "moved"), settings={"recipient_delimiter": "+"}) as instance:
        table = instance.directory / "commands"
        # As an administrator writes it; the unpacked programs only need to be told where their libraries are.
        drop, pro = (_unpacked(name, instance.directory) for name in ("maildrop", "procmail"))
        table.write_text(f'drop {drop} $HOME/.mailfilter\npro {pro} -t -a "$EXTENSION" $HOME/.procmailrc\n')
        instance.set("mailbox_command_maps", f"texthash:{table}")
        instance.set("mailbox_transport_maps", f"inline:{{moved=smtp:{sink.nexthop}}}")
        instance.reload()
        yield instance


def _unpacked(name: str, directory: Path) -> str:
    """The command of a peer, from a copy that users can reach wherever the peers are."""
    program = peer(name)
    copy = directory / name
    shutil.copytree(program.root, copy, symlinks=True)
    libraries = ":".join(sorted({str(path.parent) for path in copy.rglob("lib*.so.*")}))
    return f"env LD_LIBRARY_PATH={libraries} {copy}/usr/bin/{name}"


def _holds(path: Path, text: bytes) -> Callable[[], bool]:
    return lambda: path.exists() and text in path.read_bytes()


def test_maildrop_sorts_a_users_mail(mail: UserInstance) -> None:
    home = mail.home("drop")
    mail.write("drop", ".mailfilter", 'if (/^Subject:.*list/)\n  to "$HOME/lists"\nto "$HOME/rest"\n', mode=0o600)
    send(mail, f"drop@{HOST}", b"Subject: a list\r\n\r\none\r\n")
    send(mail, f"drop@{HOST}", b"Subject: a letter\r\n\r\ntwo\r\n")
    mail.wait_for(_holds(home / "lists", b"one\n"))
    mail.wait_for(_holds(home / "rest", b"two\n"))
    assert (home / "lists").stat().st_uid == mail.uids["drop"]
    lines = (home / "rest").read_text().splitlines()
    assert lines[1].startswith(">From carol@example.com  "), "ours, below the one that maildrop makes for itself"
    assert lines[2] == "Return-Path: <carol@example.com>"
    assert f"Delivered-To: drop@{HOST}" in lines
    assert mail.log_matching(r"to=<drop@mx\.example\.org>, relay=local, .* status=sent \(delivered to command: env ")


def test_a_filter_of_maildrops_that_fails_keeps_the_mail(mail: UserInstance) -> None:
    mail.write("drop", ".mailfilter", "this is no filter {\n", mode=0o600)
    send(mail, f"drop@{HOST}", b"Subject: x\r\n\r\nkept\r\n")
    mail.wait_for(lambda: mail.log_matching(r"to=<drop@mx\.example\.org>, .* dsn=4\.3\.0, status=deferred"))


def test_procmail_sorts_a_users_mail_and_gets_the_extension(mail: UserInstance) -> None:
    home = mail.home("pro")
    lists, work = ":0:\n* ^Subject:.*list\n$HOME/lists\n", ":0:\n* EXT ?? work\n$HOME/work\n"
    mail.write("pro", ".procmailrc", f"DEFAULT=$HOME/rest\nEXT=$1\n{lists}{work}")
    send(mail, f"pro@{HOST}", b"Subject: a list\r\n\r\none\r\n")
    send(mail, f"pro@{HOST}", b"Subject: a letter\r\n\r\ntwo\r\n")
    send(mail, f"pro+work@{HOST}", b"Subject: a letter\r\n\r\nthree\r\n")
    mail.wait_for(_holds(home / "lists", b"one\n"))
    mail.wait_for(_holds(home / "rest", b"two\n"))
    mail.wait_for(_holds(home / "work", b"three\n"))
    assert (home / "rest").stat().st_uid == mail.uids["pro"]


@pytest.mark.parametrize(
    ("status", "logged"),
    [
        (67, r"dsn=5\.1\.1, status=bounced \(user unknown"),
        (75, r"dsn=4\.3\.0, status=deferred \(temporary failure"),
        (77, r"dsn=5\.7\.0, status=bounced \(permission denied"),
    ],
)
def test_an_exit_code_of_procmails_is_its_verdict(mail: UserInstance, status: int, logged: str) -> None:
    mail.write("pro", ".procmailrc", f"DEFAULT=$HOME/rest\nEXITCODE={status}\n:0\n/dev/null\n")
    send(mail, f"pro@{HOST}", b"Subject: x\r\n\r\ntext\r\n")
    mail.wait_for(lambda: mail.log_matching(rf"to=<pro@mx\.example\.org>, .* {logged}"))


def test_a_table_of_transports_takes_a_users_mail_elsewhere(mail: UserInstance, sink: SmtpSink) -> None:
    send(mail, f"moved+x@{HOST}", b"Subject: x\r\n\r\nto the other server\r\n")
    mail.wait_for(lambda: any(b"to the other server" in message.content for message in sink.messages))
    (message,) = [message for message in sink.messages if b"to the other server" in message.content]
    assert message.recipients == [f"moved+x@{HOST}"]
    assert b"Delivered-To:" not in message.content
    assert mail.spool_file("moved") == b""
