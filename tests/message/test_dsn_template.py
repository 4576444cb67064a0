"""Template files (bounce(5) of Postfix): what is read, what a mistake costs."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pillarbox.lib.message.dsn import BUILT_IN, Template
from pillarbox.lib.message.dsn.template import NAMES, read_templates, time_names

FILE = b"""\
# Postfix's own example, shortened
failure_template = <<EOF
Charset: us-ascii
From: MAILER-DAEMON (Mail Delivery System)
Subject: Undelivered Mail Returned to Sender
Postmaster-Subject: Postmaster Copy: Undelivered Mail

This is the mail system at host $myhostname.

                   The mail system
EOF

delay_template = <<WORT
Charset: utf-8
Subject: =?utf-8?q?versp=C3=A4tet?=

Ihre Nachricht wartet seit $delay_warning_time_hours Stunden. Gr\xc3\xbc\xc3\x9fe
WORT
"""


def read(data: bytes) -> tuple[dict[str, Template], list[str]]:
    warnings: list[str] = []
    return read_templates(data, warnings.append), warnings


def test_a_file_is_read() -> None:
    found, warnings = read(FILE)
    assert warnings == []
    assert list(found) == ["failure", "delay"]
    assert found["failure"].subject == "Undelivered Mail Returned to Sender"
    assert found["failure"].postmaster_subject == "Postmaster Copy: Undelivered Mail"
    assert found["failure"].author("mx.test") == "Mail Delivery System <MAILER-DAEMON@mx.test>"
    assert found["failure"].body.endswith("\n                   The mail system\n")
    assert found["delay"].charset == "utf-8"
    assert "Grüße" in found["delay"].body
    assert found["delay"].postmaster_subject == found["delay"].subject
    assert not found["failure"].built_in


def test_what_is_shown_can_be_read_again() -> None:
    text = "\n".join(template.written(name) for name, template in BUILT_IN.items())
    found, warnings = read(text.encode())
    assert warnings == []
    assert set(found) == set(BUILT_IN) == set(NAMES)
    for name, template in BUILT_IN.items():
        assert (found[name].subject, found[name].body) == (template.subject, template.body)


@pytest.mark.parametrize(
    ("broken", "warning"),
    [
        (b"failure_template = <<EOF\nSubject: x\n\nhello\n", 'there is no line "EOF"'),
        (b"failure_template = <<EOF\n\nhello\nEOF\n", "it has no Subject:"),
        (b"failure_template = <<EOF\nSubject: x\n\n\nEOF\n", "it has no text"),
        (b"failure_template = <<EOF\nSubject: x\nEOF\n", "it has no text"),
        (b"failure_template = <<EOF\nSubject: x\nBcc: y\n\nhello\nEOF\n", '"Bcc: y" is none of Charset:'),
        (b"failure_template = <<EOF\nSubject: \xc3\xa9\n\nhello\nEOF\n", "only printable ASCII"),
        (b"failure_template = <<EOF\nSubject: x\n\n\xc3\xa9\nEOF\n", 'say "Charset: utf-8"'),
        (b"failure_template = <<EOF\nSubject: x\nCharset: utf-8\n\n\xe9\nEOF\n", "its text is not UTF-8"),
        (b"failure_template = <<EOF\nSubject: x\nCharset: a b\n\ne\nEOF\n", '"a b" is no charset'),
        (b"failure_template = <<EOF\nSubject: x\n\na\0\nEOF\n", "a NUL"),
        (b"failure_template = <<EOF\nSubject: x\n\n" + b"a" * 999 + b"\nEOF\n", "more than 900 bytes"),
        (b"failure_template = <<EOF\nSubject: x\n\n" + b"a\n" * 20000 + b"EOF\n", "more than 16384 characters"),
        (b"failure_tempalte = <<EOF\n", "NAME_template"),
        (b"other_template = <<EOF\nSubject: x\n\nhello\nEOF\n", "a template is one of failure_template"),
        (b"x" * 300_000, "more than 262144 bytes"),
    ],
)
def test_a_mistake_is_named_and_costs_its_own_template_only(broken: bytes, warning: str) -> None:
    found, warnings = read(broken)
    assert "failure" not in found
    assert any(warning in text for text in warnings), warnings
    if broken.endswith(b"EOF\n"):
        assert "delay" in read(broken + FILE[FILE.index(b"delay_") :])[0]


def test_an_author_may_be_written_in_each_form() -> None:
    assert Template("s", "b", sender="postmaster").author("h.test") == "postmaster@h.test"
    assert Template("s", "b", sender="a@b.test (A B)").author("h.test") == "A B <a@b.test>"
    assert Template("s", "b", sender="A B <a@b.test>").author("h.test") == "A B <a@b.test>"


def test_times_have_names_for_each_unit() -> None:
    names = dict(time_names({"delay_warning_time": 4 * 3600.0, "maximal_queue_lifetime": 5 * 86400.0}))
    assert names["delay_warning_time_hours"] == "4"
    assert names["delay_warning_time_days"] == "0"
    assert names["maximal_queue_lifetime_days"] == "5"
    assert names["maximal_queue_lifetime_seconds"] == "432000"
    assert len(names) == 10


@given(st.binary(max_size=300))
def test_no_octets_break_the_reader(data: bytes) -> None:
    read(data)
    for template in read(b"delay_template = <<E\nSubject: s\n" + data + b"\nE\n")[0].values():
        assert template.subject and template.body.strip()
