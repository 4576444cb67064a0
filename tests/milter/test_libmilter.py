"""Everything a milter may see and do, with Debian's libmilter at the other end of a running instance."""

from __future__ import annotations

import itertools
import os
import signal
import smtplib
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.wire import ALICE, BOB, PASSWORD, client
from tests.lab.instance import Instance
from tests.lab.ports import LOOPBACK, free_port
from tests.lab.processes import title, tree
from tests.milter.running import Running, libmilter

CONTENT = b"From: Carol <carol@example.com>\r\nSubject: %s\r\nX-A: 1\r\nX-A: 2\r\n\r\nhello\r\n.dot\r\n"
SENDER = "carol@example.com"
_numbers = itertools.count()


@pytest.fixture(scope="module")
def port() -> int:
    return free_port()


@pytest.fixture(scope="module")
def mail(port: int) -> Iterator[Instance]:
    milter = f"inet:{LOOPBACK}:{port}"
    settings = {
        "smtpd_milters": milter,
        "non_smtpd_milters": milter,
        "milter_default_action": "tempfail",
        "milter_connect_macros": "j {daemon_name} {client_addr} {client_name} {client_port} {client_resolve} "
        "{client_connections} v _",
        "smtpd_client_event_limit_exceptions": "",
        "smtpd_authorized_xclient_hosts": "127.0.0.0/8",
        "recipient_delimiter": "+",
    }
    with Instance(users={ALICE: PASSWORD, BOB: PASSWORD}, settings=settings) as instance:
        yield instance


class Scene:
    """One test's mail, known by its subject."""

    def __init__(self, mail: Instance, port: int, directory: Path) -> None:
        self.mail = mail
        self.port = port
        self.directory = directory
        self.subject = f"number {next(_numbers)}".encode()
        self.content = CONTENT % self.subject

    def filter(self, **script: Any) -> AbstractContextManager[Running]:
        return libmilter(self.port, self.directory, **script)

    def send(self, recipients: list[str] | None = None, *, sender: str = SENDER) -> None:
        with client(self.mail) as session:
            session.sendmail(sender, recipients or [BOB], self.content)

    def stored(self, address: str = BOB) -> list[bytes]:
        return [each for each in self.mail.mailbox(address) if b"Subject: " + self.subject + b"\n" in each]

    def delivered(self, address: str = BOB) -> bytes:
        self.mail.wait_for(lambda: self.stored(address))
        (message,) = self.stored(address)
        return message

    def gone(self) -> None:
        """Nothing of the message is anywhere, or will come to be."""
        self.mail.wait_for(lambda: not self.mail.queue_ids())
        assert not self.stored() and not self.stored(ALICE)


@pytest.fixture
def scene(mail: Instance, port: int, tmp_path: Path) -> Scene:
    return Scene(mail, port, tmp_path)


@contextmanager
def refused(code: int, text: bytes) -> Iterator[None]:
    """The message is answered so."""
    try:
        yield
    except smtplib.SMTPResponseException as error:
        assert (error.smtp_code, error.smtp_error) == (code, text)
    except smtplib.SMTPRecipientsRefused as error:
        assert list(error.recipients.values()) == [(code, text)]
    else:
        pytest.fail("the message was accepted")


