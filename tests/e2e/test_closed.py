"""An untouched installation: no open relay, no mail for unknown users, and nobody sends in another's name."""

from __future__ import annotations

import smtplib
from collections.abc import Iterator

import pytest

from tests.e2e.wire import ALICE, BOB, EVE, HELLO, PASSWORD, client
from tests.lab.instance import Instance

STRANGER = "192.0.2.1"
ALIASES = "inline:{sales@example.org=alice@example.org, {all@example.org=alice@example.org bob@example.org}}"


@pytest.fixture(scope="module")
def mail() -> Iterator[Instance]:
    settings = {
        # Not part of policy: it lets the tests speak for clients elsewhere.
        "smtpd_authorized_xclient_hosts": "127.0.0.1",
        "virtual_alias_maps": ALIASES,
        "recipient_delimiter": "+",
    }
    with Instance(users={ALICE: PASSWORD, BOB: PASSWORD}, settings=settings) as instance:
        yield instance


def from_elsewhere(mail: Instance, service: str, recipient: str, sender: str = "carol@example.com") -> tuple[int, str]:
    with smtplib.SMTP(mail.address, mail.port(service), timeout=60) as session:
        session.ehlo("proxy.test")
        code, said = session.docmd("XCLIENT", f"ADDR={STRANGER} NAME=[UNAVAILABLE]")
        assert code == 220, said
        session.ehlo("client.test")
        assert session.mail(sender)[0] == 250
        code, said = session.rcpt(recipient)
    return code, said.decode()


def test_a_stranger_may_write_to_our_users(mail: Instance) -> None:
    assert from_elsewhere(mail, "smtp", BOB)[0] == 250


@pytest.mark.parametrize("recipient", [EVE, "eve%example.net@example.org", '"eve@example.net"@example.org'])
def test_a_stranger_may_not_relay(mail: Instance, recipient: str) -> None:
    assert from_elsewhere(mail, "smtp", recipient) == (554, f"5.7.1 <{recipient}>: Relay access denied")


def test_nobody_may_write_to_users_that_do_not_exist(mail: Instance) -> None:
    unknown = "nobody@example.org"
    expected = (550, f"5.1.1 <{unknown}>: Recipient address rejected: User unknown in virtual mailbox table")
    assert from_elsewhere(mail, "smtp", unknown) == expected
    with client(mail, "submission", tls=True, user=ALICE) as session:
        assert session.mail(ALICE)[0] == 250
        assert session.rcpt(unknown)[0] == 550


OWN = [ALICE, "alice+list@example.org", "sales@example.org", "all@example.org", ""]
FOREIGN = [BOB, "nobody@example.org", EVE]


@pytest.mark.parametrize("sender", OWN)
def test_a_user_sends_in_names_of_their_own(mail: Instance, sender: str) -> None:
    for service in ("submission", "submissions"):
        with client(mail, service, tls=service == "submission", user=ALICE) as session:
            assert session.mail(sender)[0] == 250
            assert session.rcpt(BOB)[0] == 250


@pytest.mark.parametrize("sender", FOREIGN)
def test_a_user_does_not_send_in_anothers_name(mail: Instance, sender: str) -> None:
    expected = f"5.7.1 <{sender}>: Sender address rejected: not owned by user {ALICE}"
    for service in ("submission", "submissions"):
        with client(mail, service, tls=service == "submission", user=ALICE) as session:
            assert session.mail(sender)[0] == 250
            code, said = session.rcpt(BOB)
            assert (code, said.decode()) == (553, expected)


def test_port_25_takes_mail_from_our_users_addresses(mail: Instance) -> None:
    """Forwarded mail and lists come so; what may be thought of it, SPF and DMARC say."""
    assert from_elsewhere(mail, "smtp", BOB, ALICE)[0] == 250


def test_a_message_of_a_user_arrives(mail: Instance) -> None:
    with client(mail, "submission", tls=True, user=ALICE) as session:
        session.sendmail("sales@example.org", [BOB], HELLO)
    mail.wait_for(lambda: mail.mailbox(BOB))
