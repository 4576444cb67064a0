"""The resolver against a name server on loopback, well-behaved and not."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Coroutine
from typing import Any, TypeVar

import dns.flags
import dns.message
import dns.rcode
import dns.rrset
import pytest

from pillarbox.lib.dns import MX, Absent, Answer, Failed, Hosts, RecordType, Resolver, Server
from pillarbox.lib.dns import endpoint as endpoint_module
from pillarbox.lib.dns.cache import OCTETS_EACH, Cache
from tests.dns.name_server import NameServer, name_server

T = TypeVar("T")

ZONE: dict[str, dict[str, list[str]]] = {
    "example.test.": {"MX": ["20 mx2.example.test.", "10 mx1.example.test."], "TXT": ['"v=spf1 -all"']},
    "mx1.example.test.": {"A": ["192.0.2.1"], "AAAA": ["2001:db8::1"]},
    "alias.test.": {"CNAME": ["mx1.example.test."]},
    "loop1.test.": {"CNAME": ["loop2.test."]},
    "loop2.test.": {"CNAME": ["loop1.test."]},
    "dangling.test.": {"CNAME": ["nowhere.test."]},
    "client.test.": {"A": ["192.0.2.7"]},
    "7.2.0.192.in-addr.arpa.": {"PTR": ["client.test."]},
    "8.2.0.192.in-addr.arpa.": {"PTR": ["client.test."]},
    "9.2.0.192.in-addr.arpa.": {"PTR": ["1.2.3.4."]},
    **{f"c{n}.test.": {"CNAME": [f"c{n + 1}.test."]} for n in range(15)},
    "c15.test.": {"A": ["192.0.2.15"]},
}


class Clock:
    """A clock that only tests move."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def run(coroutine: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(coroutine)


def resolver(*servers: Server, clock: Clock | None = None, **options: Any) -> Resolver:
    options = {"timeout": 0.3, "attempts": 2, **options}
    return Resolver(servers, clock=clock or Clock(), **options)


def test_an_answer_is_an_answer() -> None:
    with name_server(ZONE) as ns:
        outcome = run(resolver(ns.server).mx("Example.Test"))
    assert isinstance(outcome, Answer)
    assert sorted(outcome.records) == [MX(10, "mx1.example.test"), MX(20, "mx2.example.test")]
    assert outcome.ttl == 300


def test_no_such_name_is_absent() -> None:
    with name_server(ZONE) as ns:
        outcome = run(resolver(ns.server).mx("nowhere.test"))
    assert outcome == Absent("nowhere.test", name_exists=False, ttl=60)
    assert outcome.reason == "Host not found"


def test_no_data_is_absent_with_an_existing_name() -> None:
    with name_server(ZONE) as ns:
        outcome = run(resolver(ns.server).mx("mx1.example.test"))
    assert isinstance(outcome, Absent)
    assert outcome.name_exists


@pytest.mark.parametrize("rcode", [dns.rcode.SERVFAIL, dns.rcode.REFUSED, dns.rcode.YXDOMAIN])
def test_a_server_in_trouble_is_a_failure(rcode: dns.rcode.Rcode) -> None:
    def answering(server: NameServer, query: dns.message.Message, tcp: bool) -> list[bytes]:
        response = dns.message.make_response(query)
        response.set_rcode(rcode)
        return [response.to_wire()]

    with name_server(ZONE, answering) as ns:
        outcome = run(resolver(ns.server).mx("example.test"))
    assert isinstance(outcome, Failed)
    assert outcome.reason == "Host not found, try again"


def test_a_silent_server_is_a_failure() -> None:
    with name_server(ZONE, lambda server, query, tcp: []) as ns:
        outcome = run(resolver(ns.server, timeout=0.05).mx("example.test"))
    assert isinstance(outcome, Failed)
    assert "timed out" in outcome.detail
    assert len(ns.queries) == 2  # as often as `attempts` says


def test_nobody_listening_is_a_failure() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    outcome = run(resolver(Server("127.0.0.1", port), timeout=5).mx("example.test"))
    assert isinstance(outcome, Failed)
    assert "refused" in outcome.detail


def test_the_next_server_is_asked() -> None:
    with name_server(ZONE, lambda server, query, tcp: []) as silent, name_server(ZONE) as ns:
        outcome = run(resolver(silent.server, ns.server, timeout=0.5).mx("example.test"))
    assert isinstance(outcome, Answer)


def test_a_truncated_answer_is_fetched_over_tcp() -> None:
    def answering(server: NameServer, query: dns.message.Message, tcp: bool) -> list[bytes]:
        response = server.response(query)
        if not tcp:
            response.flags |= dns.flags.TC
        return [response.to_wire()]

    with name_server(ZONE, answering) as ns:
        outcome = run(resolver(ns.server).mx("example.test"))
    assert isinstance(outcome, Answer)
    assert [tcp for _, _, tcp in ns.queries] == [False, True]


