"""What is said to a milter when, and what its answers mean."""

from __future__ import annotations

import struct

import pytest

from pillarbox.lib.milter import Conversation, MilterError, Offer, Verdict
from pillarbox.lib.milter import options as agreed
from pillarbox.lib.milter import packets as wire
from pillarbox.lib.milter.conversation import GO_ON
from pillarbox.lib.milter.options import NO_REPLY, NO_STEP
from pillarbox.lib.milter.packets import ABORT, QUIT, encode, texts
from pillarbox.lib.smtp.reply import Reply

MAIL = texts(b"<a@b.example>")
REJECTED = Reply(550, "5.7.1", ("Command rejected",))


def conversation(steps: int = agreed.SKIP, actions: int = 0x1FF, **macros: tuple[str, ...]) -> Conversation:
    made = Conversation(Offer.of(6), {name.encode(): names for name, names in macros.items()})
    assert made.open() == encode(b"O", struct.pack(">III", 6, 0x1FF, 0x1FFFFF))
    made.agree(b"O", struct.pack(">III", 6, actions, steps))
    return made


def say(made: Conversation, *steps: bytes) -> None:
    """Steps that the milter lets pass."""
    for step in steps:
        request = made.say(step, b"", {})
        if request is not None and request.answered:
            assert made.hear(b"c", b"") is GO_ON


class TestSaying:
    def test_nothing_is_said_before_there_is_an_agreement(self) -> None:
        made = Conversation(Offer.of(6), {})
        assert made.say(wire.CONNECT, b"", {}) is None
        assert made.quit() == b""

    def test_an_answer_to_the_offer_must_be_options(self) -> None:
        with pytest.raises(MilterError, match="instead of the options"):
            Conversation(Offer.of(6), {}).agree(b"c", b"")

    def test_macros_go_before_their_step(self) -> None:
        made = conversation(C=("j", "client_addr", "none", "empty"))
        request = made.say(wire.CONNECT, b"data", {"j": "mx", "client_addr": "192.0.2.1", "empty": ""})
        assert request is not None
        macros = encode(b"D", b"C" + texts(b"j", b"mx", b"{client_addr}", b"192.0.2.1"))
        assert request.data == macros + encode(b"C", b"data")

    def test_the_milters_own_list_of_macros_replaces_ours(self) -> None:
        made = Conversation(Offer.of(6), {b"C": ("j",), b"H": ("cipher",)})
        made.agree(b"O", struct.pack(">III", 6, agreed.SET_MACROS, 0) + b"\0\0\0\0v\0")
        request = made.say(wire.CONNECT, b"", {"j": "mx", "v": "P"})
        assert request is not None and request.data == encode(b"D", b"C" + texts(b"v", b"P")) + encode(b"C")

    def test_a_nul_cannot_end_a_text_early(self) -> None:
        assert texts(b"a\0b") == b"ab\0"

    def test_a_step_that_is_not_wanted_still_moves_on(self) -> None:
        made = conversation(NO_STEP[wire.MAIL])
        assert made.say(wire.MAIL, MAIL, {}) is None
        assert made.wants(wire.RCPT)

    def test_a_step_without_reply_asks_for_none(self) -> None:
        made = conversation(NO_REPLY[wire.MAIL])
        request = made.say(wire.MAIL, MAIL, {})
        assert request is not None and not request.answered
        with pytest.raises(MilterError, match="without a question"):
            made.hear(b"c", b"")

    def test_what_does_not_fit_is_not_said(self) -> None:
        made = conversation()
        assert made.say(wire.RCPT, b"", {}) is None
        assert made.say(wire.END, b"", {}) is None
        say(made, wire.MAIL, wire.RCPT, wire.DATA, wire.HEADER)
        assert made.say(wire.RCPT, b"", {}) is None
        assert made.say(wire.MAIL, MAIL, {}) is None

    def test_several_messages_in_one_session(self) -> None:
        made = conversation()
        for _ in range(3):
            say(made, wire.MAIL, wire.RCPT, wire.DATA, wire.HEADER, wire.END_OF_HEADER, wire.BODY, wire.END)
            assert made.abort() == b"", "the milter has decided on the message itself"
        assert made.quit() == encode(QUIT)
        assert made.quit() == b""

    @pytest.mark.parametrize("steps", [(wire.MAIL,), (wire.MAIL, wire.RCPT, wire.DATA, wire.HEADER)])
    def test_a_message_that_ends_early_is_aborted_once(self, steps: tuple[bytes, ...]) -> None:
        made = conversation()
        say(made, *steps)
        assert made.abort() == encode(ABORT)
        assert made.abort() == b""
        say(made, wire.MAIL)
        assert made.wants_message