class TestSeeing:
    def test_every_step_in_order(self, scene: Scene) -> None:
        with scene.filter() as milter:
            scene.send([BOB, ALICE])
            milter.wait("close")
            steps = [(each.step, each.arguments) for each in milter.told()]
        assert steps[0] == ("negotiate", ["0x1ff", "0x1fffff"])
        assert steps[1] == ("connect", ["localhost"])
        assert steps[2][0] == "helo"
        assert steps[3] == ("envfrom", [f"<{SENDER}>", f"size={len(scene.content)}"])
        assert steps[4:] == [
            ("envrcpt", [f"<{BOB}>"]),
            ("envrcpt", [f"<{ALICE}>"]),
            ("data", []),
            ("header", ["From", "Carol <carol@example.com>"]),
            ("header", ["Subject", scene.subject.decode()]),
            ("header", ["X-A", "1"]),
            ("header", ["X-A", "2"]),
            ("eoh", []),
            ("body", ["hello\r\n.dot\r\n"]),
            ("eom", []),
            ("close", []),
        ]

    def test_the_macros_of_each_step(self, scene: Scene) -> None:
        with scene.filter() as milter:
            with client(scene.mail, "submission", tls=True, user=ALICE) as session:
                session.sendmail(ALICE, [BOB], scene.content)
            milter.wait("close")
            macros = {each.step: each.macros for each in milter.told()}
            hello = milter.told("helo")[-1].macros
        connect = macros["connect"]
        assert connect["j"] == connect["daemon_name"] == scene.mail.hostname
        assert connect["client_addr"] == "127.0.0.1" and connect["client_name"] == "localhost"
        assert connect["_"] == "localhost [127.0.0.1]" and connect["client_resolve"] == "OK"
        assert connect["client_connections"].isdigit()
        assert connect["client_port"].isdigit() and "i" not in connect
        assert hello["tls_version"] == "TLSv1.3" and hello["cipher"].startswith("TLS_")
        assert hello["cipher_bits"] in ("128", "256")
        assert macros["envfrom"]["auth_authen"] == ALICE and macros["envfrom"]["auth_type"]
        assert macros["envfrom"]["mail_addr"] == ALICE and macros["envfrom"]["mail_mailer"] == "virtual"
        assert macros["envrcpt"]["rcpt_addr"] == BOB and macros["envrcpt"]["rcpt_mailer"] == "virtual"
        assert macros["eom"]["i"] == macros["data"]["i"]
        assert scene.mail.log_matching(macros["eom"]["i"])

    def test_the_macros_that_the_milter_asks_for(self, scene: Scene) -> None:
        with scene.filter(steps=0, symlist={"connect": "{if_addr}", "eom": "i {client_addr}"}) as milter:
            scene.send()
            milter.wait("close")
            connect, eom = milter.told("connect")[0].macros, milter.told("eom")[0].macros
        assert connect == {"if_addr": "127.0.0.1"}
        assert eom["client_addr"] == "127.0.0.1"

    def test_no_more_than_the_milter_wants(self, scene: Scene) -> None:
        unwanted = 0x01 | 0x04 | 0x08 | 0x10 | 0x40 | 0x200  # connect, mail, rcpt, body, end of header, data
        with scene.filter(steps=unwanted) as milter:
            scene.send()
            milter.wait("close")
            steps = [each.step for each in milter.told()]
        assert steps == ["negotiate", "helo", "header", "header", "header", "header", "eom", "close"]

    def test_steps_without_replies_and_values_with_leading_blanks(self, scene: Scene) -> None:
        steps = 0x1000 | 0x2000 | 0x4000 | 0x8000 | 0x10000 | 0x20000 | 0x40000 | 0x80000 | 0x80 | 0x100000
        quiet = dict.fromkeys(("connect", "helo", "envfrom", "envrcpt", "data", "header", "eoh", "body"), "noreply")
        doings = [["addheader", "X-B", "  kept"], "continue"]
        with scene.filter(steps=steps, unknown="noreply", eom=doings, **quiet) as milter:
            scene.send()
            milter.wait("close")
            assert ["Subject", f" {scene.subject.decode()}"] in [each.arguments for each in milter.told("header")]
        assert b"X-B:  kept\n" in scene.delivered()

    def test_skip(self, scene: Scene) -> None:
        scene.content += b"x" * 70 + b"\r\n"
        scene.content += b"more\r\n" * 40_000
        with scene.filter(steps=0x400, body="skip", header="continue") as milter:
            scene.send()
            milter.wait("close")
            assert len(milter.told("body")) == 1
        assert scene.delivered().endswith(b"more\n")

    def test_unknown_commands_and_refused_recipients(self, scene: Scene) -> None:
        with scene.filter(steps=0x800) as milter, client(scene.mail) as session:
            session.ehlo("client.example")
            assert session.docmd("GRUNT", "loudly") == (500, b"5.5.2 Error: command not recognized")
            session.mail(SENDER)
            assert session.rcpt("nobody@example.org")[0] == 550
            (unknown,) = milter.wait("unknown")
            assert unknown.arguments == ["GRUNT loudly"]
            (recipient,) = milter.wait("envrcpt")
            assert recipient.arguments == ["<nobody@example.org>"]
            assert recipient.macros["rcpt_mailer"] == "error" and recipient.macros["rcpt_host"] == "5.1.1"

    def test_parameters_reach_it(self, scene: Scene) -> None:
        with scene.filter() as milter, client(scene.mail) as session:
            session.ehlo("client.example")
            session.docmd(f"MAIL FROM:<{SENDER}> BODY=8BITMIME RET=HDRS ENVID=x+2By")
            session.docmd(f"RCPT TO:<{BOB}> NOTIFY=NEVER")
            assert milter.wait("envfrom")[0].arguments == [f"<{SENDER}>", "BODY=8BITMIME", "RET=HDRS", "ENVID=x+2By"]
            assert milter.wait("envrcpt")[0].arguments == [f"<{BOB}>", "NOTIFY=NEVER"]


