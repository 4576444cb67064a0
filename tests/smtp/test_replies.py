"""The reply table: codes agree, texts can be sent."""

from __future__ import annotations

import inspect
import re

import pytest

from pillarbox.lib.smtp import refusals, replies
from pillarbox.lib.smtp.reply import Reply

ARGUMENTS = {
    "allowed": "-=+",
    "client": "mail.client.example[192.0.2.1]",
    "host": "mx.example",
    "text": "mx.example ESMTP",
    "keywords": ("PIPELINING", "SIZE"),
    "size": 5,
    "queue_id": "4jXFYl6dnjzKD6m",
    "address": "192.0.2.1",
    "base64": "YQ==",
    "option": "X",
    "reason": "because",
    "recipient": "a@b.example",
    "code": 550,
    "enhanced": "5.1.1",
    "why": "User unknown",
    "what": "a@b.example",
    "domain": "b.example",
    "verbs": ("NOOP", "QUIT"),
    "lines": ("NOOP", "Do nothing."),
    "seconds": 5,
    "command": "XCLIENT",
    "name": "ADDR",
    "value": "x",
    "addresses": ("a@b.example", "c@b.example"),
}


NO_REPLIES = ("printable", "softened")


def every_reply() -> list[tuple[str, Reply]]:
    found: list[tuple[str, Reply]] = []
    for name, value in vars(replies).items():
        if isinstance(value, Reply):
            found.append((name, value))
        elif inspect.isfunction(value) and value.__module__ == replies.__name__ and name not in NO_REPLIES:
            arguments = [ARGUMENTS[parameter] for parameter in inspect.signature(value).parameters]
            found.append((name, value(*arguments)))
    return found


@pytest.mark.parametrize(("name", "reply"), every_reply())
def test_basic_and_enhanced_code_agree(name: str, reply: Reply) -> None:
    if reply.enhanced:
        assert reply.enhanced[0] == str(reply.code)[0], f"{name}: {reply}"
        assert re.fullmatch(r"[245]\.[0-7]\.\d{1,2}", reply.enhanced), f"{name}: no registered form"
    else:
        assert reply.code in (220, 250, 334, 354), f"{name} has no enhanced status code"


@pytest.mark.parametrize(("name", "reply"), every_reply())
def test_wire_form_is_legal(name: str, reply: Reply) -> None:
    lines = reply.encode().split(b"\r\n")
    assert lines.pop() == b""
    for number, line in enumerate(lines):
        assert line[:3] == str(reply.code).encode()
        assert line[3:4] == (b" " if number == len(lines) - 1 else b"-"), name
        assert len(line) <= 510 and line.isascii()


@pytest.mark.parametrize(("name", "reply"), every_reply())
def test_closing_codes_are_few(name: str, reply: Reply) -> None:
    """421 and 521 end a session: only these may."""
    if reply.code in (421, 521):
        assert reply.code == 421 or name == "SYNTAX_BDAT" or name.endswith("_DROP")


def test_text_from_outside_cannot_end_a_line() -> None:
    assert refusals.relay_denied(554, "a\r\n250 ok@x").encode().count(b"\r\n") == 1


def test_text_from_outside_is_cut() -> None:
    assert len(refusals.relay_denied(554, "é" * 2000).encode()) <= 512


def test_spelling_is_read_back() -> None:
    reply = Reply.of("214 2.0.0 one\ntwo")
    assert reply == Reply(214, "2.0.0", ("one", "two"))
    assert reply.encode() == b"214-2.0.0 one\r\n214 2.0.0 two\r\n"


@pytest.mark.parametrize("text", ["", "25 x", "250", "abc def", "650 x"])
def test_a_spelling_that_is_no_reply_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is no reply"):
        Reply.of(text)


def test_soft_bounce_makes_refusals_temporary() -> None:
    assert str(replies.softened(replies.TOO_BIG)) == "452 4.3.4 Error: message file too big"
    assert replies.softened(replies.OK) is replies.OK
