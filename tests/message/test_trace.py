"""Trace fields, message ids, mbox lines, automatic mail, recipients in headers."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pillarbox.lib.message.automatic import is_automatic, is_machine_sender
from pillarbox.lib.message.header import scan
from pillarbox.lib.message.mbox import FromQuoter, from_line, is_from_line
from pillarbox.lib.message.message_id import make_message_id, read_message_id
from pillarbox.lib.message.recipients import header_recipients
from pillarbox.lib.message.trace import (
    Origin,
    count_hops,
    delivered_to,
    delivery_fields,
    loops,
    received_by,
    received_from,
    received_local,
)
from tests.feeding import splits

WHEN = 1795319643.0
DATE = r"Sun, 22 Nov 2026 \d\d:\d\d:\d\d [+-]\d{4}.*\n"


def test_received_from_the_network() -> None:
    tls = "TLSv1.3 with cipher TLS_AES_256_GCM_SHA384 (256/256 bits)"
    origin = Origin("c.test", "client.test", "192.0.2.1", "ESMTPSA", tls, "u")
    field = received_from(origin, host="mx.test", queue_id="4jX", when=WHEN, recipient="a@b").decode()
    assert re.fullmatch(
        r"Received: from c\.test \(client\.test \[192\.0\.2\.1\]\)\n"
        r"\t\(using TLSv1\.3 with cipher TLS_AES_256_GCM_SHA384 \(256/256 bits\)\)\n"
        r"\t\(Authenticated sender: u\)\n"
        r"\tby mx\.test \(Pillarbox\) with ESMTPSA id 4jX\n"
        r"\tfor <a@b>; " + DATE,
        field,
    )


def test_received_without_a_recipient_names_none() -> None:
    origin = Origin("c", "unknown", "2001:db8::1", "SMTP")
    field = received_from(origin, host="mx.test", queue_id="4jX", when=WHEN).decode()
    assert re.fullmatch(
        r"Received: from c \(unknown \[IPv6:2001:db8::1\]\)\n"
        r"\tby mx\.test \(Pillarbox\) with SMTP id 4jX; " + DATE,
        field,
    )


def test_received_of_this_machine() -> None:
    assert re.fullmatch(
        r"Received: by mx\.test \(Pillarbox, from userid 7\)\n\tid 4jX; " + DATE,
        received_local(host="mx.test", queue_id="4jX", uid=7, when=WHEN).decode(),
    )
    made_here = received_by(host="mx.test", queue_id="4jX", when=WHEN)
    assert made_here.startswith(b"Received: by mx.test (Pillarbox)\n\tid 4jX; ")


@given(st.text(max_size=60), st.text(max_size=60), st.text(max_size=30))
def test_no_client_can_break_out_of_the_field(helo: str, name: str, user: str) -> None:
    origin = Origin(helo, name, "192.0.2.1", "ESMTP", user=user)
    field = received_from(origin, host="mx", queue_id="4jX", when=0, recipient=name)
    assert len(list(scan(field))) == 1
    outside = re.sub(r"\([^()]*\)", "", re.sub(r"\([^()]*\)", "", field.decode()))
    assert "(" not in outside and ")" not in outside
    assert outside.count("by mx") == 1 or "by mx" in helo + name


def test_hops_and_loops() -> None:
    block = b"Received: a\nRECEIVED: b\n\treceived: c\nSubject: Received: d\nDelivered-To: Bob@x.org\n"
    assert count_hops(block) == 2
    assert delivered_to(block) == ["Bob@x.org"]
    assert loops(block, "bob@X.org")
    assert not loops(block, "alice@x.org")
    assert count_hops(b"Subject: x\n") == 0


def test_delivery_fields() -> None:
    assert delivery_fields("", "", "b@x") == b"Return-Path: <>\nX-Original-To: b@x\nDelivered-To: b@x\n"
    assert delivery_fields("a@y", "o@x", "b@x") == b"Return-Path: <a@y>\nX-Original-To: o@x\nDelivered-To: b@x\n"


def test_message_ids() -> None:
    assert make_message_id("4jX", "mx.test", WHEN) == "<20261122035403.4jX@mx.test>"
    assert read_message_id(b" (c) <a@b> x") == "<a@b>"
    assert read_message_id(b"odd id\xff") == "odd id\\xff"


class TestMbox:
    def test_from_line(self) -> None:
        assert re.fullmatch(rb"From a@b  \w{3} \w{3} [ \d]\d \d\d:\d\d:\d\d 2026\n", from_line("a@b", WHEN))
        assert from_line("", 0).startswith(b"From MAILER-DAEMON  ")
        assert from_line('"a b\n"@x', 0).startswith(b'From "a?b?"@x  ')
        assert is_from_line(b">From x") and is_from_line(b"From x") and not is_from_line(b"From: x")

    @pytest.mark.parametrize(
        ("data", "quoted"),
        [
            (b"From a\nFrom b\n>From c\nfrom d\nFro\nFrom", b">From a\n>From b\n>From c\nfrom d\nFro\nFrom"),
            (b"xFrom a\n\nFrom ", b"xFrom a\n\n>From "),
            (b"F\nFF\nFrFrom \n", b"F\nFF\nFrFrom \n"),
        ],
    )
    def test_quoting_however_it_arrives(self, data: bytes, quoted: bytes) -> None:
        for chunks in splits(data):
            quoter = FromQuoter()
            assert b"".join(quoter.feed(chunk) for chunk in chunks) + quoter.close() == quoted

    @given(st.lists(st.sampled_from([b"F", b"r", b"o", b"m", b" ", b"\n", b"From ", b"x"]), max_size=30))
    def test_quoting_in_pieces_equals_quoting_whole(self, pieces: list[bytes]) -> None:
        whole = b"".join(pieces)
        quoter = FromQuoter()
        result = b"".join(quoter.feed(piece) for piece in pieces) + quoter.close()
        assert result == re.sub(rb"^From ", b">From ", whole, flags=re.MULTILINE)


@pytest.mark.parametrize(
    ("block", "automatic"),
    [
        (b"Subject: x\n", False),
        (b"Auto-Submitted: no\n", False),
        (b"Auto-Submitted: auto-replied\n", True),
        (b"auto-submitted: auto-generated; owner=x\n", True),
        (b"Auto-Submitted: No (really)\n", False),
        (b"List-Id: <x>\n", True),
        (b"Precedence: Bulk\n", True),
        (b"Precedence: first-class\n", False),
    ],
)
def test_automatic_mail(block: bytes, automatic: bool) -> None:
    assert is_automatic(block) == automatic


def test_machine_senders() -> None:
    assert all(is_machine_sender(s) for s in ("", "MAILER-DAEMON@x", "owner-list@x", "list-request@x", "noreply@x"))
    assert not is_machine_sender("alice@x")


class TestRecipientsInHeaders:
    def test_to_cc_and_bcc_once_each(self) -> None:
        block = b"To: a@x, B <b@x>\nCc: c@x,\n a@x\nBcc: d@x\nFrom: e@x\n"
        assert header_recipients(block).addresses == ("a@x", "b@x", "c@x", "d@x")

    def test_resent_fields_win(self) -> None:
        found = header_recipients(b"To: a@x, bad bad\nResent-To: b@x\nResent-Cc: c@x\n")
        assert (found.addresses, found.invalid) == (("b@x", "c@x"), ())

    def test_invalid_entries_are_reported(self) -> None:
        assert header_recipients(b"To: a b, c@x\n").invalid == ("a b",)

    def test_raw_octets_do_no_harm(self) -> None:
        assert header_recipients(b"To: \xff\xfe <a@x>\n").addresses == ("a@x",)
