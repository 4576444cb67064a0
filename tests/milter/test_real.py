"""Mail through real milters: OpenDKIM signs and verifies, ClamAV refuses a virus, rspamd spam."""

from __future__ import annotations

import base64
import smtplib
from collections.abc import Iterator

import pytest

from tests.e2e.wire import ALICE, BOB, PASSWORD, client, send
from tests.lab.instance import Instance
from tests.lab.ports import LOOPBACK, free_port
from tests.milter.real import EICAR, GTUBE, clamav, opendkim, rspamd

DKIM, CLAM, SCANNER, SPAM = "dkim", "clam", "scanner", "spam"


@pytest.fixture(scope="module")
def ports() -> dict[str, int]:
    return {name: free_port() for name in (DKIM, CLAM, SCANNER, SPAM)}


@pytest.fixture(scope="module")
def mail(ports: dict[str, int], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Instance]:
    """First ClamAV, then rspamd and OpenDKIM: what the one adds the other signs."""
    milters = ", ".join(f"inet:{LOOPBACK}:{ports[name]}" for name in (CLAM, SPAM, DKIM))
    settings = {"smtpd_milters": milters, "milter_default_action": "tempfail"}
    with (
        opendkim(ports[DKIM], tmp_path_factory.mktemp("opendkim"), "example.org"),
        clamav(ports[CLAM], ports[SCANNER], tmp_path_factory.mktemp("clamav")),
        rspamd(ports[SPAM], tmp_path_factory.mktemp("rspamd")),
        Instance(users={ALICE: PASSWORD, BOB: PASSWORD}, settings=settings) as instance,
    ):
        yield instance


def delivered(mail: Instance, word: bytes) -> bytes:
    mail.wait_for(lambda: [each for each in mail.mailbox(BOB) if word in each])
    return next(each for each in mail.mailbox(BOB) if word in each)


def headers(message: bytes, name: bytes) -> list[bytes]:
    """The fields of a name, unfolded."""
    block = message.partition(b"\n\n")[0].replace(b"\n\t", b" ").replace(b"\n ", b" ")
    return [line for line in block.split(b"\n") if line.lower().startswith(name.lower() + b":")]


class TestOpenDkim:
    def submit(self, mail: Instance, word: bytes, body: bytes) -> bytes:
        content = (
            b"From: Alice  <alice@example.org>\r\nTo: bob@example.org,\r\n\tx@example.net\r\nSubject:  %s \r\n\r\n%s"
        )
        with client(mail, "submission", tls=True, user=ALICE) as session:
            session.sendmail(ALICE, [BOB], content % (word, body))
        return delivered(mail, word)

    @pytest.mark.parametrize(
        "body", [b"hello\r\n", b"..dots\r\n.\r\n  blanks  \r\n\r\n\r\n", b"long " * 30_000 + b"\r\n"]
    )
    def test_a_signature_made_at_submission_holds_at_port_25(self, mail: Instance, body: bytes) -> None:
        word = b"word%d" % len(body)
        signed = self.submit(mail, word, body)
        (signature,) = headers(signed, b"DKIM-Signature")
        assert b"d=example.org" in signature and b"c=simple/simple" in signature
        again = signed[signed.index(b"DKIM-Signature") :]
        send(mail, BOB, b"X-Again: yes\r\n" + again.replace(b"\n", b"\r\n"), sender="carol@example.com")
        mail.wait_for(lambda: [each for each in mail.mailbox(BOB) if b"X-Again: yes" in each and word in each])
        verified = next(each for each in mail.mailbox(BOB) if b"X-Again: yes" in each and word in each)
        results = headers(verified, b"Authentication-Results")
        assert any(b"verifier.example" in each and b"dkim=pass" in each for each in results), results

    def test_a_changed_message_does_not_verify(self, mail: Instance) -> None:
        signed = self.submit(mail, b"original", b"pay 10\r\n")
        changed = signed[signed.index(b"DKIM-Signature") :].replace(b"pay 10", b"pay 99")
        send(mail, BOB, changed.replace(b"\n", b"\r\n"), sender="carol@example.com")
        message = delivered(mail, b"pay 99")
        assert any(b"dkim=fail" in each for each in headers(message, b"Authentication-Results"))

    def test_what_the_first_milter_adds_the_second_sees(self, mail: Instance) -> None:
        signed = self.submit(mail, b"chained", b"hello\r\n")
        assert headers(signed, b"X-Virus-Scanned") and headers(signed, b"DKIM-Signature")


class TestClamAv:
    @pytest.mark.parametrize(
        "content",
        [
            b"Subject: plain\r\n\r\n" + EICAR + b"\r\n",
            b"Subject: attached\r\nMIME-Version: 1.0\r\nContent-Type: application/octet-stream\r\n"
            b"Content-Transfer-Encoding: base64\r\n\r\n" + base64.encodebytes(EICAR).replace(b"\n", b"\r\n"),
        ],
    )
    def test_a_virus_is_refused(self, mail: Instance, content: bytes) -> None:
        with pytest.raises(smtplib.SMTPDataError) as caught:
            send(mail, BOB, content)
        assert caught.value.smtp_code == 550
        assert b"found Tests.Eicar" in caught.value.smtp_error
        assert mail.log_matching("milter-reject: END-OF-MESSAGE from localhost.*: 5.7.1 found Tests.Eicar")
        mail.wait_for(lambda: not mail.queue_ids())

    def test_other_mail_passes(self, mail: Instance) -> None:
        send(mail, BOB, b"Subject: harmless\r\n\r\nhello\r\n")
        assert headers(delivered(mail, b"harmless"), b"X-Virus-Scanned")


class TestRspamd:
    def test_spam_is_refused(self, mail: Instance) -> None:
        with pytest.raises(smtplib.SMTPDataError) as caught:
            send(mail, BOB, b"Subject: spam\r\n\r\n" + GTUBE + b"\r\n")
        assert caught.value.smtp_code == 554
        assert mail.log_matching("milter-reject: END-OF-MESSAGE from localhost.*: 5.7.1 Gtube pattern")
        mail.wait_for(lambda: not mail.queue_ids())
