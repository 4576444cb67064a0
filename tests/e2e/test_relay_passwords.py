"""The passwords of the SMTP client in a running suite: a file that is root's alone, new passwords without reload."""

from __future__ import annotations

import os
import smtplib
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab.instance import Instance
from tests.lab.sinks import SmtpSink


@pytest.fixture
def sink() -> Iterator[SmtpSink]:
    with SmtpSink(users={"ann": "first", "bob": "second"}) as made:
        yield made


@pytest.fixture
def file() -> Iterator[Path]:
    """In a directory that only root may enter."""
    with tempfile.TemporaryDirectory(prefix="secrets-") as folder:
        yield Path(folder, "passwords")


def write(file: Path, content: str) -> None:
    file.touch(0o600)
    file.write_text(content)


def instance(sink: SmtpSink, file: Path) -> Instance:
    settings = {
        "relayhost": sink.nexthop,
        "smtp_sasl_auth_enable": "yes",
        "smtp_sasl_security_options": "noanonymous",
        "smtp_sasl_password_maps": f"texthash:{file}",
        "tls_certificate_check_interval": "0.1s",
        "mynetworks": "127.0.0.0/8",
    }
    return Instance(settings=settings)


def send(mail: Instance, recipient: str) -> None:
    with smtplib.SMTP(mail.address, mail.port("smtp"), timeout=30) as client:
        client.sendmail("bob@example.org", [recipient], "Subject: relayed\r\n\r\nhello\r\n")


def test_a_new_password_is_used_without_a_reload_and_no_mail_waits_for_it(sink: SmtpSink, file: Path) -> None:
    write(file, f"{sink.address} ann:first\n")
    sent: list[str] = []

    def send_one() -> None:
        sent.append(f"r{len(sent)}@out.example")
        send(mail, sent[-1])

    def used(user: str) -> bool:
        send_one()
        return any(message.user == user for message in list(sink.messages))

    with instance(sink, file) as mail:
        checked = mail.run(["pillarbox", "check"])
        assert "smtp_sasl_password_maps" not in checked.stderr
        mail.wait_for(lambda: used("ann"))
        assert {message.user for message in sink.messages} == {"ann"}
        write(file, f"{sink.address} bob:second\n")
        mail.wait_for(lambda: used("bob"))
        mail.wait_for(lambda: all(sink.received(recipient) for recipient in sent))
        assert [len(sink.received(recipient)) for recipient in sent] == [1] * len(sent)
        assert mail.log_matching("new table: the processes of smtp, ")
        assert not mail.log_matching("status=deferred|warning:|error:")


def test_mail_waits_for_a_file_that_cannot_be_read(sink: SmtpSink, file: Path) -> None:
    with instance(sink, file) as mail:
        why = f"table texthash:{file}: open {file}: No such file or directory"
        assert mail.log_matching(f"/smtp.*error: {why}")
        checked = mail.run(["pillarbox", "check"])
        assert checked.returncode == os.EX_CONFIG
        assert f"smtp_sasl_password_maps: {why}" in checked.stderr
        send(mail, "one@out.example")
        mail.wait_for(lambda: mail.log_matching(f"status=deferred .Temporary lookup failure: {why}"))
        assert sink.messages == []
        write(file, f"{sink.address} ann:first\n")
        mail.wait_for(lambda: mail.log_matching("new table: the processes of smtp, "))
        mail.wait_for(lambda: mail.run(["pillarbox", "flush"], check=True) and sink.received("one@out.example"))
        assert [message.user for message in sink.messages] == ["ann"]


def test_a_table_that_asks_others_does_not_start(sink: SmtpSink) -> None:
    mail = instance(sink, Path("/nonexistent"))
    try:
        mail.init()
        mail.set("smtp_sasl_password_maps", "accounts:all")
        for verb in ("check", "start"):
            done = mail.run(["pillarbox", verb])
            assert done.returncode != 0
            assert "smtp_sasl_password_maps: table accounts:all: the type accounts asks" in done.stdout + done.stderr
    finally:
        mail.close()
