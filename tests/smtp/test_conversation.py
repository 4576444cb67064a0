"""What a session looks like to the postmaster: classes of problems, and no passwords."""

from __future__ import annotations

import base64

import pytest

from pillarbox.lib.smtp import replies
from pillarbox.lib.smtp.client import Client
from pillarbox.lib.smtp.conversation import CLASSES, Conversation, problem_of
from pillarbox.lib.smtp.reply import Reply
from tests.smtp.dialogue import Talk, profile, talk
from tests.smtp.test_replies import every_reply


def watched(data: bytes) -> Conversation:
    result = talk(b"")
    conversation = result.session.conversation = Conversation()
    result.feed(data)
    return conversation


@pytest.mark.parametrize(
    ("reply", "problem"),
    [
        ("250 2.1.0 Ok", ""),
        ("550 5.1.1 <x@y>: Recipient address rejected: User unknown", "bounce"),
        ("554 5.7.1 <x@y>: Relay access denied", "policy"),
        ("450 4.7.1 greylisted", "policy"),
        ("450 4.1.8 <x@y>: Sender address rejected: Domain not found", "policy"),
        ("503 5.5.1 Error: need MAIL command", "protocol"),
        ("501 5.1.7 Bad sender address syntax", "protocol"),
        ("502 5.5.2 Error: command not recognized", "protocol"),
        ("452 4.3.1 Insufficient system storage", "resource"),
        ("451 4.3.0 Error: queue file write error", "resource"),
        ("451 4.3.0 <x@y>: Temporary lookup failure", "data"),
        ("451 4.3.5 Server configuration error", "software"),
        ("421 4.3.0 mx.test Server internal error", "software"),
        ("421 4.3.2 mx.test Service shutting down", ""),
        ("421 4.4.2 mx.test Error: timeout exceeded", ""),
        ("552 5.3.4 Error: message file too big", "policy"),
    ],
)
def test_the_class_of_a_refusal(reply: str, problem: str) -> None:
    assert problem_of(Reply.of(reply)) == problem


@pytest.mark.parametrize(("name", "reply"), every_reply())
def test_every_reply_has_a_class_or_none(name: str, reply: Reply) -> None:
    assert problem_of(reply) in ("", *CLASSES)
    if reply.code < 400:
        assert problem_of(reply) == ""


def test_a_session_is_written_down() -> None:
    conversation = watched(b"EHLO c\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<no@d.example>\r\nNONSENSE\r\n")
    lines = list(conversation.transcript.lines())
    assert lines[0].startswith("In:  EHLO c")
    assert "In:  MAIL FROM:<a@b.example>?" in lines
    assert any("Relay access denied" in line for line in lines)
    assert conversation.problems == {"policy", "protocol"}


def test_content_is_no_part_of_it() -> None:
    data = b"EHLO c\r\nMAIL FROM:<>\r\nRCPT TO:<c@d.example>\r\nDATA\r\nSubject: private\r\n\r\nwords\r\n.\r\nQUIT\r\n"
    text = "\n".join(watched(data).transcript.lines())
    assert "354" in text and "221" in text
    assert "private" not in text and "words" not in text


@pytest.mark.parametrize(
    "data",
    [
        b"AUTH PLAIN " + base64.b64encode(b"\0ann\0secret") + b"\r\n",
        b"AUTH PLAIN\r\n" + base64.b64encode(b"\0ann\0secret") + b"\r\n",
        b"auth plain " + base64.b64encode(b"secret") + b"\r\n",
    ],
)
def test_no_password_is_in_it(data: bytes) -> None:
    session: Talk = talk(b"", profile(auth=True))
    conversation = session.session.conversation = Conversation()
    session.feed(b"EHLO c\r\n" + data)
    text = "\n".join(conversation.transcript.lines())
    assert "[hidden]" in text
    assert base64.b64encode(b"\0ann\0secret").decode() not in text
    assert base64.b64encode(b"secret").decode() not in text


def test_our_client_errs_where_a_server_does_not_understand_it() -> None:
    conversation = Conversation()
    conversation.sent(b"AUTH PLAIN c2VjcmV0\r\n")
    conversation.answered(550, "5.1.1 no such user")
    assert conversation.problems == set()
    conversation.answered(502, "5.5.2 what?")
    assert conversation.problems == {"protocol"}
    assert "c2VjcmV0" not in "\n".join(conversation.transcript.lines())
    other = Conversation()
    other.unreadable("not a reply")
    assert other.problems == {"protocol"}


def test_the_greeting_stands_in_it() -> None:
    result = talk(b"")
    assert replies.greeting("x").encode().startswith(b"220") and result.codes == [220]


def test_our_client_shows_nobody_a_password() -> None:
    client = Client("me.test")
    conversation = client.conversation = Conversation()
    client.receive(b"220 mx.test ESMTP\r\n")
    client.hello()
    client.receive(b"250-mx.test\r\n250 AUTH PLAIN LOGIN\r\n")
    client.authenticate("PLAIN", b"\0ann\0s3cret")
    client.receive(b"504 5.5.4 no\r\n")
    client.authenticate("LOGIN", None)
    client.receive(b"334 VXNlcm5hbWU6\r\n")
    client.respond(b"ann")
    client.receive(b"334 UGFzc3dvcmQ6\r\n")
    client.respond(b"s3cret")
    client.receive(b"535 5.7.8 no\r\n")
    assert conversation.problems == {"protocol"}
    text = "\n".join(conversation.transcript.lines())
    for secret in (b"\0ann\0s3cret", b"ann", b"s3cret"):
        assert base64.b64encode(secret).decode() not in text
    assert text.count("[hidden]") == 5
    assert b"s3cret" in base64.b64decode(client.take_output().split(b"\r\n")[-2])
