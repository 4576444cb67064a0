"""What an expression cannot match without: never wrong, and found for the expressions that people write."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pillarbox.lib.tables import STANDARD, Options
from pillarbox.lib.tables.literals import fold_for_search, required


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        (r"^Subject:.*viagra", {"subject:"}),
        (r"^(To|Cc):.*example\.com$", {"example.com"}),
        (r"(foo|barbar)", {"foo", "barbar"}),
        (r"(?:ab){2,}x", {"ab"}),
        (r"(?:ab)?xyz", {"xyz"}),
        (r"name=[^>]*\.exe", {"name="}),
        (r"a(bc)d", {"abcd"}),
        (r"(?=.*secret)open", {"open"}),
        (r"(?!never)open", {"open"}),
        (r"\bword\b", {"word"}),
        (r"x*", None),
        (r"(foo|)", None),
        (r"[abc]def", {"def"}),
        (r".", None),
        (r"é", None),
        (r"a", None),
    ],
)
def test_examples(pattern: str, expected: set[str] | None) -> None:
    assert required(re.compile(pattern, re.IGNORECASE)) == expected


_ATOMS = st.sampled_from(["a", "b", "K", "s", "i", ".", "[ab]", "[^a]", r"\b", "^", "$", "é", "ſ"])
_PATTERNS = st.recursive(
    _ATOMS,
    lambda inner: st.one_of(
        st.lists(inner, min_size=1, max_size=4).map("".join),
        st.lists(inner, min_size=1, max_size=3).map(lambda parts: f"(?:{'|'.join(parts)})"),
        inner.map(lambda part: f"(?:{part})*"),
        inner.map(lambda part: f"({part}){{1,2}}"),
        inner.map(lambda part: f"(?={part})"),
        inner.map(lambda part: f"(?!{part})"),
    ),
    max_leaves=12,
)


@given(_PATTERNS, st.text("abKkKsSſiIıİxé\n", max_size=8), st.sampled_from([0, re.IGNORECASE]))
def test_what_matches_has_one_of_the_texts(pattern: str, key: str, flags: int) -> None:
    try:
        compiled = re.compile(pattern, flags)
    except re.error:
        return
    texts = required(compiled)
    if texts is not None and compiled.search(key):
        assert any(text in fold_for_search(key) for text in texts)


def test_a_table_knows_the_texts_of_all_its_rules(tmp_path: Path) -> None:
    path = tmp_path / "rules"
    path.write_text("/^Subject:.*first/ REJECT\nif /x/\n/second/ HOLD\nendif\n")
    table = STANDARD.open(f"regexp:{path}", Options(literals=True))
    assert table.literals() == {"subject:", "second"}
    assert STANDARD.open(f"regexp:{path}").literals() is None
    inline = STANDARD.open("pcre:{{/third/ REJECT}}", Options(literals=True))
    assert inline.literals() == {"third"}


@pytest.mark.parametrize("rule", ["!/first/ REJECT", "/x*/ REJECT", "/(/ REJECT"])
def test_a_rule_that_may_match_anything_or_fails_spoils_it(tmp_path: Path, rule: str) -> None:
    path = tmp_path / "rules"
    path.write_text(f"/second/ HOLD\n{rule}\n")
    assert STANDARD.open(f"regexp:{path}", Options(literals=True)).literals() is None
