"""Mail to and from a real Postfix and a real Exim, which find us and are found by MX records, with TLS both ways.

Needs root: mail exchangers are on port 25, and the foreign servers run in mount namespaces.
"""

from __future__ import annotations

import contextlib
import itertools
import re
import smtplib
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from tests.e2e.wire import BOB, HELLO, body, only, parsed, received, send
from tests.lab.certificates import Authority
from tests.lab.dns import DnsServer, mail_zone
from tests.lab.instance import Instance
from tests.lab.ports import loopback_address
from tests.peers.exim import Exim
from tests.peers.opensmtpd import OpenSmtpd
from tests.peers.postfix import Postfix

PAT, XENIA = "pat@postfix.example", "xenia@exim.example"


@dataclass(frozen=True, slots=True)
class Neighbourhood:
    """Three mail systems that share a DNS."""

    dns: DnsServer
    ours: Instance
    postfix: Postfix
    exim: Exim

    def peer(self, name: str) -> tuple[Postfix | Exim, str]:
        """A foreign server, and the address of its mailbox."""
        return (self.postfix, PAT) if name == "postfix" else (self.exim, XENIA)


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Neighbourhood]:
    authority = Authority(tmp_path_factory.mktemp("authority"))
    address = loopback_address()
    with (
        DnsServer(mail_zone("example.org", address), address=loopback_address(), port=53) as dns,
        Postfix(hostname="mx.postfix.example", mailboxes=[PAT], dns=dns, authority=authority) as postfix,
        Exim(hostname="mx.exim.example", mailboxes=[XENIA], dns=dns, authority=authority) as exim,
        Instance(
            users={BOB: "secret"},
            address=address,
            port_base=0,
            settings={
                "dns_resolver": dns.resolver,
                "smtp_tls_CAfile": str(authority.certificate),
                "smtp_tls_loglevel": "1",
            },
        ) as ours,
    ):
        dns.add(mail_zone("postfix.example", postfix.address) + mail_zone("exim.example", exim.address))
        yield Neighbourhood(dns, ours, postfix, exim)


@pytest.fixture(params=["postfix", "exim"])
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def from_peer(peer: Postfix | Exim, sender: str, content: bytes, recipient: str = BOB) -> None:
    with smtplib.SMTP(peer.address, peer.port, timeout=60) as client:
        client.sendmail(sender, [recipient], content)


def marked(word: str) -> bytes:
    return HELLO.replace(b"hello", word.encode())


def arrived(find: Callable[[], list[bytes]], word: str) -> Callable[[], list[bytes]]:
    return lambda: [each for each in find() if word.encode() in each]


def test_outbound_mail_reaches_the_exchanger(town: Neighbourhood, name: str) -> None:
    peer, address = town.peer(name)
    send(town.ours, address, marked(f"out-{name}"))
    found = only(arrived(lambda: peer.mailbox(address), f"out-{name}"), town.ours)
    assert body(found) == f"out-{name}\n".encode()
    assert town.dns.asked(address.partition("@")[2], "MX")


def test_outbound_mail_goes_under_tls(town: Neighbourhood, name: str) -> None:
    peer, address = town.peer(name)
    send(town.ours, address, marked(f"tls-out-{name}"))
    found = only(arrived(lambda: peer.mailbox(address), f"tls-out-{name}"), town.ours)
    assert re.search("with (ESMTPS|esmtps)", received(found)[0]), received(found)


def established(town: Neighbourhood, name: str) -> list[str]:
    """How far our client trusted the server, from its log."""
    peer, _ = town.peer(name)
    lines = town.ours.log_matching(
        rf"smtp\[\d+\]: \w+ TLS connection established to mx\.{name}\.example\[{re.escape(peer.address)}\]:25: "
        r"TLSv1\.3 with cipher \S+ \(\d+/\d+ bits\)"
    )
    return [line.split()[5] for line in lines]


def test_outbound_tls_is_logged(town: Neighbourhood, name: str) -> None:
    _, address = town.peer(name)
    send(town.ours, address, marked(f"logged-{name}"))
    town.ours.wait_for(lambda: "Trusted" in established(town, name))


