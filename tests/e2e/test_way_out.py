"""What smtpd accepted goes out as its extensions promise: to servers that take it, that take less, and to real ones.

Needs root: the foreign servers run in mount namespaces.
"""

from __future__ import annotations

import contextlib
import email
import itertools
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import pytest

from tests.e2e.wire import BOB, client
from tests.lab.certificates import Authority
from tests.lab.instance import Instance
from tests.lab.ports import base_port
from tests.lab.sinks import SmtpSink
from tests.peers.exim import Exim
from tests.peers.opensmtpd import OpenSmtpd
from tests.peers.postfix import Postfix

PAT, PAM, XENIA = "pat@full.example", "pam@plain.example", "xenia@exim.example"
OLD, NEW, OPEN, SAFE = "x@old.example", "x@new.example", "x@open.example", "x@safe.example"

_number = itertools.count()


@dataclass(frozen=True, slots=True)
class Roads:
    """An instance, and servers to which its mail goes by domain."""

    mail: Instance
    old: SmtpSink
    new: SmtpSink
    safe: SmtpSink
    behind: SmtpSink
    full: Postfix
    plain: Postfix
    exim: Exim
    opensmtpd: OpenSmtpd

    def arrived(self, address: str, word: str) -> list[bytes]:
        """The messages with a word in them that have arrived for an address."""
        sinks = {OLD: self.old, NEW: self.new, SAFE: self.safe, OPEN: self.behind}
        boxes: dict[str, Callable[[str], list[bytes]]] = {
            PAT: self.full.mailbox,
            PAM: self.plain.mailbox,
            XENIA: self.exim.mailbox,
            BOB: self.mail.mailbox,
        }
        if address in sinks:
            found = [message.content for message in sinks[address].received(address)]
        else:
            found = boxes[address](address)
        return [each for each in found if word.encode() in each]

    def wait(self, address: str, word: str) -> bytes:
        """The one message with that word."""
        self.mail.wait_for(lambda: self.arrived(address, word), 60)
        (content,) = self.arrived(address, word)
        return content


@pytest.fixture(scope="module")
def roads(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Roads]:
    authority = Authority(tmp_path_factory.mktemp("authority"))
    base = base_port()
    back = {"relayhost": f"[127.0.0.1]:{base + 25}"}
    with contextlib.ExitStack() as stack:
        enter = stack.enter_context
        old = enter(SmtpSink(capabilities=("PIPELINING", "SIZE 50000000")))
        new = enter(
            SmtpSink(
                capabilities=(
                    *("PIPELINING", "SIZE 50000000", "8BITMIME", "SMTPUTF8", "CHUNKING", "BINARYMIME", "DSN"),
                    *("DELIVERBY 1", "LIMITS RCPTMAX=2"),
                )
            )
        )
        safe = enter(SmtpSink(capabilities=("8BITMIME", "REQUIRETLS"), certificate=authority.issue("localhost")))
        behind = enter(SmtpSink())
        full = enter(Postfix(hostname="mx.full.example", mailboxes=[PAT], parameters=back))
        plain = enter(
            Postfix(
                hostname="mx.plain.example",
                mailboxes=[PAM],
                parameters={**back, "smtpd_discard_ehlo_keywords": "8bitmime, smtputf8, chunking, dsn"},
            )
        )
        exim = enter(Exim(hostname="mx.exim.example", mailboxes=[XENIA]))
        opensmtpd = enter(OpenSmtpd(relay=(behind.address, behind.port)))
        ways = {
            "old": old.nexthop,
            "new": new.nexthop,
            "safe": f"[localhost]:{safe.port}",
            "full": f"[{full.address}]:{full.port}",
            "plain": f"[{plain.address}]:{plain.port}",
            "exim": f"[{exim.address}]:{exim.port}",
            "open": f"[{opensmtpd.address}]:{opensmtpd.port}",
        }
        mail = enter(
            Instance(
                users={BOB: "secret"},
                port_base=base,
                settings={
                    "transport_maps": "inline:{"
                    + ", ".join(f"{{{name}.example = smtp:{way}}}" for name, way in ways.items())
                    + "}",
                    "smtp_tls_CAfile": str(authority.certificate),
                    "inet_protocols": "ipv4",
                    "relay_domains": "site.example",
                },
            )
        )
        yield Roads(mail, old, new, safe, behind, full, plain, exim, opensmtpd)


