"""docs/rfc.md is true as far as a program can see: rows parse, what they name exists, nothing announced is missing."""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

from pillarbox.imapd.commands import COMMANDS
from pillarbox.imapd.protocol.capabilities import login_capabilities, session_capabilities
from pillarbox.lib.config import Config
from pillarbox.lib.smtp.profile import Profile
from pillarbox.managesieved.protocol.capabilities import Capabilities as ManageSieve
from pillarbox.pop3d.protocol.capabilities import Terms, capabilities

_REPOSITORY = Path(__file__).resolve().parents[1]
_HEADING = re.compile(r"## (RFC \d+|[A-Z][A-Za-z]+): \S")
_ARGUMENT = re.compile(r"(?<=^AUTH)=.*|=\d+$")
_CAPABILITY_HEADING = "## Announced capabilities"
_KEPT = re.compile(r"yes|no|(partly|no): \S.*")
_SECTIONS = re.compile(r"all|[0-9]+(\.[0-9]+)*(-[0-9]+(\.[0-9]+)*)?(, [0-9]+(\.[0-9]+)*(-[0-9]+(\.[0-9]+)*)?)*")
_CLAUSES, _CAPABILITIES = ("section", "clause", "kept", "module", "test"), ("where", "capability", "RFC", "section")


@dataclass(frozen=True, slots=True)
class Clause:
    """One row about an RFC, or a protocol that has none; `line` is its place in the file."""

    line: int
    chapter: str
    section: str
    kept: str
    modules: tuple[str, ...]
    tests: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Announced:
    """One row of the last table."""

    where: str
    capability: str
    chapter: str


def read(text: str) -> tuple[list[Clause], list[Announced]]:
    """The ledger; AssertionError with the line for what cannot be read."""
    clauses: list[Clause] = []
    announced: list[Announced] = []
    chapter, columns = "", tuple[str, ...]()
    for number, line in enumerate(text.splitlines(), 1):
        place = f"docs/rfc.md:{number}"
        if line.startswith("## "):
            heading = _HEADING.match(line)
            assert heading or line == _CAPABILITY_HEADING, f"{place}: a heading without the name of a protocol"
            chapter, columns = heading[1] if heading else "", ()
        if not line.startswith("|"):
            continue
        assert line.endswith((" |", "-|")), f"{place}: the row does not end with a bar"
        cells = tuple(cell.strip() for cell in line.strip("|").split(" | "))
        if not columns:
            columns = cells
            assert columns == (_CLAUSES if chapter else _CAPABILITIES), f"{place}: other columns than expected"
            continue
        if set(line) <= set("|-"):
            continue
        assert len(cells) == len(columns) and all(cells), (
            f"{place}: {len(cells)} cells, not {len(columns)}, or an empty one"
        )
        if chapter:
            section, _, kept, modules, tests = cells
            clauses.append(Clause(number, chapter, section, kept, _names(modules, place), _names(tests, place)))
        else:
            rfc = f"RFC {cells[2]}" if cells[2].isdigit() else cells[2]
            announced.append(Announced(cells[0], cells[1], rfc))
    return clauses, announced


def _names(cell: str, place: str) -> tuple[str, ...]:
    names = () if cell == "-" else tuple(cell.split(" "))
    assert all(re.fullmatch(r"`\S+`", name) for name in names), f"{place}: not a list of names: {cell}"
    return tuple(name.strip("`") for name in names)


CLAUSES, ANNOUNCED = read((_REPOSITORY / "docs" / "rfc.md").read_text())


@cache
def names_in(path: Path) -> frozenset[str]:
    """The tests of a file, as pytest names them behind the file's name."""
    found = set()
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.FunctionDef):
            found.add(node.name)
        elif isinstance(node, ast.ClassDef):
            found |= {f"{node.name}::{each.name}" for each in node.body if isinstance(each, ast.FunctionDef)}
    return frozenset(name for name in found if name.rpartition("::")[2].startswith("test_"))


def test_every_row_says_whether_it_is_kept() -> None:
    wrong = [row.line for row in CLAUSES if not _KEPT.fullmatch(row.kept) or not _SECTIONS.fullmatch(row.section)]
    assert wrong == [], "lines of docs/rfc.md"