def test_an_old_server_is_asked_without_edns() -> None:
    def answering(server: NameServer, query: dns.message.Message, tcp: bool) -> list[bytes]:
        if query.edns >= 0:
            header_only = query.to_wire()[:2] + b"\x80\x01" + bytes(8)  # FORMERR, question not repeated
            return [header_only]
        return [server.response(query).to_wire()]

    with name_server(ZONE, answering) as ns:
        assert isinstance(run(resolver(ns.server).mx("example.test")), Answer)


def test_a_server_that_understands_a_question_in_no_way_keeps_edns() -> None:
    def answering(server: NameServer, query: dns.message.Message, tcp: bool) -> list[bytes]:
        edns.append(query.edns >= 0)
        if query.question[0].name.to_text() == "example.test.":
            return [query.to_wire()[:2] + b"\x80\x01" + bytes(8)]
        return [server.response(query).to_wire()]

    async def two(ns: NameServer) -> None:
        asked = resolver(ns.server)
        assert isinstance(await asked.mx("example.test"), Failed)
        await asked.a("other.test")

    edns: list[bool] = []
    with name_server(ZONE, answering) as ns:
        run(two(ns))
    assert edns[0] and not edns[1] and edns[-1]


def test_answers_to_other_questions_and_ids_are_overlooked() -> None:
    def answering(server: NameServer, query: dns.message.Message, tcp: bool) -> list[bytes]:
        right = server.response(query).to_wire()
        wrong_id = bytes([right[0] ^ 1]) + right[1:]
        other = dns.message.make_query("evil.test", "MX", id=query.id)
        forged = dns.message.make_response(other)
        forged.answer.append(dns.rrset.from_text("example.test.", 9, "IN", "MX", "0 evil.test."))
        forged.answer.append(dns.rrset.from_text("evil.test.", 9, "IN", "MX", "0 evil.test."))
        return [b"", b"x", wrong_id, forged.to_wire(), right]

    with name_server(ZONE, answering) as ns:
        outcome = run(resolver(ns.server).mx("example.test"))
    assert isinstance(outcome, Answer)
    assert MX(0, "evil.test") not in outcome.records


def test_records_of_other_names_are_overlooked() -> None:
    def answering(server: NameServer, query: dns.message.Message, tcp: bool) -> list[bytes]:
        response = server.response(query)
        response.answer.append(dns.rrset.from_text("other.test.", 9, "IN", "MX", "0 evil.test."))
        return [response.to_wire()]

    with name_server(ZONE, answering) as ns:
        outcome = run(resolver(ns.server).mx("example.test"))
    assert isinstance(outcome, Answer)
    assert len(outcome.records) == 2


def test_an_answer_from_elsewhere_is_not_taken() -> None:
    """Right id, right question, wrong sender."""
    elsewhere = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    elsewhere.bind(("127.0.0.1", 0))

    def answering(server: NameServer, query: dns.message.Message, tcp: bool) -> list[bytes]:
        elsewhere.sendto(server.response(query).to_wire(), server.clients[-1])
        return []

    with elsewhere, name_server(ZONE, answering) as ns:
        assert isinstance(run(resolver(ns.server, timeout=0.1).mx("example.test")), Failed)


def test_ids_and_ports_are_not_predictable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endpoint_module, "QUERIES_PER_PORT", 5)
    ids: list[int] = []

    def answering(server: NameServer, query: dns.message.Message, tcp: bool) -> list[bytes]:
        ids.append(query.id)
        return NameServer.answer(server, query, tcp)

    async def many(ns: NameServer) -> None:
        asked = resolver(ns.server)
        for number in range(20):
            await asked.a(f"n{number}.test")

    with name_server(ZONE, answering) as ns:
        run(many(ns))
    assert len(set(ids)) > 15
    assert len({port for _, port in ns.clients}) == 4


def test_an_alias_is_followed() -> None:
    with name_server(ZONE) as ns:
        outcome = run(resolver(ns.server).a("alias.test"))
    assert isinstance(outcome, Answer)
    assert (outcome.records, outcome.canonical) == (("192.0.2.1",), "mx1.example.test")


def test_an_alias_is_followed_by_us_where_the_server_does_not() -> None:
    def answering(server: NameServer, query: dns.message.Message, tcp: bool) -> list[bytes]:
        response = server.response(query)
        del response.answer[1:]
        response.authority.clear()
        return [response.to_wire()]

    with name_server(ZONE, answering) as ns:
        outcome = run(resolver(ns.server).a("alias.test"))
    assert isinstance(outcome, Answer)
    assert outcome.records == ("192.0.2.1",)


def test_an_alias_to_nowhere_is_absent() -> None:
    with name_server(ZONE) as ns:
        assert isinstance(run(resolver(ns.server).a("dangling.test")), Absent)


@pytest.mark.parametrize("name", ["loop1.test", "c0.test"])
def test_endless_alias_chains_are_failures(name: str) -> None:
    with name_server(ZONE) as ns:
        assert isinstance(run(resolver(ns.server).a(name)), Failed)


