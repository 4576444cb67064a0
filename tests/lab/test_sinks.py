"""The misbehaving SMTP servers do what they are told, and take mail otherwise."""

from __future__ import annotations

import smtplib
import socket
import ssl
import time
from pathlib import Path

import pytest

from tests.lab.certificates import Authority
from tests.lab.sinks import DROP, HANG, RESET, SmtpSink

MAIL = b"Subject: x\r\n\r\n.dot\r\nend\r\n"


def client(sink: SmtpSink) -> smtplib.SMTP:
    return smtplib.SMTP(sink.address, sink.port, local_hostname="client.test", timeout=10)


def test_a_message_is_kept_with_its_envelope() -> None:
    with SmtpSink() as sink, client(sink) as smtp:
        smtp.sendmail("a@x.org", ["b@y.org", "c@y.org"], MAIL, ["RET=HDRS"], ["NOTIFY=NEVER"])
        message = sink.messages[0]
    assert (message.sender, message.recipients, message.content) == ("a@x.org", ["b@y.org", "c@y.org"], MAIL)
    assert message.sender_parameters.endswith("RET=HDRS")
    assert (message.recipient_parameters, message.helo) == (["NOTIFY=NEVER", "NOTIFY=NEVER"], "client.test")
    assert sink.received("c@y.org") == [message]


def test_the_dialogue_is_kept() -> None:
    with SmtpSink() as sink, client(sink) as smtp:
        smtp.sendmail("a@x.org", ["b@y.org"], MAIL)
        smtp.quit()
        assert [line.split()[0] for line in sink.sessions[0]] == ["ehlo", "mail", "rcpt", "data", "quit"]


@pytest.mark.parametrize("phase", ["ehlo", "mail", "rcpt", "data", "content"])
def test_each_phase_can_be_refused(phase: str) -> None:
    with SmtpSink() as sink:
        sink.replies[phase] = "550 5.7.1 not you"
        if phase == "ehlo":
            sink.replies["helo"] = "550 5.7.1 not you"
        with client(sink) as smtp, pytest.raises(smtplib.SMTPException, match="not you"):
            smtp.sendmail("a@x.org", ["b@y.org"], MAIL)
        assert sink.messages == []


def test_a_greeting_can_refuse() -> None:
    with SmtpSink() as sink:
        sink.replies["connect"] = "421 4.3.2 busy"
        with pytest.raises(smtplib.SMTPConnectError, match="busy"):
            client(sink)


def test_one_recipient_can_be_refused() -> None:
    with SmtpSink() as sink, client(sink) as smtp:
        sink.replies["rcpt"] = {"no@y.org": "550 5.1.1 unknown"}
        refused = smtp.sendmail("a@x.org", ["no@y.org", "yes@y.org"], MAIL)
        assert (list(refused), sink.messages[0].recipients) == (["no@y.org"], ["yes@y.org"])


@pytest.mark.parametrize("how", [DROP, RESET])
@pytest.mark.parametrize("phase", ["connect", "ehlo", "mail", "rcpt", "data", "content"])
def test_the_connection_can_be_lost_in_each_phase(phase: str, how: str) -> None:
    with SmtpSink() as sink:
        sink.replies[phase] = how
        with pytest.raises((smtplib.SMTPServerDisconnected, ConnectionError)):
            client(sink).sendmail("a@x.org", ["b@y.org"], MAIL)


def test_a_lost_final_reply_leaves_the_message_taken() -> None:
    with SmtpSink() as sink:
        sink.replies["content"] = DROP
        with pytest.raises(smtplib.SMTPServerDisconnected):
            client(sink).sendmail("a@x.org", ["b@y.org"], MAIL)
        assert len(sink.messages) == 1


def test_the_connection_can_be_lost_within_the_content() -> None:
    with SmtpSink(drop_after=1000) as sink:
        with pytest.raises((smtplib.SMTPServerDisconnected, ConnectionError)):
            client(sink).sendmail("a@x.org", ["b@y.org"], b"x" * 70 + b"\r\n" + b"y\r\n" * 400000)
        assert sink.messages == []


def test_starttls_is_offered_with_a_certificate(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    with SmtpSink(certificate=authority.issue("127.0.0.1")) as sink, client(sink) as smtp:
        smtp.starttls(context=authority.client_context)
        smtp.sendmail("a@x.org", ["b@y.org"], MAIL)
        assert sink.messages[0].tls.startswith("TLSv1")
        assert not smtp.has_extn("starttls")


def test_starttls_is_not_offered_without_one() -> None:
    with SmtpSink() as sink, client(sink) as smtp:
        smtp.ehlo()
        assert not smtp.has_extn("starttls")


def test_tls_can_be_broken() -> None:
    with SmtpSink(broken_tls=True) as sink, client(sink) as smtp, pytest.raises((ssl.SSLError, OSError)):
        smtp.starttls()


def test_tls_can_be_wrapped_around_the_session(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    with (
        SmtpSink(certificate=authority.issue("127.0.0.1"), wrapped=True) as sink,
        smtplib.SMTP_SSL(sink.address, sink.port, context=authority.client_context, timeout=10) as smtp,
    ):
        smtp.sendmail("a@x.org", ["b@y.org"], MAIL)
        assert sink.messages[0].tls


def test_a_user_can_authenticate(tmp_path: Path) -> None:
    with SmtpSink(users={"bob": "secret"}) as sink, client(sink) as smtp:
        with pytest.raises(smtplib.SMTPAuthenticationError):
            smtp.login("bob", "wrong")
        smtp.login("bob", "secret")
        smtp.sendmail("a@x.org", ["b@y.org"], MAIL)
        assert sink.messages[0].user == "bob"


def test_chunks_are_put_together() -> None:
    with SmtpSink() as sink, socket.create_connection((sink.address, sink.port), timeout=10) as peer:
        file = peer.makefile("rwb")
        for line in (b"EHLO x", b"MAIL FROM:<a@x.org>", b"RCPT TO:<b@y.org>"):
            file.write(line + b"\r\n")
        file.write(b"BDAT 5\r\nHello" + b"BDAT 7 LAST\r\n world\n" + b"QUIT\r\n")
        file.flush()
        file.read()
        assert sink.messages[0].content == b"Hello world\n"


def test_lmtp_answers_for_each_recipient() -> None:
    with SmtpSink(lmtp=True) as sink, socket.create_connection((sink.address, sink.port), timeout=10) as peer:
        sink.replies["content"] = {"b@y.org": "452 4.2.2 full"}
        peer.sendall(
            b"LHLO x\r\nMAIL FROM:<a@x.org>\r\nRCPT TO:<b@y.org>\r\nRCPT TO:<c@y.org>\r\nDATA\r\nx\r\n.\r\nQUIT\r\n"
        )
        said = peer.makefile("rb").read().decode()
    assert said.index("452 4.2.2 full") < said.index("250 2.0.0 ok taken")
    assert sink.messages[0].recipients == ["c@y.org"]


def test_a_stopped_sink_refuses_connections() -> None:
    sink = SmtpSink()
    sink.start()
    sink.stop()
    with pytest.raises(ConnectionRefusedError):
        client(sink)


def test_a_hanging_sink_can_be_stopped() -> None:
    with SmtpSink() as sink:
        sink.replies["connect"] = HANG
        connection = socket.create_connection((sink.address, sink.port), timeout=10)
        while not sink.sessions:
            time.sleep(0.01)
    assert connection.recv(1) == b""
    connection.close()