def test_outbound_tls_can_be_made_to_depend_on_the_certificate(town: Neighbourhood, name: str) -> None:
    _, address = town.peer(name)
    town.ours.set("smtp_tls_security_level", "verify")
    town.ours.reload()
    try:
        # Until the new processes have taken over the old ones deliver, which is as good.
        count = itertools.count()

        def verified() -> bool:
            # A session that the reload meets before MAIL is told to come back.
            with contextlib.suppress(smtplib.SMTPException, ConnectionError):
                send(town.ours, address, marked(f"verified-{name}-{next(count)}"))
            return "Verified" in established(town, name)

        town.ours.wait_for(verified)
    finally:
        town.ours.set("smtp_tls_security_level", "may")
        town.ours.reload()


def test_the_delivery_is_logged_as_postfix_does(town: Neighbourhood) -> None:
    send(town.ours, PAT, marked("logged"))
    only(arrived(lambda: town.postfix.mailbox(PAT), "logged"), town.ours)
    town.ours.wait_for(
        lambda: town.ours.log_matching(
            rf"smtp\[\d+\]: \w+: to=<{PAT}>, relay=mx\.postfix\.example\[{re.escape(town.postfix.address)}\]:25, "
            r"(conn_use=\d+, )?delay=[\d.]+, delays=[\d./]+, "
            r"dsn=2\.0\.0, status=sent \(250 2\.0\.0 Ok: queued as \w+\)"
        )
    )


def test_inbound_mail_reaches_the_mailbox(town: Neighbourhood, name: str) -> None:
    peer, address = town.peer(name)
    from_peer(peer, address, marked(f"in-{name}"))
    found = only(arrived(lambda: town.ours.mailbox(BOB), f"in-{name}"), town.ours)
    assert body(found) == f"in-{name}\n".encode()
    assert found.startswith(f"Return-Path: <{address}>\n".encode())


def test_inbound_mail_comes_under_tls(town: Neighbourhood, name: str) -> None:
    peer, address = town.peer(name)
    from_peer(peer, address, marked(f"tls-in-{name}"))
    found = only(arrived(lambda: town.ours.mailbox(BOB), f"tls-in-{name}"), town.ours)
    assert re.match(
        rf"from mx\.{name}\.example \(mx\.{name}\.example \[{re.escape(peer.address)}\]\) "
        r"\(using TLSv1\.3 with cipher \w+ \(\d+/\d+ bits\).*\) "
        r"by mx\.example\.org \(Pillarbox\) with ESMTPS id \w+ for <bob@example\.org>; ",
        received(found)[0],
    ), received(found)
    town.ours.wait_for(
        lambda: town.ours.log_matching(
            rf"smtpd\[\d+\]: Anonymous TLS connection established from mx\.{name}\.example\["
        )
    )


def test_a_large_message_comes_and_goes_unchanged(town: Neighbourhood, name: str) -> None:
    peer, address = town.peer(name)
    text = b"".join(b"%07d " % number + b"x" * 60 + b"\n" for number in range(30_000))
    content = b"Subject: large\n\nlarge-%s\n" % name.encode() + text
    send(town.ours, address, content.replace(b"\n", b"\r\n"))
    assert body(only(arrived(lambda: peer.mailbox(address), f"large-{name}"), town.ours)) == body(content)
    from_peer(peer, address, content.replace(b"\n", b"\r\n"))
    assert body(only(arrived(lambda: town.ours.mailbox(BOB), f"large-{name}"), town.ours)) == body(content)


def test_a_recipient_that_the_peer_refuses_comes_back(town: Neighbourhood, name: str) -> None:
    domain = f"{name}.example"
    send(town.ours, f"nobody@{domain}", marked(f"refused-{name}"), sender=BOB)
    found = only(arrived(lambda: town.ours.mailbox(BOB), f"refused-{name}"), town.ours)
    report = parsed(found)
    assert report.get_content_type() == "multipart/report"
    assert re.search(rb"(?m)^Action: failed$", found)
    assert re.search(rb"(?m)^Remote-MTA: dns; mx\.%s$" % re.escape(domain.encode()), found)
    assert re.search(rb"(?m)^Diagnostic-Code: smtp; 550", found)