class TestHearing:
    def test_accept_for_the_session(self) -> None:
        made = conversation()
        made.say(wire.CONNECT, b"", {})
        assert made.hear(b"a", b"") is GO_ON
        assert made.over
        assert made.say(wire.MAIL, MAIL, {}) is None
        assert made.quit() == encode(QUIT)

    def test_accept_for_a_message(self) -> None:
        made = conversation()
        made.say(wire.MAIL, MAIL, {})
        assert made.hear(b"a", b"") is GO_ON
        assert not made.wants_message and not made.over
        assert made.abort() == b""
        say(made, wire.MAIL)
        assert made.wants_message

    @pytest.mark.parametrize("step", [wire.CONNECT, wire.HELO])
    def test_a_refused_session_is_over(self, step: bytes) -> None:
        made = conversation()
        made.say(step, b"", {})
        assert made.hear(b"r", b"") == Verdict(REJECTED)
        assert made.over

    def test_a_refused_recipient_is_but_one(self) -> None:
        made = conversation()
        say(made, wire.MAIL)
        made.say(wire.RCPT, b"", {})
        assert made.hear(b"y", b"451 4.1.1 not now\0") == Verdict(Reply(451, "4.1.1", ("not now",)))
        assert made.wants(wire.RCPT)

    @pytest.mark.parametrize("steps", [(wire.MAIL,), (wire.MAIL, wire.RCPT, wire.DATA)])
    def test_a_refused_message_is_over(self, steps: tuple[bytes, ...]) -> None:
        made = conversation()
        say(made, *steps[:-1])
        made.say(steps[-1], b"", {})
        assert made.hear(b"t", b"") == Verdict(Reply(451, "4.7.1", ("Service unavailable - try again later",)))
        assert not made.wants_message

    def test_421_ends_the_session(self) -> None:
        made = conversation()
        made.say(wire.MAIL, MAIL, {})
        assert made.hear(b"y", b"421 4.7.0 go\0") == Verdict(Reply(421, "4.7.0", ("go",)), shutdown=True)

    @pytest.mark.parametrize("answer", [b"4", b"f"])
    def test_shutdown(self, answer: bytes) -> None:
        made = conversation()
        made.say(wire.MAIL, MAIL, {})
        assert made.hear(answer, b"") == Verdict(shutdown=True)
        assert made.over

    def test_discard(self) -> None:
        made = conversation()
        say(made, wire.MAIL)
        made.say(wire.RCPT, b"", {})
        assert made.hear(b"d", b"") == Verdict(discard=True)
        assert not made.wants_message

    def test_a_session_cannot_be_discarded(self) -> None:
        made = conversation()
        made.say(wire.HELO, b"", {})
        with pytest.raises(MilterError, match="has not begun"):
            made.hear(b"d", b"")

    def test_skip_leaves_out_the_rest_of_a_kind(self) -> None:
        made = conversation()
        say(made, wire.MAIL, wire.RCPT, wire.DATA)
        made.say(wire.HEADER, b"", {})
        assert made.hear(b"s", b"") is GO_ON
        assert not made.wants(wire.HEADER)
        assert made.say(wire.HEADER, b"", {}) is None
        say(made, wire.END_OF_HEADER)
        made.say(wire.BODY, b"", {})
        assert made.hear(b"s", b"") is GO_ON
        assert made.say(wire.BODY, b"", {}) is None
        say(made, wire.END)
        say(made, wire.MAIL, wire.RCPT, wire.DATA)
        assert made.wants(wire.HEADER), "a skip holds for one message"

    def test_a_skip_that_was_not_agreed_on_is_none(self) -> None:
        made = conversation(0)
        say(made, wire.MAIL)
        made.say(wire.BODY, b"", {})
        with pytest.raises(MilterError, match="nothing to skip"):
            made.hear(b"s", b"")

    def test_progress_means_wait_on(self) -> None:
        made = conversation()
        made.say(wire.MAIL, MAIL, {})
        assert made.hear(b"p", b"") is None
        assert made.hear(b"c", b"") is GO_ON

    def test_a_second_answer_is_one_too_many(self) -> None:
        made = conversation()
        made.say(wire.MAIL, MAIL, {})
        made.hear(b"c", b"")
        with pytest.raises(MilterError, match="without a question"):
            made.hear(b"c", b"")


