"""Virtual aliases."""

from __future__ import annotations

from pathlib import Path

import pytest

from pillarbox.lib.config import Config
from pillarbox.lib.tables import LookupFailed
from pillarbox.lib.tables.build import Builder
from pillarbox.lookup.service import Lookup


def lookup(**values: str) -> Lookup:
    settings = {
        "myhostname": "mx.own.example",
        "mydomain": "own.example",
        "inet_interfaces": "loopback-only",
        "virtual_mailbox_domains": "hosted.example",
        "recipient_delimiter": "+",
    }
    return Lookup(Config.for_tests(**(settings | values)))


def expand(address: str, entries: str, **values: str) -> tuple[str, ...] | None:
    return lookup(virtual_alias_maps=f"inline:{{{entries}}}", **values).expansion.expand(address)


@pytest.mark.parametrize(
    ("address", "entries", "expected"),
    [
        ("a@x.example", "b@x.example=c@y.example", None),
        ("a@x.example", "a@x.example=c@y.example", ("c@y.example",)),
        ("A@X.Example", "a@x.example=c@y.example", ("c@y.example",)),
        ("a@x.example", "{a@x.example = b@y.example, c@z.example}", ("b@y.example", "c@z.example")),
        ("a@x.example", "a@x.example=bob", ("bob@mx.own.example",)),
        ("bob", "bob=c@y.example", ("c@y.example",)),
        ("bob@localhost", "bob=c@y.example", ("c@y.example",)),
        ("bob@far.example", "bob=c@y.example", None),
        ("a@x.example", "@x.example=c@y.example", ("c@y.example",)),
        ("a@x.example", "@x.example=@y.example", ("a@y.example",)),
        ("a@x.example", "{a@x.example = a@x.example, b@y.example}", ("a@x.example", "b@y.example")),
        ("a@x.example", "{a@x.example = b@x.example}, {b@x.example = c@y.example}", ("c@y.example",)),
        (
            "a@x.example",
            "{a@x.example = b@x.example, d@z.example}, {b@x.example = c@y.example, d@z.example}",
            ("c@y.example", "d@z.example"),
        ),
        ("a@x.example", '{a@x.example = "b, c"@y.example, d@z.example}', ('"b, c"@y.example', "d@z.example")),
        ("a@x.example", "{a@x.example = Bob <b@y.example>}", ("b@y.example",)),
    ],
)
def test_what_an_alias_becomes(address: str, entries: str, expected: tuple[str, ...] | None) -> None:
    assert expand(address, entries) == expected


def test_an_extension_goes_on_to_the_result() -> None:
    assert expand("a+e@x.example", "a@x.example=b@y.example") == ("b+e@y.example",)
    assert expand("a+e@x.example", "a+e@x.example=b@y.example") == ("b@y.example",)
    assert expand("a+e@x.example", "@x.example=@y.example") == ("a+e@y.example",)
    assert expand("a+e@x.example", "a@x.example=b@y.example", propagate_unmatched_extensions="") == ("b@y.example",)


@pytest.mark.parametrize(
    "entries",
    [
        "a@x.example=b@x.example, b@x.example=a@x.example",
        "a@x.example=b@x.example, b@x.example=c@x.example, c@x.example=b@x.example",
    ],
)
def test_a_circle_waits_and_does_not_run_for_ever(entries: str) -> None:
    with pytest.raises(LookupFailed, match="unreasonable virtual_alias_maps map nesting"):
        expand("a@x.example", entries)


def test_an_address_that_grows_stops_at_a_limit() -> None:
    with pytest.raises(LookupFailed, match="unreasonable virtual_alias_maps"):
        lookup(
            virtual_alias_maps="pcre:{{/^(.*)@x.example$/ x$1@x.example}}", virtual_alias_recursion_limit="5000"
        ).expansion.expand("a@x.example")


def test_the_number_of_addresses_is_limited(tmp_path: Path) -> None:
    builder = Builder("hash", str(tmp_path / "t"))
    builder.put("a@x.example", ", ".join(f"u{i}@y.example" for i in range(1000)))
    builder.put("b@x.example", "a@x.example, v@y.example")
    builder.commit()
    aliases = lookup(virtual_alias_maps=f"hash:{tmp_path}/t").expansion
    assert len(aliases.expand("a@x.example") or ()) == 1000
    with pytest.raises(LookupFailed, match="map expansion size"):
        aliases.expand("b@x.example")


def test_a_long_chain_is_followed_to_its_limit() -> None:
    entries = ", ".join(f"a{i}@x.example=a{i + 1}@x.example" for i in range(50))
    assert expand("a0@x.example", entries, virtual_alias_recursion_limit="50") == ("a50@x.example",)
    with pytest.raises(LookupFailed, match="nesting"):
        expand("a0@x.example", entries, virtual_alias_recursion_limit="49")


@pytest.mark.parametrize("value", ["no address at all", "<>", "a@x.example, <b c>", "@"])
def test_a_value_that_is_no_list_of_addresses_waits(value: str) -> None:
    with pytest.raises(LookupFailed, match="no list of addresses"):
        expand("a@x.example", f"{{a@x.example = {value}}}")


def test_a_failing_table_is_not_the_lack_of_an_alias() -> None:
    with pytest.raises(LookupFailed):
        lookup(virtual_alias_maps="fail:x").expansion.expand("a@x.example")


def test_lists_that_name_each_other_again_and_again_are_looked_at_once() -> None:
    levels = [f"{{{side}{n}@a.example = l{n + 1}@a.example, R{n + 1}@a.example}}" for n in range(30) for side in "lr"]
    table = f"inline:{{ {', '.join(levels)}, r30@a.example=end@b.example }}"
    lookup = Lookup(Config.for_tests(myhostname="mx.own.example", virtual_alias_maps=table))
    questions = 0
    ask = lookup.expansion._alias

    def counted(address: str) -> list[str] | None:
        nonlocal questions
        questions += 1
        assert questions < 200
        return ask(address)

    lookup.expansion._alias = counted  # type: ignore[method-assign]
    assert lookup.expansion.expand("l0@a.example") == ("l30@a.example", "end@b.example")
