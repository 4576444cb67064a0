"""Delivery status notifications, read back by the standard library's parser."""

from __future__ import annotations

import email
import email.policy
from collections.abc import Iterable
from email.message import EmailMessage
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pillarbox.lib.message.dsn import KINDS, Kind, Original, Report, ReportedRecipient, compose
from pillarbox.lib.message.dsn.template import Template

HEADER = b"Subject: hello\nFrom: alice@x.org\n"
BODY = b"\nthe body\n"


def report(kind: str = "failure", **changes: Any) -> Report:
    settings: dict[str, Any] = {
        "kind": KINDS[kind],
        "host": "mx.test",
        "mail_name": "Pillarbox",
        "queue_id": "4jXFYl6dnjzKD6m",
        "to": "alice@x.org",
        "sender": "alice@x.org",
        "arrival": 1795319643.9,
        "when": 1795319743.9,
    }
    return Report(**{**settings, **changes})


FAILED = ReportedRecipient(
    "bob@y.org",
    "5.1.1",
    "host mx.y.org[192.0.2.1] said: 550 5.1.1 User unknown",
    original="b@x.org",
    orcpt="rfc822;bobby@x.org",
    remote_mta="mx.y.org",
    diagnostic="smtp; 550 5.1.1 User unknown",
    last_attempt=1795319700,
)


def original(header: bytes = HEADER, body: bytes = BODY, *, eight_bit: bool = False) -> Original:
    return Original(header, len(header + body), lambda: [header, body], eight_bit)


def written(
    what: Report, recipients: Iterable[ReportedRecipient] = (FAILED,), about: Original | None = None
) -> tuple[bytes, EmailMessage]:
    recipients = tuple(recipients)
    data = b"".join(compose(what, lambda: recipients, about or original()))
    message = email.message_from_bytes(data, policy=email.policy.default)
    return data, cast(EmailMessage, message)


def parts(message: EmailMessage) -> list[EmailMessage]:
    return cast("list[EmailMessage]", list(message.iter_parts()))


def status_fields(message: EmailMessage) -> list[EmailMessage]:
    return cast("list[EmailMessage]", parts(message)[1].get_payload())


def test_the_top_is_what_mail_systems_expect() -> None:
    _, message = written(report())
    assert message["From"] == "Mail Delivery System <MAILER-DAEMON@mx.test>"
    assert message["To"] == "alice@x.org"
    assert message["Subject"] == "Undelivered Mail Returned to Sender"
    assert message["Auto-Submitted"] == "auto-replied"
    assert message.get_content_type() == "multipart/report"
    assert message.get_param("report-type") == "delivery-status"
    assert message.get_boundary() == "4jXFYl6dnjzKD6m.1795319743/mx.test"
    assert not message.defects


@pytest.mark.parametrize(
    ("kind", "subject", "action", "third"),
    [
        ("failure", "Undelivered Mail Returned to Sender", "failed", "message/rfc822"),
        ("delay", "Delayed Mail (still being retried)", "delayed", "text/rfc822-headers"),
        ("success", "Successful Mail Delivery Report", "delivered", "text/rfc822-headers"),
        ("verify", "Mail Delivery Status Report", "deliverable", "text/rfc822-headers"),
        ("postmaster", "Postmaster Copy: Undelivered Mail", "failed", "message/rfc822"),
        ("bounce copy", "Postmaster Copy: Undelivered Mail", "failed", "text/rfc822-headers"),
        ("delay copy", "Postmaster Warning: Delayed Mail", "delayed", "text/rfc822-headers"),
    ],
)
def test_each_kind(kind: str, subject: str, action: str, third: str) -> None:
    _, message = written(report(kind))
    assert message["Subject"] == subject
    assert [part.get_content_type() for part in parts(message)] == ["text/plain", "message/delivery-status", third]
    assert status_fields(message)[1]["Action"] == action


def test_fields_about_the_message() -> None:
    _, message = written(report(envid="QQ314159"))
    about = status_fields(message)[0]
    assert about["Original-Envelope-Id"] == "QQ314159"
    assert about["Reporting-MTA"] == "dns; mx.test"
    assert about["X-Pillarbox-Queue-ID"] == "4jXFYl6dnjzKD6m"
    assert about["X-Pillarbox-Sender"] == "rfc822; alice@x.org"
    assert about["Arrival-Date"]


