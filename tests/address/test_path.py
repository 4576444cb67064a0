"""The envelope grammar."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pillarbox.lib.address import Address, AddressSyntaxError, find_path_end, parse_mailbox, parse_path
from tests.feeding import truncations

ANYTHING = st.text(alphabet=st.one_of(st.sampled_from('<>@".,:[]\\ ab1-_é😀\0\r\n'), st.characters()), max_size=80)


@pytest.mark.parametrize(
    ("text", "local", "domain"),
    [
        ("<a@b.example>", "a", "b.example"),
        ("<A.b+c@B.Example>", "A.b+c", "B.Example"),
        ('<"a b"@x.org>', "a b", "x.org"),
        ('<"a\\"b\\\\"@x.org>', 'a"b\\', "x.org"),
        ('<"needless"@x.org>', "needless", "x.org"),
        ('<"a@b>c"@x.org>', "a@b>c", "x.org"),
        ("<a@[192.0.2.1]>", "a", "[192.0.2.1]"),
        ("<a@[IPv6:2001:db8::1]>", "a", "[IPv6:2001:db8::1]"),
        ("<a@[x400:c=de]>", "a", "[x400:c=de]"),
        ("<@one.example,@two.example:a@b.example>", "a", "b.example"),
        ("<üser@bücher.example>", "üser", "bücher.example"),
        ("<a@b.example.>", "a", "b.example"),
        ("<a@host_name>", "a", "host_name"),
        ("<a..b.@docomo.example>", "a..b.", "docomo.example"),
        ('<""@x.org>', "", "x.org"),
    ],
)
def test_good_paths(text: str, local: str, domain: str) -> None:
    assert parse_path(text) == Address(local, domain)


BAD = [
    *("", "<", ">", "a@b.c", "<a@b.c", "a@b.c>", "<a@b.c> ", " <a@b.c>", "<<a@b.c>>", "<@b.c>", "<a@>", "<a>"),
    *("<a@b@c>", "<a b@c>", "<a@b c>", "<a@-b.c>", "<a@b-.c>", "<a@b..c>", "<a@.b>", "<(x)a@b.c>", "<a@b,c>"),
    *("<a@[1.2.3]>", "<a@[1.2.3.400]>", "<a@[IPv6:::g]>", "<a@[IPv6:fe80::1%eth0]>", "<a@[]>", "<a@["),
    *('<"a@b.c>', '<"a"b@c>', '<"a"@>', '<"a\nb"@c.d>', "<a\r\n@b.c>", "<a\0@b.c>", "<a@b.c\n>"),
    *("<@x:>", "<@x a@b>", "<@x,y:a@b>", "<\ud800@b.c>", "<a@b.\udcff>", "<" + "é" * 40 + "@b.c>"),
    *("<" + "a" * 65 + "@b.c>", "<a@" + "b" * 64 + ".c>", "<a@" + ".".join(["b" * 60] * 5) + ">"),
]


@pytest.mark.parametrize("text", BAD)
def test_bad_paths(text: str) -> None:
    with pytest.raises(AddressSyntaxError):
        parse_path(text)


def test_limits_are_octets_and_inclusive() -> None:
    assert parse_path(f"<{'a' * 64}@b.c>")
    assert parse_path(f"<{'é' * 32}@b.c>")
    with pytest.raises(AddressSyntaxError, match="64 octets"):
        parse_path(f"<{'é' * 33}@b.c>")
    domain = ".".join(["b" * 62] * 3)
    assert parse_path(f"<{'a' * 64}@{domain}>")
    with pytest.raises(AddressSyntaxError, match="256 octets"):
        parse_path(f"<{'a' * 64}@{domain}.c>")


def test_the_null_path_only_where_allowed() -> None:
    assert not parse_path("<>", allow_null=True)
    assert str(parse_path("<>", allow_null=True)) == ""
    with pytest.raises(AddressSyntaxError):
        parse_path("<>")


def test_a_bare_name_only_where_allowed() -> None:
    assert parse_path("<Postmaster>", allow_bare=True) == Address("Postmaster")
    with pytest.raises(AddressSyntaxError):
        parse_path("<Postmaster>")
    with pytest.raises(AddressSyntaxError):
        parse_path("<a@>", allow_bare=True)


def test_utf8_only_where_allowed() -> None:
    with pytest.raises(AddressSyntaxError, match="SMTPUTF8"):
        parse_path("<ü@b.c>", allow_utf8=False)


@pytest.mark.parametrize(
    ("text", "end"),
    [
        ("<a@b> SIZE=1", 5),
        ("<>", 2),
        ('<"a>b"@c>x', 9),
        ('<"a\\">b"@c>x', 11),
        ("a@b", -1),
        ("<a@b", -1),
        ('<"a>', -1),
        ("", -1),
    ],
)
def test_the_end_of_a_path_before_parameters(text: str, end: int) -> None:
    assert find_path_end(text) == end


def test_truncations_never_pass_as_the_whole() -> None:
    for text in truncations(b'<@a.b:"x\\"y"@[IPv6:::1]>'):
        with pytest.raises(AddressSyntaxError):
            parse_path(text.decode())


@given(ANYTHING)
def test_any_text_is_parsed_or_refused(text: str) -> None:
    for wrapped in (text, f"<{text}>"):
        find_path_end(wrapped)
        try:
            address = parse_path(wrapped, allow_null=True, allow_bare=True)
        except AddressSyntaxError:
            continue
        assert "\n" not in str(address) and "\r" not in str(address) and "\0" not in str(address)


@given(st.text(alphabet=st.characters(min_codepoint=32, max_codepoint=126), max_size=30), st.booleans())
def test_every_printable_local_part_survives_writing_and_reading(local: str, with_domain: bool) -> None:
    address = Address(local, "b.example" if with_domain or not local else "")
    assert parse_mailbox(str(address), allow_bare=True) == address


@pytest.mark.parametrize("size", [1000, 100_000])
def test_hostile_shapes_are_refused_in_linear_work(size: int) -> None:
    """A quadratic parser would hang here."""
    shapes = ('"\\' * size, "@" + "a,@" * size + ":b@c", "." * size + "@c", "a@" + "b." * size, '"' + "\\" * size)
    for shape in shapes:
        find_path_end(f"<{shape}>")
        with pytest.raises(AddressSyntaxError):
            parse_path(f"<{shape}>")
