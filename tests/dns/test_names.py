"""Names between text and wire, with dnspython as the oracle."""

from __future__ import annotations

import dns.exception
import dns.name
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pillarbox.lib.dns.names import NAME_LIMIT, BadName, decode_name, encode_name, reverse_name

LABELS = st.lists(st.binary(min_size=1, max_size=63), max_size=8)


@pytest.mark.parametrize(
    "name", ["", "org", "example.org", "_25._tcp.mx1.example.org", "a" * 63 + ".test", "EXAMPLE.org"]
)
def test_encodes_as_dnspython(name: str) -> None:
    assert encode_name(name) == dns.name.from_text(name + ".").to_wire()


def test_trailing_dot_means_the_same() -> None:
    assert encode_name("example.org.") == encode_name("example.org")


def test_international_name_goes_out_as_a_labels() -> None:
    assert encode_name("bücher.example") == encode_name("xn--bcher-kva.example")


@pytest.mark.parametrize("name", ["a..b", ".a", "a" * 64 + ".b", ".".join(["a" * 60] * 5), "\\999.x", "\udcff.org"])
def test_refuses_what_no_name_can_be(name: str) -> None:
    with pytest.raises(BadName):
        encode_name(name)


@given(LABELS)
def test_round_trip_of_arbitrary_octets(labels: list[bytes]) -> None:
    wire = b"".join(bytes((len(label),)) + label for label in labels) + b"\0"
    if len(wire) > NAME_LIMIT:
        with pytest.raises(BadName):
            decode_name(wire, 0, {})
        return
    name, end = decode_name(wire, 0, {})
    assert end == len(wire)
    assert encode_name(name) == wire


@given(st.binary(max_size=80), st.integers(0, 79))
def test_agrees_with_dnspython_on_arbitrary_octets(message: bytes, offset: int) -> None:
    try:
        expected, used = dns.name.from_wire(message, offset)
    except (dns.exception.DNSException, IndexError, ValueError):
        with pytest.raises(BadName):
            decode_name(message, offset, {})
        return
    name, end = decode_name(message, offset, {})
    assert (encode_name(name), end) == (expected.to_wire(), offset + used)


def test_pointer_to_itself_is_refused() -> None:
    with pytest.raises(BadName):
        decode_name(b"\xc0\x00", 0, {})


def test_pointers_in_a_circle_are_refused() -> None:
    with pytest.raises(BadName):
        decode_name(b"\x01a\xc0\x04\x01b\xc0\x00", 4, {})


def test_remembered_names_do_not_lift_the_limit() -> None:
    """Names that are built on each other by pointers stay within 255 octets even when read with a memory."""
    long = b"".join(b"\x3f" + b"a" * 63 for _ in range(3)) + b"\0"
    message = long + b"\x3f" + b"b" * 63 + b"\xc0\x00"
    known: dict[int, tuple[str, int]] = {}
    decode_name(message, 0, known)
    with pytest.raises(BadName):
        decode_name(message, len(long), known)


@pytest.mark.parametrize("address", ["192.0.2.1", "2001:db8::1", "::1"])
def test_reverse_names(address: str) -> None:
    import dns.reversename

    assert reverse_name(address) == dns.reversename.from_address(address).to_text(True)
