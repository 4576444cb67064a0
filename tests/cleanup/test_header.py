"""What cleanup does to headers: drops some fields, completes local submissions, and touches nothing else."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pillarbox.cleanup.header import HeaderRules, fields_end, message_id
from pillarbox.lib.config import Config
from pillarbox.lib.message.date import parse_date
from pillarbox.lib.queue import Envelope
from tests.cleanup.desk import desk

ARRIVAL = 1795319643.5
ID = "4jXFYl6dnjzKD6m"


def rules(**settings: str) -> HeaderRules:
    return HeaderRules(Config.for_tests(myhostname="mx.test", myorigin="origin.test", **settings))


def envelope(origin: str = "smtpd", **more: object) -> Envelope:
    return Envelope("a@x.test", (), ARRIVAL, origin=origin, **more)  # type: ignore[arg-type]


def applied(header: bytes, origin: str = "smtpd", **more: object) -> bytes:
    return rules().apply(header, envelope(origin, **more), ID)


class TestDroppedFields:
    @pytest.mark.parametrize(
        "field",
        [
            b"Bcc: x@y\n",
            b"bcc:x@y\n",
            b"BCC : x@y\n",
            b"Bcc:\n",
            b"Bcc: a,\n\tb,\n  c\n",
            b"Resent-Bcc: x\n",
            b"Return-Path: <x>\n",
            b"Content-Length: 7\n",
            b"Bcc: a\nBCC: b\n",
        ],
    )
    def test_is_gone_whole(self, field: bytes) -> None:
        assert applied(b"To: a\n" + field + b"Subject: s\n") == b"To: a\nSubject: s\n"
        assert applied(field + b"Subject: s\n") == b"Subject: s\n"
        assert applied(b"Subject: s\n" + field) == b"Subject: s\n"

    @pytest.mark.parametrize("header", [b"X-Bcc: a\n", b"Subject: s\n Bcc: a\n", b"Bccc: a\n", b"Subject: Bcc: a\n"])
    def test_what_only_looks_like_one_stays(self, header: bytes) -> None:
        assert applied(header) == header

    def test_the_list_is_a_parameter(self) -> None:
        made = rules(message_drop_headers="x-secret")
        assert made.apply(b"X-Secret: 1\nBcc: a\n", envelope(), ID) == b"Bcc: a\n"
        assert rules(message_drop_headers="").apply(b"Bcc: a\n", envelope(), ID) == b"Bcc: a\n"


class TestMissingFields:
    def test_mail_from_the_network_is_left_as_it_is(self) -> None:
        assert applied(b"Subject: s\n") == b"Subject: s\n"

    @pytest.mark.parametrize("origin", ["pickup", "local"])
    def test_a_local_submission_is_completed(self, origin: str) -> None:
        header = applied(b"Subject: s\n", origin)
        assert header.startswith(b"Subject: s\nMessage-ID: <2026")
        assert f".{ID}@mx.test>\n".encode() in header
        date = re.search(rb"^Date: (.*)$", header, re.MULTILINE)
        assert date and parse_date(date[1].decode()) == int(ARRIVAL)
        assert header.endswith(b"From: a@x.test\n")

    def test_what_is_there_stays(self) -> None:
        header = b"from: me\nDATE: today\nMessage-Id :\n <x@y>\n"
        assert applied(header, "pickup") == header

    def test_a_resent_message_gets_resent_fields(self) -> None:
        header = applied(b"From: me\nDate: d\nMessage-ID: <x>\nResent-To: b\n", "pickup")
        assert b"\nResent-Message-ID: <" in header and b"\nResent-Date: " in header
        assert header.endswith(b"Resent-From: a@x.test\n")

    def test_on_demand_for_everyone(self) -> None:
        made = rules(always_add_missing_headers="yes")
        assert b"\nDate: " in made.apply(b"Subject: s\n", envelope(), ID)
        assert b"\nDate: " in applied(b"Subject: s\n", attributes={"complete_header": "yes"})

    @pytest.mark.parametrize(
        ("sender", "name", "wanted"),
        [
            ("a@x.test", "", "a@x.test"),
            ("a@x.test", "Ann Bee", "Ann Bee <a@x.test>"),
            ("a@x.test", 'Ann "Q" Bee, Jr.', '"Ann \\"Q\\" Bee, Jr." <a@x.test>'),
            ("a@x.test", "Zoë", '"Zoë" <a@x.test>'),
            ("", "whoever", "MAILER-DAEMON@origin.test (Mail Delivery System)"),
            ("a@x.test", "evil\nBcc: everyone", '"evil Bcc: everyone" <a@x.test>'),
            ("a@x.test\nX-Evil: 1", "", "a@x.test?X-Evil: 1"),
            ("a\udcff@x.test", "b\udcff\ud800", '"b??" <a?@x.test>'),
        ],
    )
    def test_from(self, sender: str, name: str, wanted: str) -> None:
        value = Envelope(sender, (), ARRIVAL, origin="pickup", full_name=name)
        assert rules().apply(b"", value, ID).decode().splitlines()[-1] == f"From: {wanted}"


class TestHopCount:
    @pytest.mark.parametrize(("count", "refused"), [(0, False), (50, False), (51, True)])
    def test_the_limit(self, count: int, refused: bool) -> None:
        assert rules().too_many_hops(b"rEceived : x\n\ty\n" * count + b"X-Received: z\n Received: z\n") is refused


class TestMessageId:
    @pytest.mark.parametrize(
        ("header", "wanted"),
        [
            (b"Message-ID: <a@b>\n", "<a@b>"),
            (b"Subject: s\nmessage-id:\n\t<a@b>\nTo: x\n", "<a@b>"),
            (b"Message-ID: bare\n", "bare"),
            (b"Message-ID: <\xff@b>\n", "<\\xff@b>"),
            (b"Resent-Message-ID: <r@b>\nMessage-ID: <a@b>\n", "<a@b>"),
            (b"Subject: Message-ID: <a@b>\n", "<>"),
            (b"", "<>"),
        ],
    )
    def test_for_the_log(self, header: bytes, wanted: str) -> None:
        assert message_id(header) == wanted


class TestTheEndOfTheHeader:
    """Where a message's header ends, whatever is missing."""

    @pytest.mark.parametrize(
        ("content", "stored"),
        [
            (b"A: b\n\nbody\n", b"A: b\n\nbody\n"),
            (b"A: b\n", b"A: b\n"),
            (b"A: b", b"A: b\n"),
            (b"", b""),
            (b"\nbody\n", b"\nbody\n"),
            (b"A: b\nno field\nC: d\n\nx\n", b"A: b\n\nno field\nC: d\n\nx\n"),
            (b"hello", b"\nhello\n"),
            (b" folded\nA: b\n\n", b"\n folded\nA: b\n\n"),
            (b"A: b\n c\n\td\nE:\n\nx", b"A: b\n c\n\td\nE:\n\nx"),
        ],
    )
    def test_from_the_network(self, tmp_path: Path, content: bytes, stored: bytes) -> None:
        with desk(tmp_path) as room:
            queue_id = (client := room.client()).send(content)
            assert client.answer().boolean("ok")
            assert room.content(queue_id) == stored

    @pytest.mark.parametrize("content", [b"hello\n", b"hello\n\nworld\n", b"\nhello\n", b"Subject: x\nhello\n"])
    def test_fields_that_are_added_never_land_in_the_body(self, tmp_path: Path, content: bytes) -> None:
        with desk(tmp_path) as room:
            queue_id = (client := room.client()).send(content, origin="pickup")
            assert client.answer().boolean("ok")
            header, _, body = room.content(queue_id).partition(b"\n\n")
            assert re.search(rb"^Message-ID: ", header, re.MULTILINE)
            assert b"hello" in body and b"Message-ID" not in body

    def test_a_header_longer_than_what_may_be_gathered_is_refused(self, tmp_path: Path) -> None:
        content = b"Bcc: x\nX: " + b"y" * 2_000_000 + b"\n\nbody\n"
        with desk(tmp_path) as room:
            answer = room.client().deliver(content, origin="pickup")
            assert (answer.integer("code"), answer.text("text")) == (552, "Error: message header too large")
            assert room.ids() == []

    @given(st.lists(st.sampled_from([b"A: b\n", b" c\n", b"no field\n", b"\n", b": x\n", b"D:\n", b"\t\n", b"x"])))
    def test_as_line_by_line(self, lines: list[bytes]) -> None:
        block = b"".join(lines)
        end = 0
        for line in re.findall(rb"[^\n]*\n", block):
            is_field = re.match(rb"[!-9;-~]+[ \t]*:", line) or (end and line[:1] in (b" ", b"\t"))
            if not is_field:
                break
            end += len(line)
        assert fields_end(block) == end
