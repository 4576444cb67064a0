"""People's own programs against the server: curl, mbsync, mutt and fetchmail, from Debian's packages."""

from __future__ import annotations

import email
import mailbox
import os
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.imap.server import ACCOUNT, PASSWORD, Server
from tests.mime.messages import MIXED, crlf
from tests.peers import peer

COUNT = 30


def letter(number: int) -> bytes:
    return crlf(MIXED).replace(
        b"Subject: mixed", b"Subject: letter %d\r\nMessage-ID: <%d@example.org>" % (number, number)
    )


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with Server(tmp_path) as running:
        running.deliver(*(letter(number) for number in range(1, COUNT + 1)))
        yield running


def mbsync(server: Server, tmp_path: Path) -> None:
    local = tmp_path / "local"
    local.mkdir(exist_ok=True)
    (tmp_path / "mbsyncrc").write_text(
        f"""
IMAPAccount us
Host 127.0.0.1
Port {server.port}
User {ACCOUNT}
Pass {PASSWORD}
SSLType None
AuthMechs LOGIN

IMAPStore far
Account us

MaildirStore near
Path {local}/
Inbox {local}/INBOX
SubFolders Verbatim

Channel all
Far :far:
Near :near:
Patterns *
Create Both
Expunge Both
SyncState *
"""
    )
    peer("isync").run(["mbsync", "-c", tmp_path / "mbsyncrc", "-V", "all"], env={"HOME": str(tmp_path)}, check=True)


def test_mbsync_copies_a_mailbox_and_brings_changes_back(server: Server, tmp_path: Path) -> None:
    mbsync(server, tmp_path)
    inbox = mailbox.Maildir(tmp_path / "local" / "INBOX", create=False)
    assert sorted(message["Message-ID"] for message in inbox) == sorted(
        f"<{n}@example.org>" for n in range(1, COUNT + 1)
    )
    first = next(key for key, message in inbox.items() if message["Message-ID"] == "<1@example.org>")
    content = inbox.get_bytes(first)
    assert email.message_from_bytes(content).get_payload(0) is not None
    assert b"".join(line for line in content.splitlines(True) if not line.startswith(b"X-TUID")) == letter(1).replace(
        b"\r\n", b"\n"
    )
    second = next(key for key, message in inbox.items() if message["Message-ID"] == "<2@example.org>")
    message = inbox[first]
    assert isinstance(message, mailbox.MaildirMessage)
    message.set_subdir("cur")
    message.set_flags("FS")
    inbox[first] = message
    inbox.remove(second)
    inbox.add(letter(99).replace(b"\r\n", b"\n"))
    mbsync(server, tmp_path)
    lines = server.say(
        f"a LOGIN {ACCOUNT} {PASSWORD}\r\nb SELECT INBOX\r\nc SEARCH FLAGGED SEEN\r\nd SEARCH HEADER Message-ID 99@\r\n"
        "e LOGOUT\r\n".encode()
    )
    text = b"\n".join(lines)
    assert b"* 30 EXISTS" in text
    assert b"* SEARCH 1\nc OK" in text
    assert b"* SEARCH 30\nd OK" in text


def test_fetchmail_takes_and_removes_the_mail(server: Server, tmp_path: Path) -> None:
    rc, home, out = tmp_path / "fetchmailrc", tmp_path / "home", tmp_path / "taken"
    home.mkdir()
    rc.write_text(
        f'poll 127.0.0.1 protocol imap service {server.port} user "{ACCOUNT}" password "{PASSWORD}" '
        f'sslproto "" mda "cat >> {out}" fetchall\n'
    )
    rc.chmod(0o600)
    done = peer("fetchmail").run(
        ["fetchmail", "-f", rc, "--nodetach", "--nosyslog", "-v", "--pidfile", home / "pid", "-i", home / "ids"],
        env={"HOME": str(home), "FETCHMAILHOME": str(home)},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    taken = out.read_bytes()
    assert all(b"<%d@example.org>" % number in taken for number in range(1, COUNT + 1))
    lines = server.say(f"a LOGIN {ACCOUNT} {PASSWORD}\r\nb SELECT INBOX\r\ne LOGOUT\r\n".encode())
    assert b"* 0 EXISTS" in lines


KEYS = (
    "<tag-pattern>~s 'letter 7$'<enter>",
    "<tag-prefix><copy-message>{saved}<enter>",
    "<tag-prefix><flag-message>",
    "<sync-mailbox><quit>",
)


def in_terminal(command: list[str], environment: dict[str, str]) -> None:
    """Run a program that wants a terminal; what it shows is thrown away."""
    ours, theirs = os.openpty()
    with subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env=environment) as process:
        os.close(theirs)
        timer = threading.Timer(30, process.kill)
        timer.start()
        try:
            while os.read(ours, 65536):
                pass
        except OSError:
            pass  # the terminal's other end is closed: the program has ended
        finally:
            timer.cancel()
            os.close(ours)
    assert process.returncode == 0


def test_mutt_reads_flags_and_saves(server: Server, tmp_path: Path) -> None:
    rc = tmp_path / "muttrc"
    saved = tmp_path / "saved"
    url = f"imap://127.0.0.1:{server.port}/INBOX"
    rc.write_text(
        f"""
set imap_user="{ACCOUNT}" imap_pass="{PASSWORD}" ssl_starttls=no ssl_force_tls=no
set folder="imap://127.0.0.1:{server.port}/" header_cache="" mbox_type=Maildir
set confirmappend=no confirmcreate=no delete=yes move=no mark_old=no wait_key=no sleep_time=0 quit=yes copy=no
push "{"".join(KEYS).format(saved=saved)}"
"""
    )
    mutt = peer("mutt")
    in_terminal(
        mutt.command(["mutt", "-n", "-F", rc, "-f", url]), mutt.environment({"HOME": str(tmp_path), "TERM": "xterm"})
    )
    lines = server.say(f"a LOGIN {ACCOUNT} {PASSWORD}\r\nb SELECT INBOX\r\nc SEARCH FLAGGED\r\ne LOGOUT\r\n".encode())
    assert b"* SEARCH 7" in lines, lines
    (message,) = mailbox.Maildir(saved, create=False)
    assert message["Message-ID"] == "<7@example.org>"


def test_curl_lists_searches_and_fetches(server: Server) -> None:
    base = f"imap://127.0.0.1:{server.port}/"
    user = f"{ACCOUNT}:{PASSWORD}"
    curl = peer("curl")
    assert "INBOX" in curl.run(["curl", "-sS", "-u", user, base], check=True).stdout
    found = curl.run(["curl", "-sS", "-u", user, base + "INBOX?SUBJECT%20%22letter%205%22"], check=True).stdout
    assert found.strip() == "* SEARCH 5"
    section = curl.run(["curl", "-sS", "-u", user, base + "INBOX;UID=5;SECTION=1.1"], check=True).stdout
    assert section.replace("\r", "") == "plain\ntext"
