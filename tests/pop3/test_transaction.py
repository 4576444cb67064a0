"""The TRANSACTION state over a maildrop in memory."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pillarbox.pop3d.protocol import replies
from pillarbox.pop3d.protocol import transaction as core
from tests.pop3.languages import LANGUAGES


class Messages:
    def __init__(self, *sizes: int) -> None:
        self._sizes = sizes

    def __len__(self) -> int:
        return len(self._sizes)

    def size(self, number: int) -> int:
        return self._sizes[number - 1]

    def uidl(self, number: int) -> str:
        return f"id-{number}"


def say(session: core.Transaction, *lines: bytes) -> bytes:
    """Everything that is sent in answer."""
    output = b""
    for line in lines:
        match session.command(line):
            case core.Reply() as action:
                output += action.data
            case core.Listing() as action:
                output += b"".join(action.pieces)
            case other:
                raise AssertionError(f"{line!r}: {other}")
    return output


@pytest.fixture
def session() -> core.Transaction:
    return core.Transaction(Messages(120, 200))


def test_stat_counts_messages_and_octets(session: core.Transaction) -> None:
    assert say(session, b"STAT") == b"+OK 2 320\r\n"


def test_list_shows_sizes(session: core.Transaction) -> None:
    assert say(session, b"LIST") == b"+OK 2 messages (320 octets)\r\n1 120\r\n2 200\r\n.\r\n"
    assert say(session, b"list 2") == b"+OK 2 200\r\n"


def test_uidl_shows_identifiers(session: core.Transaction) -> None:
    assert say(session, b"UIDL") == b"+OK Unique-ids follow\r\n1 id-1\r\n2 id-2\r\n.\r\n"
    assert say(session, b"UIDL 2") == b"+OK 2 id-2\r\n"


def test_an_empty_maildrop_is_listed(session: core.Transaction) -> None:
    session = core.Transaction(Messages())
    assert say(session, b"STAT", b"LIST") == b"+OK 0 0\r\n+OK 0 messages (0 octets)\r\n.\r\n"


def test_a_long_listing_comes_in_pieces() -> None:
    action = core.Transaction(Messages(*[7] * 2000)).command(b"LIST")
    assert isinstance(action, core.Listing)
    pieces = list(action.pieces)
    assert len(pieces) > 3
    text = b"".join(pieces)
    assert text.count(b"\r\n") == 2002
    assert text.endswith(b"\r\n2000 7\r\n.\r\n")


def test_retr_announces_the_octets(session: core.Transaction) -> None:
    assert session.command(b"RETR 2") == core.Retrieve(2, b"+OK 200 octets\r\n")


def test_top_asks_for_lines(session: core.Transaction) -> None:
    assert session.command(b"TOP 1 10") == core.Retrieve(1, replies.TOP_FOLLOWS, 10)
    assert session.command(b"TOP 1 0") == core.Retrieve(1, replies.TOP_FOLLOWS, 0)


def test_a_deleted_message_is_gone_from_every_listing(session: core.Transaction) -> None:
    assert say(session, b"DELE 1") == replies.DELETED
    assert say(session, b"STAT") == b"+OK 1 200\r\n"
    assert say(session, b"LIST") == b"+OK 1 messages (200 octets)\r\n2 200\r\n.\r\n"
    for line in (b"LIST 1", b"UIDL 1", b"RETR 1", b"TOP 1 0", b"DELE 1"):
        assert session.command(line) == core.Reply(replies.IS_DELETED), line
    assert say(session, b"LIST 2") == b"+OK 2 200\r\n", "numbers stay"


def test_rset_brings_deleted_messages_back(session: core.Transaction) -> None:
    say(session, b"DELE 1", b"DELE 2")
    assert say(session, b"RSET") == b"+OK Maildrop has 2 messages (320 octets)\r\n"
    assert session.command(b"QUIT") == core.Update(())


def test_quit_names_what_is_to_be_removed(session: core.Transaction) -> None:
    say(session, b"DELE 2", b"DELE 1")
    assert session.command(b"QUIT") == core.Update((1, 2))


@pytest.mark.parametrize(
    ("line", "reply"),
    [
        (b"RETR", replies.BAD_ARGUMENTS),
        (b"RETR x", replies.BAD_ARGUMENTS),
        (b"RETR -1", replies.BAD_ARGUMENTS),
        (b"RETR 1 2", replies.BAD_ARGUMENTS),
        (b"RETR 99999999999999999999", replies.BAD_ARGUMENTS),
        (b"RETR \xd9\xa1", replies.BAD_ARGUMENTS),
        (b"RETR  1", replies.BAD_ARGUMENTS),
        (b"RETR 0", replies.NO_MESSAGE),
        (b"RETR 3", replies.NO_MESSAGE),
        (b"TOP 1", replies.BAD_ARGUMENTS),
        (b"STAT 1", replies.BAD_ARGUMENTS),
        (b"DELE", replies.BAD_ARGUMENTS),
        (b"USER ann", replies.WRONG_STATE),
        (b"STLS", replies.WRONG_STATE),
        (b"XTND", replies.UNKNOWN_COMMAND),
        (b"", replies.UNKNOWN_COMMAND),
    ],
)
def test_wrong_commands_get_their_answer(session: core.Transaction, line: bytes, reply: bytes) -> None:
    assert session.command(line) == core.Reply(reply)


def test_blanks_at_the_end_do_no_harm(session: core.Transaction) -> None:
    assert say(session, b"STAT ") == b"+OK 2 320\r\n"


def test_too_many_errors_end_the_session_without_update(session: core.Transaction) -> None:
    say(session, b"DELE 1")
    actions = [session.command(b"WHAT") for _ in range(core.ERROR_LIMIT)]
    assert actions[-1] == core.Close(replies.TOO_MANY_ERRORS)
    assert actions[-2] == core.Reply(replies.UNKNOWN_COMMAND)


def test_capabilities_after_login_have_no_login_ones(session: core.Transaction) -> None:
    lines = say(session, b"CAPA").split(b"\r\n")
    assert b"UIDL" in lines
    assert not [line for line in lines if line.startswith((b"SASL", b"STLS")) or line == b"USER"]


@given(st.lists(st.sampled_from([b"DELE 1", b"DELE 2", b"DELE 3", b"RSET", b"LIST", b"NOOP"]), max_size=12))
def test_stat_always_agrees_with_list(lines: list[bytes]) -> None:
    session = core.Transaction(Messages(1, 10, 100))
    for line in lines:
        session.command(line)
    listed = [int(row.split()[1]) for row in say(session, b"LIST").split(b"\r\n")[1:-2]]
    assert say(session, b"STAT") == replies.status(len(listed), sum(listed))


@given(st.binary(max_size=60))
def test_any_line_gets_an_action(line: bytes) -> None:
    core.Transaction(Messages(1)).command(line)


def test_every_reply_is_short_and_a_line() -> None:
    for name, reply in vars(replies).items():
        if isinstance(reply, bytes) and name != "TERMINATOR":
            assert reply.startswith((b"+OK ", b"-ERR ")), name
            assert reply.endswith(b"\r\n"), name
            assert len(reply) <= 512, name


@pytest.mark.parametrize(("line", "answer"), LANGUAGES)
def test_the_language_is_english(session: core.Transaction, line: bytes, answer: bytes) -> None:
    """RFC 6856 section 3.3."""
    assert say(session, line).startswith(answer)
