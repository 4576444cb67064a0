"""Content checks and filters in a whole instance: tables under confinement, filters that hand mail in again."""

from __future__ import annotations

import os
import re
import shlex
import smtplib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.interpreter import shared_environment
from tests.e2e.wire import BOB, PASSWORD, body, send
from tests.lab.instance import Instance
from tests.lab.ports import free_port
from tests.lab.smtp_filter import VIRUS, SmtpFilter

SENDER = "carol@example.com"
RULES = """\
/^Subject: refuse/  REJECT No such subjects
/^Subject: hold/    HOLD by a rule
/^Subject: mark/    PREPEND X-Marked: yes
"""
SCRIPT = """#!{python}
import subprocess, sys
content = sys.stdin.buffer.read()
command = {sendmail!r} + ["-G", "-i", "-f", sys.argv[1], "--", *sys.argv[2:]]
done = subprocess.run(command, input=b"X-Piped: yes\\n" + content, env={environment!r})
sys.exit(75 if done.returncode else 0)
"""


class Filtered(Instance):
    """An instance with a port for each kind of filter, and one where filters hand mail in again."""

    def __init__(self, filter_port: int) -> None:
        super().__init__(users={BOB: PASSWORD})
        self.ports = {name: free_port() for name in ("piped", "scanned", "proxied", "adjusted", "again")}
        self._filter_port = filter_port

    def init(self) -> None:
        super().init()
        rules = self.config / "header_checks"
        rules.write_text(RULES)
        self.set("header_checks", f"regexp:{rules}")
        for limit in ("message_size_limit", "mailbox_size_limit", "body_checks_size_limit"):
            self.set(limit, "0")
        self.set("body_checks", "pcre:{{/^never a line like this/ REJECT in the body}}")
        script = self.directory / "scan"
        tools = shared_environment()  # the script runs as another user
        script.write_text(
            SCRIPT.format(
                python=tools / "python3",
                sendmail=[str(tools / "sendmail")],
                environment={"MAIL_CONFIG": str(self.config)},
            )
        )
        script.chmod(0o755)
        user = "    user: daemon\n" if os.geteuid() == 0 else ""
        ports = {name: port - self.base_port for name, port in self.ports.items()}
        filter_ = f"127.0.0.1:{self._filter_port}"
        with (self.config / "master.yaml").open("a") as file:
            file.write(
                f"""
piped:
  command: smtpd
  listen: inet:{ports["piped"]}
  options:
    content_filter: "scanpipe:dummy"
scanned:
  command: smtpd
  listen: inet:{ports["scanned"]}
  options:
    content_filter: "scan:[127.0.0.1]:{self._filter_port}"
proxied:
  command: smtpd
  listen: inet:{ports["proxied"]}
  options:
    smtpd_proxy_filter: "{filter_}"
adjusted:
  command: smtpd
  listen: inet:{ports["adjusted"]}
  options:
    smtpd_proxy_filter: "{filter_}"
    smtpd_proxy_options: speed_adjust
again:
  command: smtpd
  listen: inet:{ports["again"]}
  options:
    content_filter: ""
    receive_override_options: no_unknown_recipient_checks, no_header_body_checks
    smtpd_authorized_xforward_hosts: 127.0.0.0/8
scan:
  command: smtp_client
  options:
    smtp_send_xforward_command: yes
scanpipe:
  command: pipe
{user.replace("    ", "  ")}  options:
    pipe_command: "argv={shlex.quote(str(script))} ${{sender}} ${{recipient}}"
"""
            )

    def session(self, name: str) -> smtplib.SMTP:
        return smtplib.SMTP(self.address, self.ports[name], timeout=60)

    def stored(self, subject: str) -> bytes:
        """The message of that subject, when it has come."""
        wanted = f"Subject: {subject}\n".encode()
        self.wait_for(lambda: any(wanted in each for each in self.mailbox(BOB)))
        found = [each for each in self.mailbox(BOB) if wanted in each]
        assert len(found) == 1, "once, and not once per way"
        return found[0]


@pytest.fixture(scope="module")
def mail() -> Iterator[Filtered]:
    with SmtpFilter() as filter_, Filtered(filter_.port) as instance:
        filter_.hands_to(instance.ports["again"])
        yield instance


