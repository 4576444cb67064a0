"""The grammar of alias values and forward files."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pillarbox.lib.delivery.alias_value import AliasSyntaxError, Kind, Target, parse_lines, parse_targets

ADDRESS, FILE, COMMAND, INCLUDE = Kind.ADDRESS, Kind.FILE, Kind.COMMAND, Kind.INCLUDE


@pytest.mark.parametrize(
    ("text", "targets"),
    [
        ("bob", [Target(ADDRESS, "bob")]),
        ("bob, carol@example.com", [Target(ADDRESS, "bob"), Target(ADDRESS, "carol@example.com")]),
        ("  bob ,, ", [Target(ADDRESS, "bob")]),
        ("", []),
        ("bob carol@example.com", [Target(ADDRESS, "bob"), Target(ADDRESS, "carol@example.com")]),
        ("bob(the builder)carol", [Target(ADDRESS, "bob"), Target(ADDRESS, "carol")]),
        (
            "\\bob /file :include:/x",
            [Target(ADDRESS, "bob", literal=True), Target(FILE, "/file"), Target(INCLUDE, "/x")],
        ),
        ("\\bob", [Target(ADDRESS, "bob", literal=True)]),
        ("<bob@example.com>", [Target(ADDRESS, "bob@example.com")]),
        ("Bob Smith <bob@example.com>", [Target(ADDRESS, "bob@example.com")]),
        ("bob (the builder, really)", [Target(ADDRESS, "bob")]),
        ('"b, ob"@example.com', [Target(ADDRESS, '"b, ob"@example.com')]),
        ("/var/archive", [Target(FILE, "/var/archive")]),
        ('"/var/my archive/"', [Target(FILE, "/var/my archive/")]),
        ("|/bin/prog", [Target(COMMAND, "/bin/prog")]),
        ('"|/bin/prog a, \\"b\\""', [Target(COMMAND, '/bin/prog a, "b"')]),
        ('|"/bin/prog a, b"', [Target(COMMAND, "/bin/prog a, b")]),
        ('"|exec /bin/x (y)", bob', [Target(COMMAND, "exec /bin/x (y)"), Target(ADDRESS, "bob")]),
        (":include:/etc/list", [Target(INCLUDE, "/etc/list")]),
        ('":include:/etc/my list"', [Target(INCLUDE, "/etc/my list")]),
    ],
)
def test_a_value_is_read_as_written(text: str, targets: list[Target]) -> None:
    assert list(parse_targets(text)) == targets


@pytest.mark.parametrize(
    "text",
    ['"bob', "bob (x", "|", '"|"', ":include:relative", ":include:", "a@x b@", "bob # no", "bob@", "a@b@c", "x\x01y"],
)
def test_what_cannot_be_read_is_an_error(text: str) -> None:
    with pytest.raises(AliasSyntaxError):
        parse_targets(text)


def test_lines_are_lists_and_comments_are_left_out() -> None:
    assert [target.value for target in parse_lines("# no\nbob, carol\n\n  # neither\n|prog\n")] == [
        "bob",
        "carol",
        "prog",
    ]


@given(st.text(max_size=60))
def test_any_text_gives_targets_or_the_one_error(text: str) -> None:
    try:
        targets = parse_lines(text)
    except AliasSyntaxError:
        return
    assert all(target.value for target in targets)


@given(st.lists(st.sampled_from(["bob", "|prog x", "/file", ":include:/x", '"|a, b"', "a@b.example"]), max_size=8))
def test_a_list_gives_each_of_its_targets(parts: list[str]) -> None:
    assert len(parse_targets(", ".join(parts))) == len(parts)
