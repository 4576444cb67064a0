"""Canonical addresses and masquerading."""

from __future__ import annotations

import pytest

from pillarbox.lib.clients.lookup import Position
from pillarbox.lib.config import Config
from pillarbox.lib.config.parameters.rewriting import CLASSES
from pillarbox.lib.tables import LookupFailed
from pillarbox.lookup.rewriting import Rewriting
from pillarbox.lookup.service import Lookup


def rewriting(**values: str) -> Rewriting:
    settings = {
        "myhostname": "mx.own.example",
        "mydomain": "own.example",
        "inet_interfaces": "loopback-only",
        "recipient_delimiter": "+",
    }
    return Lookup(Config.for_tests(**(settings | values))).rewriting


def test_canonical_addresses() -> None:
    rules = rewriting(
        canonical_maps="inline:{ann@x.example=ann@z.example}",
        sender_canonical_maps="inline:{bob=bob.b@x.example}",
        recipient_canonical_maps="inline:{carl@x.example=ann@x.example}",
    )
    assert rules.canonical("ann@x.example", "envelope_sender") == "ann@z.example"
    assert rules.canonical("bob@localhost", "envelope_sender") == "bob.b@x.example"
    assert rules.canonical("bob@localhost", "envelope_recipient") is None
    assert rules.canonical("carl@x.example", "envelope_recipient") == "ann@z.example"
    assert rules.canonical("ann+e@x.example", "header_recipient") == "ann+e@z.example"


def test_extensions_are_passed_on_only_where_that_is_wanted() -> None:
    rules = rewriting(
        canonical_maps="inline:{ann@x.example=bob@z.example}", propagate_unmatched_extensions="virtual, generic"
    )
    assert rules.canonical("ann+e@x.example", "header_sender") == "bob@z.example"


@pytest.mark.parametrize(
    ("table", "classes"),
    [
        ("canonical_maps", CLASSES),
        ("sender_canonical_maps", ("envelope_sender", "header_sender")),
        ("recipient_canonical_maps", ("envelope_recipient", "header_recipient")),
    ],
)
def test_the_classes_of_each_table(table: str, classes: tuple[Position, ...]) -> None:
    maps = {table: "static:z@z.example"}
    for position in CLASSES:
        expected = "z@z.example" if position in classes else None
        assert rewriting(**maps).canonical("a@x.example", position) == expected  # type: ignore[arg-type]
        only = maps | {table.replace("_maps", "_classes"): position}
        for other in CLASSES:
            expected = "z@z.example" if other == position else None
            assert rewriting(**only).canonical("a@x.example", other) == expected  # type: ignore[arg-type]


def test_canonical_circles_and_lists_wait() -> None:
    circle = rewriting(canonical_maps="inline:{a@x.example=b@x.example, b@x.example=a@x.example}")
    with pytest.raises(LookupFailed, match="nesting"):
        circle.canonical("a@x.example", "envelope_sender")
    several = rewriting(canonical_maps="inline:{{a@x.example = b@x.example, c@x.example}}")
    with pytest.raises(LookupFailed, match="multi-valued"):
        several.canonical("a@x.example", "envelope_sender")


def test_a_failing_table_is_not_the_lack_of_an_entry() -> None:
    for values in (
        {"canonical_maps": "fail:x"},
        {"masquerade_domains": "b.example", "masquerade_exceptions": "fail:x"},
    ):
        with pytest.raises(LookupFailed):
            rewriting(**values).canonical("a@a.b.example", "envelope_sender")


MASQUERADED = [
    ("ann@host.example.com", "example.com", "ann@example.com"),
    ("ann@a.b.Example.COM", "Example.com", "ann@example.com"),
    ("ann@example.com", "example.com", None),
    ("ann@badexample.com", "example.com", None),
    ("ann@other.example", "example.com", None),
    ("ann@a.foo.example.com", "foo.example.com example.com", "ann@foo.example.com"),
    ("ann@foo.example.com", "foo.example.com example.com", None),
    ("ann@bar.example.com", "foo.example.com example.com", "ann@example.com"),
    ("ann@a.foo.example.com", "!foo.example.com example.com", None),
    ("ann@foo.example.com", "!foo.example.com example.com", None),
    ("ann@bar.example.com", "!foo.example.com example.com", "ann@example.com"),
    ("ann@a.foo.example.com", "example.com foo.example.com", "ann@example.com"),
    ("root@host.example.com", "example.com", None),
    ("ROOT@host.example.com", "example.com", None),
    ("root+x@host.example.com", "example.com", "root+x@example.com"),
    ("daemon@host.example.com", "example.com", None),
]


@pytest.mark.parametrize(("address", "domains", "expected"), MASQUERADED)
def test_masquerading(address: str, domains: str, expected: str | None) -> None:
    rules = rewriting(masquerade_domains=domains, masquerade_exceptions="root, inline:{daemon=x}")
    assert rules.canonical(address, "header_sender") == expected
    assert rules.canonical(address, "envelope_recipient") is None, "not by default: local mail would not arrive"


def test_an_exception_may_be_excepted() -> None:
    rules = rewriting(masquerade_domains="example.com", masquerade_exceptions="!ann, static:x")
    assert rules.canonical("ann@host.example.com", "header_sender") == "ann@example.com"
    assert rules.canonical("bob@host.example.com", "header_sender") is None


def test_masquerading_comes_last() -> None:
    rules = rewriting(masquerade_domains="example.com", canonical_maps="inline:{ann@x.example=bob@host.example.com}")
    assert rules.canonical("ann@x.example", "envelope_sender") == "bob@example.com"