def submit(
    mail: Instance,
    recipient: str | Sequence[str],
    content: bytes,
    *mail_options: str,
    sender: str = BOB,
    rcpt_options: Sequence[str] = (),
    service: str = "smtp",
    tls: bool = False,
    user: str = "",
) -> None:
    """One message with parameters; every command must be accepted."""
    with client(mail, service, tls=tls, user=user, password="secret") as session:
        session.ehlo_or_helo_if_needed()
        session.command_encoding = "utf-8"
        code, said = session.mail(sender, list(mail_options))
        assert code == 250, said
        for each in [recipient] if isinstance(recipient, str) else recipient:
            code, said = session.rcpt(each, list(rcpt_options))
            assert code == 250, said
        code, said = session.data(content)
        assert code == 250, said


def binary(mail: Instance, recipient: str, header: bytes, body: bytes) -> None:
    """One message with BODY=BINARYMIME."""
    with client(mail) as session:
        session.ehlo_or_helo_if_needed()
        code, said = session.mail(BOB, ["BODY=BINARYMIME"])
        assert code == 250, said
        assert session.rcpt(recipient)[0] == 250
        content = header.replace(b"\n", b"\r\n") + body
        session.send(b"BDAT %d LAST\r\n" % len(content) + content)
        code, said = session.getreply()
        assert code == 250, said


def word() -> str:
    return f"word-{next(_number)}"


def text(mark: str, encoding: str = "8bit", subject: str = "x") -> bytes:
    return (
        f"From: {BOB}\r\nSubject: {subject} {mark}\r\nMIME-Version: 1.0\r\n"
        f"Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: {encoding}\r\n\r\nGrüße {mark}\r\n"
    ).encode()


def payload(content: bytes) -> bytes:
    decoded = email.message_from_bytes(content).get_payload(decode=True)
    assert isinstance(decoded, bytes)
    return decoded.replace(b"\r\n", b"\n")


@pytest.mark.parametrize("recipient", [PAT, XENIA, OPEN, NEW])
def test_8_bit_mail_goes_unchanged_to_who_takes_it(roads: Roads, recipient: str) -> None:
    mark = word()
    submit(roads.mail, recipient, text(mark), "BODY=8BITMIME")
    content = roads.wait(recipient, mark)
    assert f"Grüße {mark}\n".encode() in content.replace(b"\r\n", b"\n")
    assert email.message_from_bytes(content)["Content-Transfer-Encoding"] == "8bit"


@pytest.mark.parametrize("recipient", [PAM, OLD])
def test_8_bit_mail_is_re_encoded_for_others(roads: Roads, recipient: str) -> None:
    mark = word()
    submit(roads.mail, recipient, text(mark), "BODY=8BITMIME")
    content = roads.wait(recipient, mark)
    assert content.isascii()
    assert email.message_from_bytes(content)["Content-Transfer-Encoding"] == "quoted-printable"
    assert payload(content) == f"Grüße {mark}\n".encode()


def test_8_bit_mail_that_may_not_be_changed_comes_back(roads: Roads) -> None:
    mark = word()
    signed = (
        f"From: {BOB}\r\nSubject: {mark}\r\nMIME-Version: 1.0\r\nContent-Type: multipart/signed; boundary=b\r\n\r\n"
        "--b\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\né\r\n"
        "--b\r\nContent-Type: application/pgp-signature\r\n\r\nsig\r\n--b--\r\n"
    ).encode()
    submit(roads.mail, OLD, signed, "BODY=8BITMIME")
    report = roads.wait(BOB, mark)
    assert b"Status: 5.6.3" in report
    assert b"Conversion required but not supported" in b" ".join(report.split())


