"""The private DNS server answers as the zones say, and misbehaves only where it is told to."""

from __future__ import annotations

from collections.abc import Iterator

import dns.exception
import dns.flags
import dns.message
import dns.query
import dns.rcode
import dns.rdatatype
import pytest

from tests.lab.dns import DnsServer, mail_zone, resolv_conf

ZONE = """
; comments and blank lines are allowed

example.org. 300 IN MX 10 mx.example.org.
example.org. MX 20 backup.example.org.
mx.example.org. A 127.0.0.2
mx.example.org. AAAA ::1
www.example.org. CNAME mx.example.org.
example.org. TXT "v=spf1 -all" "second"
_25._tcp.mx.example.org. TLSA 3 1 1 00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff
nomail.example.org. MX 0 .
"""


@pytest.fixture
def server() -> Iterator[DnsServer]:
    with DnsServer(ZONE) as running:
        yield running


def ask(server: DnsServer, name: str, kind: str, *, tcp: bool = False, timeout: float = 5) -> dns.message.Message:
    query = dns.message.make_query(name, kind)
    send = dns.query.tcp if tcp else dns.query.udp
    return send(query, server.address, timeout, server.port)


def answers(message: dns.message.Message) -> list[str]:
    return [data.to_text() for rrset in message.answer for data in rrset]


@pytest.mark.parametrize("tcp", [False, True])
def test_all_records_of_a_name_and_type_are_given(server: DnsServer, tcp: bool) -> None:
    found = answers(ask(server, "example.org", "MX", tcp=tcp))
    assert sorted(found) == ["10 mx.example.org.", "20 backup.example.org."]


@pytest.mark.parametrize(
    ("name", "kind", "expected"),
    [
        ("mx.example.org", "A", "127.0.0.2"),
        ("MX.Example.ORG", "AAAA", "::1"),
        ("example.org", "TXT", '"v=spf1 -all" "second"'),
        ("nomail.example.org", "MX", "0 ."),
    ],
)
def test_each_type_of_record_can_be_served(server: DnsServer, name: str, kind: str, expected: str) -> None:
    assert answers(ask(server, name, kind)) == [expected]


def test_a_tlsa_record_can_be_served(server: DnsServer) -> None:
    assert answers(ask(server, "_25._tcp.mx.example.org", "TLSA"))[0].startswith("3 1 1 0011")


def test_an_alias_is_followed(server: DnsServer) -> None:
    assert answers(ask(server, "www.example.org", "A")) == ["mx.example.org.", "127.0.0.2"]


def test_a_name_without_records_of_the_type_exists_but_has_no_answer(server: DnsServer) -> None:
    reply = ask(server, "mx.example.org", "MX")
    assert (reply.rcode(), answers(reply)) == (dns.rcode.NOERROR, [])


def test_a_name_that_has_only_names_below_it_exists(server: DnsServer) -> None:
    assert ask(server, "_tcp.mx.example.org", "A").rcode() == dns.rcode.NOERROR


def test_an_unknown_name_does_not_exist(server: DnsServer) -> None:
    assert ask(server, "nowhere.example.org", "A").rcode() == dns.rcode.NXDOMAIN


@pytest.mark.parametrize(("how", "code"), [("servfail", dns.rcode.SERVFAIL), ("refused", dns.rcode.REFUSED)])
def test_a_failure_covers_the_name_and_what_is_below_it_until_it_recovers(
    server: DnsServer, how: str, code: dns.rcode.Rcode
) -> None:
    server.fail("example.org", how)
    assert ask(server, "mx.example.org", "A").rcode() == code
    server.recover()
    assert ask(server, "mx.example.org", "A").rcode() == dns.rcode.NOERROR


def test_a_failure_can_be_limited_to_a_type(server: DnsServer) -> None:
    server.fail("mx.example.org", "servfail", "AAAA")
    assert ask(server, "mx.example.org", "A").rcode() == dns.rcode.NOERROR


def test_a_timeout_is_silence(server: DnsServer) -> None:
    server.fail("mx.example.org", "timeout")
    with pytest.raises(dns.exception.Timeout):
        ask(server, "mx.example.org", "A", timeout=0.2)


def test_an_unknown_kind_of_failure_is_refused(server: DnsServer) -> None:
    with pytest.raises(ValueError, match="servfail"):
        server.fail("example.org", "explode")


def test_what_was_added_and_removed_counts_at_once(server: DnsServer) -> None:
    assert ask(server, "new.example.net", "A").rcode() == dns.rcode.NXDOMAIN
    server.add("new.example.net. A 127.0.0.9")
    assert answers(ask(server, "new.example.net", "A")) == ["127.0.0.9"]
    server.remove("new.example.net")
    assert ask(server, "new.example.net", "A").rcode() == dns.rcode.NXDOMAIN


def test_truncation_sends_clients_to_tcp(server: DnsServer) -> None:
    server.truncate()
    assert ask(server, "example.org", "MX").flags & dns.flags.TC
    assert len(answers(ask(server, "example.org", "MX", tcp=True))) == 2


def test_an_answer_too_big_for_a_datagram_is_truncated(server: DnsServer) -> None:
    server.add("".join(f'big.example.org. TXT "{"x" * 200} {number}"\n' for number in range(30)))
    assert ask(server, "big.example.org", "TXT").flags & dns.flags.TC
    assert len(answers(ask(server, "big.example.org", "TXT", tcp=True))) == 30


def test_answers_are_authenticated_on_demand(server: DnsServer) -> None:
    assert not ask(server, "example.org", "MX").flags & dns.flags.AD
    server.authenticate()
    assert ask(server, "example.org", "MX").flags & dns.flags.AD


def test_every_question_is_logged(server: DnsServer) -> None:
    ask(server, "example.org", "MX")
    ask(server, "example.org", "MX")
    ask(server, "mx.example.org", "A", tcp=True)
    assert [(q.name, q.type, q.transport) for q in server.questions] == [
        ("example.org.", "MX", "udp"),
        ("example.org.", "MX", "udp"),
        ("mx.example.org.", "A", "tcp"),
    ]
    assert len(server.asked("example.org", "MX")) == 2


def test_a_broken_datagram_is_ignored(server: DnsServer) -> None:
    import socket

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.sendto(b"\xff\x00nonsense", (server.address, server.port))
    assert answers(ask(server, "mx.example.org", "A")) == ["127.0.0.2"]


def test_a_line_that_is_no_record_is_refused() -> None:
    with pytest.raises(ValueError, match="not a record"):
        DnsServer("example.org. MX")


def test_a_stopped_server_frees_its_port() -> None:
    with DnsServer(ZONE) as first:
        port = first.port
    with DnsServer(ZONE, port=port) as second:
        assert answers(ask(second, "mx.example.org", "A")) == ["127.0.0.2"]


def test_a_mail_zone_has_exchanger_address_and_reverse_name() -> None:
    with DnsServer(mail_zone("example.com", "127.3.2.1")) as server:
        assert answers(ask(server, "example.com", "MX")) == ["10 mx.example.com."]
        assert answers(ask(server, "mx.example.com", "A")) == ["127.3.2.1"]
        assert answers(ask(server, "1.2.3.127.in-addr.arpa", "PTR")) == ["mx.example.com."]


def test_resolv_conf_names_the_servers() -> None:
    assert resolv_conf(["127.0.0.3"]).startswith("nameserver 127.0.0.3\n")
