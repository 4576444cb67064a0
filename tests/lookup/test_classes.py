"""Lists of domains and the classes of addresses that they make."""

from __future__ import annotations

from pathlib import Path

import pytest

from pillarbox.lib.config import Config
from pillarbox.lib.log import log
from pillarbox.lib.system.interfaces import machine_addresses, own_addresses
from pillarbox.lib.tables import STANDARD, LookupFailed, Options
from pillarbox.lookup.classes import Classes
from pillarbox.lookup.domains import DomainList
from pillarbox.lookup.tableset import TableSet


def tables(**values: str) -> TableSet:
    return TableSet(Config.for_tests(**values), STANDARD, Options())


def domains(*words: str, parents: bool = False) -> DomainList:
    return DomainList("test_domains", words, tables(), parents=parents)


def classes(**values: str) -> Classes:
    settings = {"myhostname": "mx.own.example", "mydomain": "own.example", "virtual_mailbox_domains": ""} | values
    config = Config.for_tests(**settings)
    return Classes(config, TableSet(config, STANDARD, Options()))


@pytest.mark.parametrize(
    ("words", "domain", "matches"),
    [
        (("a.example",), "a.example", True),
        (("a.example",), "b.a.example", False),
        ((".a.example",), "b.a.example", True),
        ((".a.example",), "a.example", False),
        (("!b.example", "inline:{b.example=x, c.example=x}"), "b.example", False),
        (("!b.example", "inline:{b.example=x, c.example=x}"), "c.example", True),
        (("inline:{.d.example=x}",), "sub.d.example", True),
        (("pcre:{{/^x/ y}}",), "xx.example", True),
        (("Bücher.example",), "xn--bcher-kva.example", True),
        ((), "a.example", False),
    ],
)
def test_a_list_matches(words: tuple[str, ...], domain: str, matches: bool) -> None:
    assert domains(*words).matches(domain) is matches


def test_parents_match_where_the_parameter_says_so() -> None:
    assert domains("a.example", parents=True).matches("b.a.example")
    assert not domains("a.example", parents=True).matches("ba.example")


def test_a_list_reads_files_of_names(tmp_path: Path) -> None:
    (tmp_path / "names").write_text("# ours\na.example b.example,\n!c.example\n")
    found = domains(f"{tmp_path}/names", "inline:{c.example=x}")
    assert [found.matches(name) for name in ("a.example", "b.example", "c.example", "d.example")] == [
        True,
        True,
        False,
        False,
    ]


def test_a_file_of_names_that_is_missing_fails_what_the_rest_does_not_know(tmp_path: Path) -> None:
    with log.capture() as lines:
        found = domains("a.example", f"{tmp_path}/missing")
    assert len(lines) == 1
    assert found.matches("a.example")
    with pytest.raises(LookupFailed):
        found.matches("b.example")


def test_a_failing_table_is_not_a_foreign_domain() -> None:
    with pytest.raises(LookupFailed):
        domains("fail:x").matches("a.example")


@pytest.mark.parametrize(
    ("domain", "expected"),
    [
        ("mx.own.example", "local"),
        ("MX.Own.Example.", "local"),
        ("localhost", "local"),
        ("[127.0.0.1]", "local"),
        ("[IPv6:::1]", "local"),
        ("[192.0.2.77]", "default"),
        ("alias.example", "virtual_alias"),
        ("hosted.example", "virtual_mailbox"),
        ("relay.example", "relay"),
        ("sub.relay.example", "relay"),
        ("sub.hosted.example", "default"),
        ("far.example", "default"),
    ],
)
def test_the_class_of_a_domain(domain: str, expected: str) -> None:
    found = classes(
        inet_interfaces="loopback-only",
        virtual_alias_domains="alias.example",
        virtual_mailbox_domains="hosted.example",
        relay_domains="relay.example",
    )
    assert found.of(domain) == expected


def test_the_first_list_wins_and_a_second_entry_is_warned_of_once() -> None:
    found = classes(mydestination="x.example", virtual_mailbox_domains="x.example")
    with log.capture() as lines:
        assert found.of("x.example") == found.of("x.example") == "local"
    assert lines == ["warning: do not list domain x.example in BOTH mydestination and virtual_mailbox_domains"]


def test_a_failing_list_is_passed_over_only_when_an_earlier_one_has_the_domain() -> None:
    found = classes(mydestination="a.example", virtual_alias_domains="fail:x")
    assert found.of("a.example") == "local"
    with pytest.raises(LookupFailed):
        found.of("b.example")


def test_a_table_whose_name_makes_no_sense_fails_its_look_ups_only() -> None:
    with log.capture() as lines:
        found = classes(mydestination="a.example", relay_domains="nosuchtype:x")
        assert found.of("a.example") == "local"
        with pytest.raises(LookupFailed, match="unsupported dictionary type: nosuchtype"):
            found.of("b.example")
    assert len(lines) == 1


def test_bare_names_are_looked_up_for_our_local_domains() -> None:
    found = classes(myorigin="origin.example")
    assert found.is_own("origin.example")
    assert found.is_own("mx.own.example")
    assert not found.is_own("far.example")


def test_our_addresses_are_those_of_inet_interfaces() -> None:
    assert own_addresses(["loopback-only"]) == {"127.0.0.1", "::1"}
    assert own_addresses(["192.0.2.1", "[2001:db8::1]"]) == {"192.0.2.1", "2001:db8::1"}
    assert {"127.0.0.1", "::1"} <= machine_addresses() == own_addresses(["all"])
