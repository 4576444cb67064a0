"""From a domain to servers: MX records, their order, their absence, and ourselves among them."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator

import dns.message
import pytest

from pillarbox.lib.config import Config, Service
from pillarbox.smtp_client.route import Server, usable
from pillarbox.smtp_client.settings import read_settings
from tests.dns.name_server import NameServer, name_server
from tests.smtp_client.conftest import ClientUnderTest
from tests.smtp_client.fake_server import DROP, Action, FakeServer, fake_server, unused_port

ZONE: dict[str, dict[str, list[str]]] = {
    "two.test.": {"MX": ["20 second.two.test.", "10 first.two.test."]},
    "first.two.test.": {"A": ["127.0.0.2"]},
    "second.two.test.": {"A": ["127.0.0.3"]},
    "equal.test.": {"MX": ["10 first.two.test.", "10 second.two.test."]},
    "null.test.": {"MX": ["0 ."]},
    "implicit.test.": {"A": ["127.0.0.2"]},
    "empty.test.": {"TXT": ["nothing"]},
    "nohost.test.": {"MX": ["10 nowhere.test."]},
    "halfhost.test.": {"MX": ["10 nowhere.test.", "20 second.two.test."]},
    "alias.test.": {"CNAME": ["two.test."]},
    "toalias.test.": {"MX": ["10 hostalias.test."]},
    "hostalias.test.": {"CNAME": ["first.two.test."]},
    "circle.test.": {"MX": ["10 round.test."]},
    "round.test.": {"CNAME": ["roundabout.test."]},
    "roundabout.test.": {"CNAME": ["round.test."]},
    "loop.test.": {"MX": ["10 first.two.test.", "20 second.two.test."]},
    "many.test.": {"MX": [f"{n} m{n}.test." for n in range(1, 9)]},
    **{f"m{n}.test.": {"A": [f"127.0.1.{n}"]} for n in range(1, 9)},
}


@pytest.fixture
def lab(client: ClientUnderTest) -> Iterator[ClientUnderTest]:
    with name_server(ZONE) as ns:
        client.servers = [ns.server]
        client.parameters["smtp_address_preference"] = "ipv4"
        yield client


@contextlib.contextmanager
def hosts(client: ClientUnderTest, **scripts: dict[str, Action]) -> Iterator[dict[str, FakeServer]]:
    """Servers on 127.0.0.N at one port: `h2=...` is 127.0.0.2."""
    with contextlib.ExitStack() as stack:
        port = unused_port()
        client.parameters["smtp_tcp_port"] = str(port)
        yield {
            name: stack.enter_context(fake_server(script, address=f"127.0.0.{name[1:]}", port=port))
            for name, script in scripts.items()
        }


def test_the_best_host_gets_the_mail(lab: ClientUnderTest) -> None:
    with hosts(lab, h2={}, h3={}) as servers:
        outcome = lab.deliver_one("two.test")
        port = servers["h2"].port
        assert outcome.one.relay == f"first.two.test[127.0.0.2]:{port}"
        assert servers["h3"].heard == []


def test_an_alias_leads_to_its_mx(lab: ClientUnderTest) -> None:
    with hosts(lab, h2={}):
        assert lab.deliver_one("alias.test").one.status == "sent"


def test_an_mx_that_is_an_alias_is_followed(lab: ClientUnderTest) -> None:
    """Outside of the standard (RFC 5321 section 5.1), but common."""
    with hosts(lab, h2={}) as servers:
        outcome = lab.deliver_one("toalias.test")
        assert outcome.one.relay == f"hostalias.test[127.0.0.2]:{servers['h2'].port}"


def test_aliases_in_a_circle_are_not_followed_for_ever(lab: ClientUnderTest) -> None:
    assert lab.deliver_one("circle.test").one.dsn in ("4.4.3", "5.4.4")


def test_destinations_in_a_list_are_tried_in_turn(lab: ClientUnderTest) -> None:
    with hosts(lab, h3={}) as servers:
        port = servers["h3"].port
        outcome = lab.deliver_one(f"[127.0.0.1]:{unused_port()}, nowhere.test [127.0.0.3]:{port}")
        assert outcome.one.relay == f"127.0.0.3[127.0.0.3]:{port}"


def families(servers: list[Server]) -> str:
    return "".join("6" if ":" in server.address else "4" for server in servers)


@pytest.mark.parametrize(
    ("found", "limit", "left"),
    [
        ("66664444", 5, "66664"),
        ("66664444", 4, "6644"),
        ("66664444", 2, "64"),
        ("66664444", 1, "6"),
        ("64646464", 5, "64646"),
        ("4444444", 5, "44444"),
        ("444446", 5, "44446"),
        ("66664444", 0, "66664444"),
    ],
)
def test_the_limit_leaves_both_families(found: str, limit: int, left: str) -> None:
    servers = [Server("mx", f"2001:db8::{n}" if kind == "6" else f"192.0.2.{n}", 25) for n, kind in enumerate(found)]
    assert families(usable(servers, limit, balance=True)) == left
    assert usable(servers, limit, balance=False) == (servers[:limit] if limit else servers)


def test_equal_hosts_share_the_mail(lab: ClientUnderTest) -> None:
    lab.parameters["smtp_connection_cache_on_demand"] = "no"
    with hosts(lab, h2={}, h3={}) as servers:
        lab.deliver(*(lab.request("equal.test") for _ in range(20)))
        assert all(server.heard for server in servers.values())


@pytest.mark.parametrize(
    "script",
    [
        {"greeting": "421 busy"},
        {"greeting": DROP},
        {"MAIL": "451 later"},
        {"RCPT": "450 later"},
        {"content": "452 full"},
    ],
)
def test_the_next_host_gets_what_the_best_can_not_take_now(lab: ClientUnderTest, script: dict[str, Action]) -> None:
    with hosts(lab, h2=script, h3={}):
        outcome = lab.deliver_one("two.test")
        assert outcome.one.status == "sent"
        assert outcome.one.relay.startswith("second.two.test[127.0.0.3]:")
        assert outcome.site == ""
        assert len(outcome.log) == 2
        assert "first.two.test[127.0.0.2]" in outcome.log[0]


def test_the_next_host_gets_the_rest_of_the_recipients(lab: ClientUnderTest) -> None:
    def rcpt(number: int, argument: str) -> str:
        return "250 2.1.5 Ok" if "now" in argument else "450 later" if "later" in argument else "550 5.1.1 no"

    with hosts(lab, h2={"RCPT": rcpt}, h3={}) as servers:
        outcome = lab.deliver_one("two.test", ["now@b.test", "later@b.test", "never@b.test"])
        assert {address: result.status for address, result in outcome.results.items()} == {
            "now@b.test": "sent",
            "later@b.test": "sent",
            "never@b.test": "bounced",
        }
        assert [command for command in servers["h3"].commands if command.startswith("RCPT")] == [
            "RCPT TO:<later@b.test> ORCPT=rfc822;later@b.test"
        ]


def test_a_refusal_is_not_taken_to_the_next_host(lab: ClientUnderTest) -> None:
    with hosts(lab, h2={"RCPT": "550 5.1.1 no"}, h3={}) as servers:
        assert lab.deliver_one("two.test").one.status == "bounced"
        assert servers["h3"].heard == []


def test_a_dead_host_is_passed_over(lab: ClientUnderTest) -> None:
    with hosts(lab, h3={}):
        outcome = lab.deliver_one("two.test")
        assert outcome.one.status == "sent"
        assert outcome.log[0].startswith("connect to first.two.test[127.0.0.2]:")


def test_sessions_are_limited(lab: ClientUnderTest) -> None:
    lab.parameters["smtp_mx_session_limit"] = "1"
    with hosts(lab, h2={"MAIL": "451 later"}, h3={}) as servers:
        assert lab.deliver_one("two.test").one.status == "deferred"
        assert servers["h3"].heard == []


def test_addresses_are_limited(lab: ClientUnderTest) -> None:
    lab.parameters["smtp_mx_address_limit"] = "3"
    lab.parameters["smtp_tcp_port"] = str(unused_port())
    outcome = lab.deliver_one("many.test")
    assert sum(line.startswith("connect to m") for line in outcome.log) == 3
    assert outcome.site.startswith("connect to m3.test[127.0.1.3]:")


def test_a_domain_without_mx_is_its_own_host(lab: ClientUnderTest) -> None:
    with hosts(lab, h2={}):
        assert lab.deliver_one("implicit.test").one.relay.startswith("implicit.test[127.0.0.2]:")


def test_the_null_mx_takes_no_mail(lab: ClientUnderTest) -> None:
    """RFC 7505."""
    result = lab.deliver_one("null.test").one
    assert (result.status, result.dsn, result.relay) == ("bounced", "5.1.10", "none")
    assert result.text == "Domain null.test does not accept mail (nullMX)"


def test_no_such_domain(lab: ClientUnderTest) -> None:
    result = lab.deliver_one("nowhere.test").one
    assert (result.status, result.dsn) == ("bounced", "5.4.4")
    assert result.text == (
        "Host or domain name not found. Name service error for name=nowhere.test type=MX: Host not found"
    )


def test_a_domain_without_mx_and_address(lab: ClientUnderTest) -> None:
    lab.parameters["inet_protocols"] = "ipv4"
    assert lab.deliver_one("empty.test").one.text == (
        "Host or domain name not found. Name service error for name=empty.test type=A: "
        "Host found but no data record of requested type"
    )


@pytest.mark.parametrize(("defer", "status"), [("no", "bounced"), ("yes", "deferred")])
def test_mx_hosts_without_address(lab: ClientUnderTest, defer: str, status: str) -> None:
    lab.parameters["smtp_defer_if_no_mx_address_found"] = defer
    assert lab.deliver_one("nohost.test").one.status == status


def test_one_mx_host_without_address(lab: ClientUnderTest) -> None:
    with hosts(lab, h3={}):
        assert lab.deliver_one("halfhost.test").one.status == "sent"


def test_a_silent_name_server_defers(client: ClientUnderTest) -> None:
    def answering(server: NameServer, query: dns.message.Message, tcp: bool) -> list[bytes]:
        return []

    with name_server(ZONE, answering) as ns:
        client.servers = [ns.server]
        outcome = client.deliver_one("two.test")
    assert (outcome.one.status, outcome.one.dsn) == ("deferred", "4.4.3")
    assert outcome.one.text == (
        "Host or domain name not found. Name service error for name=two.test type=MX: Host not found, try again"
    )
    assert outcome.site == outcome.one.text


@pytest.mark.parametrize("name", ["a..b.test", "x" * 64 + ".test", "ä" * 80 + ".test"])
def test_impossible_domains_bounce(lab: ClientUnderTest, name: str) -> None:
    assert lab.deliver_one(name).one.dsn == "5.4.4"


def us(lab: ClientUnderTest, address: str) -> None:
    port = lab.parameters["smtp_tcp_port"]
    lab.services = {"smtpd": Service("smtpd", "smtpd", (f"inet:{address}:{port}",))}


def test_mail_for_ourselves_does_not_loop(lab: ClientUnderTest) -> None:
    with hosts(lab, h2={}, h3={}) as servers:
        us(lab, "127.0.0.2")
        result = lab.deliver_one("loop.test").one
        assert (result.status, result.dsn) == ("bounced", "5.4.6")
        assert result.text == "mail for loop.test loops back to myself"
        assert not servers["h2"].heard
        assert not servers["h3"].heard


def test_as_a_backup_we_try_only_better_hosts(lab: ClientUnderTest) -> None:
    with hosts(lab, h2={"MAIL": "451 later"}, h3={}) as servers:
        us(lab, "127.0.0.3")
        outcome = lab.deliver_one("loop.test")
        assert outcome.one.text.startswith("host first.two.test[127.0.0.2] said: 451 later")
        assert not servers["h3"].heard


def test_a_server_with_our_name_is_ourselves(lab: ClientUnderTest) -> None:
    with hosts(lab, h2={"EHLO": "250-Me.Test\n250 PIPELINING"}):
        result = lab.deliver_one("implicit.test").one
        assert result.text == "mail for implicit.test loops back to myself"


def test_the_fallback_relay_gets_what_has_no_way(lab: ClientUnderTest) -> None:
    with fake_server() as server:
        lab.parameters["smtp_fallback_relay"] = server.nexthop
        for domain in ("nowhere.test", f"[127.0.0.1]:{unused_port()}"):
            assert lab.deliver_one(domain).one.status == "sent"


@pytest.mark.parametrize(
    "parameters",
    [
        {"disable_dns_lookups": "yes"},
        {"smtp_dns_support_level": "disabled"},
        {"smtp_dns_support_level": "disabled", "disable_dns_lookups": "no"},
    ],
)
def test_no_mx_is_asked_for_where_dns_is_off(lab: ClientUnderTest, parameters: dict[str, str]) -> None:
    lab.parameters |= parameters
    with hosts(lab, h2={}):
        assert lab.deliver_one("first.two.test").one.status == "sent"


@pytest.mark.parametrize(
    ("parameters", "off"),
    [
        ({}, False),
        ({"disable_dns_lookups": "yes"}, True),
        ({"smtp_dns_support_level": "disabled"}, True),
        ({"smtp_dns_support_level": "enabled", "disable_dns_lookups": "yes"}, False),
        ({"smtp_dns_support_level": "dnssec", "disable_dns_lookups": "yes"}, False),
    ],
)
def test_the_support_level_counts_where_it_is_set(parameters: dict[str, str], off: bool) -> None:
    assert read_settings(Config.for_tests(**parameters), "smtp").disable_dns_lookups is off


def test_address_families_can_be_switched_off(client: ClientUnderTest) -> None:
    client.parameters["inet_protocols"] = "ipv6"
    with fake_server() as server:
        assert client.deliver_one(server.nexthop).one.status == "deferred"
        assert not server.heard


@contextlib.contextmanager
def unanswering(address: str, port: int) -> Iterator[None]:
    """An address that takes no connection and refuses none: its queue is full."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((address, port))
        listener.listen(0)
        for _ in range(3):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex((address, port))
        yield


@pytest.mark.parametrize("dead", [2, 3])
def test_a_dead_address_holds_up_nobody_among_equals(lab: ClientUnderTest, dead: int) -> None:
    lab.parameters |= {"smtp_connect_timeout": "1d", "smtp_connection_cache_on_demand": "no"}
    with hosts(lab, **{f"h{5 - dead}": {}}) as servers, unanswering(f"127.0.0.{dead}", server_port(lab)):
        outcomes = lab.deliver(*(lab.request("equal.test") for _ in range(4)))
        assert [outcome.one.status for outcome in outcomes] == ["sent"] * 4
        assert len(servers[f"h{5 - dead}"].messages) == 4


def test_a_worse_host_takes_part_in_no_race(lab: ClientUnderTest) -> None:
    lab.parameters["smtp_connect_timeout"] = "0.6s"
    with hosts(lab, h3={}) as servers, unanswering("127.0.0.2", server_port(lab)):
        outcome = lab.deliver_one("two.test")
        assert outcome.one.status == "sent"
        assert outcome.log[0] == f"connect to first.two.test[127.0.0.2]:{servers['h3'].port}: Connection timed out"


def server_port(client: ClientUnderTest) -> int:
    return int(client.parameters["smtp_tcp_port"])
