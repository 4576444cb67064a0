"""Access policy beside a real Postfix: the same restrictions, clients and tables give the same replies.

Each case is a restriction class that one recipient leads to, so that one instance of each server has them all; a proxy
(XCLIENT) speaks for the clients.
"""

from __future__ import annotations

import contextlib
import smtplib
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.lab.dns import DnsServer
from tests.lab.instance import Instance
from tests.lab.ports import loopback_address
from tests.peers.postfix import Postfix

DOMAIN = "relay.test"

ZONE = """
sender.test. MX 10 mx.sender.test.
sender.test. NS ns.sender.test.
mx.sender.test. A 192.0.2.25
ns.sender.test. A 198.51.100.53
host.test. A 192.0.2.77
null.test. MX 0 .
text.test. TXT "x"
mx.client.test. A 192.0.2.1
1.2.0.192.bl.test. A 127.0.0.4
1.2.0.192.bl.test. TXT "listed, see http://bl.test/"
1.2.0.192.wl.test. A 127.0.0.2
mx.client.test.dbl.test. A 127.0.1.2
sender.test.dbl.test. A 127.0.1.2
"""

TABLES = {
    "client": {
        "192.0.2": "REJECT network",
        "client.test": "554 5.7.9 name",
        "203.0.113.9": "DUNNO",
    },
    "helo": {"helo.test": "REJECT", "later.test": "DEFER come back", "sub.helo.test": "OK"},
    "sender": {
        "bad@sender.test": "550 you",
        "sender.test": "DEFER_IF_PERMIT 4.2.0 domain",
        "user@": "REJECT 5.1.8 user",
        "<>": "REJECT null",
        "num@sender.test": "12345",
        "hold@sender.test": "permit_mynetworks, reject",
        "bye@sender.test": "521 5.7.0 never",
        "soft@sender.test": "DEFER_IF_REJECT 4.7.7 soft",
    },
    "hosts": {"mx.sender.test": "REJECT exchanger", "198.51.100": "REJECT server", "192.0.2.77": "REJECT address"},
    "empty": {"nothing.test": "OK"},
}


@dataclass(frozen=True)
class Client:
    address: str = "192.0.2.1"
    name: str = "mx.client.test"
    reverse: str = "mx.client.test"
    helo: str = "mx.client.test"
    sender: str = "a@sender.test"


STRANGER = Client("203.0.113.7", "[UNAVAILABLE]", "[UNAVAILABLE]")
FORGED = Client("203.0.113.7", "[UNAVAILABLE]", "mx.forged.test")
TEMPORARY = Client("203.0.113.7", "[TEMPUNAVAIL]", "[TEMPUNAVAIL]")


def from_(sender: str) -> Client:
    return Client(sender=sender)


def helo(name: str) -> Client:
    return Client(helo=name)


