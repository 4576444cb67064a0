"""Requests, results, content and the delivery line of the log."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pillarbox.lib.delivery import Content, DeliveryRecipient, DeliveryRequest, Result
from pillarbox.lib.delivery.delivered import delivered_lines, delivered_to, has_visited
from pillarbox.lib.delivery.request import parse_request, request_frame
from pillarbox.lib.delivery.result import format_delay, log_result, parse_result
from pillarbox.lib.ipc import Attributes, ProtocolError, encode_frame
from pillarbox.lib.ipc.frames import decode_payload
from pillarbox.lib.log import log


@pytest.fixture
def descriptor() -> Iterator[int]:
    made = os.memfd_create("message")
    yield made
    try:
        os.close(made)
    except OSError:
        pass


def frame(**change: object) -> Attributes:
    members = request_frame(
        3, "ID", "a@x.test", 10, 5, "smtp", "[mx]", 1.5, 2, [{"n": 80, "address": "b@y.test", "notify": ["never"]}], {}
    )
    return decode_payload(encode_frame({**members, **change})[4:])


class TestRequest:
    def test_arrives_as_it_was_sent(self, descriptor: int) -> None:
        got = frame(envid="e", smtputf8=True, attributes={"client_name": "h", "odd": 7})
        got.fds = [descriptor]
        request = parse_request(got, 9.0)
        assert (request.tag, request.queue_id, request.sender, request.nexthop) == (3, "ID", "a@x.test", "[mx]")
        assert request.recipients == (DeliveryRecipient(80, "b@y.test", notify=("never",)),)
        assert (request.content.offset, request.content.size, request.content.fd) == (10, 5, descriptor)
        assert (request.arrival, request.active, request.taken, request.envid) == (1.5, 2.0, 9.0, "e")
        assert request.smtputf8 and request.attributes == {"client_name": "h"}
        request.close()
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(descriptor)

    @pytest.mark.parametrize("sources", [[], ["192.0.2.5"], ["2001:db8::5"], ["192.0.2.5", "2001:db8::5"]])
    def test_sources_are_those_that_the_queue_manager_chose(self, descriptor: int, sources: list[str]) -> None:
        got = frame(sources=sources, helo="out1.x.test")
        got.fds = [descriptor]
        request = parse_request(got, 0.0)
        assert request.sources == tuple(sources) and request.helo == "out1.x.test"

    def test_without_sources_the_agent_uses_its_own(self, descriptor: int) -> None:
        got = frame()
        got.fds = [descriptor]
        request = parse_request(got, 0.0)
        assert request.sources == () and not request.helo

    @pytest.mark.parametrize(
        "change",
        [
            {"do": "x"},
            {"sources": "192.0.2.5"},
            {"sources": ["mx.test"]},
            {"sources": ["192.0.2.5", "192.0.2.6"]},
            {"sources": [5]},
            {"helo": 1},
            {"tag": "3"},
            {"recipients": {}},
            {"recipients": [{}]},
            {"recipients": [{"n": "1", "address": "a"}]},
            {"offset": 1.5},
            {"arrival": "now"},
            {"attributes": []},
            {"smtputf8": 1},
            {"sender": None},
        ],
    )
    def test_what_is_none_gives_its_descriptor_back(self, descriptor: int, change: dict[str, object]) -> None:
        got = frame(**change)
        got.fds = [descriptor]
        with pytest.raises(ProtocolError):
            parse_request(got, 0.0)
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(descriptor)

    @pytest.mark.parametrize("count", [0, 2])
    def test_exactly_one_descriptor_belongs_to_it(self, count: int) -> None:
        got = frame()
        got.fds = [os.memfd_create("x") for _ in range(count)]
        with pytest.raises(ProtocolError, match="one descriptor"):
            parse_request(got, 0.0)
        for one in got.fds:
            with pytest.raises(OSError, match="Bad file descriptor"):
                os.fstat(one)


class TestResult:
    @given(st.builds(Result, st.integers(0, 10**9), st.sampled_from(["sent", "deferred", "bounced"]), *[st.text()] * 5))
    def test_arrives_as_it_was_sent(self, result: Result) -> None:
        arrived = parse_result(decode_payload(encode_frame(result.frame())[4:]))
        assert arrived == result or (not result.relay and arrived.relay == "none")

    @pytest.mark.parametrize("change", [{"n": "1"}, {"status": "ok"}, {"status": 7}, {"dsn": None}, {"text": []}])
    def test_what_is_none(self, change: dict[str, object]) -> None:
        with pytest.raises(ProtocolError):
            parse_result(Attributes({"n": 1, "status": "sent", "dsn": "2.0.0", "text": "x", **change}))


class TestContent:
    def content(self, data: bytes, before: bytes = b"envelope", behind: bytes = b"") -> Content:
        made = os.memfd_create("message")
        os.write(made, before + data + behind)
        return Content(made, len(before), len(data))

    @given(st.binary(max_size=500), st.integers(1, 100))
    def test_pieces_make_the_whole(self, data: bytes, size: int) -> None:
        content = self.content(data, behind=b"zeros")
        pieces = list(content.chunks(size))
        assert b"".join(pieces) == data and all(0 < len(piece) <= size for piece in pieces)
        assert content.read(3, 10_000) == data[3:]
        assert content.read(len(data), 1) == b""
        os.close(content.fd)

    def test_the_position_of_the_shared_descriptor_is_not_moved(self) -> None:
        content = self.content(b"x" * 100)
        before = os.lseek(content.fd, 0, os.SEEK_CUR)
        list(content.chunks(7))
        assert os.lseek(content.fd, 0, os.SEEK_CUR) == before
        os.close(content.fd)

    def test_a_file_that_is_too_short_is_said(self) -> None:
        content = self.content(b"x" * 10)
        os.ftruncate(content.fd, 12)
        with pytest.raises(EOFError, match="shorter"):
            list(content.chunks())
        os.close(content.fd)

    @pytest.mark.parametrize(
        ("data", "header"),
        [
            (b"A: b\n\nbody\n\n", b"A: b\n"),
            (b"A: b\n", b"A: b\n"),
            (b"A: b", b"A: b"),
            (b"\nbody", b""),
            (b"", b""),
            (b"A: " + b"x" * 4092 + b"\n\nbody", b"A: " + b"x" * 4092 + b"\n"),
            (b"A: " + b"x" * 4093 + b"\n\nbody", b"A: " + b"x" * 4093 + b"\n"),
            (b"A: " + b"x" * 100_000 + b"\n\nbody", b"A: " + b"x" * 100_000 + b"\n"),
        ],
    )
    def test_the_header_wherever_the_pieces_end(self, data: bytes, header: bytes) -> None:
        content = self.content(data)
        assert content.header() == header
        os.close(content.fd)

    def test_a_header_without_an_end_is_cut(self) -> None:
        content = self.content(b"x" * 3_000_000)
        assert len(content.header()) == 1024 * 1024
        os.close(content.fd)


class TestLogLine:
    REQUEST = DeliveryRequest("tag", "ID", "a@x", (), Content(-1, 0, 0), "smtp", "h", 100.0, 100.05, 100.07)  # type: ignore[arg-type]

    def line(self, recipient: DeliveryRecipient, result: Result, **more: object) -> str:
        with log.capture() as lines:
            log_result(self.REQUEST, recipient, result, **more)  # type: ignore[arg-type]
        return lines[0]

    def test_is_that_of_postfix(self) -> None:
        line = self.line(
            DeliveryRecipient(1, "b@y.test"),
            Result(1, "sent", "2.0.0", "250 2.0.0 Ok", "mx[192.0.2.1]:25"),
            connected=100.08,
            now=100.13,
        )
        assert line == (
            "ID: to=<b@y.test>, relay=mx[192.0.2.1]:25, delay=0.13, delays=0.05/0.02/0.01/0.05, dsn=2.0.0, "
            "status=sent (250 2.0.0 Ok)"
        )

    @pytest.mark.parametrize(("original", "shown"), [("", False), ("b@y.test", False), ("all@y.test", True)])
    def test_the_address_before_expansion(self, original: str, shown: bool) -> None:
        line = self.line(DeliveryRecipient(1, "b@y.test", original), Result(1, "deferred", "4.0.0", "x"), now=101.0)
        assert (", orig_to=<all@y.test>, relay=none, " in line) is shown
        assert ("orig_to" in line) is shown

    def test_a_note_stands_behind_the_relay(self) -> None:
        line = self.line(DeliveryRecipient(1, "b"), Result(1, "sent", "2.0.0", "x", "h"), now=101.0, note="conn_use=2")
        assert ", relay=h, conn_use=2, delay=1, " in line

    def test_a_clock_that_was_set_back_gives_no_negative_delay(self) -> None:
        assert "delay=0, delays=0.05/0.02/0/0," in self.line(
            DeliveryRecipient(1, "b"), Result(1, "sent", "2.0.0", "x"), now=50.0
        )

    @pytest.mark.parametrize(
        ("seconds", "text"),
        [(0, "0"), (0.004, "0"), (0.005, "0.01"), (0.13, "0.13"), (0.1, "0.1"), (0.999, "1"), (1.0, "1"), (1.26, "1.3"),
         (9.94, "9.9"), (9.96, "10"), (12.4, "12"), (100.6, "101"), (345600.2, "345600")],
    )  # fmt: skip
    def test_delays(self, seconds: float, text: str) -> None:
        assert format_delay(seconds) == text

    @given(st.floats(0, 1e7))
    def test_a_delay_has_two_digits_that_count_and_at_most_two_behind_the_point(self, seconds: float) -> None:
        assert re.fullmatch(r"0|0\.0[1-9]|0\.[1-9]\d?|[1-9](\.[1-9])?|[1-9]\d+", format_delay(seconds))


class TestDeliveredLines:
    def test_as_final_delivery_writes_them(self) -> None:
        assert (
            delivered_lines("a@x", "all@y", "b@y") == b"Return-Path: <a@x>\nX-Original-To: all@y\nDelivered-To: b@y\n"
        )
        assert delivered_lines("", "", "b@y") == b"Return-Path: <>\nX-Original-To: b@y\nDelivered-To: b@y\n"

    @given(st.text(max_size=30), st.text(max_size=30), st.text(min_size=1, max_size=30))
    def test_no_address_makes_a_line_of_its_own(self, sender: str, original: str, address: str) -> None:
        try:
            lines = delivered_lines(sender, original, address)
        except UnicodeEncodeError:
            assert any("\ud800" <= character <= "\udfff" for character in sender + original + address)
            return
        assert lines.count(b"\n") == 3 and b"\r" not in lines and b"\0" not in lines

    def test_a_loop_is_noticed(self) -> None:
        visited = delivered_to(
            b"Subject: x\nDelivered-To: Ann@X.test\ndelivered-to:bob@y.test \n\tDelivered-To: no@z\n"
        )
        assert has_visited(visited, "ann@x.TEST") and has_visited(visited, "bob@y.test")
        assert not has_visited(visited, "no@z") and not has_visited(frozenset(), "x")
