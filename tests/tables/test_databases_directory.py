"""What an LDAP look-up makes of entries: kinds of attributes, references, URLs, quoting."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pillarbox.lib.tables.query_directory import (
    SEARCHES_LIMIT,
    Entry,
    Roles,
    Search,
    collect,
    parse_url,
    quote_filter,
    quote_name,
)
from pillarbox.lib.tables.query_pool import QueryFailed

ROLES = Roles(terminal=("t",), leaf=("l",), ordinary=("o",), special=("s",))


def values(entries: list[Entry], tree: dict[str, Entry] | None = None, limit: int = 10) -> list[str]:
    found: list[str] = []

    def search(asked: Search) -> list[Entry] | None:
        assert asked.attributes == ROLES.all
        return None if tree is None or asked.base not in tree else [tree[asked.base]]

    collect(entries, ROLES, search, found.append, limit)
    return found


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        ({"o": [b"1", b"2"]}, ["1", "2"]),
        ({"l": [b"1"], "o": [b"2"]}, ["1", "2"]),
        ({"l": [b"1"], "o": [b"2"], "s": [b"cn=x"]}, ["2", "leaf of x"]),
        ({"t": [b"1"], "l": [b"2"], "o": [b"3"], "s": [b"cn=x"]}, ["1"]),
        ({"t": [], "o": [b"3"]}, ["3"]),
        ({"O;lang-de": [b"1"], "other": [b"2"], "ox": [b"3"]}, ["1"]),
        ({"s": [b"cn=gone"], "o": [b"1"]}, ["1"]),
        ({"o": [b"a\0b", b"\xff"]}, ["a", "\udcff"]),
        ({}, []),
    ],
)
def test_which_attributes_count(entry: Entry, expected: list[str]) -> None:
    assert values([entry], {"cn=x": {"l": [b"leaf of x"]}}) == expected


def test_entries_are_followed_in_order_and_depth_first() -> None:
    tree: dict[str, Entry] = {
        "cn=a": {"s": [b"cn=b"], "o": [b"a"]},
        "cn=b": {"o": [b"b"]},
        "cn=c": {"o": [b"c"]},
    }
    assert values([{"s": [b"cn=a", b"cn=c"]}, {"o": [b"z"]}], tree) == ["b", "a", "c", "z"]


def test_nesting_and_the_number_of_references_are_limited() -> None:
    loop: dict[str, Entry] = {"cn=a": {"s": [b"cn=a"]}}
    with pytest.raises(QueryFailed, match="Recursion limit exceeded at cn=a"):
        values([{"s": [b"cn=a"]}], loop, 1000)
    assert values([{"s": [b"cn=b"]}], {"cn=b": {"o": [b"1"]}}, 2) == ["1"]
    with pytest.raises(QueryFailed, match="Recursion limit"):
        values([{"s": [b"cn=b"]}], {"cn=b": {"o": [b"1"]}}, 1)
    with pytest.raises(QueryFailed, match=f"at most {SEARCHES_LIMIT} references"):
        values([{"s": [b"cn=b"] * (SEARCHES_LIMIT + 1)}], {"cn=b": {}})


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("ldap:///cn=x", Search("cn=x", "base", "(objectClass=*)", ("mail", "uid"))),
        ("ldap:///", Search("", "base", "(objectClass=*)", ("mail", "uid"))),
        ("ldap://", Search("", "base", "(objectClass=*)", ("mail", "uid"))),
        (
            "LDAPS://h:1/ou=a%20b,c=%3F?mail,cn,UID;x-y?SUB?(a=b%3f)",
            Search("ou=a b,c=?", "sub", "(a=b?)", ("mail", "UID;x-y")),
        ),
        ("ldap:///cn=x?*?one", Search("cn=x", "one", "(objectClass=*)", ("mail", "uid"))),
        ("ldap:///cn=x?cn", None),
    ],
)
def test_urls(url: str, expected: Search | None) -> None:
    assert parse_url(url, ("mail", "uid")) == expected


@pytest.mark.parametrize("url", ["ldap:///x??all", "ldap:///x????!ext=1", "ldap:///x?????"])
def test_malformed_urls_are_no_answer(url: str) -> None:
    with pytest.raises(QueryFailed, match="malformed URL"):
        parse_url(url, ("mail",))
    with pytest.raises(QueryFailed, match="malformed URL"):
        values([{"s": [url.encode()]}])


@settings(deadline=None)
@given(st.text(max_size=20))
def test_a_quoted_key_is_one_value_of_a_filter(key: str) -> None:
    from ldap3.operation.search import parse_filter

    nodes = parse_filter(f"(&(mail={quote_filter(key)})(a=b))", None, True, True, None, False).elements
    assert len(nodes) == 2 if isinstance(nodes, list) and len(nodes) == 2 else len(nodes[0].elements) == 2


@settings(deadline=None)
@given(st.text(st.one_of(st.sampled_from(',+"\\<>;=# \0'), st.characters(codec="utf-8")), min_size=1, max_size=20))
def test_a_quoted_key_is_one_value_of_a_name(key: str) -> None:
    from ldap3.utils.dn import parse_dn

    if "\0" in key:
        return  # never asked for
    assert [part[0] for part in parse_dn(f"uid={quote_name(key)},dc=x")] == ["uid", "dc"]
