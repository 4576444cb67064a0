"""Lines of texthash tables that are no entry: mail for what they may be about waits."""

from __future__ import annotations

from pathlib import Path

import pytest

from pillarbox.lib.log import log
from pillarbox.lib.tables import STANDARD, LookupFailed, Table
from pillarbox.lib.tables.listing import contents


def table(folder: Path, text: str) -> Table:
    (folder / "t").write_text(text)
    return STANDARD.open(f"texthash:{folder}/t")


def outcome(table: Table, key: str) -> str | None:
    with log.capture():
        try:
            return table.get(key)
        except LookupFailed as error:
            return f"fails: {error.reason}"


def test_a_key_without_value_fails_its_own_look_up_only(tmp_path: Path) -> None:
    found = table(tmp_path, "ann box\nBob\ncarl box\n")
    assert [outcome(found, key) for key in ("ann", "carl", "dora")] == ["box", "box", None]
    assert outcome(found, "BOB") == (
        f"fails: table texthash:{tmp_path}/t: {tmp_path}/t, line 2: expected format: key whitespace value "
        "-- ignoring this line"
    )


@pytest.mark.parametrize("slip", ['"bob box', "  bob box"])
def test_a_line_whose_key_is_not_known_fails_what_is_not_there(tmp_path: Path, slip: str) -> None:
    found = table(tmp_path, f"{slip}\nann box\n" if slip[0] == " " else f"ann box\n{slip}\n")
    assert outcome(found, "ann") == "box"
    assert str(outcome(found, "bob")).startswith(f"fails: table texthash:{tmp_path}/t: {tmp_path}/t")


def test_a_mended_table_is_itself_again(tmp_path: Path) -> None:
    assert str(outcome(table(tmp_path, "bob\n"), "bob")).startswith("fails")
    assert outcome(table(tmp_path, "bob box\n"), "bob") == "box"


@pytest.mark.parametrize(
    ("kind", "text", "expected"),
    [
        ("texthash", "ann box\nbob\n", "line 2: expected format: key whitespace value"),
        ("regexp", "/a/ b\n/(/ c\n", "line 2: error in regular expression"),
        ("pcre", "if /a/\n/b/ c\n", "line 1: IF has no matching ENDIF"),
        ("cidr", "10.0.0.1/8 x\n", "line 1: non-null host address bits"),
        ("sqlite", "dbpath = x\nqeury = y\n", 'line 2: unknown setting "qeury"'),
        ("memcache", "ttl = soon\n", "line 1: ttl: a whole number"),
    ],
)
def test_the_check_of_a_configuration_finds_it(tmp_path: Path, kind: str, text: str, expected: str) -> None:
    (tmp_path / "t").write_text(text)
    assert expected in contents(f"{kind}:{tmp_path}/t")[0]
