"""Tables that are read once: which types can be, and what is said of one that cannot be used."""

from __future__ import annotations

from pathlib import Path

import pytest

from pillarbox.lib.tables import TableError
from pillarbox.lib.tables.kept import SELF_CONTAINED, examine, kept_files, open_kept
from pillarbox.lib.tables.registry import MODULES

ASKING = {
    "accounts",
    "ldap",
    "logins",
    "memcache",
    "mysql",
    "pgsql",
    "redis",
    "socketmap",
    "sqlite",
    "tcp",
    "unix",
}


def test_each_type_is_one_or_the_other() -> None:
    """Who adds a type decides whether it needs nothing but what it has read; a query of a server does."""
    assert {*SELF_CONTAINED, *ASKING} == {*MODULES, "accounts", "logins"}


@pytest.mark.parametrize("kind", sorted(ASKING))
@pytest.mark.parametrize("shape", ["{}:passwd.byname", "proxy:{}:passwd.byname", "unionmap:{{inline:{{a=b}}, {}:x}}"])
def test_those_that_ask_others_are_refused_inside_others_too(kind: str, shape: str) -> None:
    with pytest.raises(TableError, match=f"^secrets: table {kind}:.* must be read as a whole"):
        open_kept("secrets", [shape.format(kind)])
    assert kept_files("secrets", [shape.format(kind)]) == ()


def test_an_unknown_type_is_refused() -> None:
    with pytest.raises(TableError, match="secrets: unsupported dictionary type: hush"):
        open_kept("secrets", ["hush:/x"])


def test_the_files(tmp_path: Path) -> None:
    assert kept_files("secrets", ["hash:/a", "inline:{a=b}", "unionmap:{texthash:/b, hash:/c}"]) == (
        "/a.cdb",
        "/b",
        "/c.cdb",
    )


@pytest.mark.parametrize("shape", ["{}", "unionmap:{{inline:{{a=b}}, {}}}", "pipemap:{{inline:{{a=b}}, {}}}"])
@pytest.mark.parametrize(
    ("table", "why"),
    [
        ("texthash:FOLDER/none", "No such file or directory"),
        ("hash:FOLDER/broken", "is corrupt"),
        ("regexp:FOLDER/rules", "line 2"),
        ("fail:always", "query error"),
        ("texthash:FOLDER", "is not a regular file"),
    ],
)
def test_what_would_fail_at_some_look_up_is_found(tmp_path: Path, table: str, why: str, shape: str) -> None:
    (tmp_path / "broken.cdb").write_bytes(b"half a table")
    (tmp_path / "rules").write_text("/a/ b\n/never\n")
    with pytest.raises(TableError, match=f"^secrets: .*{why}"):
        examine("secrets", [shape.format(table.replace("FOLDER", str(tmp_path)))])


def test_entries_that_are_passed_over_are_told(tmp_path: Path) -> None:
    file = tmp_path / "passwords"
    file.write_text("host ann:secret\nother\n")
    (oddity,) = examine("secrets", [f"texthash:{file}", "inline:{a=b}"])
    assert oddity.startswith(f"secrets: {file}, line 2: expected format: key whitespace value")
