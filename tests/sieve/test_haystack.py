"""Long texts and many keys: the answers are those of a plain search, and of expressions that are always tried."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pillarbox.lib.sieve import SieveMessage, SieveState, compile_script, execute
from pillarbox.lib.sieve.actions import Keep
from pillarbox.lib.sieve.haystack import LONG, MANY, MOST, Haystack
from pillarbox.lib.sieve.regex import Expression, compile_expression

_PIECES = st.text(st.sampled_from("abAB19 .-\n\r\tÄäß\ud800\x00 _"), max_size=12)


@given(_PIECES, _PIECES, st.lists(_PIECES), st.booleans())
def test_a_key_is_found_where_a_plain_search_finds_it(key: str, other: str, pieces: list[str], many: bool) -> None:
    text = other.join(pieces)
    haystack = Haystack(text, many=many)
    for _ in range(2):
        for each in (key, other, *pieces, text, text[1:-1], ""):
            assert haystack.has(each) is (each in text), each


@pytest.mark.parametrize("text", ["", " ", "...", "a" * (MOST + 1) + " b", "ab\x1cc d"])
def test_odd_texts(text: str) -> None:
    haystack = Haystack(text, many=True)
    for key in ("", " ", ".", "a", "aa", "a b", "b", "c d", "\x1c"):
        assert haystack.has(key) is (key in text), key


@given(
    st.text("abc", max_size=30),
    st.sampled_from(["a", "ab", "abc", "(ab|cb)c", "(ab)+c", "a?bc", "[ab]cab", "ab*", "a{2}b"]),
)
def test_what_an_expression_matches_has_one_of_its_needles(text: str, pattern: str) -> None:
    expression = compile_expression(pattern, False)
    if expression.search(text, lambda _steps: None) and expression.needles:
        assert any(needle in text for needle in expression.needles)


@pytest.mark.parametrize(
    "pattern, fold, needles",
    [
        ("Offer", False, ("Offer",)),
        ("OFFERÄ", True, ("offerÄ",)),
        (r"^a\.b[0-9]+ lot", True, (" lot",)),
        ("free|cheap|(gra)tis", False, ("free", "cheap", "gra")),
        ("free|.*", False, ()),
        ("(free)?", False, ()),
        ("(free){2}[a-z]", False, ("free",)),
        ("(free)+x", False, ("free",)),
        ("a.c.e", False, ()),
        (r"\w\Wab\b", False, ("ab",)),
        (r"\\\.\*", False, (r"\.*",)),
        ("", False, ()),
        ("|".join(f"word{n}" for n in range(9)), False, ()),
    ],
)
def test_needles_of_expressions(pattern: str, fold: bool, needles: tuple[str, ...]) -> None:
    assert Expression(pattern, fold).needles == needles


BODY = "".join(f"Line {n} of Ordinary words, a.b-c and ÄÖ.\r\n" for n in range(200))
HEADER = b"Subject: x\nX-Long: " + b"word " * 600 + b"End\nContent-Type: text/plain; charset=utf-8\n"


@pytest.mark.parametrize("rules", [1, MANY])
@pytest.mark.parametrize(
    "test, holds",
    [
        ('body :contains "ordinary"', True),
        ('body :contains ["nothing", "ORDINARY WORDS, a"]', True),
        ('body :contains "ordinary  words"', False),
        ('body :contains "äö"', False),
        ('body :contains "ÄÖ."', True),
        ('body :comparator "i;octet" :contains "ordinary"', False),
        ('body :comparator "i;octet" :contains "Ordinary"', True),
        ('body :raw :contains "LINE 199"', True),
        ('body :raw :contains "line 200"', False),
        ('body :content "text" :contains "line 19 of"', True),
        ('body :contains ""', True),
        ('body :contains "\\r\\n"', True),
        ('body :matches "*ordinary?words*a.b*"', True),
        ('body :matches "*ordinary?words*nothing*"', False),
        ('body :matches "line 0*"', True),
        ('body :comparator "i;octet" :matches "*line*"', False),
        ('body :regex "(ordinary|extra) words"', True),
        ('body :comparator "i;octet" :regex "(ordinary|extra) words"', False),
        ('body :regex "line 2[0-9]{2}"', False),
        ('header :contains "x-long" "WORD end"', True),
        ('header :contains "x-long" "words"', False),
        ('header :matches "x-long" "*d e*"', True),
    ],
)
def test_tests_hold_for_long_texts_as_for_short_ones(test: str, holds: bool, rules: int) -> None:
    test = test.replace("\\r\\n", "\r\n")
    script = 'require ["body", "regex"];\n' + 'if body :contains "absent" { discard; }\n' * (rules - 1)
    script += f"if not {test} {{ discard; }}\n"
    body = BODY.encode()
    assert len(BODY) > LONG
    message = SieveMessage(HEADER, len(HEADER) + 1 + len(body), lambda: (body,))
    result = execute(compile_script(script, name="test"), message, SieveState(now=0))
    assert not result.error
    assert isinstance(result.actions[0], Keep) is holds