class TestSessions:
    def test_rset_hello_and_a_new_message_abort(self, scene: Scene) -> None:
        with scene.filter() as milter, client(scene.mail) as session:
            session.ehlo("client.example")
            for number, command in enumerate(("RSET", "EHLO again.example", "HELO again.example"), 1):
                session.mail(SENDER)
                session.rcpt(BOB)
                session.docmd(command)
                assert len(milter.wait("abort", number)) == number
            session.sendmail(SENDER, [BOB], scene.content)
            session.sendmail(SENDER, [ALICE], scene.content)
            assert len(milter.wait("eom", 2)) == 2
            assert len(milter.told("abort")) == 3 and len(milter.told("connect")) == 1
        assert scene.delivered() and scene.delivered(ALICE)

    def test_starttls_is_followed_by_a_new_hello(self, scene: Scene) -> None:
        with scene.filter() as milter, client(scene.mail) as session:
            session.ehlo("one.example")
            session.mail(SENDER)
        with scene.filter() as milter, client(scene.mail, tls=True) as session:
            session.ehlo("two.example")
            assert len(milter.wait("helo", 2)) == 2
            assert len(milter.told("connect")) == 1

    def test_xclient_begins_a_new_session(self, scene: Scene) -> None:
        with scene.filter() as milter, client(scene.mail) as session:
            session.ehlo("proxy.example")
            assert session.docmd("XCLIENT", "ADDR=192.0.2.7 NAME=real.example")[0] == 220
            session.ehlo("real.example")
            session.mail(SENDER)
            milter.wait("envfrom")
            assert len(milter.wait("close")) == 1
            assert [each.arguments for each in milter.told("connect")] == [["localhost"], ["real.example"]]
            assert milter.told("connect")[1].macros["client_addr"] == "192.0.2.7"

    def test_a_client_that_goes_in_the_middle_is_an_abort_and_a_close(self, scene: Scene) -> None:
        with scene.filter() as milter:
            session = smtplib.SMTP(scene.mail.address, scene.mail.port("smtp"))
            session.ehlo("client.example")
            session.mail(SENDER)
            session.rcpt(BOB)
            session.close()
            milter.wait("close")

    def test_lmtp(self, scene: Scene) -> None:
        with scene.filter(eom=[["addheader", "X-B", "lmtp"], "accept"]) as milter:
            with client(scene.mail, "lmtp") as session:
                assert session.sendmail(SENDER, [BOB, ALICE], scene.content) == {}
            milter.wait("eom")
        assert b"X-B: lmtp\n" in scene.delivered() and b"X-B: lmtp\n" in scene.delivered(ALICE)


REJECT = (550, b"5.7.1 Command rejected")
LATER = (451, b"4.7.1 Service unavailable - try again later")


