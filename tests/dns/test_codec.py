"""Messages: dnspython writes, we read; we write, dnspython reads; and nothing but BadMessage for what is broken."""

from __future__ import annotations

import dns.flags
import dns.message
import dns.rrset
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pillarbox.lib.dns import MX, TLSA, RecordType
from pillarbox.lib.dns.codec import (
    RECORD_LIMIT,
    UDP_PAYLOAD,
    BadMessage,
    decode_response,
    encode_query,
    encode_question,
)
from tests.feeding import truncations, with_trailing

SAMPLES: dict[str, tuple[list[str], list[object]]] = {
    "A": (["192.0.2.1", "192.0.2.255"], ["192.0.2.1", "192.0.2.255"]),
    "AAAA": (["2001:db8::1", "::1"], ["2001:db8::1", "::1"]),
    "MX": (["10 mx1.example.org.", "20 mx2.other.test."], [MX(10, "mx1.example.org"), MX(20, "mx2.other.test")]),
    "TXT": (['"v=spf1 " "-all"', '""'], [b"v=spf1 -all", b""]),
    "PTR": (["host.example.org."], ["host.example.org"]),
    "CNAME": (["www.example.org."], ["www.example.org"]),
    "TLSA": (["3 1 1 " + "ab" * 32], [TLSA(3, 1, 1, bytes.fromhex("ab" * 32))]),
}


def response(kind: str, texts: list[str]) -> dns.message.Message:
    query = dns.message.make_query("example.org", kind, use_edns=0, want_dnssec=True, id=4711)
    message = dns.message.make_response(query)
    message.answer.append(dns.rrset.from_text("example.org.", 300, "IN", kind, *texts))
    message.additional.append(dns.rrset.from_text("mx1.example.org.", 300, "IN", "A", "192.0.2.9"))
    return message


@pytest.mark.parametrize("kind", SAMPLES)
def test_reads_each_record_type(kind: str) -> None:
    texts, values = SAMPLES[kind]
    parsed = decode_response(response(kind, texts).to_wire())
    assert parsed.id == 4711
    assert sorted(map(repr, (record.value for record in parsed.answers))) == sorted(map(repr, values))
    assert {record.name for record in parsed.answers} == {"example.org"}
    assert {record.ttl for record in parsed.answers} == {300}


def test_a_mapped_address_is_spelled_as_ipaddress_spells_it() -> None:
    import ipaddress

    parsed = decode_response(response("AAAA", ["::ffff:192.0.2.1"]).to_wire())
    assert ipaddress.ip_address(str(parsed.answers[0].value)) == ipaddress.ip_address("::ffff:192.0.2.1")


@pytest.mark.parametrize("kind", SAMPLES)
def test_cut_messages_are_bad_messages(kind: str) -> None:
    wire = response(kind, SAMPLES[kind][0]).to_wire()
    parsed = decode_response(wire)
    for part in truncations(wire):
        try:
            assert decode_response(part).answers == parsed.answers  # only the additional section is missing
        except BadMessage:
            pass


def test_octets_behind_the_message_change_nothing() -> None:
    wire = response("MX", SAMPLES["MX"][0]).to_wire()
    for longer in with_trailing(wire):
        assert decode_response(longer)._replace(message=wire) == decode_response(wire)


@given(st.binary(max_size=200))
def test_arbitrary_octets_are_a_response_or_a_bad_message(octets: bytes) -> None:
    try:
        decode_response(octets)
    except BadMessage:
        pass


@given(st.sampled_from(sorted(SAMPLES)), st.data())
def test_damaged_responses_are_read_or_refused(kind: str, data: st.DataObject) -> None:
    wire = bytearray(response(kind, SAMPLES[kind][0]).to_wire())
    for place in data.draw(st.lists(st.integers(0, len(wire) - 1), min_size=1, max_size=4)):
        wire[place] = data.draw(st.integers(0, 255))
    try:
        decode_response(bytes(wire))
    except BadMessage:
        pass


def test_the_query_is_what_dnspython_reads() -> None:
    wire = encode_query(99, encode_question("Example.org", RecordType.MX))
    query = dns.message.from_wire(wire)
    assert query.id == 99
    assert query.question[0].to_text() == "Example.org. IN MX"
    assert query.flags & dns.flags.RD
    assert query.payload == UDP_PAYLOAD
    assert query.ednsflags & dns.flags.DO


def test_without_edns_there_is_no_opt_record() -> None:
    query = dns.message.from_wire(encode_query(1, encode_question("example.org", RecordType.A), edns=False))
    assert query.edns == -1


def test_a_query_is_no_response() -> None:
    with pytest.raises(BadMessage):
        decode_response(encode_query(1, encode_question("example.org", RecordType.A)))


def test_records_are_capped() -> None:
    wire = response("A", [f"10.0.{n // 250}.{n % 250}" for n in range(RECORD_LIMIT + 50)]).to_wire(max_size=65535)
    assert len(decode_response(wire).answers) == RECORD_LIMIT


def test_negative_ttl_is_the_smaller_of_soa_minimum_and_ttl() -> None:
    message = dns.message.make_response(dns.message.make_query("x.test", "A"))
    message.authority.append(dns.rrset.from_text("test.", 900, "IN", "SOA", "a.test. b.test. 1 2 3 4 120"))
    assert decode_response(message.to_wire()).negative_ttl == 120


def test_what_came_with_truncation_is_not_used() -> None:
    message = response("A", ["192.0.2.1"])
    message.flags |= dns.flags.TC
    parsed = decode_response(message.to_wire())
    assert parsed.truncated
    assert parsed.answers == ()
