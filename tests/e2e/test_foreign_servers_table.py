"""Deliveries to every make of server that the laboratory has, in every manner that it supports: one table.

| server | by | TLS | AUTH |
|---|---|---|---|
| Postfix | MX records | STARTTLS | by Dovecot: PLAIN, LOGIN, SCRAM-SHA-1, SCRAM-SHA-256 |
| Exim | MX records | STARTTLS | - |
| OpenSMTPD, which hands all on to a sink | MX records | - | - |
| chasquid | MX records; as a relay host | STARTTLS | PLAIN |
| Dovecot LMTP | the transport table | - | - |
| Pillarbox | as a relay host | STARTTLS | SCRAM-SHA-256-PLUS, bound to the TLS channel |

Needs root: mail exchangers are on port 25, and the foreign servers run in mount namespaces.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import smtplib
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.lab.certificates import Authority
from tests.lab.dns import DnsServer, mail_zone
from tests.lab.instance import Instance
from tests.lab.ports import loopback_address
from tests.lab.sinks import SmtpSink
from tests.peers.chasquid import Chasquid
from tests.peers.dovecot import Dovecot
from tests.peers.exim import Exim
from tests.peers.opensmtpd import OpenSmtpd
from tests.peers.postfix import Postfix

BOB, CAROL, PASSWORD = "bob@example.org", "carol@pillarbox.example", "correct horse"
SERVERS = ("postfix", "exim", "opensmtpd", "chasquid", "dovecot")
TLS = ("postfix", "exim", "chasquid")
LOGINS = {
    "postfix": ("PLAIN", "LOGIN", "SCRAM-SHA-1", "SCRAM-SHA-256"),
    "chasquid": ("PLAIN",),
    "pillarbox": ("SCRAM-SHA-256-PLUS", "SCRAM-SHA-256", "PLAIN", "LOGIN"),
}

_SERVICE = """
login-{mechanism}:
  command: smtp_client
  warm: 0
  options:
    smtp_sasl_auth_enable: yes
    smtp_sasl_mechanism_filter: {mechanism}
    smtp_tls_security_level: encrypt
    smtp_sasl_password_maps: "inline:{passwords}"
"""

_AUTH = """
auth_mechanisms = plain login scram-sha-1 scram-sha-256
service auth {{
  unix_listener {folder}/auth {{
    mode = 0666
  }}
}}
"""


def ann(server: str) -> str:
    return f"ann@{server}.example"


@dataclass(frozen=True, slots=True)
class World:
    """Our instance, and what each server has for an address."""

    ours: Instance
    boxes: dict[str, Callable[[str], list[bytes]]]
    postfix: Postfix
    chasquid: Chasquid
    other: Instance

    def send(
        self,
        recipients: list[str],
        content: bytes,
        *,
        sender: str = BOB,
        options: tuple[str, ...] = (),
        wishes: tuple[str, ...] = (),
    ) -> None:
        with smtplib.SMTP(self.ours.address, self.ours.port("smtp"), timeout=60) as client:
            client.sendmail(sender, recipients, content, options, wishes)

    def arrived(self, server: str, word: str, address: str = "") -> bytes:
        """The message with a word in it, once it is there; that it is there once."""

        def found() -> list[bytes]:
            return [each for each in self.boxes[server](address or ann(server)) if word.encode() in each]

        self.ours.wait_for(found, 60)
        (message,) = found()
        return message.replace(b"\r\n", b"\n")

    def delivery(self, word: str) -> str:
        """Our log's line of the delivery that is the last one with a word in it."""
        self.ours.wait_for(lambda: self.ours.log_matching(rf"to=<{word}.*status="))
        return self.ours.log_matching(rf"to=<{word}.*status=")[-1]


