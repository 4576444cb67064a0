"""URLAUTH and URLAUTH=BINARY beside Dovecot: the same URLs of the same message name the same octets.

Ours are stricter in two ways, which are left out: `user+NAME` is for sessions of that user only, and what is asked of a
part that is not there is NIL in all cases.  Dovecot says why a URL is not good (an untagged NO), we do not.
"""

from __future__ import annotations

import re
import socket
from pathlib import Path

from tests.imap.dialogue import Client, location, run
from tests.peers.dovecot import Dovecot

MESSAGE = (
    b"Subject: peace\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=o\r\n\r\n"
    b"--o\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nfirst\r\n"
    b"--b\r\nContent-Type: image/png\r\nContent-Transfer-Encoding: base64\r\n\r\nAAEC\r\nAwQF\r\n"
    b"--b\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\na=\r\nb=C3=A4\r\nc\r\n"
    b"--b\r\nContent-Type: message/rfc822\r\n\r\nMIME-Version: 1.0\r\nContent-Transfer-Encoding: base64\r\n\r\n"
    b"AAEC\r\nAAAA\r\n--b--\r\n\r\n--o--\r\n"
)
SECTIONS = (
    "",
    "1",
    "1.1",
    "1.2",
    "1.2/;partial=0.3",
    "1.1/;partial=1",
    "1.3",
    "1.4",
    "1.4.1",
    "1.4.HEADER",
    "HEADER",
    "TEXT",
)
PARAMETERS = ("", "BODY", "BINARY", "BODYPARTSTRUCTURE", "BODYPARTSTRUCTURE BINARY", "BODYPARTSTRUCTURE BODY")
EXTRA = """
imap_urlauth_host = *
mail_attribute_dict = file:%h/dovecot-attributes
protocol imap {
  imap_metadata = yes
}
"""
BASE = "imap://bob@mail.example.com/INBOX/;uid=1"
CONVERSATION = (
    f'GENURLAUTH "{BASE}" INTERNAL',
    'GENURLAUTH "imap://mail.example.com/INBOX/;uid=1;urlauth=authuser" INTERNAL',
    'GENURLAUTH "imap://nobody@mail.example.com/INBOX/;uid=1;urlauth=authuser" INTERNAL',
    f'GENURLAUTH "{BASE.replace("INBOX", "Nowhere")};urlauth=authuser" INTERNAL',
    f'GENURLAUTH "{BASE};urlauth=authuser" XSAMPLE',
    f'GENURLAUTH "{BASE};urlauth=authuser"',
    'URLFETCH ("x" BODY BINARY)',
    'URLFETCH ("x" NONSENSE)',
    "URLFETCH ()",
    "RESETKEY INBOX XSAMPLE",
    "RESETKEY Nowhere",
    "RESETKEY INBOX",
    "RESETKEY",
)
"""What gets the same kind of answer."""


class Peer:
    """A client of Dovecot."""

    def __init__(self, dovecot: Dovecot) -> None:
        self._socket = socket.create_connection((dovecot.address, dovecot.port("imap")), timeout=30)
        self._file = self._socket.makefile("rb")
        self._file.readline()
        self.command("LOGIN bob secret")

    def command(self, text: str, literal: bytes = b"") -> list[bytes]:
        rest = b" {%d+}\r\n%b" % (len(literal), literal) if literal else b""
        self._socket.sendall(b"t " + text.encode() + rest + b"\r\n")
        lines: list[bytes] = []
        while not lines or not lines[-1].startswith(b"t "):
            line = self._file.readline()
            assert line, f"{text}: Dovecot closed the connection"
            while found := re.search(rb"\{(\d+)\}\r\n$", line):
                line += self._file.read(int(found[1])) + self._file.readline()
            lines.append(line.removesuffix(b"\r\n"))
        return [*lines[:-1], lines[-1].removeprefix(b"t ")]

    def close(self) -> None:
        self._file.close()
        self._socket.close()


def url_of(lines: list[bytes]) -> str:
    assert lines[-1].startswith(b"OK"), lines
    return lines[0].split()[2].strip(b'"').decode()


def told(line: bytes, url: str) -> bytes:
    """What stands behind the URL, as we write it: each item in brackets of its own, the encoding that is undone by its
    new name."""
    start, name, rest = line.partition(url.encode())
    assert name and start.strip(b'"') == b"* URLFETCH ", line
    rest = rest.removeprefix(b'"').replace(b" ~{", b" {")  # where there is no NUL too
    if b"BINARY " in rest and b"BODYPARTSTRUCTURE" in rest:
        rest = re.sub(rb'"(base64|quoted-printable)"', b'"binary"', rest)
        rest = re.sub(rb'("binary" \d+) \d+', rb"\1", rest)  # Dovecot counts no lines in what it has decoded
        rest = rest.replace(b") BINARY ", b")) (BINARY ").replace(b"))) (BINARY", b")) (BINARY")
    return rest.replace(b") BODY ", b")) (BODY ").replace(b"))) (BODY ", b")) (BODY ")


def test_the_same_urls_name_the_same(tmp_path: Path) -> None:
    async def dialogue(dovecot: Dovecot) -> None:
        theirs, ours = Peer(dovecot), Client(location(tmp_path))
        theirs.command("APPEND INBOX", MESSAGE)
        await ours.ok("APPEND INBOX", MESSAGE)
        for section in SECTIONS:
            rump = f"{BASE}/;section={section};urlauth=authuser" if section else f"{BASE};urlauth=authuser"
            command = f'GENURLAUTH "{rump}" INTERNAL'
            their, our = url_of(theirs.command(command)), url_of(await ours.command(command))
            for parameters in PARAMETERS:
                if section.endswith("HEADER") and parameters == "BODYPARTSTRUCTURE BINARY":
                    continue  # nothing is decoded, but Dovecot tells sizes as if it were
                answers = []
                for url in (their, our):
                    text = f'URLFETCH ("{url}" {parameters})' if parameters else f'URLFETCH "{url}"'
                    lines = theirs.command(text) if url is their else await ours.command(text)
                    assert lines[-1].startswith(b"OK"), (text, lines)
                    answers.append(told(lines[0], url))
                assert answers[0] == answers[1], (section, parameters)
            assert theirs.command(f'URLFETCH "{their[:-1]}"')[0].endswith(b" NIL")
            assert (await ours.command(f'URLFETCH "{our[:-1]}"'))[0].endswith(b" NIL")
        for text in CONVERSATION:
            kinds = [answer[-1].split()[0] for answer in (theirs.command(text), await ours.command(text))]
            assert kinds[0] == kinds[1], text
        theirs.close()
        await ours.close()

    with Dovecot({"bob": "secret"}, extra=EXTRA) as dovecot:
        run(dialogue(dovecot))
