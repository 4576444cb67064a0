"""The conversation itself, by dialogues: what we send, what the server says, what becomes of it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pillarbox.lib.smtp.client import ALLOWED, Client, State
from pillarbox.lib.smtp.client_reply import ReplyError
from pillarbox.lib.smtp.client_stage import Stage
from pillarbox.lib.smtp.client_transaction import Progress, Transaction
from tests.feeding import splits

MAIL = b"MAIL FROM:<a@a.test>\r\n"
RCPTS = [b"RCPT TO:<b@b.test>\r\n", b"RCPT TO:<c@b.test>\r\n"]
FLIGHT = MAIL + b"".join(RCPTS) + b"DATA\r\n"


def ready(*keywords: str, lmtp: bool = False, pipelining: bool = True) -> Client:
    client = Client("me.test", lmtp=lmtp, pipelining=pipelining)
    client.receive(b"220 hi\r\n")
    client.hello()
    assert client.take_output() == (b"LHLO me.test\r\n" if lmtp else b"EHLO me.test\r\n")
    lines = ["mx.test", *keywords]
    client.receive("".join(f"250-{line}\r\n" for line in lines[:-1]).encode() + f"250 {lines[-1]}\r\n".encode())
    assert client.state is State.READY
    return client


def begin(client: Client) -> Transaction:
    transaction = Transaction(MAIL, list(RCPTS), lmtp=client.lmtp)
    client.begin(transaction)
    return transaction


def codes(transaction: Transaction) -> list[int | None]:
    return [reply.code if reply else None for reply in transaction.recipient_replies]


def test_a_pipelined_message_is_one_flight() -> None:
    client = ready("PIPELINING")
    transaction = begin(client)
    assert client.take_output() == FLIGHT
    client.receive(b"250 ok\r\n250 ok\r\n550 no\r\n354 go\r\n")
    assert transaction.progress is Progress.CONTENT
    assert client.waiting is None
    assert codes(transaction) == [250, 550]
    client.end_content(b"x\r\n.\r\n")
    assert client.waiting is Stage.END_OF_DATA
    client.receive(b"250 2.0.0 queued\r\n")
    assert transaction.progress is Progress.DONE
    assert transaction.final_reply(0) == transaction.final_replies[0]
    assert client.reusable


def test_without_pipelining_one_command_at_a_time() -> None:
    client = ready("8BITMIME")
    transaction = begin(client)
    for expected in (MAIL, *RCPTS):
        assert client.take_output() == expected
        client.receive(b"250 ok\r\n")
    assert client.take_output() == b"DATA\r\n"
    client.receive(b"354 go\r\n")
    assert transaction.progress is Progress.CONTENT


def test_pipelining_can_be_kept_from() -> None:
    client = ready("PIPELINING", pipelining=False)
    begin(client)
    assert client.take_output() == MAIL


def test_replies_may_arrive_in_any_pieces() -> None:
    for chunks in splits(b"250 ok\r\n250 ok\r\n550-no\r\n550 never\r\n354 go\r\n"):
        client = ready("PIPELINING")
        transaction = begin(client)
        for chunk in chunks:
            client.receive(chunk)
        assert transaction.progress is Progress.CONTENT
        assert transaction.accepted == [0]


def test_a_refused_sender_ends_the_message() -> None:
    client = ready("PIPELINING")
    transaction = begin(client)
    client.receive(b"550 no\r\n503 no sender\r\n503 no sender\r\n503 no\r\n")
    assert transaction.progress is Progress.DONE
    assert codes(transaction) == [None, None]
    assert client.reusable


def test_a_refused_sender_ends_the_message_without_pipelining() -> None:
    client = ready("DSN")
    transaction = begin(client)
    client.take_output()
    client.receive(b"450 later\r\n")
    assert transaction.progress is Progress.DONE
    assert client.take_output() == b""
    assert client.reusable


def test_no_recipient_no_data_and_a_reset_before_the_next() -> None:
    client = ready("DSN")
    transaction = begin(client)
    client.receive(b"250 ok\r\n")
    client.receive(b"550 no\r\n")
    client.take_output()
    client.receive(b"550 no\r\n")
    assert transaction.progress is Progress.DONE
    assert client.take_output() == b""
    begin(client)
    assert client.take_output() == b"RSET\r\n"
    client.receive(b"250 ok\r\n")
    assert client.take_output() == MAIL


def test_pipelined_data_refused_needs_a_reset_in_the_next_flight() -> None:
    client = ready("PIPELINING")
    begin(client)
    client.receive(b"250 ok\r\n550 no\r\n550 no\r\n554 no valid recipients\r\n")
    client.take_output()
    assert client.reusable
    begin(client)
    assert client.take_output() == b"RSET\r\n" + FLIGHT


def test_go_ahead_without_recipients_is_answered_with_nothing() -> None:
    """RFC 2920 section 3.1."""
    client = ready("PIPELINING")
    transaction = begin(client)
    client.take_output()
    client.receive(b"250 ok\r\n550 no\r\n550 no\r\n354 go\r\n")
    assert client.take_output() == b".\r\n"
    client.receive(b"554 no recipients\r\n")
    assert transaction.progress is Progress.DONE
    assert client.reusable


def test_lmtp_has_a_reply_for_each_accepted_recipient() -> None:
    client = ready("PIPELINING", lmtp=True)
    transaction = Transaction(MAIL, [*RCPTS, b"RCPT TO:<d@b.test>\r\n"], lmtp=True)
    client.begin(transaction)
    client.receive(b"250 ok\r\n250 ok\r\n550 no\r\n250 ok\r\n354 go\r\n")
    client.end_content(b".\r\n")
    client.receive(b"250 done\r\n")
    assert transaction.progress is Progress.ENDING
    assert transaction.final_reply(2) is None
    client.receive(b"452 full\r\n")
    assert transaction.progress is Progress.DONE
    first, last = transaction.final_reply(0), transaction.final_reply(2)
    assert first is not None
    assert last is not None
    assert (first.code, last.code) == (250, 452)


def test_a_verdict_before_the_end_of_the_content_ends_the_conversation() -> None:
    client = ready("PIPELINING")
    transaction = begin(client)
    client.receive(b"250 ok\r\n250 ok\r\n250 ok\r\n354 go\r\n")
    client.content(b"some\r\n")
    client.receive(b"552 too much\r\n")
    assert client.state is State.CLOSING
    assert transaction.progress is Progress.DONE
    assert client.unsolicited is not None
    assert client.unsolicited.code == 552
    assert transaction.final_replies == []


def test_an_early_yes_is_no_acceptance() -> None:
    client = ready("PIPELINING")
    transaction = begin(client)
    client.receive(b"250 ok\r\n250 ok\r\n250 ok\r\n354 go\r\n250 thanks\r\n")
    assert transaction.final_replies == []
    assert client.state is State.CLOSING


def test_421_means_that_the_server_leaves() -> None:
    client = ready("DSN")
    transaction = begin(client)
    client.receive(b"250 ok\r\n")
    client.take_output()
    client.receive(b"421 4.3.2 shutting down\r\n")
    assert client.state is State.CLOSING
    assert transaction.progress is Progress.DONE
    assert client.take_output() == b""
    assert not client.reusable


def test_a_reply_to_nothing_ends_the_conversation() -> None:
    client = ready("DSN")
    client.receive(b"421 4.4.2 idle for too long\r\n")
    assert not client.reusable
    assert client.state is State.CLOSING


def test_a_refused_ehlo_may_be_followed_by_helo() -> None:
    client = Client("me.test")
    client.receive(b"220 hi\r\n")
    client.hello()
    client.receive(b"502 what?\r\n")
    assert client.state is State.GREETED
    client.take_output()
    client.hello(extended=False)
    assert client.take_output() == b"HELO me.test\r\n"
    client.receive(b"250 mx\r\n")
    assert client.state is State.READY
    assert not client.capabilities.keywords


@pytest.mark.parametrize("greeting", [b"554 no\r\n", b"421 busy\r\n", b"354 odd\r\n"])
def test_a_refusing_greeting_closes(greeting: bytes) -> None:
    client = Client("me.test")
    client.receive(greeting)
    assert client.state is State.CLOSING


def test_tls_forgets_what_was_said_before() -> None:
    client = ready("STARTTLS", "PIPELINING")
    client.start_tls()
    assert client.take_output() == b"STARTTLS\r\n"
    client.receive(b"220 go\r\n")
    assert client.state is State.SECURING
    client.secured()
    assert client.state is State.GREETED
    assert "PIPELINING" not in client.capabilities


def test_clear_text_behind_starttls_is_an_error() -> None:
    for injected in (b"220 go\r\n250 trust me\r\n", b"220 go\r\n25"):
        client = ready("STARTTLS")
        client.start_tls()
        try:
            client.receive(injected)
        except ReplyError:
            continue
        assert client.state is State.CLOSING  # a whole reply too many closes the conversation


def test_a_refused_starttls_changes_nothing() -> None:
    client = ready("STARTTLS")
    client.start_tls()
    client.receive(b"454 not now\r\n")
    assert client.state is State.READY


def test_the_table_knows_every_state() -> None:
    assert set(ALLOWED) == set(State)


def test_what_the_table_does_not_allow_is_a_fault_of_the_caller() -> None:
    client = Client("me.test")
    with pytest.raises(RuntimeError):
        client.hello()
    client.receive(b"220 hi\r\n")
    with pytest.raises(RuntimeError):
        begin(client)


REPLY = st.builds(
    lambda code, text: f"{code} {text}\r\n".encode(),
    st.sampled_from([220, 250, 354, 421, 450, 452, 500, 503, 550, 552, 554]),
    st.sampled_from(["", "ok", "4.2.1 x", "5.0.0 y"]),
)


@given(
    st.booleans(),
    st.booleans(),
    st.lists(st.one_of(REPLY, st.just(b"garbage\r\n"), st.just(b"250-more\r\n")), max_size=25),
)
def test_any_server_leads_to_an_end(lmtp: bool, pipelining: bool, replies: list[bytes]) -> None:
    """Whatever a server says, the core stays consistent, and only a complete content can be accepted."""
    client = ready("PIPELINING" if pipelining else "DSN", lmtp=lmtp)
    transaction = begin(client)
    complete = False
    for reply in replies:
        try:
            client.receive(reply)
        except ReplyError:
            return
        client.take_output()
        if transaction.progress is Progress.CONTENT and client.state is State.MESSAGE:
            client.end_content(b"x\r\n.\r\n")
            complete = True
        if client.waiting is None:
            assert transaction.progress is Progress.DONE
            assert client.state in (State.READY, State.CLOSING)
    if any(reply.kind == 2 for reply in transaction.final_replies) and transaction.accepted:
        assert complete


@pytest.mark.parametrize("keywords", [(), ("PIPELINING",)])
@pytest.mark.parametrize("lmtp", [False, True])
def test_a_probe_ends_behind_the_recipients(keywords: tuple[str, ...], lmtp: bool) -> None:
    client = ready("8BITMIME", *keywords, lmtp=lmtp)
    transaction = Transaction(MAIL, list(RCPTS), lmtp=lmtp, probe=True)
    client.begin(transaction)
    sent = client.take_output()
    for reply in (b"250 ok\r\n", b"250 ok\r\n", b"550 no\r\n"):
        client.receive(reply)
        sent += client.take_output()
    assert sent == MAIL + b"".join(RCPTS)
    assert transaction.progress is Progress.DONE
    assert codes(transaction) == [250, 550]
    assert client.reusable
    begin(client)
    assert client.take_output().startswith(b"RSET\r\n"), "the server's transaction is still open"


def test_a_probe_whose_sender_is_refused() -> None:
    for keywords in ((), ("PIPELINING",)):
        client = ready("8BITMIME", *keywords)
        transaction = Transaction(MAIL, list(RCPTS), probe=True)
        client.begin(transaction)
        client.take_output()
        client.receive(b"550 no\r\n" + b"503 no sender\r\n" * (len(RCPTS) if keywords else 0))
        assert transaction.progress is Progress.DONE
        assert codes(transaction) == [None, None]
        assert client.reusable
