"""The protocols of tables in servers: what is asked, and every kind of answer, however it arrives."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pillarbox.lib.tables import memcache, redis, socketmap, tcp_map
from pillarbox.lib.tables.exchange import ProtocolFault, Refused
from tests.feeding import splits, truncations, with_trailing

Protocol = Callable[[bytes], "tuple[Any, int] | None"]

GOT = memcache.got(b"key", line_limit=40, data_limit=20)
STORED = memcache.stored(40)

ANSWERS: list[tuple[Protocol, bytes, object]] = [
    (socketmap.netstring, b"9:OK answer,", b"OK answer"),
    (socketmap.netstring, b"0:,", b""),
    (tcp_map.line, b"200 value\n", b"200 value"),
    (tcp_map.line, b"500 no\r\n", b"500 no"),
    (GOT, b"END\r\n", None),
    (GOT, b"VALUE key 0 5\r\nv\r\nue\r\nEND\r\n", b"v\r\nue"),
    (GOT, b"VALUE key 0 0\r\n\r\nEND\r\n", b""),
    (STORED, b"STORED\r\n", True),
    (STORED, b"NOT_STORED\r\n", False),
    (redis.answer, b"$5\r\nva\r\nu\r\n", (b"va\r\nu"[:5],)),
    (redis.answer, b"$-1\r\n", None),
    (redis.answer, b"+OK\r\n", (b"OK",)),
    (redis.answer, b":7\r\n", (b"7",)),
    (redis.answer, b"*2\r\n$1\r\na\r\n$2\r\nbc\r\n", (b"a", b"bc")),
    (redis.answer, b"*3\r\n$1\r\na\r\n$-1\r\n:4\r\n", (b"a", b"4")),
    (redis.answer, b"*0\r\n", None),
    (redis.answer, b"*-1\r\n", None),
]


@pytest.mark.parametrize(("protocol", "data", "expected"), ANSWERS)
def test_an_answer_is_the_same_however_it_arrives(protocol: Protocol, data: bytes, expected: object) -> None:
    for pieces in splits(data):
        received, outcomes = b"", []
        for piece in pieces:
            received += piece
            outcomes.append(protocol(received))
        assert outcomes[-1] == (expected, len(data))
        assert all(outcome is None for outcome in outcomes[:-1])


@pytest.mark.parametrize(("protocol", "data", "expected"), ANSWERS)
def test_half_an_answer_is_none(protocol: Protocol, data: bytes, expected: object) -> None:
    assert all(protocol(part) is None for part in truncations(data))


@pytest.mark.parametrize(("protocol", "data", "expected"), ANSWERS)
def test_what_stands_behind_an_answer_is_not_part_of_it(protocol: Protocol, data: bytes, expected: object) -> None:
    assert all(protocol(longer) == (expected, len(data)) for longer in with_trailing(data))


@pytest.mark.parametrize(
    ("protocol", "data"),
    [
        (socketmap.netstring, b"x:"),
        (socketmap.netstring, b":,"),
        (socketmap.netstring, b"-1:,"),
        (socketmap.netstring, b"007:"),
        (socketmap.netstring, b"100001:"),
        (socketmap.netstring, b"9999999999"),
        (socketmap.netstring, b"2:abX"),
        (tcp_map.line, b"2" * 4096),
        (GOT, b"VALUE other 0 5\r\n"),
        (GOT, b"VALUE key 0 21\r\n"),
        (GOT, b"VALUE key 0 -1\r\n"),
        (GOT, b"VALUE key 0 2\r\nabc"),
        (GOT, b"V" * 42),
        (GOT, b"\r\n"),
        (STORED, b"END\r\n"),
        (redis.answer, b"hello\r\n"),
        (redis.answer, b"$-2\r\n"),
        (redis.answer, b"$1048577\r\n"),
        (redis.answer, b"*10001\r\n"),
        (redis.answer, b"*1\r\n*1\r\n"),
        (redis.answer, b"*2\r\n-ERR half of it\r\n"),
        (redis.answer, b"$1\r\nab"),
        (redis.answer, b"$" + b"1" * 1024),
    ],
)
def test_what_is_no_answer_is_a_fault_before_more_is_waited_for(protocol: Protocol, data: bytes) -> None:
    with pytest.raises(ProtocolFault):
        protocol(data)


@pytest.mark.parametrize(
    ("protocol", "data"),
    [
        (GOT, b"SERVER_ERROR out of memory\r\n"),
        (GOT, b"ERROR\r\n"),
        (STORED, b"CLIENT_ERROR bad\r\n"),
        (redis.answer, b"-NOAUTH Authentication required.\r\n"),
        (redis.answer, b"*1\r\n-ERR x\r\n"),
        (socketmap.answer, b"TEMP busy"),
        (socketmap.answer, b"TIMEOUT "),
        (socketmap.answer, b"PERM"),
        (socketmap.answer, b"ok value"),
        (socketmap.answer, b""),
        (tcp_map.answer, b"400 busy"),
        (tcp_map.answer, b"300 ?"),
    ],
)
def test_a_server_that_cannot_say_has_not_said_no(protocol: Callable[[bytes], object], data: bytes) -> None:
    with pytest.raises(Refused):
        protocol(data)


@pytest.mark.parametrize(
    ("text", "value"), [(b"OK a b", b"a b"), (b"OK ", b""), (b"OK", b""), (b"NOTFOUND ", None), (b"NOTFOUND", None)]
)
def test_answers_of_socketmap_servers(text: bytes, value: bytes | None) -> None:
    assert socketmap.answer(text) == value


@pytest.mark.parametrize(
    ("text", "value"), [(b"200 a%20b%25", b"a b%"), (b"200 ", b""), (b"500 none", None), (b"200 %c3%A4", b"\xc3\xa4")]
)
def test_answers_of_tcp_servers(text: bytes, value: bytes | None) -> None:
    assert tcp_map.answer(text) == value


@pytest.mark.parametrize("text", [b"", b"200", b"abc d", b"200 %4", b"200 %zz", b"2000 x"])
def test_malformed_answers_of_tcp_servers(text: bytes) -> None:
    with pytest.raises(ProtocolFault):
        tcp_map.answer(text)


@given(st.binary(max_size=60))
def test_no_key_can_end_a_question(key: bytes) -> None:
    """Whatever the outside puts into a key, the server reads one question with that key."""
    line = tcp_map.request(key)
    assert line.count(b"\n") == 1 and line.endswith(b"\n")
    assert tcp_map.answer(b"200 " + line[4:-1]) == key
    assert socketmap.netstring(socketmap.request(b"map", key)) == (b"map " + key, len(socketmap.request(b"map", key)))
    assert redis.answer(redis.request((b"GET", key))) == ((b"GET", key), len(redis.request((b"GET", key))))
    if memcache.is_key(key):
        assert memcache.get(key).split() == [b"get", key]


@pytest.mark.parametrize("key", [b"", b"a b", b"a\r\nset x 0 0 1", b"a\0", b"\x7f", b"k" * 251])
def test_keys_that_memcache_cannot_have(key: bytes) -> None:
    assert not memcache.is_key(key)


def test_a_value_is_stored_with_its_length() -> None:
    assert memcache.put(b"key", b"a\r\nb", 3, 60) == b"set key 3 60 4\r\na\r\nb\r\n"
