"""Each misbehaviour does what its line in the table says, and nothing else."""

from __future__ import annotations

import smtplib
import socket
import ssl
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.lab.certificates import Authority
from tests.lab.misbehaviour import BEHAVIOURS, PHASES, misbehaving
from tests.lab.sinks import SmtpSink

MAIL = b"Subject: x\r\n\r\n" + b"hello\r\n" * 1000
TIMEOUT = 0.5  # seconds until the client gives a server up that says nothing


def client(sink: SmtpSink, timeout: float = TIMEOUT) -> smtplib.SMTP:
    return smtplib.SMTP(sink.address, sink.port, local_hostname="client.test", timeout=timeout)


def deliver(sink: SmtpSink, timeout: float = TIMEOUT) -> None:
    with client(sink, timeout) as smtp:
        smtp.sendmail("a@x.org", ["b@y.org"], MAIL)


@pytest.mark.parametrize("phase", [phase for phase in PHASES if phase not in ("rset", "quit")])
@pytest.mark.parametrize(
    ("how", "error"),
    [
        ("drop", (smtplib.SMTPServerDisconnected, ConnectionError)),
        ("reset", (smtplib.SMTPServerDisconnected, ConnectionError)),
        ("hang", (TimeoutError, smtplib.SMTPServerDisconnected)),
    ],
)
def test_a_server_fails_in_its_phase(how: str, phase: str, error: tuple[type[Exception], ...]) -> None:
    with misbehaving(f"{how}-{phase}") as sink:
        with pytest.raises(error):
            deliver(sink)
        verbs = [line.split()[0].lower() for line in sink.sessions[0]]
        assert verbs[-1:] == {"connect": [], "content": ["data"]}.get(phase, [phase])


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("busy", "too busy"),
        ("greeting-4xx", "not now"),
        ("greeting-5xx", "no mail from you"),
        ("goodbye", "that was enough"),
        ("garbage", "(?i)closed|reply|-1"),
        ("endless-line", "(?i)line too long"),
        ("drop-within-content", "(?i)closed|reset|broken pipe"),
    ],
)
def test_what_a_client_sees(name: str, error: str) -> None:
    with misbehaving(name) as sink, pytest.raises((smtplib.SMTPException, OSError), match=error):
        deliver(sink)


@pytest.mark.parametrize("name", ["slow", "tarpit"])
def test_a_slow_server_takes_mail_in_the_end(name: str) -> None:
    with misbehaving(name) as sink:
        sink.delay, sink.pace = sink.delay / 20, sink.pace / 200
        deliver(sink, 10)
        assert len(sink.messages) == 1


@pytest.mark.parametrize("name", ["greeting-multiline", "no-ehlo", "one-message", "drop-quit", "without-pipelining"])
def test_what_is_no_hindrance(name: str) -> None:
    with misbehaving(name) as sink:
        try:
            deliver(sink)
        except smtplib.SMTPServerDisconnected:
            assert name in ("one-message", "drop-quit")
        assert len(sink.messages) == 1


def test_an_endless_reply_goes_on_until_the_client_leaves() -> None:
    with misbehaving("endless-reply") as sink, socket.create_connection((sink.address, sink.port)) as peer:
        peer.sendall(b"EHLO x\r\n")
        heard = 0
        while heard < 10_000_000:
            heard += len(peer.recv(1_000_000))


def test_a_server_that_takes_one_recipient() -> None:
    with misbehaving("one-recipient") as sink, client(sink) as smtp:
        refused = smtp.sendmail("a@x.org", ["b@y.org", "c@y.org"], MAIL)
        assert (refused["c@y.org"][0], sink.messages[0].recipients) == (452, ["b@y.org"])


def test_a_server_that_is_eager_for_data() -> None:
    with misbehaving("early-data") as sink, socket.create_connection((sink.address, sink.port)) as peer:
        peer.sendall(b"EHLO x\r\nMAIL FROM:<a@x.org>\r\nRCPT TO:<b@y.org>\r\nDATA\r\n.\r\nQUIT\r\n")
        said = [line for line in peer.makefile("rb").read().decode().splitlines() if line[3] == " "]
    assert [line[:3] for line in said] == ["220", "250", "250", "550", "354", "554", "221"]