def test_equal_questions_at_the_same_time_are_one() -> None:
    async def both(ns: NameServer) -> list[object]:
        asked = resolver(ns.server)
        return await asyncio.gather(*(asked.query("example.test", RecordType.MX) for _ in range(20)))

    with name_server(ZONE) as ns:
        outcomes = run(both(ns))
    assert len(ns.queries) == 1
    assert len({id(outcome) for outcome in outcomes}) == 1


def test_one_who_gives_up_does_not_spoil_it_for_the_others() -> None:
    async def both(ns: NameServer) -> object:
        asked = resolver(ns.server)
        first = asyncio.ensure_future(asked.mx("example.test"))
        second = asyncio.ensure_future(asked.mx("example.test"))
        await asyncio.sleep(0)
        first.cancel()
        return await second

    with name_server(ZONE) as ns:
        assert isinstance(run(both(ns)), Answer)


def test_answers_are_remembered_until_their_time_is_over() -> None:
    clock = Clock()

    async def steps(ns: NameServer) -> list[int]:
        asked = resolver(ns.server, clock=clock)
        counts = []
        for step in (0, 299, 2):
            clock.now += step
            await asked.mx("example.test")
            counts.append(len(ns.queries))
        return counts

    with name_server(ZONE) as ns:
        assert run(steps(ns)) == [1, 1, 2]


def test_a_no_is_remembered_for_the_time_in_the_soa() -> None:
    clock = Clock()

    async def steps(ns: NameServer) -> list[int]:
        asked = resolver(ns.server, clock=clock)
        counts = []
        for step in (0, 59, 2):
            clock.now += step
            await asked.mx("nowhere.test")
            counts.append(len(ns.queries))
        return counts

    with name_server(ZONE) as ns:
        assert run(steps(ns)) == [1, 1, 2]


def test_the_cache_is_bounded() -> None:
    async def many(ns: NameServer) -> int:
        asked = resolver(ns.server, cache_size=10)
        for number in range(30):
            await asked.a(f"n{number}.test")
        return len(asked.cache)

    with name_server(ZONE) as ns:
        assert run(many(ns)) == 10


def test_the_cache_is_bounded_in_octets_too() -> None:
    """A hundred names of 250 octets in each of many answers: it is the outside that chooses them."""
    cache = Cache(100, lambda: 0.0)
    large = tuple(MX(number, f"{number}." + "x" * 250) for number in range(100))
    for number in range(1000):
        cache.put((f"n{number}.test", RecordType.MX), Answer(f"n{number}.test", large, "", 3600.0))
        assert cache.octets <= 100 * OCTETS_EACH
    assert 0 < len(cache) < 5
    cache.put(("n999.test", RecordType.MX), Answer("n999.test", large[:1], "", 3600.0))
    for number in range(1000):
        cache.put((f"s{number}.test", RecordType.A), Answer(f"s{number}.test", ("192.0.2.1",), "", 3600.0))
    assert len(cache) == 100
    cache.clear()
    assert (len(cache), cache.octets) == (0, 0)


def test_addresses_of_both_families() -> None:
    with name_server(ZONE) as ns:
        outcome = run(resolver(ns.server).addresses("mx1.example.test"))
    assert isinstance(outcome, Answer)
    assert outcome.records == ("192.0.2.1", "2001:db8::1")


def test_localhost_needs_no_server() -> None:
    outcome = run(resolver().addresses("localhost"))
    assert isinstance(outcome, Answer)
    assert outcome.records == ("127.0.0.1", "::1")


def test_impossible_names_are_absent() -> None:
    assert isinstance(run(resolver().mx("a..b")), Absent)


# --- who is calling


def test_a_name_that_leads_back_is_verified() -> None:
    with name_server(ZONE) as ns:
        who = run(resolver(ns.server).client_name("192.0.2.7"))
    assert (who.name, who.verified, who.reverse_name) == ("client.test", True, "client.test")


def test_a_name_that_leads_elsewhere_is_unknown() -> None:
    with name_server(ZONE) as ns:
        who = run(resolver(ns.server).client_name("192.0.2.8"))
    assert (who.name, who.status, who.reverse_name) == ("unknown", "unknown", "client.test")


def test_a_number_as_name_is_not_taken() -> None:
    with name_server(ZONE) as ns:
        assert run(resolver(ns.server).client_name("192.0.2.9")).reverse_name == "unknown"


def test_no_name_is_unknown() -> None:
    with name_server(ZONE) as ns:
        who = run(resolver(ns.server).client_name("192.0.2.99"))
    assert (who.name, who.status, who.reverse_status) == ("unknown", "unknown", "unknown")


def test_a_failed_look_up_is_temporary() -> None:
    with name_server(ZONE, lambda server, query, tcp: []) as ns:
        who = run(resolver(ns.server, timeout=0.05).client_name("192.0.2.7"))
    assert (who.name, who.status) == ("unknown", "temporary")


def test_the_hosts_table_comes_first() -> None:
    hosts = Hosts("127.0.0.1 localhost localhost.localdomain\n::1 ip6-localhost # comment\nbad line\n")
    assert run(resolver(hosts=hosts).client_name("127.0.0.1")).name == "localhost"
    assert hosts.addresses("LOCALHOST.localdomain") == ("127.0.0.1",)
