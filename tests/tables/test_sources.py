"""Table and alias sources: the line grammar, warnings as Postfix words them, and anything at all as input."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pillarbox.lib.tables.aliases import parse_aliases
from pillarbox.lib.tables.lines import LINE_LIMIT, encode, logical_lines
from pillarbox.lib.tables.source import parse_map


def entries(text: str, parse: object = parse_map) -> tuple[list[tuple[int, str, str]], list[str]]:
    warnings: list[str] = []
    assert callable(parse)
    found = [(e.line, e.key, e.value) for e in parse(text.encode().splitlines(keepends=True), "tab", warnings.append)]
    return found, warnings


def test_a_line_is_key_and_value() -> None:
    assert entries("k v\na\tb  c \r\n") == ([(1, "k", "v"), (2, "a", "b  c")], [])


def test_a_line_with_leading_blanks_continues_also_over_comments_and_empty_lines() -> None:
    assert entries("k v\n\n# comment\n  w\n\tx\nnext y\n")[0] == [(1, "k", "v  w\tx"), (6, "next", "y")]


def test_the_last_line_needs_no_end() -> None:
    assert entries("k v")[0] == [(1, "k", "v")]


def test_a_key_in_quotes_may_hold_blanks() -> None:
    assert entries('"a b" v\n"a\\"b c"@x v\n')[0] == [(1, '"a b"', "v"), (2, '"a\\"b c"@x', "v")]


@pytest.mark.parametrize(
    ("text", "warning"),
    [
        ("k\n", "tab, line 1: expected format: key whitespace value"),
        ("k: v\n", 'tab, line 1: record is in "key: value" format; is this an alias file?'),
        (" k v\n", 'tab: logical line must not start with whitespace: " k v"'),
        ('"k v\n', "tab, line 1: unbalanced '\"' in '\"k v' -- ignoring this line"),
    ],
)
def test_what_is_no_entry_is_warned_of(text: str, warning: str) -> None:
    found, warnings = entries(text + "good x\n")
    assert found[-1][1:] == ("good", "x")
    assert warnings == [warning]


@pytest.mark.parametrize(
    ("text", "entry"),
    [
        ("root: ann, bob\n", ("root", "ann, bob")),
        ("Root : ann\n", ("Root", "ann")),
        ('"a b": c\n', ("a b", "c")),
        ('"a@b": c\n', ("a@b", "c")),
        ('"a:b": c\n', ("a:b", "c")),
        ('list: "|/bin/x a: b, c"\n', ("list", '"|/bin/x a: b, c"')),
        ("list: :include:/x\n", ("list", ":include:/x")),
        ("long: a,\n  b,\n\tc\n", ("long", "a,  b,\tc")),
        ('open: "x y\n', ("open", '"x y"')),
    ],
)
def test_an_alias_is_name_and_value(text: str, entry: tuple[str, str]) -> None:
    found, warnings = entries(text, parse_aliases)
    assert [each[1:] for each in found] == [entry]
    assert warnings == []


@pytest.mark.parametrize(
    ("text", "warning"),
    [
        ("noval\n", "tab, line 1: need name:value pair"),
        ("novalue:\n", "tab, line 1: need name:value pair"),
        (": x\n", "tab, line 1: need name:value pair"),
        ("a@b: x\n", "tab, line 1: name must be local"),
    ],
)
def test_what_is_no_alias_is_warned_of(text: str, warning: str) -> None:
    assert entries(text, parse_aliases) == ([], [warning])


def test_a_line_without_end_is_refused_before_it_fills_memory() -> None:
    with pytest.raises(ValueError, match="line 1: a line of at most"):
        list(logical_lines([b"k " + b"x" * LINE_LIMIT], "tab", lambda text: None))


@given(st.lists(st.text(st.characters(blacklist_characters="\n", codec="utf-8"))))
def test_anything_is_read_or_warned_of(lines: list[str]) -> None:
    data = [line.encode() + b"\n" for line in lines]
    for parse in (parse_map, parse_aliases):
        for entry in parse(data, "tab", lambda text: None):
            assert entry.key and entry.value
            assert 1 <= entry.line <= len(lines)


@given(st.binary())
def test_bytes_that_are_no_text_come_out_as_they_went_in(data: bytes) -> None:
    value = b"x" + bytes(byte for byte in data if byte > 32) + b"x"
    found = list(parse_map([b"k " + value + b"\n"], "tab", lambda text: None))
    assert [encode(entry.value) for entry in found] == [value]


@given(
    st.dictionaries(
        st.from_regex(r"[a-z0-9.@_+-]{1,20}", fullmatch=True),
        st.from_regex(r"[!-~]([ -~]{0,30}[!-~])?", fullmatch=True),
    )
)
def test_written_entries_are_read_back(table: dict[str, str]) -> None:
    text = "".join(f"{key}\t{value}\n" for key, value in table.items())
    assert {key: value for _, key, value in entries(text)[0]} == table
