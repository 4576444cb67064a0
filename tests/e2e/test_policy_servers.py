"""Access policy from end to end: real policy servers over their sockets, and a blocklist in the DNS."""

from __future__ import annotations

import smtplib
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.wire import BOB, HELLO, PASSWORD
from tests.lab.dns import DnsServer, resolv_conf
from tests.lab.instance import Instance
from tests.lab.ports import loopback_address
from tests.peers import peer
from tests.peers.policy_servers import Postgrey, Spawned

STRANGER = "192.0.2.1"
LISTED = "192.0.2.66"
SENDER = "carol@sender.test"

ZONE = f"""
sender.test. MX 10 mx.sender.test.
sender.test. TXT "v=spf1 ip4:{STRANGER} -all"
mx.sender.test. A {STRANGER}
1.2.0.192.in-addr.arpa. PTR mx.sender.test.
66.2.0.192.bl.test. A 127.0.0.4
66.2.0.192.bl.test. TXT "seen in bad company"
"""

GREYLIST_DELAY = 2  # seconds

SPF_SETTINGS = """
debugLevel = 1
TestOnly = 1
HELO_reject = False
Mail_From_reject = Fail
skip_addresses = 127.0.0.9/32
"""


@pytest.fixture(scope="module")
def dns() -> Iterator[DnsServer]:
    # policyd-spf asks the resolver of the C library, which knows port 53 only.
    with DnsServer(ZONE, address=loopback_address(), port=53) as server:
        yield server


@pytest.fixture(scope="module")
def postgrey() -> Iterator[Postgrey]:
    with Postgrey(GREYLIST_DELAY) as running:
        yield running


@pytest.fixture(scope="module")
def spf(dns: DnsServer) -> Iterator[Path]:
    # Not below a test's own temporary directory: smtpd, another user, connects to the socket.
    with tempfile.TemporaryDirectory(prefix="policyd-spf-") as name:
        directory = Path(name)
        directory.chmod(0o755)
        (directory / "policyd-spf.conf").write_text(SPF_SETTINGS)
        (directory / "resolv.conf").write_text(resolv_conf([dns.address]))
        mounts = {directory / "resolv.conf": Path("/etc/resolv.conf")}
        path = directory / "socket"
        with Spawned(peer("policyd-spf"), ["policyd-spf", directory / "policyd-spf.conf"], path, mounts):
            yield path


@pytest.fixture(scope="module")
def mail(dns: DnsServer, postgrey: Postgrey, spf: Path) -> Iterator[Instance]:
    settings = {
        "dns_resolver": dns.resolver,
        "smtpd_authorized_xclient_hosts": "127.0.0.1",
        "smtpd_policy_service_retry_delay": "0.1s",
        "smtpd_client_restrictions": "reject_rbl_client bl.test=127.0.0.[2..11]",
        "smtpd_restriction_classes": "greylist",
        "greylist": f"check_policy_service inet:127.0.0.1:{postgrey.port}",
        "smtpd_sender_restrictions": f"check_policy_service unix:{spf}",
        "smtpd_recipient_restrictions": "check_recipient_access inline:{grey@example.org=greylist}",
    }
    with Instance(
        hostname="mx.example.org",
        users={BOB: PASSWORD, "grey@example.org": PASSWORD},
        settings=settings,
    ) as instance:
        yield instance


def submit(mail: Instance, client: str, sender: str, recipient: str) -> tuple[int, str]:
    """One message from a client that a proxy speaks for; the last reply."""
    with smtplib.SMTP(mail.address, mail.port("smtp"), timeout=60) as session:
        session.ehlo("proxy.test")
        code, said = session.docmd("XCLIENT", f"ADDR={client} NAME=[UNAVAILABLE]")
        assert code == 220, said
        session.ehlo("mx.sender.test")
        assert session.mail(sender)[0] == 250
        code, said = session.rcpt(recipient)
        if code == 250:
            code, said = session.data(HELLO)
    return code, said.decode()


def test_a_listed_client_is_refused_with_the_lists_reason(mail: Instance) -> None:
    expected = f"5.7.1 Service unavailable; Client host [{LISTED}] blocked using bl.test; seen in bad company"
    assert submit(mail, LISTED, SENDER, BOB) == (554, expected)
    assert any(
        f"NOQUEUE: reject: RCPT from unknown[{LISTED}]: 554 {expected}; from=" in line for line in mail.log_lines()
    )


def test_policyd_spf_refuses_a_forged_sender(mail: Instance) -> None:
    code, said = submit(mail, "192.0.2.2", SENDER, BOB)
    assert code == 550
    assert said.startswith(f"5.7.23 <{SENDER}>: Sender address rejected: Message rejected due to: SPF fail")


def test_policyd_spf_prepends_its_header_once(mail: Instance) -> None:
    code, said = submit(mail, STRANGER, SENDER, BOB)
    assert code == 250, said
    mail.wait_for(lambda: mail.mailbox(BOB))
    content = mail.mailbox(BOB)[-1]
    assert content.count(b"\nReceived-SPF: ") == 1
    assert b"Received-SPF: Pass (mailfrom)" in content


def test_postgrey_puts_a_stranger_off_once(mail: Instance) -> None:
    recipient = "grey@example.org"
    code, said = submit(mail, STRANGER, SENDER, recipient)
    assert code == 450
    assert said.startswith(f"4.2.0 <{recipient}>: Recipient address rejected: Greylisted")
    end = time.monotonic() + 60
    while (code := submit(mail, STRANGER, SENDER, recipient)[0]) != 250:
        assert code == 450 and time.monotonic() < end
        time.sleep(0.5)
    mail.wait_for(lambda: mail.mailbox(recipient))
    assert b"X-Greylist: delayed " in mail.mailbox(recipient)[0]


def test_a_policy_server_that_is_gone_puts_off_and_loses_nothing(mail: Instance, postgrey: Postgrey) -> None:
    postgrey.stop()
    expected = (451, "4.3.5 <grey@example.org>: Recipient address rejected: Server configuration problem")
    assert submit(mail, STRANGER, SENDER, "grey@example.org") == expected
    assert submit(mail, STRANGER, SENDER, BOB)[0] == 250
    assert any("problem talking to server inet:127.0.0.1:" in line for line in mail.log_lines())
