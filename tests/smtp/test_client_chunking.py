"""BDAT and XFORWARD in the client's conversation: what is one flight, what waits, and what a refusal leaves behind."""

from __future__ import annotations

import pytest

from pillarbox.lib.smtp.client import Client, State
from pillarbox.lib.smtp.client_capabilities import Limits, parse_capabilities
from pillarbox.lib.smtp.client_command import bdat, mail_from, xforward
from pillarbox.lib.smtp.client_content import binary_head
from pillarbox.lib.smtp.client_reply import ServerReply
from pillarbox.lib.smtp.client_stage import Stage
from pillarbox.lib.smtp.client_transaction import Progress, Transaction
from tests.feeding import splits
from tests.smtp.test_client_dialogue import MAIL, RCPTS, ready

BEFORE = [b"XFORWARD NAME=x\r\n", b"XFORWARD SOURCE=LOCAL\r\n"]


def chunked(client: Client, before: list[bytes] | None = None) -> Transaction:
    transaction = Transaction(MAIL, list(RCPTS), client.lmtp, chunked=True, before=before or [])
    client.begin(transaction)
    return transaction


def test_an_envelope_without_data_is_one_flight() -> None:
    client = ready("PIPELINING", "CHUNKING")
    transaction = chunked(client)
    assert client.take_output() == MAIL + b"".join(RCPTS)
    client.receive(b"250 ok\r\n250 ok\r\n550 no\r\n")
    assert transaction.progress is Progress.CONTENT
    assert client.waiting is None
    client.content(bdat(3))
    client.end_content(b"\0\r\n")
    assert client.take_output() == b"BDAT 3 LAST\r\n\0\r\n"
    assert client.waiting is Stage.END_OF_DATA
    client.receive(b"250 2.0.0 ok\r\n")
    assert transaction.progress is Progress.DONE
    assert client.reusable


def test_without_pipelining_one_command_at_a_time() -> None:
    client = ready("CHUNKING")
    transaction = chunked(client, BEFORE)
    for expected in (*BEFORE, MAIL, *RCPTS):
        assert client.take_output() == expected
        client.receive(b"250 ok\r\n")
    assert client.take_output() == b""
    assert transaction.progress is Progress.CONTENT


@pytest.mark.parametrize("pipelining", [True, False])
def test_nobody_accepted_means_no_chunk_and_a_reset_before_the_next(pipelining: bool) -> None:
    client = ready(*(["PIPELINING"] if pipelining else []), "CHUNKING")
    transaction = chunked(client)
    replies = b"250 ok\r\n550 no\r\n550 no\r\n"
    for line in replies.splitlines(keepends=True):
        client.take_output()
        client.receive(line)
    assert transaction.progress is Progress.DONE
    assert client.reusable
    chunked(client)
    assert client.take_output().startswith(b"RSET\r\n")


@pytest.mark.parametrize("pipelining", [True, False])
def test_a_refused_sender_ends_it(pipelining: bool) -> None:
    client = ready(*(["PIPELINING"] if pipelining else []), "CHUNKING")
    transaction = chunked(client)
    client.receive(b"550 no\r\n" + (b"503 x\r\n503 x\r\n" if pipelining else b""))
    assert transaction.progress is Progress.DONE
    assert client.reusable
    assert transaction.recipient_replies == [None, None]


def test_each_recipient_has_a_final_reply_with_lmtp() -> None:
    client = ready("PIPELINING", "CHUNKING", lmtp=True)
    transaction = chunked(client)
    client.receive(b"250 ok\r\n250 ok\r\n250 ok\r\n")
    client.end_content(bdat(0))
    client.receive(b"250 kept\r\n")
    assert transaction.progress is Progress.ENDING
    client.receive(b"452 full\r\n")
    assert [transaction.final_reply(n).code for n in (0, 1)] == [250, 452]  # type: ignore[union-attr]
    assert client.reusable


