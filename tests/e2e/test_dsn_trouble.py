"""Reports in trouble: no cleanup to write to, templates that cannot be used, servers that do not understand us."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Callable, Iterator

import pytest

from tests.e2e.wire import BOB, only, parsed, send
from tests.lab.instance import Instance
from tests.lab.processes import tree
from tests.lab.sinks import SmtpSink

POSTMASTER = "postmaster@example.org"

TEMPLATES = """\
failure_template = <<EOF
Charset: utf-8
Subject: Unzustellbar

Grüße von $myhostname, nach $maximal_queue_lifetime_days Tagen.
EOF
delay_template = <<EOF
no header at all
EOF
"""


@pytest.fixture(scope="module")
def sink() -> Iterator[SmtpSink]:
    with SmtpSink() as running:
        yield running


@pytest.fixture(scope="module")
def mail(sink: SmtpSink) -> Iterator[Instance]:
    settings = {
        "relayhost": sink.nexthop,
        "notify_classes": "protocol",
        "error_notice_recipient": POSTMASTER,
        "minimal_backoff_time": "1s",
        "maximal_backoff_time": "1s",
        "queue_run_delay": "1s",
    }
    instance = Instance(users={BOB: "secret", POSTMASTER: "secret"}, settings=settings)
    instance.init()
    templates = instance.config / "bounce.cf"
    templates.write_text(TEMPLATES, encoding="utf-8")
    templates.chmod(0o644)
    instance.set("bounce_template_file", str(templates))
    try:
        instance.start()
        yield instance
    finally:
        instance.show_log()
        instance.close()


def marked(mail: Instance, box: str, mark: bytes) -> Callable[[], list[bytes]]:
    return lambda: [each for each in mail.mailbox(box) if mark in each]


def processes(mail: Instance, name: str) -> list[int]:
    """The processes of one program that have logged something."""
    alive = {each.pid for each in tree(mail.master_pid())}
    found = {int(match[1]) for line in mail.log_lines() if (match := re.search(rf" pillarbox/{name}\[(\d+)\]: ", line))}
    return sorted(found & alive)


def message(mark: bytes) -> bytes:
    return b"Subject: " + mark + b"\r\n\r\nhello\r\n"


def test_a_template_is_used_and_a_broken_one_is_not(mail: Instance, sink: SmtpSink) -> None:
    sink.replies["rcpt"] = {"no@far.test": "550 5.1.1 no"}
    send(mail, "no@far.test", message(b"mark-1-"), sender=BOB)
    report = parsed(only(marked(mail, BOB, b"mark-1-"), mail))
    assert report["Subject"] == "Unzustellbar"
    parts = report.get_payload()
    assert isinstance(parts, list)
    text = parts[0].get_payload(decode=True)
    assert isinstance(text, bytes)
    assert text.decode().startswith("Grüße von mx.example.org, nach 5 Tagen.\n")
    assert mail.log_matching(r"bounce\[\d+\]: warning: bounce_template_file .*: delay_template: .*built-in")


def test_a_report_survives_the_death_of_the_program_that_is_to_queue_it(mail: Instance, sink: SmtpSink) -> None:
    killed: list[int] = []

    def refuse(argument: str) -> str:
        for pid in processes(mail, "cleanup"):
            os.kill(pid, signal.SIGKILL)
            killed.append(pid)
        return "550 5.1.1 no"

    sink.replies["rcpt"] = refuse
    send(mail, "no@far.test", message(b"mark-2-"), sender=BOB)
    report = parsed(only(marked(mail, BOB, b"mark-2-"), mail))
    assert killed
    assert report.get_content_type() == "multipart/report"
    mail.wait_for(lambda: not mail.queue_ids())
    assert len(marked(mail, BOB, b"mark-2-")()) == 1


def test_a_report_that_cannot_be_queued_now_waits_with_its_reasons(mail: Instance, sink: SmtpSink) -> None:
    stopped: list[int] = []

    def refuse(argument: str) -> str:
        for pid in processes(mail, "cleanup"):
            os.kill(pid, signal.SIGSTOP)
            stopped.append(pid)
        return "550 5.1.1 no"

    sink.replies["rcpt"] = refuse
    send(mail, "no@far.test", message(b"mark-3-"), sender=BOB)
    mail.wait_for(lambda: stopped)
    mail.wait_for(lambda: any((mail.root / "spool" / "bounce").iterdir()))
    assert not marked(mail, BOB, b"mark-3-")()
    for pid in stopped:
        os.kill(pid, signal.SIGCONT)
    only(marked(mail, BOB, b"mark-3-"), mail)
    mail.wait_for(lambda: not any((mail.root / "spool" / "bounce").iterdir()))


def test_a_server_that_does_not_understand_us_is_shown_to_the_postmaster(mail: Instance, sink: SmtpSink) -> None:
    sink.replies.clear()
    sink.replies["mail"] = "502 5.5.2 what is MAIL?"
    send(mail, "any@far.test", message(b"mark-4-"), sender=BOB)
    notice = parsed(only(lambda: mail.mailbox(POSTMASTER), mail))
    assert str(notice["Subject"]).startswith("Pillarbox SMTP client: errors from 127.0.0.1[127.0.0.1]:")
    assert notice["Return-Path"] == "<double-bounce@mx.example.org>"
    text = str(notice.get_payload())
    assert " Out: MAIL FROM:<bob@example.org>" in text
    assert " In:  502 5.5.2 what is MAIL?" in text
    assert "hello" not in text
    sink.replies.clear()