CASES: list[tuple[str, Client]] = [
    ("reject", Client()),
    ("defer", Client()),
    ("permit, reject", Client()),
    ("defer_if_permit", Client()),
    ("defer_if_reject, reject", Client()),
    ("warn_if_reject reject, defer", Client()),
    ("reject_unknown_client_hostname", Client()),
    ("reject_unknown_client_hostname", STRANGER),
    ("reject_unknown_client_hostname", TEMPORARY),
    ("reject_unknown_reverse_client_hostname", STRANGER),
    ("reject_unknown_reverse_client_hostname", FORGED),
    ("reject_plaintext_session", Client()),
    ("permit_mynetworks, reject", Client()),
    ("reject_unauth_destination", Client()),
    ("permit_auth_destination, reject", Client()),
    ("reject_invalid_helo_hostname", helo("bad..test")),
    ("reject_invalid_helo_hostname", helo("[192.0.2.300]")),
    ("reject_invalid_helo_hostname", helo("[192.0.2.1]")),
    ("reject_non_fqdn_helo_hostname", helo("short")),
    ("reject_non_fqdn_helo_hostname", helo("192.0.2.1")),
    ("reject_unknown_helo_hostname", helo("nowhere.test")),
    ("reject_unknown_helo_hostname", helo("host.test")),
    ("reject_non_fqdn_sender", from_("a@short")),
    ("reject_non_fqdn_sender", from_("a")),
    ("reject_non_fqdn_sender", from_("")),
    ("reject_unknown_sender_domain", from_("a@nowhere.test")),
    ("reject_unknown_sender_domain", from_("a@text.test")),
    ("reject_unknown_sender_domain", from_("a@null.test")),
    ("reject_unknown_sender_domain", from_("a@host.test")),
    ("check_client_access texthash:{t}/client", Client()),
    ("check_client_access texthash:{t}/client", Client("192.0.2.9", "[UNAVAILABLE]", "[UNAVAILABLE]")),
    ("check_client_access texthash:{t}/client", Client("203.0.113.9", "[UNAVAILABLE]", "[UNAVAILABLE]")),
    ("check_helo_access texthash:{t}/helo, reject", helo("helo.test")),
    ("check_helo_access texthash:{t}/helo, reject", helo("x.later.test")),
    ("check_helo_access texthash:{t}/helo, reject", helo("sub.helo.test")),
    ("check_sender_access texthash:{t}/sender", from_("bad@sender.test")),
    ("check_sender_access texthash:{t}/sender", from_("good@sender.test")),
    ("check_sender_access texthash:{t}/sender, reject", from_("good@sender.test")),
    ("check_sender_access texthash:{t}/sender", from_("user@other.test")),
    ("check_sender_access texthash:{t}/sender", from_("")),
    ("check_sender_access texthash:{t}/sender, reject", from_("num@sender.test")),
    ("check_sender_access texthash:{t}/sender", from_("hold@sender.test")),
    ("check_sender_access texthash:{t}/sender", from_("bye@sender.test")),
    ("check_sender_access texthash:{t}/sender, reject", from_("soft@sender.test")),
    ("check_sender_access texthash:{t}/sender, defer", from_("soft@sender.test")),
    ("texthash:{t}/empty, reject", Client()),
    ("check_sender_mx_access texthash:{t}/hosts", Client()),
    ("check_sender_ns_access texthash:{t}/hosts", Client()),
    ("check_sender_a_access texthash:{t}/hosts", from_("a@host.test")),
    ("check_sender_mx_access texthash:{t}/hosts", from_("a@host.test")),
    ("check_client_a_access texthash:{t}/client", Client()),
    ("check_reverse_client_hostname_access texthash:{t}/client", Client("203.0.113.7", "[UNAVAILABLE]")),
    ("reject_rbl_client bl.test", Client()),
    ("reject_rbl_client bl.test=127.0.0.[2..3]", Client()),
    ("reject_rbl_client bl.test=127.0.0.[2..4]", Client()),
    ("reject_rbl_client bl.test", STRANGER),
    ("permit_dnswl_client wl.test, reject", Client()),
    ("permit_dnswl_client wl.test, reject", STRANGER),
    ("reject_rhsbl_client dbl.test", Client()),
    ("reject_rhsbl_helo dbl.test", Client()),
    ("reject_rhsbl_sender dbl.test", Client()),
    ("reject_rhsbl_sender dbl.test", from_("a@host.test")),
    ("reject_multi_recipient_bounce", from_("")),
    ("check_policy_service inet:127.0.0.1:1", Client()),
    ("check_client_access texthash:{t}/helo, check_helo_access texthash:{t}/helo, defer", helo("helo.test")),
    ("reject_unlisted_recipient, reject_unlisted_sender, reject", Client()),
    ("check_recipient_access texthash:{t}/empty, defer_if_permit, permit", Client()),
    ("check_sender_access texthash:{t}/sender, reject_rbl_client bl.test", from_("good@sender.test")),
    ("reject_unknown_sender_domain, reject_rhsbl_sender dbl.test", from_("a@null.test")),
    ("check_helo_mx_access texthash:{t}/hosts", helo("sender.test")),
    ("check_helo_ns_access texthash:{t}/hosts", helo("a.b.sender.test")),
    ("check_helo_a_access texthash:{t}/hosts", helo("host.test")),
    ("check_sender_a_access texthash:{t}/hosts", from_("a@mx.sender.test")),
    ("reject_non_fqdn_recipient, reject_unknown_recipient_domain", Client()),
    ("sleep 1, reject", Client()),
    ("reject_sender_login_mismatch, defer", Client()),
    ("reject_invalid_helo_hostname, reject_non_fqdn_helo_hostname, reject", helo("good.test.")),
    ("reject_unknown_helo_hostname", helo("[IPv6:2001:db8::1]")),
    ("reject_unknown_helo_hostname", helo("[IPv6:2001:db8::zz]")),
]


@dataclass(frozen=True)
class Server:
    address: str
    port: int


@pytest.fixture(scope="module")
def servers() -> Iterator[tuple[Server, Server]]:
    with contextlib.ExitStack() as stack:
        dns = stack.enter_context(DnsServer(ZONE, address=loopback_address(), port=53))
        tables = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="access-tables-")))
        tables.chmod(0o755)
        for name, entries in TABLES.items():
            (tables / name).write_text("".join(f"{key} {value}\n" for key, value in entries.items()))
        (tables / "cases").write_text("".join(f"case{n}@{DOMAIN} case{n}\n" for n in range(len(CASES))))
        settings = {
            "relay_domains": DOMAIN,
            "relay_recipient_maps": "",
            "mynetworks": "127.0.0.3/32",
            "smtpd_authorized_xclient_hosts": "127.0.0.0/8",
            "smtpd_policy_service_retry_delay": "1s",
            "smtpd_restriction_classes": ", ".join(f"case{n}" for n in range(len(CASES))),
            "smtpd_recipient_restrictions": f"texthash:{tables}/cases, reject_unauth_destination",
            **{f"case{n}": rules.format(t=tables) for n, (rules, _) in enumerate(CASES)},
        }
        ours = stack.enter_context(Instance(settings={"dns_resolver": dns.resolver, **settings}))
        theirs = stack.enter_context(Postfix(dns=dns, parameters=settings))
        yield Server(ours.address, ours.port("smtp")), Server(theirs.address, theirs.port)


def reply(server: Server, client: Client, recipient: str) -> str:
    with smtplib.SMTP(server.address, server.port, timeout=60) as session:
        session.ehlo("proxy.test")
        said = session.docmd("XCLIENT", f"ADDR={client.address} NAME={client.name} REVERSE_NAME={client.reverse}")
        assert said[0] == 220, said
        session.ehlo(client.helo)
        assert session.docmd("MAIL", f"FROM:<{client.sender}>")[0] == 250
        code, text = session.docmd("RCPT", f"TO:<{recipient}>")
    return f"{code} {text.decode()}"


@pytest.mark.parametrize("number", range(len(CASES)), ids=[f"{rules} {client}" for rules, client in CASES])
def test_the_replies_are_the_same(servers: tuple[Server, Server], number: int) -> None:
    ours, theirs = (reply(server, CASES[number][1], f"case{number}@{DOMAIN}") for server in servers)
    assert ours == theirs