def test_fields_about_a_recipient() -> None:
    _, message = written(report())
    one = status_fields(message)[1]
    assert one["Final-Recipient"] == "rfc822; bob@y.org"
    assert one["Original-Recipient"] == "rfc822; bobby@x.org"
    assert one["Status"] == "5.1.1"
    assert one["Remote-MTA"] == "dns; mx.y.org"
    assert one["Diagnostic-Code"] == "smtp; 550 5.1.1 User unknown"
    assert one["Last-Attempt-Date"]


def test_our_own_words_are_not_called_smtp() -> None:
    _, message = written(report(), [ReportedRecipient("b@y", "5.1.1", "unknown user: b")])
    assert status_fields(message)[1]["Diagnostic-Code"] == "X-Pillarbox; unknown user: b"


def test_the_text_says_cause_and_cure_before_the_servers_words() -> None:
    _, message = written(report())
    text = parts(message)[0].get_content()
    assert (
        text.index("no mailbox with this name") < text.index("Check the spelling") < text.index("mx.y.org[192.0.2.1]")
    )
    assert "<bob@y.org> (expanded from <b@x.org>)" in text


def test_a_warning_says_until_when() -> None:
    _, message = written(report("delay", retry_until=1795700000.0))
    assert "YOU DO NOT NEED TO RESEND" in parts(message)[0].get_content()
    assert "Nov 2026" in parts(message)[0].get_content()


def test_a_delivery_that_was_handed_on() -> None:
    _, message = written(report("success"), [ReportedRecipient("b@y", "2.0.0", "250 Ok", action="relayed")])
    assert status_fields(message)[1]["Action"] == "relayed"


def test_the_original_comes_back_whole_or_as_header() -> None:
    _, whole = written(report())
    assert parts(whole)[2].get_payload(0).get_content() == "the body\n"
    data, header = written(report(return_body=False))
    assert parts(header)[2].get_content_type() == "text/rfc822-headers"
    assert b"the body" not in data
    assert b"Undelivered Message Headers" in data


def test_an_original_that_is_not_at_hand() -> None:
    _, message = written(report(), about=Original(b"", 0))
    assert len(parts(message)) == 2


def test_an_original_without_a_last_line_end_does_not_swallow_the_boundary() -> None:
    data, message = written(report(), about=original(body=b"\nno end"))
    assert data.endswith(b"--\n")
    assert parts(message)[2].get_payload(0).get_content() == "no end\n"


def test_eight_bit_is_declared() -> None:
    _, message = written(report(), about=original(body="\né\n".encode(), eight_bit=True))
    assert message["Content-Transfer-Encoding"] == "8bit"
    assert parts(message)[2]["Content-Transfer-Encoding"] == "8bit"


def test_a_report_with_header_only_stays_ascii() -> None:
    data, _ = written(report(return_body=False), about=original(header=b"Subject: caf\xe9\n", eight_bit=True))
    assert data.isascii()


def test_international_addresses_make_a_global_report() -> None:
    recipient = ReportedRecipient("jørn@bücher.example", "5.1.1", "nicht hier: jørn")
    data, message = written(report(smtputf8=True, to="ålice@x.org", sender="ålice@x.org"), [recipient])
    assert [part.get_content_type() for part in parts(message)] == [
        "text/plain",
        "message/global-delivery-status",
        "message/global",
    ]
    assert "Final-Recipient: utf-8; jørn@bücher.example".encode() in data


@given(st.text(max_size=100), st.text(max_size=100), st.text(max_size=100), st.sampled_from(sorted(KINDS)))
def test_no_outside_text_breaks_the_structure(address: str, text: str, diagnostic: str, kind: str) -> None:
    recipient = ReportedRecipient(address, text[:8], text, address, address, "", text, diagnostic)
    data, message = written(report(kind, envid=text, sender=address, to="a@b"), [recipient, FAILED])
    assert data.isascii()
    assert len(parts(message)) == 3
    assert len(status_fields(message)) == 3
    assert [one["Action"] for one in status_fields(message)[1:]] == [KINDS[kind].action] * 2
    assert b"\r" not in data


def test_memory_does_not_grow_with_the_message() -> None:
    """A gigabyte-sized original passes as the chunks it came in."""
    chunk = b"x" * 65535 + b"\n"
    seen = 0
    for piece in compose(report(), lambda: [FAILED], Original(HEADER, 1 << 30, lambda: (chunk for _ in range(500)))):
        assert len(piece) <= len(chunk)
        seen += len(piece)
    assert seen > 500 * len(chunk)