def test_a_recipient_that_we_refuse_comes_back_to_the_peer(town: Neighbourhood, name: str) -> None:
    peer, address = town.peer(name)
    from_peer(peer, address, marked(f"back-{name}"), recipient="nobody@example.org")
    found = only(arrived(lambda: peer.mailbox(address), f"back-{name}"), town.ours)
    assert b"550 5.1.1 <nobody@example.org>: Recipient address rejected" in b" ".join(found.split())
    assert found.startswith(b"Return-path: <>\n") or b"Return-Path: <>\n" in found


def test_a_domain_that_takes_no_mail_is_answered_at_once(town: Neighbourhood) -> None:
    town.dns.add("nullmx.example. MX 0 .")
    send(town.ours, "x@nullmx.example", marked("null-mx"), sender=BOB)
    found = only(arrived(lambda: town.ours.mailbox(BOB), "null-mx"), town.ours)
    assert b"Status: 5.1.10" in found


def test_a_domain_that_does_not_exist_is_answered_at_once(town: Neighbourhood) -> None:
    send(town.ours, "x@no-such-domain.example", marked("no-domain"), sender=BOB)
    found = only(arrived(lambda: town.ours.mailbox(BOB), "no-domain"), town.ours)
    assert b"Status: 5.4.4" in found
    assert b"Host or domain name not found. Name service error" in b" ".join(found.split())


def test_the_next_exchanger_is_used_when_the_first_is_down(town: Neighbourhood) -> None:
    down = loopback_address()
    town.dns.add(
        f"two.example. MX 10 down.two.example.\ndown.two.example. A {down}\ntwo.example. MX 20 mx.postfix.example.\n"
    )
    town.postfix.set("relay_domains", "two.example")
    send(town.ours, "x@two.example", marked("second"), sender=BOB)
    town.postfix.wait_for(lambda: any("to=<x@two.example>" in line for line in town.postfix.log_lines()))
    town.ours.wait_for(lambda: town.ours.log_matching(r"to=<x@two\.example>, relay=mx\.postfix\.example.*status=sent"))
    assert town.ours.log_matching(rf"connect to down\.two\.example\[{re.escape(down)}\]:25: Connection refused")


@pytest.fixture(scope="module")
def opensmtpd(town: Neighbourhood) -> Iterator[OpenSmtpd]:
    """A third make of client: it hands all its mail to us."""
    with OpenSmtpd(relay=(town.ours.address, town.ours.port("smtp"))) as server:
        yield server


def from_opensmtpd(server: OpenSmtpd, content: bytes, recipient: str = BOB) -> None:
    with smtplib.SMTP(server.address, server.port, timeout=60) as client:
        client.sendmail("olga@opensmtpd.example", [recipient], content)


def test_opensmtpd_delivers_to_us_under_tls(town: Neighbourhood, opensmtpd: OpenSmtpd) -> None:
    from_opensmtpd(opensmtpd, marked("from OpenSMTPD"))
    content = only(arrived(lambda: town.ours.mailbox(BOB), "from OpenSMTPD"), town.ours)
    assert body(content) == b"from OpenSMTPD\n"
    assert re.search(r"from opensmtpd\.test .*with ESMTPS id", received(content)[0])


def test_opensmtpd_delivers_many_messages_each_once(town: Neighbourhood, opensmtpd: OpenSmtpd) -> None:
    count = 20
    for number in range(count):
        from_opensmtpd(opensmtpd, marked(f"OpenSMTPD number {number:02d}."))
    found = arrived(lambda: town.ours.mailbox(BOB), "OpenSMTPD number")
    only(found, town.ours, count)
    assert sorted(body(content) for content in found()) == [
        b"OpenSMTPD number %02d.\n" % number for number in range(count)
    ]


def test_a_recipient_that_we_refuse_to_opensmtpd_is_not_tried_again(town: Neighbourhood, opensmtpd: OpenSmtpd) -> None:
    from_opensmtpd(opensmtpd, marked("to nobody"), "nobody@example.org")
    town.ours.wait_for(lambda: any("550 5.1.1" in line for line in opensmtpd.log_lines()), 60)
    assert any(re.search(r"result=\"?PermFail", line) for line in opensmtpd.log_lines())