def dovecot_mail(server: Dovecot) -> Callable[[str], list[bytes]]:
    return lambda address: [path.read_bytes() for path in server.maildir(address).glob("new/*")]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    authority = Authority(tmp_path_factory.mktemp("authority"))
    address = loopback_address()
    sockets = Path(tempfile.mkdtemp(prefix="auth-"))
    sockets.chmod(0o755)
    with contextlib.ExitStack() as stack:
        stack.callback(shutil.rmtree, sockets, ignore_errors=True)
        enter = stack.enter_context
        dns = enter(DnsServer(mail_zone("example.org", address), address=loopback_address(), port=53))
        dovecot = enter(Dovecot({"ann": PASSWORD, ann("dovecot"): PASSWORD}, extra=_AUTH.format(folder=sockets)))
        login = {"smtpd_sasl_auth_enable": "yes", "smtpd_sasl_type": "dovecot", "smtpd_sasl_path": f"{sockets}/auth"}
        postfix = enter(
            Postfix(
                hostname="mx.postfix.example",
                mailboxes=[ann("postfix")],
                dns=dns,
                authority=authority,
                parameters={**login, "smtpd_sasl_security_options": "noanonymous"},
            )
        )
        exim = enter(Exim(hostname="mx.exim.example", mailboxes=[ann("exim")], dns=dns, authority=authority))
        sink = enter(SmtpSink())
        opensmtpd = enter(OpenSmtpd(relay=(sink.address, sink.port), hostname="mx.opensmtpd.example"))
        chasquid = enter(
            Chasquid(hostname="mx.chasquid.example", mailboxes=[ann("chasquid")], dns=dns, authority=authority)
        )
        other = enter(
            Instance(
                hostname="mx.pillarbox.example",
                domains=["pillarbox.example"],
                users={CAROL: PASSWORD},
                settings={
                    "dns_resolver": dns.resolver,
                    "auth_mechanisms": "scram-sha-256-plus, scram-sha-256, plain, login",
                },
            )
        )
        hosts = {
            "postfix": f"[{postfix.address}]:25",
            "chasquid": f"[{chasquid.address}]:{chasquid.submission}",
            "pillarbox": f"[{other.address}]:{other.port('submission')}",
        }
        names = {"postfix": "ann", "chasquid": ann("chasquid"), "pillarbox": CAROL}
        words = {"chasquid": "secret"}
        passwords = ", ".join(
            f"{{{host} = {names[server]}:{words.get(server, PASSWORD)}}}" for server, host in hosts.items()
        )
        mechanisms = {mechanism.lower() for each in LOGINS.values() for mechanism in each}
        routes = {"dovecot.example": f"lmtp:inet:{dovecot.address}:{dovecot.port('lmtp')}"}
        routes |= {
            f"{mechanism.lower()}.{server}.example": f"login-{mechanism.lower()}:{hosts[server]}"
            for server, offered in LOGINS.items()
            for mechanism in offered
        }
        ours = Instance(
            users={BOB: "secret"},
            address=address,
            port_base=0,
            settings={
                "dns_resolver": dns.resolver,
                "smtp_tls_CAfile": str(authority.certificate),
                "smtp_tls_loglevel": "1",
                "transport_maps": "inline:{" + ", ".join(f"{{{key} = {value}}}" for key, value in routes.items()) + "}",
            },
        )
        stack.callback(ours.close)
        ours.init()
        with (ours.config / "master.yaml").open("a") as file:
            for mechanism in sorted(mechanisms):
                file.write(_SERVICE.format(mechanism=mechanism, passwords="{" + passwords + "}"))
        ours.start()
        for name, peer in (("postfix", postfix), ("exim", exim), ("opensmtpd", opensmtpd), ("chasquid", chasquid)):
            dns.add(mail_zone(f"{name}.example", peer.address))
        boxes = {
            "postfix": postfix.mailbox,
            "exim": exim.mailbox,
            "opensmtpd": lambda address: [each.content for each in sink.received(address)],
            "chasquid": chasquid.mailbox,
            "dovecot": dovecot_mail(dovecot),
        }
        try:
            yield World(ours, boxes, postfix, chasquid, other)
        finally:
            ours.show_log()


@pytest.fixture(autouse=True)
def as_root() -> None:
    if os.geteuid() != 0:
        raise AssertionError("this test needs root: mail exchangers are on port 25")


def content(word: str, body: bytes = b"hello\r\n") -> bytes:
    return f"From: {BOB}\r\nTo: somebody\r\nSubject: {word}\r\n\r\n".encode() + body


def body(message: bytes) -> bytes:
    return message.partition(b"\n\n")[2]