def test_replies_may_arrive_in_any_pieces() -> None:
    for chunks in splits(b"250 x\r\n550 x\r\n250 ok\r\n250 ok\r\n550 no\r\n"):
        client = ready("PIPELINING", "CHUNKING")
        transaction = chunked(client, BEFORE)
        for chunk in chunks:
            client.receive(chunk)
        assert transaction.progress is Progress.CONTENT
        assert [reply.code for reply in transaction.complaints] == [550]


def test_a_reply_before_the_content_is_complete_ends_the_session() -> None:
    client = ready("PIPELINING", "CHUNKING")
    chunked(client)
    client.receive(b"250 ok\r\n250 ok\r\n250 ok\r\n")
    client.content(bdat(100) + b"part")
    client.receive(b"552 5.3.4 too much\r\n")
    assert client.state is State.CLOSING
    assert client.unsolicited is not None


def test_421_to_the_last_recipient_ends_the_session() -> None:
    client = ready("PIPELINING", "CHUNKING")
    chunked(client)
    client.receive(b"250 ok\r\n250 ok\r\n421 4.3.2 bye\r\n")
    assert client.state is State.CLOSING
    assert client.waiting is None
    assert not client.reusable


class TestCapabilities:
    def capabilities(self, *keywords: str) -> object:
        return parse_capabilities(ServerReply(250, ("mx", *keywords)))

    @pytest.mark.parametrize(
        ("text", "limits"),
        [
            ("LIMITS MAILMAX=10 RCPTMAX=5 RCPTDOMAINMAX=1", Limits(10, 5, 1)),
            ("limits rcptmax=5", Limits(0, 5, 0)),
            ("LIMITS RCPTMAX=0 MAILMAX= RCPTDOMAINMAX=x OTHER=4", Limits()),
            ("LIMITS RCPTMAX=5 RCPTMAX=6", Limits(0, 5, 0)),
            ("LIMITS MAILMAX=99999999999", Limits()),
            ("SIZE 10", Limits()),
        ],
    )
    def test_limits(self, text: str, limits: Limits) -> None:
        assert parse_capabilities(ServerReply(250, ("mx", text))).limits == limits

    @pytest.mark.parametrize(
        ("keywords", "binary"), [(("CHUNKING", "BINARYMIME"), True), (("CHUNKING",), False), (("BINARYMIME",), False)]
    )
    def test_binary_needs_chunks(self, keywords: tuple[str, ...], binary: bool) -> None:
        assert parse_capabilities(ServerReply(250, ("mx", *keywords))).binary is binary

    @pytest.mark.parametrize(("text", "least"), [("DELIVERBY 240", 240), ("DELIVERBY", 0), ("DELIVERBY -1", 0)])
    def test_the_shortest_delivery(self, text: str, least: int) -> None:
        assert parse_capabilities(ServerReply(250, ("mx", text))).shortest_delivery == least


class TestCommands:
    ALL = parse_capabilities(ServerReply(250, ("mx", "CHUNKING", "BINARYMIME", "REQUIRETLS", "DELIVERBY")))
    NONE = parse_capabilities(ServerReply(250, ("mx",)))

    def test_parameters_go_only_where_they_are_offered(self) -> None:
        wishes = {"body": "binarymime", "requiretls": True, "by": "10;R"}
        assert mail_from("a@b", self.ALL, **wishes) == b"MAIL FROM:<a@b> BODY=BINARYMIME REQUIRETLS BY=10;R\r\n"  # type: ignore[arg-type]
        assert mail_from("a@b", self.NONE, **wishes) == b"MAIL FROM:<a@b>\r\n"  # type: ignore[arg-type]

    def test_no_attribute_breaks_out_of_xforward(self) -> None:
        taken = parse_capabilities(ServerReply(250, ("mx", "XFORWARD NAME HELO")))
        (first, second) = xforward({"NAME": "a\r\nDATA", "HELO": "ä" * 300, "PORT": "1"}, taken)
        assert first == b"XFORWARD NAME=a+0D+0ADATA\r\n"
        assert second.isascii()
        assert second.count(b"\r\n") == 1

    def test_the_head_of_a_binary_message_is_lines(self) -> None:
        assert binary_head(b"A: b\rc\nD: e\n") == b"A: b c\r\nD: e\r\n\r\n"