def test_what_is_kept_has_a_module_and_a_test() -> None:
    bare = [row.line for row in CLAUSES if not row.kept.startswith("no") and not (row.modules and row.tests)]
    assert bare == [], "lines of docs/rfc.md that claim something and show nothing"


def test_every_module_exists() -> None:
    missing = [f"{row.line}: {name}" for row in CLAUSES for name in row.modules if not (_REPOSITORY / name).exists()]
    assert missing == []


def test_every_test_exists() -> None:
    missing = []
    for row in CLAUSES:
        for name in row.tests:
            file, _, test = name.partition("::")
            path = _REPOSITORY / file
            if not path.is_file() or test not in names_in(path):
                missing.append(f"{row.line}: {name}")
    assert missing == []


def test_no_protocol_has_two_chapters() -> None:
    headings = _HEADING.findall((_REPOSITORY / "docs" / "rfc.md").read_text())
    assert sorted(headings) == sorted(set(headings))
    assert set(headings) == {row.chapter for row in CLAUSES}, "a chapter without a row"


def announced_by_ehlo() -> set[str]:
    profile = Profile(host="mx.example.org", greeting="", tls=True, auth=True, etrn=True, hold_limit=1)
    lines = [
        line
        for encrypted in (False, True)
        for line in profile.extensions(encrypted, ("PLAIN",), frozenset(("EXPN", "XCLIENT", "XFORWARD"))).lines[1:]
    ]
    return {line.partition(" ")[0] for line in lines}


def announced_by_capa() -> set[str]:
    lines = capabilities(Terms(login_delay=1), mechanisms=("PLAIN",), user=True, stls=True)
    return {line.partition(" ")[0] for line in lines}


def announced_by_imap() -> set[str]:
    assert COMMANDS  # the package of commands gathers the capabilities when it is loaded
    words = session_capabilities(Config.for_tests()).split()
    for parameter in ("imap_message_limit", "imap_save_limit"):
        words += session_capabilities(Config.for_tests(**{parameter: "1000"})).split()
    for mechanisms in ((), ("PLAIN", "SCRAM-SHA-256")):
        words += login_capabilities(Config.for_tests(), tls_offered=True, mechanisms=mechanisms).split()
    return {_ARGUMENT.sub("=", word) for word in words}


def announced_by_managesieve() -> set[str]:
    known = ManageSieve(Config.for_tests())
    return {name for name, _ in (*known.before_login(("PLAIN",), tls_offered=True), *known.after_login("ann"))}


@pytest.mark.parametrize(
    "where, announced",
    [
        ("EHLO", announced_by_ehlo()),
        ("CAPA", announced_by_capa()),
        ("IMAP", announced_by_imap()),
        ("ManageSieve", announced_by_managesieve()),
    ],
    ids=["EHLO", "CAPA", "IMAP", "ManageSieve"],
)
def test_what_is_announced_and_what_is_listed_are_the_same(where: str, announced: set[str]) -> None:
    assert {row.capability for row in ANNOUNCED if row.where == where} == announced


def test_what_is_announced_is_kept_at_least_partly() -> None:
    kept = {row.chapter for row in CLAUSES if not row.kept.startswith("no")}
    assert [row for row in ANNOUNCED if row.chapter not in kept] == []


@pytest.mark.parametrize(
    "row",
    [
        "| 3 | clause | yes | `a` |",
        "| 3 | clause | yes | a | `b` |",
        "| 3 | clause | yes | `a` |  |",
        "| 3 | clause | yes | `a` | `b`",
    ],
)
def test_a_row_that_makes_no_sense_is_found(row: str) -> None:
    text = f"## RFC 1: T\n\n| {' | '.join(_CLAUSES)} |\n|---|---|---|---|---|\n"
    assert len(read(f"{text}| 3 | clause | yes | `a` | `b` |\n")[0]) == 1
    with pytest.raises(AssertionError, match=r"docs/rfc\.md:5"):
        read(f"{text}{row}\n")
