"""What milters send, however it is cut, and whatever is wrong with it."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pillarbox.lib.milter import (
    AddHeader,
    AddRecipient,
    ChangeHeader,
    ChangeSender,
    Conversation,
    DeleteRecipient,
    InsertHeader,
    MilterError,
    Offer,
    PacketReader,
    Quarantine,
    Refuse,
    ReplaceBody,
    parse_agreement,
    parse_answer,
)
from pillarbox.lib.milter import packets as wire
from pillarbox.lib.milter.options import NO_REPLY, NO_STEP, SET_MACROS, Agreement
from pillarbox.lib.milter.packets import PACKET_LIMIT, encode, texts
from pillarbox.lib.smtp.reply import Reply
from tests.feeding import splits, truncations, with_trailing

PACKETS = [(b"c", b""), (b"h", b"X-A\0b\0"), (b"b", b"x" * 300), (b"y", b"550 5.7.1 no\0")]
STREAM = b"".join(encode(*packet) for packet in PACKETS)
OFFER = Offer.of(6)


def read_all(reader: PacketReader) -> list[tuple[bytes, bytes]]:
    found = []
    while (packet := reader.packet()) is not None:
        found.append(packet)
    return found


class TestPackets:
    def test_packets_are_the_same_however_the_bytes_are_cut(self) -> None:
        for pieces in splits(STREAM):
            reader, found = PacketReader(), []
            for piece in pieces:
                reader.feed(piece)
                found += read_all(reader)
            assert found == PACKETS
            assert reader.pending == 0

    def test_a_cut_packet_is_no_packet(self) -> None:
        for cut in truncations(encode(b"h", b"X-A\0b\0")):
            reader = PacketReader()
            reader.feed(cut)
            assert reader.packet() is None

    def test_what_follows_a_packet_is_kept(self) -> None:
        for data in with_trailing(encode(b"c")):
            reader = PacketReader()
            reader.feed(data)
            assert reader.packet() == (b"c", b"")
            assert reader.pending == len(data) - 5

    @pytest.mark.parametrize("length", [0, PACKET_LIMIT + 1, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF])
    def test_a_length_that_cannot_be_is_noticed_at_once(self, length: int) -> None:
        reader = PacketReader()
        reader.feed(struct.pack(">I", length))
        with pytest.raises(MilterError, match="a packet of"):
            reader.packet()


def options(version: int = 6, actions: int = 0, steps: int = 0, rest: bytes = b"") -> bytes:
    return struct.pack(">III", version, actions, steps) + rest


class TestOptions:
    def test_an_agreement_is_a_part_of_the_offer(self) -> None:
        agreed = parse_agreement(OFFER, options(6, 0x1F, NO_STEP[wire.HELO] | NO_REPLY[wire.HEADER]))
        assert agreed == Agreement(6, 0x1F, 0x82)
        assert not agreed.wants(wire.HELO) and agreed.wants(wire.MAIL) and agreed.wants(wire.END)
        assert not agreed.replies(wire.HEADER) and agreed.replies(wire.BODY)

    def test_old_versions_know_fewer_steps(self) -> None:
        assert not parse_agreement(Offer.of(2), options(2)).wants(wire.UNKNOWN)
        assert parse_agreement(Offer.of(3), options(3)).wants(wire.UNKNOWN)
        assert not parse_agreement(Offer.of(3), options(3)).wants(wire.DATA)
        assert parse_agreement(Offer.of(4), options(4)).wants(wire.DATA)
        assert Offer.of(2, no_header_reply=True).steps == 0x7F | 0x80
        assert Offer.of(6) == Offer(6, 0x1FF, 0x1FFFFF)

    def test_macros_are_named_by_step(self) -> None:
        rest = struct.pack(">I", 0) + b"j {client_addr}\0" + struct.pack(">I", 5) + b"i,{auth_type}\0"
        agreed = parse_agreement(OFFER, options(6, SET_MACROS, 0, rest))
        assert agreed.macros == {wire.CONNECT: ("j", "client_addr"), wire.END: ("i", "auth_type")}

    @pytest.mark.parametrize(
        ("data", "reason"),
        [
            (b"", "cut short"),
            (options()[:11], "cut short"),
            (options(7), "version 7"),
            (options(1), "version 1"),
            (options(6, 0x200), "actions"),
            (options(6, 0, 0x10000000), "options"),
            (options(6, 0, 0, b"\0\0\0\0j\0"), "not agreed on"),
            (options(6, SET_MACROS, 0, b"\0\0\0\0j"), "no end"),
            (options(6, SET_MACROS, 0, b"\0\0"), "no end"),
            (options(6, SET_MACROS, 0, b"\0\0\0\x09j\0"), "does not exist"),
            (options(6, SET_MACROS, 0, b"\0\0\0\0" + b"a " * 2000 + b"\0"), "more than"),
        ],
    )
    def test_an_agreement_on_what_was_not_offered_is_none(self, data: bytes, reason: str) -> None:
        with pytest.raises(MilterError, match=reason):
            parse_agreement(OFFER, data)


NUMBER = struct.pack(">I", 3)


class TestAnswers:
    @pytest.mark.parametrize(
        ("command", "data", "value"),
        [
            (b"h", texts(b"X-A", b"one\n two"), AddHeader(b"X-A", b"one\n two")),
            (b"h", texts(b"X-A", b""), AddHeader(b"X-A", b"")),
            (b"i", NUMBER + texts(b"X-A", b"v"), InsertHeader(3, b"X-A", b"v")),
            (b"m", NUMBER + texts(b"X-A", b""), ChangeHeader(3, b"X-A", b"")),
            (b"+", b"<a@b.example>\0", AddRecipient("<a@b.example>")),
            (b"2", b"<a@b.example>\0NOTIFY=NEVER\0", AddRecipient("<a@b.example>", "NOTIFY=NEVER")),
            (b"2", b"<a@b.example>\0", AddRecipient("<a@b.example>")),
            (b"-", b"a@b.example\0", DeleteRecipient("a@b.example")),
            (b"e", b"<>\0", ChangeSender("<>")),
            (b"e", b"<x@y.example>\0RET=HDRS\0", ChangeSender("<x@y.example>", "RET=HDRS")),
            (b"b", b"\0\xff\r\n", ReplaceBody(b"\0\xff\r\n")),
            (b"q", b"looks\tbad\0", Quarantine("looks?bad")),
            (b"y", b"550 5.7.1 100%% no\0", Refuse(Reply(550, "5.7.1", ("100% no",)))),
            (b"y", b"451 later\0", Refuse(Reply(451, "", ("later",)))),
            (b"y", b"554\0", Refuse(Reply(554, "", ("",)))),
            (
                b"y",
                b"550-5.7.1 one\r\n550-5.7.1 two\r\n550 5.7.1 three\0",
                Refuse(Reply(550, "5.7.1", ("one", "two", "three"))),
            ),
        ],
    )
    def test_a_value_is_read(self, command: bytes, data: bytes, value: object) -> None:
        assert parse_answer(command, data) == value

    @pytest.mark.parametrize("command", [b"c", b"a", b"d", b"r", b"t", b"s", b"p", b"4", b"f"])
    def test_a_decision_without_data_has_none(self, command: bytes) -> None:
        parse_answer(command, b"")
        with pytest.raises(MilterError, match="bytes behind"):
            parse_answer(command, b"\0")

    @pytest.mark.parametrize(
        ("command", "data"),
        [
            (b"h", b""),
            (b"h", b"X-A\0"),
            (b"h", b"X-A\0b"),
            (b"h", b"X-A\0b\0c\0"),
            (b"h", texts(b"X A", b"b")),
            (b"h", texts(b"", b"b")),
            (b"h", texts(b"X-A:", b"b")),
            (b"h", texts(b"X-\xc3\xa4", b"b")),
            (b"i", b"\0\0\0"),
            (b"i", b"\xff\xff\xff\xff" + texts(b"X-A", b"b")),
            (b"m", b"\x80\0\0\0" + texts(b"X-A", b"b")),
            (b"+", b""),
            (b"+", b"a@b.example"),
            (b"+", b"a@b.example\0x\0"),
            (b"+", b"a@b.example\r\nRCPT TO:<c@d.example>\0"),
            (b"+", b"\xff@b.example\0"),
            (b"+", b"a" * 3000 + b"\0"),
            (b"e", b"a\0b\0c\0"),
            (b"q", b""),
            (b"q", b"a\0b\0"),
            (b"y", b""),
            (b"y", b"550 no"),
            (b"y", b"250 2.0.0 fine\0"),
            (b"y", b"550 4.7.1 unclear\0"),
            (b"y", b"550-one\r\n551 two\0"),
            (b"y", b"no\0"),
            (b"y", b"550 5.7.1 a\0b\0"),
            (b"y", b"550 x\r\n" * 40 + b"\0"),
            (b"Z", b""),
            (b"\0", b""),
            (b"O", options()),
        ],
    )
    def test_what_libmilter_would_not_send_is_refused(self, command: bytes, data: bytes) -> None:
        with pytest.raises(MilterError):
            parse_answer(command, data)

    def test_a_reply_cannot_begin_a_line_of_its_own(self) -> None:
        answer = parse_answer(b"y", b"550 5.7.1 one\rtwo\x07\0")
        assert isinstance(answer, Refuse)
        assert answer.reply.encode() == b"550 5.7.1 one?two?\r\n"

    @given(st.binary(min_size=1, max_size=1), st.binary(max_size=80))
    def test_any_packet_is_a_value_or_an_error(self, command: bytes, data: bytes) -> None:
        try:
            parse_answer(command, data)
        except MilterError:
            pass

    @given(st.binary(max_size=60))
    def test_any_options_are_an_agreement_or_an_error(self, data: bytes) -> None:
        try:
            parse_agreement(OFFER, data)
        except MilterError:
            pass


STEPS = (wire.CONNECT, wire.HELO, wire.MAIL, wire.RCPT, wire.DATA, wire.HEADER, wire.BODY, wire.END, wire.UNKNOWN)


@given(
    st.integers(0, 0x1FFFFF),
    st.lists(st.tuples(st.sampled_from([*STEPS, b"abort"]), st.sampled_from(b"acdrsthimqbp4fy+-2e")), max_size=30),
)
def test_no_order_of_steps_and_answers_confuses_a_conversation(steps: int, script: list[tuple[bytes, int]]) -> None:
    """Whatever is asked and answered: a value, or MilterError; and an abort always leads back between messages."""
    conversation = Conversation(OFFER, {})
    conversation.agree(b"O", options(6, 0x1FF, steps))
    for step, answer in script:
        if step == b"abort":
            conversation.abort()
            assert not conversation.wants_message
            continue
        request = conversation.say(step, b"x\0", {})
        if request is None or not request.answered:
            continue
        try:
            while conversation.hear(bytes((answer,)), b"") is None:
                answer = ord("c")
        except MilterError:
            return
    conversation.quit()
    assert conversation.over