@pytest.mark.parametrize(
    ("name", "options"),
    [("size", ["SIZE=7014"]), ("8bitmime", ["BODY=8BITMIME"]), ("smtputf8", ["SMTPUTF8"]), ("dsn", ["RET=HDRS"])],
)
def test_an_extension_that_is_announced_is_refused(name: str, options: list[str]) -> None:
    with misbehaving(f"lie-{name}") as sink, client(sink) as smtp:
        smtp.ehlo()
        assert smtp.has_extn(name)
        assert smtp.docmd("MAIL", f"FROM:<a@x.org> {options[0]}")[0] == 555
        assert smtp.docmd("MAIL", "FROM:<a@x.org>")[0] == 250


def test_bdat_that_is_announced_is_unknown() -> None:
    with misbehaving("lie-chunking") as sink, client(sink) as smtp:
        smtp.ehlo()
        assert smtp.has_extn("chunking")
        assert smtp.docmd("BDAT 0 LAST")[0] == 502


def test_what_is_pipelined_is_thrown_away() -> None:
    with misbehaving("lie-pipelining") as sink, socket.create_connection((sink.address, sink.port), 5) as peer:
        peer.recv(1024)
        peer.sendall(b"NOOP\r\nNOOP\r\nNOOP\r\n")
        assert peer.recv(1024).count(b"250") == 1
        peer.sendall(b"QUIT\r\n")
        assert peer.recv(1024).startswith(b"221")


@pytest.mark.parametrize("keyword", ["pipelining", "8bitmime", "smtputf8", "chunking", "size", "dsn"])
def test_an_extension_can_be_missing(keyword: str) -> None:
    with misbehaving(f"without-{keyword}") as sink, client(sink) as smtp:
        smtp.ehlo()
        assert not smtp.has_extn(keyword)


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("tls-garbage", "(?i)wrong version|record layer|unknown|packet length"),
        ("tls-stall", "timed out"),
        ("tls-close", "(?i)eof|reset|closed"),
        ("tls-cut", "(?i)eof|reset|closed"),
        ("tls-injected", "(?i)wrong version|record layer|unknown|packet length"),
        ("tls-wrong-certificate", "Hostname mismatch|not valid for"),
        ("tls-expired", "expired"),
    ],
)
def test_a_handshake_fails(tmp_path: Path, name: str, error: str) -> None:
    authority = Authority(tmp_path)
    with misbehaving(name, authority=authority, hostname="127.0.0.1") as sink, client(sink) as smtp:
        smtp.ehlo()
        assert smtp.has_extn("starttls")
        with pytest.raises((ssl.SSLError, OSError, smtplib.SMTPServerDisconnected), match=error):
            smtp.starttls(context=authority.client_context)
        smtp.close()


def test_starttls_can_be_refused_or_hidden(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    with misbehaving("tls-refused", authority=authority, hostname="127.0.0.1") as sink, client(sink) as smtp:
        smtp.ehlo()
        assert smtp.docmd("STARTTLS")[0] == 454
    with misbehaving("tls-hidden", authority=authority, hostname="127.0.0.1") as sink, client(sink) as smtp:
        smtp.ehlo()
        assert not smtp.has_extn("starttls")
        assert smtp.docmd("STARTTLS")[0] == 220


def test_each_has_a_meaning_of_its_own_and_can_be_made(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    make: Callable[[str], SmtpSink] = lambda name: misbehaving(name, authority=authority)  # noqa: E731
    assert all(isinstance(make(name), SmtpSink) for name in BEHAVIOURS)
    meanings = [behaviour.meaning for behaviour in BEHAVIOURS.values()]
    assert len(set(meanings)) == len(meanings)


def test_a_certificate_needs_an_authority() -> None:
    with pytest.raises(ValueError, match="authority"):
        misbehaving("tls-expired")