def test_recipients_are_grouped_by_cause_and_the_details_follow() -> None:
    _, message = written(
        report(),
        [
            ReportedRecipient("bob@y.org", "5.1.1", "host mx said: 550 5.1.1 no such user"),
            ReportedRecipient("full@y.org", "5.2.2", "host mx said: 552 5.2.2 over quota"),
            ReportedRecipient("eve@y.org", "5.1.1", "host mx said: 550 5.1.1 user unknown"),
        ],
    )
    text = parts(message)[0].get_content()
    assert (
        """
  <bob@y.org>
  <eve@y.org>

    There is no mailbox with this name at y.org.
    Check the spelling of the address, then send the message again.

  <full@y.org>

    The recipient's mailbox is full.
"""
        in text
    )
    assert text.index("mailbox is full") < text.index("The details") < text.index("said: 550")


def test_what_expired_says_how_long_it_was_tried() -> None:
    old = report(arrival=1795319743.9 - 5 * 86400)
    _, message = written(old, [ReportedRecipient("bob@y.org", "4.4.1", "connect to y.org: Connection timed out")])
    words = " ".join(parts(message)[0].get_content().split())
    assert "could not be reached, or gave no answer. It was tried for 5 days." in words


def test_a_warning_says_that_nothing_need_be_done_and_gives_no_cure() -> None:
    late = ReportedRecipient("bob@y.org", "4.4.1", "connect to y.org: Connection timed out")
    _, message = written(report("delay", retry_until=1795700000.0), [late])
    words = " ".join(parts(message)[0].get_content().split())
    assert "You need not do anything: it will be tried again by itself until Thu, 26 Nov 2026" in words
    assert "reach the recipient another way" not in words


def test_lines_are_short_whatever_servers_say() -> None:
    long = ReportedRecipient("bob@y.org", "5.7.1", "host mx said: 554 " + "word " * 300 + "x" * 5000)
    data, message = written(report(), [long])
    assert all(len(line) < 78 or " " not in line.strip() for line in parts(message)[0].get_content().split("\n"))
    assert max(map(len, data.split(b"\n"))) < 998


@pytest.mark.parametrize("said", ["\U0001f600" * 800, "\U0001f600" * 4000, "\udcff" * 3000, "\u00e9" * 950])
def test_nor_whatever_characters_they_use(said: str) -> None:
    data, _ = written(report(), [ReportedRecipient("bob@y.org", "5.7.1", said, diagnostic=f"smtp; 554 {said}")])
    assert data.isascii() and max(map(len, data.split(b"\n"))) < 998


def test_more_causes_than_anybody_reads_are_told_together() -> None:
    many = [ReportedRecipient(f"u@d{number}.test", "5.1.1", "no") for number in range(100)]
    _, message = written(report(), many)
    text = parts(message)[0].get_content()
    assert text.count("There is no mailbox") == 20
    assert all(text.count(f"<u@d{number}.test>") == 2 for number in range(100))


class TestTemplates:
    WORDS = Template("Ihre Nachricht", "Grüße von $myhostname\n", "Kopie", "MAILER-DAEMON (Postamt)", "utf-8")

    def test_the_administrators_words_replace_ours(self) -> None:
        _, message = written(report(words=self.WORDS))
        assert message["Subject"] == "Ihre Nachricht"
        assert message["From"] == "Postamt <MAILER-DAEMON@mx.test>"
        assert message["Content-Transfer-Encoding"] == "8bit"
        text = parts(message)[0].get_content()
        assert text.startswith("Grüße von mx.test\n")
        assert "There is no mailbox with this name" in text
        assert "If you need help" not in text

    def test_postmaster_copies_have_the_other_subject_and_our_words(self) -> None:
        data, message = written(report("bounce copy", words=self.WORDS))
        assert message["Subject"] == "Kopie"
        assert "this is a copy for the postmaster" in parts(message)[0].get_content()
        assert [part.get_content_type() for part in parts(message)][2] == "text/rfc822-headers"
        assert data.isascii()

    def test_letters_that_the_charset_lacks_are_escaped(self) -> None:
        words = Template("s", "Gr\udcfc\udcdfe\n", "s", charset="iso-8859-1")
        recipient = ReportedRecipient("jørn@y.org", "5.1.1", "no")
        data, message = written(report(smtputf8=True, words=words), [recipient])
        assert parts(message)[0].get_content().startswith("Grüße\n")
        assert b"<j\\xf8rn@y.org>" in data


def test_kinds_are_found_by_their_names() -> None:
    assert all(isinstance(kind, Kind) and kind.name == name for name, kind in KINDS.items())
