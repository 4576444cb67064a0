"""Reading replies: whole, in pieces, tolerant, bounded."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pillarbox.lib.smtp.client_capabilities import parse_capabilities
from pillarbox.lib.smtp.client_reply import LINE_LIMIT, REPLY_LIMIT, ReplyError, ReplyParser, ServerReply
from tests.feeding import splits, truncations

STREAM = b"220 mx.test ESMTP\r\n250-mx.test\r\n250-PIPELINING\r\n250 SIZE 100\r\n354\r\n550 5.1.1 no such user\n"
REPLIES = [
    ServerReply(220, ("mx.test ESMTP",)),
    ServerReply(250, ("mx.test", "PIPELINING", "SIZE 100")),
    ServerReply(354, ("",)),
    ServerReply(550, ("5.1.1 no such user",)),
]


def parse(*chunks: bytes) -> list[ServerReply]:
    parser = ReplyParser()
    return [reply for chunk in chunks for reply in parser.feed(chunk)]


def test_replies_are_the_same_however_they_arrive() -> None:
    for chunks in splits(STREAM):
        assert parse(*chunks) == REPLIES


def test_a_cut_stream_gives_only_whole_replies() -> None:
    for part in truncations(STREAM):
        replies = parse(part)
        assert replies == REPLIES[: len(replies)]


@pytest.mark.parametrize(
    "line",
    [
        b"hello\r\n",
        b"25\r\n",
        b"2500 x\r\n",
        b"150 x\r\n",
        b"650 x\r\n",
        b"\r\n",
        b"250+x\r\n",
        b"HTTP/1.1 400 Bad Request\r\n",
        b"\x16\x03\x01\n",
    ],
)
def test_what_is_no_reply_is_an_error(line: bytes) -> None:
    with pytest.raises(ReplyError):
        parse(line)


def test_the_last_code_of_a_reply_counts() -> None:
    assert parse(b"250-a\r\n550 b\r\n") == [ServerReply(550, ("a", "b"))]


def test_a_long_line_is_cut() -> None:
    (reply,) = parse(b"250 " + b"x" * 10000 + b"\r\n")
    assert len(reply.lines[0]) == LINE_LIMIT


def test_a_line_that_does_not_end_is_an_error() -> None:
    parser = ReplyParser()
    with pytest.raises(ReplyError):
        for _ in range(REPLY_LIMIT // 1000 + 2):
            parser.feed(b"x" * 1000)


def test_a_reply_that_does_not_end_is_an_error() -> None:
    parser = ReplyParser()
    with pytest.raises(ReplyError):
        for _ in range(REPLY_LIMIT):
            parser.feed(b"250-more\r\n")


def test_many_replies_are_no_long_reply() -> None:
    assert len(parse(b"250 ok\r\n" * REPLY_LIMIT)) == REPLY_LIMIT


@given(st.lists(st.binary(max_size=60), max_size=10))
def test_any_octets_are_replies_or_an_error(chunks: list[bytes]) -> None:
    try:
        parse(*chunks)
    except ReplyError:
        pass


@pytest.mark.parametrize(
    ("reply", "enhanced"),
    [
        (ServerReply(550, ("5.1.1 no",)), "5.1.1"),
        (ServerReply(550, ("no",)), "5.0.0"),
        (ServerReply(450, ("5.1.1 contradiction",)), "4.0.0"),
        (ServerReply(250, ("2.0.0",)), "2.0.0"),
        (ServerReply(250, ("2.0.0.1 odd",)), "2.0.0"),
    ],
)
def test_enhanced_codes(reply: ServerReply, enhanced: str) -> None:
    assert reply.enhanced == enhanced


def test_a_reply_on_one_line() -> None:
    assert str(ServerReply(550, ("5.7.1 no", "5.7.1 never"))) == "550-5.7.1 no 550 5.7.1 never"
    assert str(ServerReply(354, ("",))) == "354"


def test_capabilities() -> None:
    reply = ServerReply(
        250, ("mx.test at your service", "pipelining", "SIZE 1000", "AUTH=LOGIN", "AUTH PLAIN LOGIN", "XODD a b", "")
    )
    found = parse_capabilities(reply)
    assert found.name == "mx.test"
    assert found.pipelining
    assert found.size_limit == 1000
    assert set(found.auth_mechanisms) == {"PLAIN", "LOGIN"}
    assert "XODD" in found
    assert not parse_capabilities(reply, frozenset({"PIPELINING"})).pipelining


@pytest.mark.parametrize("argument", ["", "x", "-1", "9" * 30, "²"])
def test_an_odd_size_is_no_limit(argument: str) -> None:
    assert parse_capabilities(ServerReply(250, ("mx", f"SIZE {argument}"))).size_limit == 0
