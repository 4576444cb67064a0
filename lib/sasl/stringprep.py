"""SASLprep (RFC 4013): how user names and passwords with non-ASCII characters are made comparable.

A profile of stringprep (RFC 3454) over Unicode 3.2, whose tables the standard library has.
"""

from __future__ import annotations

import stringprep
from unicodedata import ucd_3_2_0

_PROHIBITED = (
    stringprep.in_table_c12,
    stringprep.in_table_c21_c22,
    stringprep.in_table_c3,
    stringprep.in_table_c4,
    stringprep.in_table_c5,
    stringprep.in_table_c6,
    stringprep.in_table_c7,
    stringprep.in_table_c8,
    stringprep.in_table_c9,
)
"""RFC 4013 section 2.3."""


def prepare(text: str, *, stored: bool = True) -> str:
    """`text` prepared for comparison.

    `stored` strings may not hold characters that Unicode 3.2 does not assign (RFC 3454 section 7).  Raises ValueError
    for a prohibited character or a forbidden mix of directions.
    """
    if text.isascii() and text.isprintable():
        return text
    # RFC 4013 section 2.1, mapping
    mapped = "".join(
        " " if stringprep.in_table_c12(char) else char for char in text if not stringprep.in_table_b1(char)
    )
    # 2.2, normalization
    result = ucd_3_2_0.normalize("NFKC", mapped)
    # 2.3, prohibited output
    for char in result:
        if any(prohibited(char) for prohibited in _PROHIBITED):
            raise ValueError(f"U+{ord(char):04X} is not allowed")
        if stored and stringprep.in_table_a1(char):
            raise ValueError(f"U+{ord(char):04X} is not assigned in Unicode 3.2")
    # 2.4, bidirectional characters: RFC 3454 section 6
    if any(stringprep.in_table_d1(char) for char in result):
        if any(stringprep.in_table_d2(char) for char in result):
            raise ValueError("left-to-right and right-to-left characters are mixed")
        if not (stringprep.in_table_d1(result[0]) and stringprep.in_table_d1(result[-1])):
            raise ValueError("a right-to-left string must begin and end with a right-to-left character")
    return result


def prepare_password(password: str) -> str:
    """A password prepared for hashing; one that SASLprep refuses is used as it is, so that every password works."""
    try:
        return prepare(password)
    except ValueError:
        return password
