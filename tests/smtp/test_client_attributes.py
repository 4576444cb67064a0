"""The attributes of XCLIENT and XFORWARD: names, xtext, values."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pillarbox.lib.smtp import replies
from pillarbox.lib.smtp.client_attributes import XCLIENT, XFORWARD, known, parse_attributes
from pillarbox.lib.smtp.reply import Reply


@pytest.mark.parametrize(
    ("argument", "attributes"),
    [
        ("NAME=spike.porcupine.org ADDR=168.100.189.2", {"NAME": "spike.porcupine.org", "ADDR": "168.100.189.2"}),
        ("name=a.example", {"NAME": "a.example"}),
        ("NAME=a.example.", {"NAME": "a.example"}),
        ("NAME=[UNAVAILABLE] REVERSE_NAME=[tempunavail]", {"NAME": "[UNAVAILABLE]", "REVERSE_NAME": "[TEMPUNAVAIL]"}),
        ("ADDR=IPv6:2001:DB8:0::1", {"ADDR": "2001:db8::1"}),
        ("ADDR=2001:db8::1 PORT=25", {"ADDR": "2001:db8::1", "PORT": "25"}),
        ("PROTO=esmtp HELO=me+20you", {"PROTO": "ESMTP", "HELO": "me you"}),
        ("LOGIN=ann+40b.example", {"LOGIN": "ann@b.example"}),
        ("HELO=+C3+BC", {"HELO": "\u00fc"}),
        ("DESTADDR=192.0.2.1 DESTPORT=587", {"DESTADDR": "192.0.2.1", "DESTPORT": "587"}),
        ("ADDR=192.0.2.1 ADDR=192.0.2.2", {"ADDR": "192.0.2.2"}),
        ("HELO=" + "x" * 255, {"HELO": "x" * 255}),
    ],
)
def test_xclient_attributes_are_read(argument: str, attributes: dict[str, str]) -> None:
    assert parse_attributes("XCLIENT", argument, XCLIENT) == attributes


@pytest.mark.parametrize(
    ("argument", "reply"),
    [
        ("", replies.attributes_syntax("XCLIENT")),
        ("NAME", replies.ATTRIBUTE_VALUE_EXPECTED),
        ("NAME=", replies.ATTRIBUTE_VALUE_EXPECTED),
        ("=x", replies.bad_attribute_name("XCLIENT", "")),
        ("IDENT=x", replies.bad_attribute_name("XCLIENT", "IDENT")),
        ("NAME=a..b", replies.bad_attribute_value("NAME", "a..b")),
        ("NAME=a+20b", replies.bad_attribute_value("NAME", "a+20b")),
        ("ADDR=192.0.2.256", replies.bad_attribute_value("ADDR", "192.0.2.256")),
        ("ADDR=fe80::1%25", replies.bad_attribute_value("ADDR", "fe80::1%25")),
        ("ADDR=192.0.2.0/24", replies.bad_attribute_value("ADDR", "192.0.2.0/24")),
        ("PORT=65536", replies.bad_attribute_value("PORT", "65536")),
        ("PORT=-1", replies.bad_attribute_value("PORT", "-1")),
        ("PROTO=HTTP", replies.bad_attribute_value("PROTO", "HTTP")),
        ("HELO=a+0D+0Ab", replies.bad_attribute_value("HELO", "a+0D+0Ab")),
        ("HELO=+FF", replies.bad_attribute_value("HELO", "+FF")),
        ("HELO=+zz", replies.bad_attribute_value("HELO", "+zz")),
        ("HELO=a=b", replies.bad_attribute_value("HELO", "a=b")),
        ("HELO=" + "x" * 256, replies.ATTRIBUTE_VALUE_TOO_LONG),
        ("NAME=a.example ADDR", replies.ATTRIBUTE_VALUE_EXPECTED),
    ],
)
def test_bad_attributes_are_refused(argument: str, reply: Reply) -> None:
    assert parse_attributes("XCLIENT", argument, XCLIENT) == reply


def test_xforward_has_its_own_attributes() -> None:
    argument = "NAME=a.example ADDR=192.0.2.1 PORT=5 HELO=h PROTO=ESMTPSA IDENT=4jXFYl6dnjzKD6m SOURCE=local"
    assert parse_attributes("XFORWARD", argument, XFORWARD) == {
        "NAME": "a.example", "ADDR": "192.0.2.1", "PORT": "5", "HELO": "h", "PROTO": "ESMTPSA",
        "IDENT": "4jXFYl6dnjzKD6m", "SOURCE": "LOCAL",
    }  # fmt: skip
    assert parse_attributes("XFORWARD", "LOGIN=x", XFORWARD) == replies.bad_attribute_name("XFORWARD", "LOGIN")
    assert parse_attributes("XFORWARD", "SOURCE=x", XFORWARD) == replies.bad_attribute_value("SOURCE", "x")


def test_what_is_not_known_is_not_a_value() -> None:
    assert known({"NAME": "[UNAVAILABLE]", "ADDR": "[TEMPUNAVAIL]", "HELO": "h"}, "NAME") == ""
    assert known({"NAME": "[UNAVAILABLE]", "ADDR": "[TEMPUNAVAIL]", "HELO": "h"}, "ADDR") == ""
    assert known({"HELO": "h"}, "HELO") == "h"


@given(st.text(max_size=60))
def test_any_text_gets_attributes_or_a_reply_that_can_be_sent(text: str) -> None:
    for command, readers in (("XCLIENT", XCLIENT), ("XFORWARD", XFORWARD)):
        found = parse_attributes(command, text, readers)
        if isinstance(found, Reply):
            assert found.encode().count(b"\r\n") == 1
        else:
            assert all(value.isprintable() for value in found.values())
