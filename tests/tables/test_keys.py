"""The orders in which addresses are looked up."""

from __future__ import annotations

import pytest

from pillarbox.lib.tables import Maps, Options, Table
from pillarbox.lib.tables.keys import domain_keys, find_address, split_local, transport_keys, with_extension


class Recorder(Table):
    def __init__(self, patterns: bool = False) -> None:
        super().__init__("recorder:", Options())
        self.patterns = patterns
        self.keys: list[str] = []

    def get(self, key: str) -> str | None:
        self.keys.append(key)
        return None


def asked(address: str, delimiters: str = "+", own: str = "own.example", patterns: bool = False) -> list[str]:
    recorder = Recorder(patterns)
    assert find_address(Maps("m", [recorder]), address, delimiters, lambda domain: domain == own) is None
    return recorder.keys


@pytest.mark.parametrize(
    ("address", "keys"),
    [
        ("ann@far.example", ["ann@far.example", "@far.example"]),
        ("ann+x@far.example", ["ann+x@far.example", "ann@far.example", "@far.example"]),
        ("ann@own.example", ["ann@own.example", "ann", "@own.example"]),
        ("ann+x@own.example", ["ann+x@own.example", "ann@own.example", "ann+x", "ann", "@own.example"]),
        ('"a b"@own.example', ['"a b"@own.example', "a b@own.example", "a b", "@own.example"]),
        ("postmaster+x@far.example", ["postmaster+x@far.example", "postmaster@far.example", "@far.example"]),
    ],
)
def test_the_order_of_virtual(address: str, keys: list[str]) -> None:
    assert asked(address) == keys


def test_tables_of_patterns_see_the_whole_address_only() -> None:
    assert asked("ann+x@own.example", patterns=True) == ["ann+x@own.example"]


def test_the_extension_that_the_key_lacked_is_told() -> None:
    maps = Maps.open("m", ["inline:{ann@x.example=a, bob+e@x.example=b, @y.example=c}"])

    def find(address: str) -> tuple[str, str] | None:
        found = find_address(maps, address, "+", lambda domain: False)
        return None if found is None else (found.value, found.extension)

    assert find("ann+e@x.example") == ("a", "+e")
    assert find("bob+e@x.example") == ("b", "")
    assert find("eve+e@y.example") == ("c", ""), "of nobody's name; Postfix does the same"


def test_the_order_of_transport() -> None:
    assert list(transport_keys("ann+x@a.b.example", "+")) == [
        ("ann+x@a.b.example", False),
        ("ann@a.b.example", True),
        ("a.b.example", True),
        (".b.example", True),
        (".example", True),
        ("*", True),
    ]


def test_parents_without_dot_where_asked() -> None:
    assert list(domain_keys("a.b.c", parents_with_dot=False)) == ["a.b.c", "b.c", "c"]
    assert list(domain_keys("[192.0.2.1]")) == ["[192.0.2.1]"], "an address literal has no parents"


def test_splitting_and_joining_an_extension() -> None:
    assert split_local("ann+x", "+-") == ("ann", "+x")
    assert split_local("ann-x+y", "+-") == ("ann", "-x+y")
    assert split_local('"a b+x"', "+") == ('"a b"', "+x")
    assert split_local("+x", "+") == ("+x", "")
    assert with_extension("bob@y.example", "+x") == "bob+x@y.example"
    assert with_extension('"b c"@y.example', "+x") == '"b c+x"@y.example'
