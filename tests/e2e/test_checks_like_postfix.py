"""The same tables and the same messages for a real Postfix and for us: the same replies, the same lines in the log."""

from __future__ import annotations

import re
import smtplib
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.wire import BOB, PASSWORD
from tests.lab.instance import Instance
from tests.peers.postfix import Postfix

SENDER = "carol@example.com"
GUARD = "guard@example.org"

HEADER_RULES = rf"""
/^Subject: reject-plain/ REJECT
/^Subject: reject-text/ REJECT No spam here
/^Subject: reject-dsn/ REJECT 5.6.6 With code
/^Subject: reject-4/ REJECT 4.2.0 Try again
/^Subject: warn/ WARN
/^Subject: wtext/ WARN look at this
/^Subject: info/ INFO
/^Subject: hold/ HOLD
/^Subject: htext/ HOLD why not
/^Subject: discard/ DISCARD nothing
/^Subject: redirect/ REDIRECT {GUARD}
/^Subject: bcc/ BCC {GUARD}
/^Subject: replace (.*)/ REPLACE Subject: was $1
/^Subject: prepend/ PREPEND X-Seen: yes
/^Subject: strip/ STRIP gone
/^Subject: ignore/ IGNORE
/^Subject: pass/ PASS here
/^Subject: bad/ NONSENSE x
/^Subject: breplace/ REPLACE nonsense
/^Subject: bprepend/ PREPEND
/^Subject: bfilter/ FILTER nonsense
/^Subject: bredirect/ REDIRECT nonsense
/^Subject: folded..second/ WARN folded
/^Subject: long/ WARN long
/^Content-Type: text.evil/ REJECT mime
/^X-Inner: deep/ REJECT nested
/^X-After/ WARN after
if /^X-Block/
/inside/ REJECT inside a block
endif
"""
BODY_RULES = r"""
/^bad line (.*)/ REJECT body $1
/^warn line/ WARN
/^replace line/ REPLACE other line
/^prepend line/ PREPEND before
/^ignore line/ IGNORE
/xy/ WARN in one piece
"""
WORDS = (
    *("reject-plain", "reject-text", "reject-dsn", "reject-4", "warn", "wtext", "info", "hold", "htext", "discard"),
    *("redirect", "bcc", "replace", "prepend", "strip", "ignore", "pass", "bad", "breplace", "bprepend", "bfilter"),
    "bredirect",
)

MESSAGES = [
    *(f"Subject: {word} tail\r\n\r\ntext\r\n" for word in WORDS),
    "Subject: folded\r\n second\r\n\r\ntext\r\n",
    "Subject : reject-text\r\n\r\ntext\r\n",
    f"Subject: long {'word ' * 100}\r\n\r\ntext\r\n",
    "X-Block: inside\r\n\r\ntext\r\n",
    "Subject: pass\r\nX-After: x\r\n\r\nbad line\r\n",
    "Subject: warn\r\nX-After: x\r\n\r\ntext\r\n",
    "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: text/evil\r\n\r\nx\r\n--b--\r\n",
    "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nX-After: x\r\n\r\nx\r\n--b--\r\n",
    "Content-Type: message/rfc822\r\n\r\nX-Inner: deep\r\n\r\nx\r\n",
    "Content-Type: multipart/digest; boundary=b\r\n\r\n--b\r\n\r\nX-Inner: deep\r\n\r\nx\r\n--b--\r\n",
    "Subject: x\r\n\r\nbad line one\r\nwarn line\r\n",
    "Subject: x\r\n\r\nwarn line\r\nreplace line\r\nprepend line\r\nignore line\r\nend\r\n",
    f"Subject: x\r\n\r\n{'a' * 2046}xy\r\n{'a' * 2047}xy\r\n",
    "Subject: x\r\n\r\n" + ("y" * 98 + "\r\n") * 600 + "warn line\r\n",
    "Content-Type: multipart/mixed; boundary=q\r\nContent-Transfer-Encoding: base64\r\n\r\nx\r\n",
    "Subject: \xe9\r\n\r\nx\r\n",
    "Subject: x\r\n\r\n\xe9\r\n",
    "Subject: x\r\nContent-Transfer-Encoding: 8bit\r\n\r\n\xe9\r\n",
    (
        "Content-Type: multipart/mixed; boundary=b\r\n\r\n"
        "--b\r\nContent-Transfer-Encoding: 8bit\r\n\r\n\xe9\r\n--b\r\n\r\n\xe9\r\n"
    ),
]


def parameters(directory: Path) -> dict[str, str]:
    """The tables, readable for everyone."""
    directory.chmod(0o755)
    (directory / "header").write_text(HEADER_RULES)
    (directory / "body").write_text(BODY_RULES)
    return {
        "header_checks": f"regexp:{directory}/header",
        "body_checks": f"regexp:{directory}/body",
        "strict_8bitmime": "yes",
        "strict_mime_encoding_domain": "yes",
    }


def replies(address: str, port: int) -> list[str]:
    """What a server says to each message; the id of the queue file aside."""
    said = []
    for message in MESSAGES:
        with smtplib.SMTP(address, port, local_hostname="client.test", timeout=60) as session:
            session.ehlo()
            session.mail(SENDER)
            session.rcpt(BOB)
            code, text = session.data(message.encode("latin-1"))
        said.append(f"{code} {text.decode()}".partition(": queued as")[0])
    return said


LINE = re.compile(r"/cleanup\[\d+\]: (?:[0-9A-Za-z]{10,}: )?(.*)")


def lines(log: list[str]) -> list[str]:
    """What cleanup has logged, without times, process numbers and ids."""
    found = [match[1] for line in log if (match := LINE.search(line))]
    return [line for line in found if "message-id=" not in line and "confined" not in line]


@pytest.fixture(scope="module")
def tables() -> Iterator[dict[str, str]]:
    with tempfile.TemporaryDirectory(prefix="checks-") as directory:
        yield parameters(Path(directory))


def test_replies_and_log_lines_are_the_same(tables: dict[str, str]) -> None:
    with Postfix(hostname="mx.example.org", mailboxes=[BOB, GUARD], parameters=tables) as postfix:
        expected = replies(postfix.address, postfix.port)
        postfix_lines = lines(postfix.log_lines())
    with Instance(users={BOB: PASSWORD, GUARD: PASSWORD}, settings=tables) as ours:
        said = replies(ours.address, ours.port("smtp"))
        our_lines = lines(ours.log_lines())
    for message, one, other in zip(MESSAGES, expected, said, strict=True):
        assert one == other, message
    assert our_lines == postfix_lines
