"""Commands and literals cut out of the stream."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pillarbox.imapd.commands.append_grammar import is_message
from pillarbox.imapd.protocol.reader import (
    LITERAL_LIMIT,
    Command,
    CommandReader,
    Event,
    LiteralOffer,
    LiteralPiece,
    TooLong,
)
from tests.feeding import splits, truncations

LIMIT = 1000


def events(pieces: list[bytes], *, refuse: bool = False) -> list[Event]:
    """All events, pieces of a streamed literal joined; offers are accepted unless too large."""
    reader = CommandReader(LIMIT, is_message)
    result: list[Event] = []
    for piece in pieces:
        reader.feed(piece)
        while (event := reader.next_event()) is not None:
            if isinstance(event, LiteralOffer):
                if refuse or reader.refusal(event):
                    reader.refuse()
                else:
                    reader.accept()
            if isinstance(event, LiteralPiece) and result and isinstance(result[-1], LiteralPiece):
                event = LiteralPiece(result.pop().data + event.data, event.last)  # type: ignore[union-attr]
            result.append(event)
    return result


def commands(found: list[Event]) -> list[bytes]:
    return [event.data for event in found if isinstance(event, Command)]


STREAM = (
    b"a1 NOOP\r\n"
    b"a2 LOGIN {3}\r\nbob {6+}\r\nsecret\r\n"
    b"a3 APPEND {5}\r\nINBOX (\\Seen) {7}\r\nmessage ({4-}\r\nmore\r\n"
    b"a4 NOOP\n"
)


def test_any_chunking_gives_the_same_events() -> None:
    expected = events([STREAM])
    for pieces in splits(STREAM):
        assert events(pieces) == expected


def test_literals_are_part_of_the_command() -> None:
    assert commands(events([STREAM]))[:2] == [b"a1 NOOP", b"a2 LOGIN {3}\r\nbob {6+}\r\nsecret"]


def test_messages_are_streamed_and_mailbox_names_are_not() -> None:
    offers = [event for event in events([STREAM]) if isinstance(event, LiteralOffer)]
    assert [(offer.size, offer.streamed) for offer in offers] == [
        (3, False),
        (6, False),
        (5, False),
        (7, True),
        (4, True),
    ]


def test_only_synchronizing_literals_wait() -> None:
    offers = [event for event in events([STREAM]) if isinstance(event, LiteralOffer)]
    assert [offer.wait for offer in offers] == [True, False, True, True, False]


def test_truncated_streams_give_a_beginning_of_the_events() -> None:
    whole = commands(events([STREAM]))
    for cut in truncations(STREAM):
        found = commands(events([cut]))
        assert whole[: len(found)] == found


def test_overlong_line_is_dropped_and_reading_goes_on() -> None:
    for pieces in splits(b"a1 " + b"x" * 2 * LIMIT + b"\r\na2 NOOP\r\n"):
        found = events(pieces)
        assert isinstance(found[0], TooLong) and found[0].start.startswith(b"a1 ")
        assert commands(found) == [b"a2 NOOP"]


def test_endless_line_is_not_kept() -> None:
    reader = CommandReader(LIMIT)
    for _ in range(1000):
        reader.feed(b"x" * 1000)
        reader.next_event()
    assert len(reader._buffer) <= 2 * LIMIT


@pytest.mark.parametrize("sign", [b"+", b"-"])
def test_large_literal_that_comes_unasked_is_skipped(sign: bytes) -> None:
    size = LITERAL_LIMIT + 1
    stream = b"a1 LOGIN {%d%b}\r\n%b {3+}\r\nabc\r\na2 NOOP\r\n" % (size, sign, b"\n" * size)
    assert commands(events([stream])) == [b"a2 NOOP"]


def test_large_literal_that_waits_ends_its_command() -> None:
    assert commands(events([b"a1 LOGIN {%d}\r\n" % (LITERAL_LIMIT + 1), b"a2 NOOP\r\n"])) == [b"a2 NOOP"]


def test_many_small_literals_pass_a_limit_too() -> None:
    one = b"{%d+}\r\n%b " % (LITERAL_LIMIT, b"x" * LITERAL_LIMIT)
    assert commands(events([b"a1 SEARCH " + one * 6 + b"\r\na2 NOOP\r\n"])) == [b"a2 NOOP"]


@given(st.binary(max_size=200), st.integers(1, 9))
def test_any_octets_in_any_pieces(data: bytes, step: int) -> None:
    assert events([data]) == events([data[i : i + step] for i in range(0, len(data), step)])


_WORDS = st.lists(
    st.sampled_from([b"a1 ", b"APPEND ", b"INBOX ", b"{3}\r\n", b"{3+}\r\n", b"abc", b"\r\n"]), max_size=12
)


@given(_WORDS, st.integers(1, 5), st.booleans())
def test_any_order_of_literals_in_any_pieces(words: list[bytes], step: int, refuse: bool) -> None:
    data = b"".join(words)
    pieces = [data[i : i + step] for i in range(0, len(data), step)]
    assert events([data], refuse=refuse) == events(pieces, refuse=refuse)