class TestBinary:
    HEADER = (
        b"From: bob@example.org\nSubject: %s\nMIME-Version: 1.0\n"
        b"Content-Type: image/png\nContent-Transfer-Encoding: binary\n\n"
    )
    BODY = bytes(range(256)) + b"\r\n.\r\n\n\r\0"

    def test_goes_as_octets_to_who_takes_them(self, roads: Roads) -> None:
        mark = word()
        binary(roads.mail, NEW, self.HEADER % mark.encode(), self.BODY)
        assert roads.wait(NEW, mark).endswith(b"\r\n\r\n" + self.BODY)
        assert any(line.startswith("BDAT") for session in roads.new.sessions for line in session)

    @pytest.mark.parametrize("recipient", [OLD, PAM, PAT, XENIA, OPEN, BOB])
    def test_goes_in_base64_to_others_and_into_mailboxes(self, roads: Roads, recipient: str) -> None:
        mark = word()
        binary(roads.mail, recipient, self.HEADER % mark.encode(), self.BODY)
        message = email.message_from_bytes(roads.wait(recipient, mark))
        assert message["Content-Transfer-Encoding"] == "base64"
        assert message.get_payload(decode=True) == self.BODY


class TestInternational:
    def test_goes_to_who_takes_it(self, roads: Roads) -> None:
        for recipient in (PAT, NEW):
            mark = word()
            submit(roads.mail, recipient, text(mark, subject="Grüße"), "SMTPUTF8", "BODY=8BITMIME")
            assert f"Subject: Grüße {mark}".encode() in roads.wait(recipient, mark)

    @pytest.mark.parametrize("recipient", [PAM, OLD, OPEN])
    def test_comes_back_from_who_does_not(self, roads: Roads, recipient: str) -> None:
        mark = word()
        submit(roads.mail, recipient, text(mark, subject="Grüße"), "SMTPUTF8", "BODY=8BITMIME")
        report = roads.wait(BOB, mark)
        assert b"Status: 5.6.7" in report
        assert b"SMTPUTF8 is required, but was not offered by host" in b" ".join(report.split())
        assert b"Content-Type: message/global-delivery-status" in report

    def test_what_does_not_need_it_goes_everywhere(self, roads: Roads) -> None:
        mark = word()
        submit(roads.mail, OLD, text(mark, "7bit").replace("üß".encode(), b"ues"), "SMTPUTF8")
        roads.wait(OLD, mark)


class TestReports:
    def test_a_server_that_sends_reports_is_left_to_do_so(self, roads: Roads) -> None:
        mark = word()
        submit(roads.mail, PAT, text(mark), "RET=HDRS", "ENVID=e1", rcpt_options=["NOTIFY=SUCCESS"])
        report = roads.wait(BOB, mark)
        assert b"Reporting-MTA: dns; mx.full.example" in report
        assert b"Action: delivered" in report
        assert b"Original-Envelope-Id: e1" in report
        assert len(roads.arrived(BOB, mark)) == 1, "ours would be the second"

    def test_for_another_we_say_that_it_was_relayed(self, roads: Roads) -> None:
        mark = word()
        submit(roads.mail, PAM, text(mark), rcpt_options=["NOTIFY=SUCCESS"])
        report = roads.wait(BOB, mark)
        assert b"Reporting-MTA: dns; mx.example.org" in report
        assert b"Action: relayed" in report