def message(subject: str, text: bytes = b"hello\r\n") -> bytes:
    return f"From: {SENDER}\r\nTo: {BOB}\r\nSubject: {subject}\r\n\r\n".encode() + text


class TestChecks:
    def test_a_rule_refuses(self, mail: Filtered) -> None:
        with pytest.raises(smtplib.SMTPDataError) as refused:
            send(mail, BOB, message("refuse this"))
        assert (refused.value.smtp_code, refused.value.smtp_error) == (550, b"5.7.1 No such subjects")
        (line,) = mail.log_matching("reject: header Subject: refuse this")
        assert re.search(
            r"pillarbox/cleanup\[\d+\]: \w+: reject: header Subject: refuse this from localhost\[127\.0\.0\.1\]; "
            rf"from=<{SENDER}> to=<{BOB}> proto=ESMTP helo=<\S+>: 5\.7\.1 No such subjects$",
            line,
        )
        with pytest.raises(smtplib.SMTPDataError) as refused:
            send(mail, BOB, message("body", b"x\r\nnever a line like this\r\n"))
        assert refused.value.smtp_error == b"5.7.1 in the body"

    def test_a_rule_changes(self, mail: Filtered) -> None:
        send(mail, BOB, message("mark"))
        assert b"X-Marked: yes\nSubject: mark\n" in mail.stored("mark")

    def test_a_rule_holds(self, mail: Filtered) -> None:
        send(mail, BOB, message("hold"))
        (queue_id,) = os.listdir(mail.root / "spool" / "hold")
        assert f"{queue_id}!" in mail.run(["mailq"], check=True).stdout
        assert mail.log_matching(f"{queue_id}: hold: header Subject: hold from localhost")
        mail.run(["postsuper", "-H", queue_id], check=True)
        mail.stored("hold")

    def test_a_changed_table_is_in_force_soon_and_no_mail_is_put_off_for_it(self, mail: Filtered) -> None:
        rules = mail.config / "header_checks"
        new = rules.with_suffix(".new")
        new.write_text(RULES + "/^Subject: lately/ REJECT now\n")
        new.rename(rules)

        def refused() -> bool:
            try:
                send(mail, BOB, message("lately"))
            except smtplib.SMTPDataError as error:
                assert error.smtp_code == 550, "never 451: the former rules hold until the new ones do"
                return True
            return False

        mail.wait_for(refused)

    def test_a_local_submission_is_returned_and_the_return_is_not_looked_at(self, mail: Filtered) -> None:
        """The notification quotes the header that was refused, as the header of an attached message."""
        mail.run(["sendmail", "-f", BOB, BOB], input=b"Subject: refuse it\n\nhello\n", check=True)
        mail.wait_for(lambda: any(b"No such subjects" in each for each in mail.mailbox(BOB)))
        assert mail.log_matching("reject: header Subject: refuse it from local; from=<bob@example.org>")


class TestAfterTheQueue:
    def test_a_command_that_calls_sendmail(self, mail: Filtered) -> None:
        with mail.session("piped") as session:
            session.sendmail(SENDER, BOB, message("piped"))
        found = mail.stored("piped")
        assert found.count(b"X-Piped: yes\n") == 1 and body(found) == b"hello\n"
        assert mail.log_matching(rf"pillarbox/pipe.*to=<{BOB}>, relay=scanpipe.*status=sent")

    def test_an_smtp_filter(self, mail: Filtered) -> None:
        with mail.session("scanned") as session:
            session.sendmail(SENDER, BOB, message("scanned"))
        assert b"X-Filtered: by the laboratory\n" in mail.stored("scanned")
        (first,) = mail.log_matching(rf"from=<{SENDER}>.*size=.*queue active")[-2:-1]
        queue_id = re.search(r": (\w+): from=", first)
        assert queue_id is not None
        assert mail.log_matching(f"client=localhost.*, orig_queue_id={queue_id[1]}, orig_client=localhost")

    def test_what_it_refuses_is_returned(self, mail: Filtered) -> None:
        with mail.session("scanned") as session:
            session.sendmail(BOB, BOB, message("infected", VIRUS + b"\r\n"))
        mail.wait_for(lambda: any(b"This message has a virus" in each for each in mail.mailbox(BOB)))


