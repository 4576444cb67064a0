"""Bare names in header fields get a domain; nothing else changes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pillarbox.lib.address.completion import complete_addresses
from pillarbox.lib.address.header import parse_address_list


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
        ("Ann <@relay.example:ann@example.org>", "Ann <@relay.example:ann@example.org>"),
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
    assert complete_addresses(text, "h.example") == completed
    assert complete_addresses(completed, "other.example") == completed, "once is enough"


@given(st.text(alphabet='ab <>,;:@."\\()[]\n\t=?é', max_size=60))
def test_only_the_domain_is_added(text: str) -> None:
    completed = complete_addresses(text, "h.example")
    assert completed.replace("@h.example", "") == text.replace("@h.example", "")
    before, after = parse_address_list(text).mailboxes, parse_address_list(completed).mailboxes
    assert len(before) <= len(after), "every mailbox that could be read still can"


def test_a_long_field_takes_linear_time() -> None:
    for piece in ("a,", '"', "(", "<a>,", "a:"):
        text = piece * 100_000
        assert len(complete_addresses(text, "h.example")) >= len(text)
