"""postalias and newaliases."""

from __future__ import annotations

import re
import socket
from pathlib import Path

import pytest

from pillarbox.commands import newaliases
from pillarbox.commands.postalias import main
from tests.commands.running import Said, run

SOURCE = """# c
Root: alice,bob
  , carol
"quoted Name": "|/bin/cmd arg,  x" ,  "a b"@c.d
list: :include:/x/y
"""


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "al").write_text(SOURCE)
    return tmp_path


def test_aliases_are_built_and_asked() -> None:
    assert run(main, "hash:al") == Said(0)
    assert run(main, "-q", "ROOT", "hash:al").out == "alice, bob, carol\n"
    assert run(main, "-q", "-", "hash:al", text="root\nnone\n") == Said(0, "root:\talice, bob, carol\n")
    assert run(main, "-q", "none", "hash:al") == Said(1)


def test_the_table_holds_what_nis_looks_for() -> None:
    run(main, "hash:al")
    lines = run(main, "-s", "hash:al").out.splitlines()
    assert lines[:3] == [
        "root:\talice, bob, carol",
        'quoted name:\t"|/bin/cmd arg,  x", "a b"@c.d',
        "list:\t:include:/x/y",
    ]
    assert lines[3] == "@:\t@"
    assert re.fullmatch(r"YP_LAST_MODIFIED:\t\d{10}", lines[4])
    assert lines[5] == f"YP_MASTER_NAME:\t{socket.gethostname()}"


def test_warnings_name_file_and_line(here: Path) -> None:
    (here / "al").write_text(" lead: x\ndup: a\nDUP: b\nnoval\na@b: x\n")
    assert run(main, "hash:al") == Said(
        0,
        "",
        'postalias: warning: al: logical line must not start with whitespace: " lead: x"\n'
        'postalias: warning: al.cdb: duplicate entry: "dup"\n'
        "postalias: warning: al, line 4: need name:value pair\n"
        "postalias: warning: al, line 5: name must be local\n",
    )


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["hash:nonex"], "open nonex: No such file or directory"),
        (["-q", "x", "hash:nonex"], "open database nonex.cdb: No such file or directory"),
        (["foo:al"], "unsupported dictionary type: foo"),
    ],
)
def test_fatal_errors(arguments: list[str], text: str) -> None:
    assert run(main, *arguments) == Said(1, "", f"postalias: fatal: {text}\n")


def instance(here: Path, main_yaml: str = "") -> Path:
    etc = here / "etc"
    etc.mkdir()
    (etc / "main.yaml").write_text(main_yaml)
    (etc / "master.yaml").write_text("lookup: {command: lookup}\n")
    (etc / "aliases").write_text("root: ann\n")
    return etc


def test_newaliases_builds_what_alias_database_names(here: Path) -> None:
    etc = instance(here)
    assert run(newaliases.main, "-c", etc) == Said(0)
    assert run(main, "-q", "root", f"hash:{etc}/aliases").out == "ann\n"


def test_newaliases_takes_the_directory_from_the_environment(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    etc = instance(here)
    monkeypatch.setenv("MAIL_CONFIG", str(etc))
    assert run(newaliases.main) == Said(0)
    assert (etc / "aliases.cdb").exists()


def test_newaliases_without_database_has_nothing_to_do(here: Path) -> None:
    assert run(newaliases.main, "-c", instance(here, 'alias_database: ""\n')) == Said(0)


def test_newaliases_of_a_file_that_is_missing(here: Path) -> None:
    etc = instance(here, "alias_database: hash:/nonexistent/aliases\n")
    assert run(newaliases.main, "-c", etc) == Said(
        1, "", "newaliases: fatal: open /nonexistent/aliases: No such file or directory\n"
    )


def test_newaliases_builds_what_the_command_line_names(here: Path) -> None:
    etc = instance(here)
    assert run(newaliases.main, "-c", etc, f"-oAhash:{here}/al") == Said(0)
    assert (here / "al.cdb").exists()
    assert not (etc / "aliases.cdb").exists()


def test_the_shipped_aliases_are_well_formed(here: Path) -> None:
    import pillarbox.etc

    source = Path(next(iter(pillarbox.etc.__path__))) / "aliases"
    (here / "al").write_text(source.read_text())
    assert run(main, "hash:al") == Said(0)
    assert run(main, "-q", "postmaster", "hash:al") == Said(0, "root\n")