class TestDeciding:
    @pytest.mark.parametrize("step", ["helo", "envfrom", "envrcpt", "data", "header", "eoh", "body", "eom"])
    @pytest.mark.parametrize(("answer", "reply"), [("reject", REJECT), ("tempfail", LATER)])
    def test_a_refusal_in_each_step(self, scene: Scene, step: str, answer: str, reply: tuple[int, bytes]) -> None:
        with scene.filter(**{step: answer}), refused(*reply):
            scene.send()
        scene.gone()
        stage = {"helo": "EHLO|MAIL", "envfrom": "MAIL", "envrcpt": "RCPT", "data": "DATA"}.get(step, "END-OF-MESSAGE")
        text = reply[1].decode() if stage == "END-OF-MESSAGE" else f"{reply[0]} {reply[1].decode()}"
        found = scene.mail.log_matching(rf"milter-reject: ({stage}) from localhost\[127.0.0.1\]: {text}; ")
        assert found, scene.mail.log_lines()[-10:]

    def test_a_refused_connection(self, scene: Scene) -> None:
        with scene.filter(connect="reject"), pytest.raises(smtplib.SMTPConnectError) as caught:
            smtplib.SMTP(scene.mail.address, scene.mail.port("smtp"))
        assert (caught.value.smtp_code, caught.value.smtp_error) == (554, b"5.7.1 Command rejected")

    def test_a_connection_that_is_put_off(self, scene: Scene) -> None:
        with scene.filter(connect="tempfail"), refused(*LATER):
            scene.send()

    def test_one_refused_recipient(self, scene: Scene) -> None:
        doings = [["setreply", "550", "5.1.1", "not her"], "reject"]
        with scene.filter(envrcpt={f"<{ALICE}>": doings}), client(scene.mail) as session:
            assert session.sendmail(SENDER, [BOB, ALICE], scene.content) == {ALICE: (550, b"5.1.1 not her")}
        assert scene.delivered() and not scene.stored(ALICE)

    def test_a_reply_of_several_lines(self, scene: Scene) -> None:
        doings = [["setmlreply", "554", "5.6.0", "first line", "second %% line"], "reject"]
        with scene.filter(eom=doings), refused(554, b"5.6.0 first line\n5.6.0 second % line"):
            scene.send()
        scene.gone()

    @pytest.mark.parametrize("step", ["helo", "envfrom", "envrcpt", "header", "eoh"])
    def test_accept_ends_what_the_milter_sees(self, scene: Scene, step: str) -> None:
        with scene.filter(**{step: "accept"}, eom="reject") as milter:
            scene.send()
            milter.wait("close")
            assert milter.told()[-2].step == step
        assert scene.delivered()

    @pytest.mark.parametrize("step", ["envfrom", "envrcpt", "data", "header", "body", "eom"])
    def test_discard(self, scene: Scene, step: str) -> None:
        with scene.filter(**{step: "discard"}):
            scene.send()
        scene.gone()
        assert scene.mail.log_matching("milter-discard: [A-Z-]+ from .*: milter triggers DISCARD action; from=<carol")

    def test_quarantine(self, scene: Scene) -> None:
        with scene.filter(eom=[["quarantine", "looks odd"], "continue"]):
            scene.send()
        (queue_id,) = os.listdir(scene.mail.root / "spool" / "hold")
        assert scene.mail.log_matching(f"{queue_id}: milter-hold: END-OF-MESSAGE .*: milter triggers HOLD action")
        scene.mail.run(["postsuper", "-H", queue_id], check=True)
        assert scene.delivered()

    def test_421_ends_the_session(self, scene: Scene) -> None:
        with scene.filter(envfrom=[["setreply", "421", "4.7.0", "enough"], "tempfail"]):
            session = smtplib.SMTP(scene.mail.address, scene.mail.port("smtp"))
            session.ehlo("client.example")
            assert session.mail(SENDER) == (421, b"4.7.0 enough")
            with pytest.raises(smtplib.SMTPServerDisconnected):
                session.noop()


class TestEditing:
    def test_header_fields(self, scene: Scene) -> None:
        doings = [
            ["addheader", "X-New", "one\n\ttwo"],
            ["chgheader", "X-A", 2, "changed"],
            ["chgheader", "X-A", 1, None],
            ["chgheader", "X-None", 1, "made"],
            ["insheader", 0, "X-Top", "top"],
            ["insheader", 3, "X-Third", "third"],
            "continue",
        ]
        with scene.filter(eom=doings):
            scene.send()
        header = scene.delivered().partition(b"\n\n")[0].split(b"\n")
        start = header.index(b"X-Top: top")
        assert header[start + 1].startswith(b"Received: from ")
        rest = [line for line in header[start + 2 :] if not line.startswith(b"\tby") and not line.startswith(b"\tfor")]
        assert rest == [
            b"X-Third: third",
            b"From: Carol <carol@example.com>",
            b"Subject: " + scene.subject,
            b"X-A: changed",
            b"X-New: one",
            b"\ttwo",
            b"X-None: made",
        ]

    def test_body(self, scene: Scene) -> None:
        doings = [["replacebody", "new\r\n"], ["progress"], ["replacebody", "..body\r\nno end"], "accept"]
        with scene.filter(eom=doings):
            scene.send()
        assert scene.delivered().partition(b"\n\n")[2] == b"new\n..body\nno end\n"

    def test_a_large_message_with_a_large_new_body(self, scene: Scene) -> None:
        scene.content += b"a line of the old body\r\n" * 60_000
        piece = "a line of the new body\r\n" * 2_000
        with scene.filter(eom=[["repeat", 40, "replacebody", piece], ["addheader", "X-B", "v"], "accept"]):
            scene.send()
        message = scene.delivered()
        assert b"X-B: v\n" in message
        assert message.partition(b"\n\n")[2] == b"a line of the new body\n" * 80_000

    def test_envelope(self, scene: Scene) -> None:
        doings = [
            ["addrcpt", f"<{ALICE}>"],
            ["addrcpt_par", "<alice+x@example.org>", "NOTIFY=NEVER"],
            ["delrcpt", f"<{BOB}>"],
            ["chgfrom", "<new.sender@example.net>", None],
            "continue",
        ]
        with scene.filter(eom=doings):
            scene.send()
        scene.mail.wait_for(lambda: len(scene.stored(ALICE)) == 2)
        assert all(each.startswith(b"Return-Path: <new.sender@example.net>\n") for each in scene.stored(ALICE))
        assert not scene.stored(BOB)

    def test_all_recipients_deleted(self, scene: Scene) -> None:
        with scene.filter(eom=[["delrcpt", f"<{BOB}>"], "continue"]):
            scene.send()
        scene.gone()


