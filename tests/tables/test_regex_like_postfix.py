"""Expressions made by chance, tried by Postfix's tables and by ours: what both take matches the same keys."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from pillarbox.lib.log import log
from pillarbox.lib.tables import STANDARD, LookupFailed
from tests.tables.foreign import Postmap, settle

PATTERNS = 120

POSIX = r"""a b ab . a* b+ a? (a) (a|b) (ab|a) [ab] [^a] [a-c] [[:digit:]] [[:alpha:]] [[:space:]] ^ $ \. \* { a{2}
    b{1,2} c{0,1} x|y []a] [a\] \< \> \b \w \W 1 - @ (b*) () \( [.] [a-] A \1 ) ( * + ? {1}
    [[:punct:]] [[.a.]] [[=a=]]"""
PERL = r"""a b ab . a* b+? a?? (a) (?:a|b) (ab|a) [ab] [^a] \d \w+ \s \S ^ $ \. \b \B a{2} b{1,2}? c{0,1}+ (?i)A (?-i)b
    (?=a) (?!b) (?<=a) (?<!b) (?>ab?) \x61 \Qa.b\E \z \Z \A [[:digit:]] [\d-] \h \R (?<n>a) \k<n> \1 | 1 - @ \N a++ []a]
    { a{,2} a{2 \t (?#x) [\]] [^]] A (?i:B) (?s). (?m)^ \G \K ] }"""
PARTS = {"regexp": POSIX.split(), "pcre": PERL.split()}
FLAGS = {"regexp": ("", "", "i", "x", "m"), "pcre": ("", "", "i", "m", "s", "x", "A", "E", "U")}
WORDS = r"a b ab aab abc abcd A B aB 1 a1 a.b ba xy a@b ab- a] { a{2 bb cc a* . ( ) | a,2 aa bab AB abab a\ }"
KEYS = [*WORDS.split(), "", "a b", "\t"]


@pytest.mark.parametrize("kind", sorted(PARTS))
def test_both_match_the_same_keys(kind: str, tmp_path: Path, postmap: Postmap) -> None:
    chance = random.Random(f"{kind} 1")
    table = tmp_path / "table"
    compared = 0
    for _ in range(PATTERNS):
        pattern = "".join(chance.choice(PARTS[kind]) for _ in range(chance.randint(1, 5)))
        rule = f"/{pattern}/{chance.choice(FLAGS[kind])} hit"
        table.write_text(f"{rule}\n")
        settle(table)
        _, output = postmap("-q", "-", f"{kind}:{table}", text="".join(f"{key}\n" for key in KEYS))
        theirs = {line.removesuffix("\thit") for line in output.splitlines() if line.endswith("\thit")}
        refused = ", line 1: " in output
        with log.capture():
            opened = STANDARD.open(f"{kind}:{table}")
            try:
                ours = {key for key in KEYS if opened.get(key) is not None}
            except LookupFailed:
                continue  # said aloud: what Python cannot do, and what makes no sense
        assert not refused, f"{rule}: Postfix does not take it: {output}"
        assert ours == theirs, rule
        compared += 1
    assert compared > PATTERNS / 2