EDITS = {
    b"h": (b"X-A\0b\0", agreed.ADD_HEADERS),
    b"i": (b"\0\0\0\x01X-A\0b\0", agreed.ADD_HEADERS),
    b"m": (b"\0\0\0\x01X-A\0b\0", agreed.CHANGE_HEADERS),
    b"b": (b"body", agreed.CHANGE_BODY),
    b"+": (b"<a@b.example>\0", agreed.ADD_RECIPIENTS),
    b"2": (b"<a@b.example>\0NOTIFY=NEVER\0", agreed.ADD_RECIPIENTS_WITH),
    b"-": (b"<a@b.example>\0", agreed.DELETE_RECIPIENTS),
    b"e": (b"<a@b.example>\0", agreed.CHANGE_SENDER),
    b"q": (b"why\0", agreed.QUARANTINE),
}


class TestEdits:
    @pytest.mark.parametrize("command", EDITS)
    def test_an_edit_at_the_end_is_taken(self, command: bytes) -> None:
        made = conversation()
        say(made, wire.MAIL, wire.RCPT, wire.DATA)
        made.say(wire.END, b"", {})
        assert made.hear(command, EDITS[command][0]) is None
        assert len(made.take_edits()) == 1
        assert made.take_edits() == []
        assert made.hear(b"c", b"") is GO_ON

    @pytest.mark.parametrize("command", EDITS)
    def test_an_edit_that_was_not_agreed_on_is_refused(self, command: bytes) -> None:
        data, action = EDITS[command]
        made = conversation(actions=0x1FF & ~action)
        say(made, wire.MAIL)
        made.say(wire.END, b"", {})
        with pytest.raises(MilterError, match="not agreed on"):
            made.hear(command, data)

    @pytest.mark.parametrize("command", EDITS)
    @pytest.mark.parametrize("step", [wire.RCPT, wire.DATA, wire.HEADER, wire.END_OF_HEADER, wire.BODY])
    def test_an_edit_before_the_end_is_refused(self, step: bytes, command: bytes) -> None:
        made = conversation()
        say(made, wire.MAIL)
        made.say(step, b"", {})
        with pytest.raises(MilterError, match="before the end"):
            made.hear(command, EDITS[command][0])

    def test_edits_are_counted_and_pieces_of_body_are_not(self) -> None:
        made = conversation()
        say(made, wire.MAIL)
        made.say(wire.END, b"", {})
        for _ in range(20_000):
            made.hear(b"b", b"x")
            made.take_edits()
        for _ in range(10_000):
            made.hear(b"h", b"X-A\0b\0")
        with pytest.raises(MilterError, match="more than 10000 edits"):
            made.hear(b"h", b"X-A\0b\0")