@pytest.mark.parametrize("server", SERVERS)
def test_a_message(world: World, server: str) -> None:
    world.send([ann(server)], content(f"plain-{server}"))
    assert body(world.arrived(server, f"plain-{server}")).rstrip() == b"hello"


@pytest.mark.parametrize("server", TLS)
def test_under_tls(world: World, server: str) -> None:
    world.send([ann(server)], content(f"tls-{server}"))
    world.arrived(server, f"tls-{server}")
    assert world.ours.log_matching(rf"TLS connection established to mx\.{server}\.example\[")


@pytest.mark.parametrize("server", SERVERS)
def test_octets_and_dots(world: World, server: str) -> None:
    text = "größer\n.\n..x\n.y\nend\n".encode()
    world.send([ann(server)], content(f"octets-{server}", text.replace(b"\n", b"\r\n")), options=("BODY=8BITMIME",))
    assert body(world.arrived(server, f"octets-{server}")).rstrip() == text.rstrip()


@pytest.mark.parametrize("server", SERVERS)
def test_a_large_message(world: World, server: str) -> None:
    text = b"".join(b"%07d " % number + b"x" * 60 + b"\n" for number in range(30_000))
    world.send([ann(server)], content(f"large-{server}", text.replace(b"\n", b"\r\n")))
    assert body(world.arrived(server, f"large-{server}")).rstrip() == text.rstrip()


@pytest.mark.parametrize("server", ["postfix", "exim", "chasquid", "dovecot"])
def test_one_recipient_of_two_is_refused(world: World, server: str) -> None:
    world.send([ann(server), f"nobody@{server}.example"], content(f"both-{server}"))
    world.arrived(server, f"both-{server}")
    assert "status=sent" in world.delivery(ann(server))
    assert "status=bounced" in world.delivery(f"nobody@{server}.example")


@pytest.mark.parametrize("server", ["postfix", "chasquid"])
def test_header_fields_in_utf_8(world: World, server: str) -> None:
    subject = f"grüße-{server}"
    world.send([ann(server)], content(subject), options=("SMTPUTF8",))
    assert f"Subject: {subject}\n".encode() in world.arrived(server, subject)


@pytest.mark.parametrize(("server", "action"), [("postfix", "delivered"), ("chasquid", "relayed"), ("exim", "relayed")])
def test_a_report_of_success(world: World, server: str, action: str) -> None:
    """By the server where it knows how (RFC 3461), else by us."""
    world.send([ann(server)], content(f"report-{server}"), wishes=("NOTIFY=SUCCESS",))
    report = re.compile(rf"Final-Recipient: rfc822; ?{ann(server)}.*Action: {action}".encode(), re.DOTALL)
    world.ours.wait_for(lambda: any(report.search(each) for each in world.ours.mailbox(BOB)), 60)


@pytest.mark.parametrize("server", SERVERS)
def test_many_messages_arrive_once_each(world: World, server: str) -> None:
    for number in range(12):
        world.send([ann(server)], content(f"many-{server}-{number:02d}."))
    for number in range(12):
        world.arrived(server, f"many-{server}-{number:02d}.")


@pytest.mark.parametrize(("server", "mechanism"), [(server, one) for server in LOGINS for one in LOGINS[server]])
def test_logged_in(world: World, server: str, mechanism: str) -> None:
    """What the server then makes of the recipient is its business; that it knows us is ours."""
    recipient = f"x@{mechanism.lower()}.{server}.example"
    sender = CAROL if server == "pillarbox" else BOB  # a sender of his own is all that Pillarbox takes from a user
    world.send([recipient], content(f"login-{server}-{mechanism}"), sender=sender)
    if server == "chasquid":
        world.ours.wait_for(lambda: world.delivery(recipient))
        assert "SASL" not in world.delivery(recipient)
        assert any("ann@chasquid.example" in line for line in world.chasquid.log_lines())
        return
    peer: Postfix | Instance = world.postfix if server == "postfix" else world.other
    user = "ann" if server == "postfix" else CAROL
    pattern = re.compile(rf"sasl_method={mechanism}, sasl_username={user}")
    world.ours.wait_for(lambda: any(pattern.search(line) for line in peer.log_lines()), 60)
    assert "status=sent" in world.delivery(recipient)
