"""Our tables and Debian's Postfix: each reads what the other builds, and both say the same of the same rules."""

from __future__ import annotations

from pathlib import Path

import pytest

from pillarbox.commands.options import printable
from pillarbox.lib.log import log
from pillarbox.lib.tables import STANDARD, LookupFailed
from pillarbox.lib.tables.build import Builder
from pillarbox.lib.tables.source import parse_map
from tests.tables.foreign import Postmap

TABLE = {f"user{i:04d}@example.com": f"mailbox {i}" for i in range(2000)} | {"long": "v" * 5000, "ünï@exämple": "ø"}


@pytest.mark.parametrize("kind", ["cdb", "lmdb"])
def test_postfix_reads_what_we_build(tmp_path: Path, postmap: Postmap, kind: str) -> None:
    builder = Builder(kind, str(tmp_path / "t"))
    for key, value in TABLE.items():
        builder.put(key, value)
    builder.commit()
    keys = "".join(f"{key}\n" for key in TABLE)
    assert postmap("-q", "-", f"{kind}:{tmp_path}/t", text=keys) == (
        0,
        "".join(f"{key}\t{value}\n" for key, value in TABLE.items()),
    )
    assert postmap("-q", "nobody@example.com", f"{kind}:{tmp_path}/t") == (1, "")


@pytest.mark.parametrize("kind", ["cdb", "lmdb"])
def test_we_read_what_postfix_builds(tmp_path: Path, postmap: Postmap, kind: str) -> None:
    (tmp_path / "t").write_text("".join(f"{key} {value}\n" for key, value in TABLE.items()))
    assert postmap(f"{kind}:{tmp_path}/t") == (0, "")
    table = STANDARD.open(f"{kind}:{tmp_path}/t")
    assert {key: table.get(key) for key in TABLE} == TABLE
    assert dict(table.items()) == TABLE
    assert table.get("nobody@example.com") is None


def test_postfix_reads_our_empty_table_and_we_read_its(tmp_path: Path, postmap: Postmap) -> None:
    Builder("cdb", str(tmp_path / "ours")).commit()
    assert postmap("-q", "a", f"cdb:{tmp_path}/ours") == (1, "")
    (tmp_path / "theirs").write_text("")
    assert postmap(f"cdb:{tmp_path}/theirs") == (0, "")
    assert STANDARD.open(f"cdb:{tmp_path}/theirs").get("a") is None


SOURCES = [
    "a b\nK1 v1\nk1 v2\n\n  \n  cont\n x\n#c\nnoval\nal: x\n",
    'a  x\\n y  \nlong v1\n   v2   \n"q k" z\n"q" z\n',
    "  a b\n c d\ne f",
    '"open x\n"a\\"b" c\na"b c"d e\n',
    "\ttab x\nk\tv\tw\n",
]


@pytest.mark.parametrize("text", SOURCES)
def test_both_read_the_same_entries_and_warn_of_the_same_lines(tmp_path: Path, postmap: Postmap, text: str) -> None:
    source = tmp_path / "t"
    source.write_text(text)
    output = postmap(f"cdb:{source}")[1]
    theirs = dict(STANDARD.open(f"cdb:{source}").items())
    warnings: list[str] = []
    builder = Builder("cdb", str(source), warn=warnings.append)
    with source.open("rb") as stream:
        for entry in parse_map(stream, str(source), warnings.append):
            builder.put(entry.key, entry.value)
    builder.commit()
    assert dict(STANDARD.open(f"cdb:{source}").items()) == theirs
    # Of a duplicate, Postfix's cdb names the source where its hash, as we do, names the built file.
    said = [line.replace(f"{source}: duplicate", f"{source}.cdb: duplicate") for line in output.splitlines()]
    assert [f"postmap: warning: {printable(warning)}" for warning in warnings] == said


RULES = r"""
/^foo(.*)$/     bar$1
/^x(a)(b)/i     ${2}-$(1)$$
/[[:digit:]]{3,}/   digits
/^a\.b*c?$/     dots
/^(q|qq)r/      alt $1
if /@/
/^.*@([^@]+)\.example$/  in $1
!/\./           undotted
endif
/^[]x-]+$/      bracket
/\<word\>/      word
!/.{5}/         short
"""
KEYS = tuple(
    "fooBar xab xAb a123 a12 a. a.bbc a.bc. qr qqr u@sub.example u@host u@h.o ]x-] words word.x w verylongkey".split()  # noqa: SIM905
)


@pytest.mark.parametrize("kind", ["regexp", "pcre"])
def test_both_find_the_same_by_rules(tmp_path: Path, postmap: Postmap, kind: str) -> None:
    rules = RULES if kind == "regexp" else RULES.replace(r"\<word\>", r"\bword\b")
    (tmp_path / "rules").write_text(rules)
    table = STANDARD.open(f"{kind}:{tmp_path}/rules")
    ours = "".join(f"{key}\t{value}\n" for key in KEYS if (value := table.get(key)) is not None)
    assert postmap("-q", "-", f"{kind}:{tmp_path}/rules", text="\n".join(KEYS)) == (0, ours)


def test_both_find_the_same_by_networks(tmp_path: Path, postmap: Postmap) -> None:
    (tmp_path / "nets").write_text(
        "10.0.0.1 host\n10.0.0.0/8 ten\n2001:db8::/32 six\n"
        "if 192.168.0.0/16\n192.168.1.0/24 one\nendif\n!172.16.0.0/12 rest\n"
    )
    keys = ["10.0.0.1", "10.2.3.4", "2001:db8::5", "192.168.1.1", "192.168.2.1", "172.16.3.4", "::1", "host.example"]
    table = STANDARD.open(f"cidr:{tmp_path}/nets")
    ours = "".join(f"{key}\t{value}\n" for key in keys if (value := table.get(key)) is not None)
    assert postmap("-q", "-", f"cidr:{tmp_path}/nets", text="\n".join(keys)) == (0, ours)


def test_where_postfix_skips_a_broken_rule_we_fail(tmp_path: Path, postmap: Postmap) -> None:
    (tmp_path / "rules").write_text("/broken( x\n/a/ found\n")
    assert "skipping this rule" in postmap("-q", "a", f"regexp:{tmp_path}/rules")[1]
    with log.capture(), pytest.raises(LookupFailed):
        STANDARD.open(f"regexp:{tmp_path}/rules").get("a")