class TestLocalSubmissions:
    def submit(self, scene: Scene) -> None:
        content = b"To: bob@example.org\nSubject: " + scene.subject + b"\n\nbody\n"
        scene.mail.run(["sendmail", "-f", ALICE, BOB], input=content, check=True)

    def test_milters_see_them_complete(self, scene: Scene) -> None:
        with scene.filter(eom=[["addheader", "X-B", "local"], "accept"]) as milter:
            self.submit(scene)
            names = {each.arguments[0] for each in milter.wait("header", 5)}
            assert {"To", "Subject", "Message-ID", "Date", "From"} <= names and "Received" not in names
            assert milter.told("connect")[0].arguments == ["localhost"]
            assert milter.told("envfrom")[0].arguments == [f"<{ALICE}>"]
            assert milter.told("envrcpt")[0].arguments == [f"<{BOB}>"]
            assert b"X-B: local\n" in scene.delivered()

    def test_a_refusal_is_reported_to_the_sender(self, scene: Scene) -> None:
        with scene.filter(eom="reject"):
            self.submit(scene)
            reports = lambda: [each for each in scene.mail.mailbox(ALICE) if scene.subject in each]  # noqa: E731
            scene.mail.wait_for(reports)
        assert b"5.7.1" in reports()[0] and b"Command rejected" in reports()[0]
        assert not scene.stored()

    def test_what_is_put_off_waits(self, scene: Scene) -> None:
        with scene.filter(envfrom="tempfail"):
            self.submit(scene)
            scene.mail.wait_for(lambda: scene.mail.log_matching("not taken yet: 451 4.7.1"))
            assert os.listdir(scene.mail.root / "spool" / "maildrop")
        with scene.filter():
            scene.mail.run(["postqueue", "-f"], check=True)
            with scene.mail.connect("smtp"):
                pass
            other = Scene(scene.mail, scene.port, scene.directory)
            self.submit(other)  # wakes pickup
            assert scene.delivered() and other.delivered()


class TestDying:
    def test_a_milter_that_is_away(self, scene: Scene) -> None:
        with refused(*LATER):
            scene.send()
        assert scene.mail.log_matching(f"warning: connect to Milter service inet:{LOOPBACK}:{scene.port}: Connection r")

    def test_a_milter_that_is_killed_in_a_message(self, scene: Scene) -> None:
        with scene.filter() as milter, client(scene.mail) as session:
            session.ehlo("client.example")
            session.mail(SENDER)
            session.rcpt(BOB)
            milter.process.kill()
            with refused(*LATER):
                session.data(scene.content)
        scene.gone()
        assert scene.mail.log_matching("warning: milter inet:.*: (can't read|error writing) SMFIC_")

    def test_the_service_killed_in_a_message_loses_and_edits_nothing(self, scene: Scene) -> None:
        """SIGKILL of the milter room: 451, nothing is left of the message; the next one in the same session passes."""
        release = scene.directory / "release"
        doings = [["addheader", "X-B", "v"], ["replacebody", "half"], ["wait", str(release)], "accept"]
        with scene.filter(eom=doings) as milter, client(scene.mail) as session:
            session.ehlo("client.example")
            session.mail(SENDER)
            session.rcpt(BOB)
            assert session.docmd("DATA")[0] == 354
            session.send(scene.content + b".\r\n")
            milter.wait("smfi_replacebody")
            rooms = [
                each.pid for each in tree(scene.mail.master_pid()) if title(each.pid).startswith("pillarbox: milter")
            ]
            assert rooms
            for pid in rooms:
                os.kill(pid, signal.SIGKILL)
            assert session.getreply() == LATER
            release.touch()
            scene.gone()
            session.sendmail(SENDER, [BOB], scene.content)
            for pid in [each.pid for each in tree(scene.mail.master_pid())]:
                if title(pid).startswith("pillarbox: milter"):
                    os.kill(pid, signal.SIGKILL)
            session.sendmail(SENDER, [ALICE], scene.content)  # between two messages nobody notices
        assert b"X-B: v\n" in scene.delivered(ALICE)
        message = scene.delivered()
        assert b"X-B: v\n" in message and message.endswith(b"\n\nhalf\n")