class TestRequireTls:
    def test_goes_on_under_verified_tls_only(self, roads: Roads) -> None:
        mark = word()
        submit(roads.mail, SAFE, text(mark), "REQUIRETLS", "BODY=8BITMIME", tls=True)
        roads.wait(SAFE, mark)
        (message,) = [each for each in roads.safe.messages if mark.encode() in each.content]
        assert message.tls
        assert "REQUIRETLS" in message.sender_parameters

    def test_comes_back_otherwise(self, roads: Roads) -> None:
        mark = word()
        submit(roads.mail, NEW, text(mark), "REQUIRETLS", "RET=FULL", tls=True)
        report = roads.wait(BOB, mark)
        assert b"Status: 5.7.10" in report
        assert f"Gr=C3=BC=C3=9Fe {mark}".encode() not in report
        assert "Grüße".encode() not in report, "what had to be protected is not returned"


def test_a_servers_limits_are_kept(roads: Roads) -> None:
    mark = word()
    submit(roads.mail, [f"{n}@new.example" for n in range(5)], text(mark))
    roads.mail.wait_for(lambda: sum(mark.encode() in each.content for each in roads.new.messages) == 3)
    batches = [each.recipients for each in roads.new.messages if mark.encode() in each.content]
    assert sorted(len(batch) for batch in batches) == [1, 2, 2]


class TestTime:
    def test_the_rest_of_a_deadline_is_passed_on(self, roads: Roads) -> None:
        mark = word()
        submit(roads.mail, NEW, text(mark), "BY=1000;R")
        roads.wait(NEW, mark)
        (message,) = [each for each in roads.new.messages if mark.encode() in each.content]
        match = re.search(r"BY=(\d+);R", message.sender_parameters)
        assert match is not None
        assert 900 < int(match[1]) <= 1000

    def test_a_deadline_that_nobody_would_keep_returns_the_message(self, roads: Roads) -> None:
        mark = word()
        submit(roads.mail, OLD, text(mark), "BY=1000;R")
        assert b"Status: 5.4.7" in roads.wait(BOB, mark)

    def test_a_relaying_is_told_where_nobody_would_tell_of_the_deadline(self, roads: Roads) -> None:
        mark = word()
        submit(roads.mail, OLD, text(mark), "BY=1000;N")
        assert b"Action: relayed" in roads.wait(BOB, mark)

    def test_a_message_for_later_waits_is_listed_and_let_go(self, roads: Roads) -> None:
        mark = word()
        submit(roads.mail, OLD, text(mark), "HOLDFOR=50000", service="submission", tls=True, user=BOB)
        roads.mail.wait_for(lambda: "held until" in roads.mail.run(["mailq"], check=True).stdout)
        listed = roads.mail.run(["mailq"], check=True).stdout
        assert re.search(r"held until .* as its sender asked \(FUTURERELEASE\)", listed)
        queue_id = re.search(r"(?m)^(\w+) .* bob@example\.org$", listed)
        assert queue_id is not None
        roads.mail.run(["postqueue", "-f"], check=True)
        roads.mail.wait_for(lambda: len(roads.mail.log_matching(rf"{queue_id[1]}: .*held until")) >= 2)
        assert not roads.arrived(OLD, mark)
        roads.mail.run(["postsuper", "-H", queue_id[1]], check=True)
        roads.wait(OLD, mark)


class TestSites:
    def test_waiting_mail_is_fetched_with_etrn_and_by_command(self, roads: Roads) -> None:
        with client(roads.mail) as session:
            session.ehlo_or_helo_if_needed()
            assert session.docmd("ETRN", "site.example")[0] == 250
            assert session.docmd("ETRN", "other.example")[0] == 459
        assert roads.mail.run(["postqueue", "-s", "site.example"]).returncode == 0
        assert roads.mail.run(["sendmail", "-qRsite.example"]).returncode == 0
        refused = roads.mail.run(["postqueue", "-s", "other.example"])
        assert 'Flush service is not configured for destination "other.example"' in refused.stderr


def test_nothing_unforeseen_was_logged(roads: Roads) -> None:
    assert roads.mail.log_matching(r"\]: (panic|fatal|error): |Traceback") == []
