"""Address lists in header fields."""

from __future__ import annotations

import email.utils

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pillarbox.lib.address import parse_address_list


def addresses(text: str) -> list[str]:
    return [mailbox.address for mailbox in parse_address_list(text).mailboxes]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a@b.c", ["a@b.c"]),
        ("a@b.c, d@e.f", ["a@b.c", "d@e.f"]),
        ("A. U. Thor <a@b.c>", ["a@b.c"]),
        ('"Doe, Jane" <jane@x.org>, b@c', ["jane@x.org", "b@c"]),
        ("a@b.c (a comment, with (a nested) one)", ["a@b.c"]),
        ("(only a comment)", []),
        ("Group: a@b.c, D <d@e.f>;, g@h.i", ["a@b.c", "d@e.f", "g@h.i"]),
        ("undisclosed-recipients:;", []),
        ("a @ b . c", ["a@b.c"]),
        ("a . b(x)@c", ["a.b@c"]),
        ('"a b"@c.d', ['"a b"@c.d']),
        ('"a b".c@d', ['"a b.c"@d']),
        ("<@x.y,@z:a@b.c>", ["a@b.c"]),
        ("root, postmaster", ["root", "postmaster"]),
        ("<root>", ["root"]),
        ("a@[192.0.2.1]", ["a@[192.0.2.1]"]),
        ("a@b.c,\r\n\td@e.f", ["a@b.c", "d@e.f"]),
        (",, a@b.c ,,", ["a@b.c"]),
        ("=?utf-8?q?J=C3=B8rn?= <j@x.org>", ["j@x.org"]),
        ("Jørn <j@x.org>", ["j@x.org"]),
        ("a@b.c; d@e.f", ["a@b.c", "d@e.f"]),
        ("", []),
        ("a+b/c=d@x.org", ["a+b/c=d@x.org"]),
        ("|cmd@x.org", ["|cmd@x.org"]),
    ],
)
def test_lists(text: str, expected: list[str]) -> None:
    found = parse_address_list(text)
    assert [mailbox.address for mailbox in found.mailboxes] == expected
    assert found.invalid == ()


@pytest.mark.parametrize(
    "text",
    [
        "a b",
        "a@b c@d",
        "<a@b> x",
        "a@b@c",
        "<>",
        "Name <>",
        "a@",
        "@b",
        "a@[b",
        '"a@b',
        "a\\@b",
        "a@b)",
        "a@b..c",
        "<a@b",
    ],
)
def test_what_cannot_be_read_is_reported_not_lost(text: str) -> None:
    found = parse_address_list(f"ok@x.org, {text}")
    assert [mailbox.address for mailbox in found.mailboxes][:1] == ["ok@x.org"]
    assert len(found.mailboxes) + len(found.invalid) == 2


def test_names_are_unquoted_and_folded() -> None:
    names = [m.name for m in parse_address_list('"J. \\"D\\"" <a@b>, Joe\r\n Q. <c@d>, (x) e@f').mailboxes]
    assert names == ['J. "D"', "Joe Q.", ""]


@given(st.text(alphabet=st.one_of(st.sampled_from('<>@".,:;()[]\\ \t\r\nab'), st.characters()), max_size=100))
def test_any_text_gives_legal_addresses(text: str) -> None:
    for address in addresses(text):
        assert address
        assert not set(address) & set("\r\n\0")


@pytest.mark.parametrize("depth", [10, 30_000])
def test_deep_nesting_is_linear_and_not_recursive(depth: int) -> None:
    for text in (
        "(" * depth,
        '"\\' * depth,
        "<" * depth,
        "a:" * depth,
        "[" * depth,
        "." * depth,
        "@a," * depth,
        "[\\" * depth,
    ):
        parse_address_list(text)


@given(
    st.lists(
        st.tuples(st.text(alphabet="abc ,.<>", max_size=8), st.from_regex(r"[a-z]{1,5}@[a-z]{1,5}", fullmatch=True))
    )
)
def test_what_the_standard_library_writes_is_read(pairs: list[tuple[str, str]]) -> None:
    text = ", ".join(email.utils.formataddr(pair) for pair in pairs)
    assert addresses(text) == [address for _, address in pairs]
