"""Which client has which milters, over which kind of socket, and what becomes of mail when one is away."""

from __future__ import annotations

import os
import smtplib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.wire import ALICE, BOB, PASSWORD, Dialogue, client
from tests.lab.instance import Instance
from tests.lab.ports import LOOPBACK, free_port
from tests.milter.running import libmilter

USUAL, NONE, QUARANTINED, BY_SOCKET, SUPERSTITIOUS = (f"127.0.0.{number}" for number in (1, 3, 4, 5, 6))
SENDER = "carol@example.com"


@pytest.fixture(scope="module")
def port() -> int:
    return free_port()


@pytest.fixture(scope="module")
def mail(port: int, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Instance]:
    milter = f"inet:{LOOPBACK}:{port}"
    with_table = Instance(users={ALICE: PASSWORD, BOB: PASSWORD})
    table = with_table.root / "etc" / "milter_clients"
    path = with_table.directory / "milter.sock"
    with_table.settings = {
        "smtpd_milters": milter,
        "non_smtpd_milters": f"unix:{path}",
        "smtpd_milter_maps": f"texthash:{table}",
    }
    with_table.init()
    table.write_text(
        f"{NONE} DISABLE\n{QUARANTINED} {{ {milter}, default_action=quarantine }}\n{BY_SOCKET} unix:{path}\n"
        f"{SUPERSTITIOUS} nonsense\n"
    )
    try:
        with_table.start()
        yield with_table
    finally:
        with_table.show_log()
        with_table.close()


def send(mail: Instance, source: str, word: str) -> None:
    with smtplib.SMTP(mail.address, mail.port("smtp"), source_address=(source, 0)) as session:
        session.sendmail(SENDER, [BOB], f"Subject: {word}\r\n\r\nhello\r\n".encode())


def delivered(mail: Instance, word: str) -> bytes:
    def found() -> list[bytes]:
        return [each for each in mail.mailbox(BOB) if f"Subject: {word}\n".encode() in each]

    mail.wait_for(found)
    return found()[0]


class TestMaps:
    def test_a_client_without_milters(self, mail: Instance, port: int, tmp_path: Path) -> None:
        with libmilter(port, tmp_path, eom="reject") as milter:
            send(mail, NONE, "unseen")
            assert delivered(mail, "unseen")
            assert milter.told() == []
            with pytest.raises(smtplib.SMTPDataError):
                send(mail, USUAL, "seen")

    def test_a_milter_on_a_unix_socket(self, mail: Instance, tmp_path: Path) -> None:
        with libmilter(mail.directory / "milter.sock", tmp_path, eom=[["addheader", "X-Socket", "unix"], "accept"]):
            send(mail, BY_SOCKET, "by socket")
        assert b"X-Socket: unix\n" in delivered(mail, "by socket")

    def test_a_value_that_is_none_puts_the_client_off(self, mail: Instance) -> None:
        with pytest.raises(smtplib.SMTPConnectError) as caught:
            send(mail, SUPERSTITIOUS, "never")
        assert caught.value.smtp_code == 421
        assert mail.log_matching("warning: smtpd_milter_maps: 127.0.0.6: ")


class TestDefaultActions:
    def test_shutdown(self, mail: Instance) -> None:
        with pytest.raises(smtplib.SMTPConnectError) as caught:
            send(mail, USUAL, "never")
        assert (caught.value.smtp_code, caught.value.smtp_error) == (
            421,
            b"4.7.1 Service unavailable - try again later",
        )
        assert mail.log_matching(r"NOQUEUE: milter-reject: CONNECT from localhost\[127.0.0.1\]: 421 4.7.1 Service")

    def test_quarantine(self, mail: Instance) -> None:
        send(mail, QUARANTINED, "held")
        (queue_id,) = os.listdir(mail.root / "spool" / "hold")
        mail.run(["postsuper", "-H", queue_id], check=True)
        assert delivered(mail, "held")


def test_binary_content_stays_as_it_is(mail: Instance, port: int, tmp_path: Path) -> None:
    """BINARYMIME: neither what a milter sees nor what it puts in its place is text."""
    body = bytes(range(1, 256)) + b"\r\n\n\r.\r\n"
    content = b"Subject: binary\r\nMIME-Version: 1.0\r\nContent-Type: application/octet-stream\r\n"
    content += b"Content-Transfer-Encoding: binary\r\n\r\n" + body
    with libmilter(port, tmp_path, eom=[["addheader", "X-B", "v"], "accept"]) as milter:
        with Dialogue(mail, "smtp") as wire:
            wire.until(b"220 ")
            wire.send(b"EHLO client.example\r\n")
            wire.until(b"250 ")
            wire.send(f"MAIL FROM:<{SENDER}> BODY=BINARYMIME\r\nRCPT TO:<{BOB}>\r\n".encode())
            wire.send(b"BDAT %d LAST\r\n" % len(content) + content)
            wire.until(b"250 2.0.0")
        seen = "".join(each.arguments[0] for each in milter.told("body"))
        assert seen.encode("latin-1") == body


def test_a_session_survives_a_reload(mail: Instance, port: int, tmp_path: Path) -> None:
    """The old milter service stays as long as sessions that began with it."""
    with libmilter(port, tmp_path, eom=[["addheader", "X-B", "v"], "accept"]), client(mail) as session:
        session.ehlo("client.example")
        session.mail(SENDER)
        session.rcpt(BOB)
        mail.reload()
        code, said = session.data(b"Subject: reloaded\r\n\r\nhello\r\n")
        assert code == 250, said
    assert b"X-B: v\n" in delivered(mail, "reloaded")
