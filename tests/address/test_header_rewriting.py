"""Addresses in header fields are replaced; nothing else changes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pillarbox.lib.address.header import parse_address_list
from pillarbox.lib.address.header_rewriting import complete_at_a_glance, rewrite_addresses


def completed_by(text: str, domain: str) -> str:
    """Every bare name with a domain."""
    return rewrite_addresses(text, lambda address: address if "@" in address else f"{address}@{domain}")


@pytest.mark.parametrize(
    ("text", "completed"),
    [
        ("root", "root@h.example"),
        (" root\n", " root@h.example\n"),
        ("root, ann@example.org , bob", "root@h.example, ann@example.org , bob@h.example"),
        ("Ann <ann>", "Ann <ann@h.example>"),
        ("Ann < ann > (x)", "Ann < ann@h.example > (x)"),
        ('"Last, First" <first.last>', '"Last, First" <first.last@h.example>'),
        ('"quoted name"', '"quoted name"@h.example'),
        ("ann (a comment, with <signs>)", "ann@h.example (a comment, with <signs>)"),
        ("team: ann, bob@example.org;, carol", "team: ann@h.example, bob@example.org;, carol@h.example"),
        ("first . last", "first . last@h.example"),
        ("ann,\n\tbob", "ann@h.example,\n\tbob@h.example"),
        ("müller", "müller@h.example"),
        # what is complete, or no address
        ("ann@example.org", "ann@example.org"),
        ("undisclosed-recipients:;", "undisclosed-recipients:;"),
        ("<>", "<>"),
        ("", ""),
        (" \n", " \n"),
        ("John Smith", "John Smith"),
        ("=?utf-8?q?name?=", "=?utf-8?q?name?="),
        ("ann.", "ann."),
        (".ann", ".ann"),
        ("a..b", "a..b"),
        ("Ann <ann> more", "Ann <ann> more"),
        ("Ann <ann", "Ann <ann"),
        ('"never ends', '"never ends'),
        ("a\\b", "a\\b"),
        ("ann@", "ann@"),
    ],
)
def test_completed(text: str, completed: str) -> None:
    assert completed_by(text, "h.example") == completed
    assert completed_by(completed, "other.example") == completed, "once is enough"


@given(st.text(alphabet='ab <>,;:@."\\()[]\n\t=?é', max_size=60))
def test_only_the_domain_is_added(text: str) -> None:
    completed = completed_by(text, "h.example")
    assert completed.replace("@h.example", "") == text.replace("@h.example", "")
    before, after = parse_address_list(text).mailboxes, parse_address_list(completed).mailboxes
    assert len(before) <= len(after), "every mailbox that could be read still can"


def test_a_long_field_takes_linear_time() -> None:
    for piece in ("a,", '"', "(", "<a>,", "a:"):
        text = piece * 100_000
        assert len(completed_by(text, "h.example")) >= len(text)


@pytest.mark.parametrize(
    ("text", "rewritten"),
    [
        (" ann@a.example\n", " ann@b.example\n"),
        ("Ann <ann@a.example>, (x) Bob <bob@c.example> (y)", "Ann <ann@b.example>, (x) Bob <bob@c.example> (y)"),
        ("Ann < ann . x @ a.example >", "Ann < ann.x@b.example >"),
        ("Ann <@relay.example,@c.example:ann@a.example>", "Ann <ann@b.example>"),
        ('"Last, First" <"odd name"@a.example>', '"Last, First" <"odd name"@b.example>'),
        ('"odd"."name"@a.example', '"odd.name"@b.example'),
        ("team: ann@a.example, bob@c.example;, carl@a.example", "team: ann@b.example, bob@c.example;, carl@b.example"),
        ("ann@[192.0.2.1], ann@a.example", "ann@[192.0.2.1], ann@b.example"),
        ("ann@a.example bob@a.example, ann@a.example", "ann@a.example bob@a.example, ann@b.example"),
        ("<>, ann@a.example", "<>, ann@b.example"),
    ],
)
def test_an_address_is_replaced_where_it_stands(text: str, rewritten: str) -> None:
    assert rewrite_addresses(text, lambda address: address.replace("@a.example", "@b.example")) == rewritten


@given(st.text(alphabet='ab.e <>,;:@"\\()[]\n\t=?%!é', max_size=60))
def test_addresses_seen_at_a_glance_are_complete(text: str) -> None:
    found: list[str] = []
    assert rewrite_addresses(text, lambda address: found.append(address) or address) == text  # type: ignore[func-returns-value]
    if complete_at_a_glance(text):
        assert all("." in address.rpartition("@")[2] and address[-1] != "." for address in found)
        assert not any(set("%!") & set(address) for address in found)