class TestBeforeTheQueue:
    @pytest.mark.parametrize("port", ["proxied", "adjusted"])
    def test_the_answer_is_that_of_the_server_behind_it(self, mail: Filtered, port: str) -> None:
        with mail.session(port) as session:
            session.ehlo("client.test")
            session.mail(SENDER)
            session.rcpt(BOB)
            code, said = session.data(message(port, b"." * 70 + b"\r\n.\r\n" + b"x\r\n"))
        assert code == 250
        found = mail.stored(port)
        assert b"X-Filtered: by the laboratory\n" in found and body(found) == b"." * 70 + b"\n.\nx\n"
        inner = said.decode().rpartition(" ")[2]
        assert mail.log_matching(f"{inner}: client=localhost.*orig_client=localhost")
        assert mail.log_matching(f"NOQUEUE: proxy-accept: END-OF-MESSAGE: 250 2.0.0 Ok: queued as {inner}; from=<")

    @pytest.mark.parametrize("port", ["proxied", "adjusted"])
    def test_a_refusal_is_the_clients(self, mail: Filtered, port: str) -> None:
        with mail.session(port) as session:
            with pytest.raises(smtplib.SMTPDataError) as refused:
                session.sendmail(SENDER, BOB, message("infected", VIRUS + b"\r\n"))
            assert refused.value.smtp_error == b"5.7.1 This message has a virus"
            session.sendmail(SENDER, BOB, message(f"{port} next"))
        mail.stored(f"{port} next")

    def test_nothing_can_be_smuggled_through_it(self, mail: Filtered) -> None:
        """What was one message for us is one message behind the filter, whatever it holds."""
        hidden = f"MAIL FROM:<evil@example.com>\r\nRCPT TO:<{BOB}>\r\nDATA\r\nSubject: smuggled\r\n\r\n".encode()
        for number, end in enumerate((b"\n.\n", b"\n.\r\n", b"\r\n.\n", b"\r.\r", b"\r.\r\n", b"\n\r.\r\n")):
            with mail.session("proxied") as session:
                session.ehlo("client.test")
                session.mail(SENDER)
                session.rcpt(BOB)
                assert session.docmd("DATA")[0] == 354
                session.send(message(f"carrier {number}") + end + hidden + b"x\r\n.\r\n")
                assert session.getreply()[0] == 250
            assert b"MAIL FROM:<evil@example.com>" in mail.stored(f"carrier {number}")
        assert not any(each.startswith(b"Return-Path: <evil") for each in mail.mailbox(BOB))


def peak(pid: int) -> int:
    """The most memory that a process has had, in kB."""
    match = re.search(r"VmHWM:\s*(\d+)", Path(f"/proc/{pid}/status").read_text())
    return int(match[1]) if match else 0


def processes(mail: Instance, program: str) -> list[int]:
    """The workers of a program."""
    title = f"pillarbox: {program}"
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            text = path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
            parent = Path(f"/proc/{path.parent.name}/status").read_text()
        except OSError:
            continue
        if text.startswith(title) and f"PPid:\t{mail.master_pid()}\n" in parent:
            found.append(int(path.parent.name))
    return found


def test_a_large_message_passes_in_constant_memory(mail: Filtered) -> None:
    """Through smtpd, and through cleanup with header and body checks."""
    line = b"0123456789" * 7 + b"\r\n"
    # Each process may have served nobody yet: the first message brings what every message needs.
    for _ in range(8):
        send(mail, BOB, message("before"))
    before = {pid: peak(pid) for program in ("smtpd", "cleanup") for pid in processes(mail, program)}
    with smtplib.SMTP(mail.address, mail.port("smtp"), timeout=120) as session:
        session.ehlo()
        session.mail(SENDER)
        session.rcpt(BOB)
        assert session.docmd("DATA")[0] == 354
        session.send(message("large"))
        for _ in range(600):
            session.send(line * 1000)
        session.send(b".\r\n")
        code, said = session.getreply()
    assert code == 250
    queue_id = said.decode().rpartition(" ")[2]
    grown = {}
    for entry in mail.log_matching(f"(smtpd|cleanup)\\[\\d+\\]: {queue_id}: (client|message-id)="):
        match = re.search(r"/(smtpd|cleanup)\[(\d+)\]", entry)
        assert match is not None
        pid = int(match[2])
        grown[match[1]] = peak(pid) - before[pid]
    assert set(grown) == {"smtpd", "cleanup"}
    assert max(grown.values()) < 6000, f"kB by which processes grew for a message of 42 MB: {grown}"
