"""`pcre:FILE`: Perl-compatible regular expressions, pcre_table(5), on Python's own engine.

Flags: `i` case matters (it does not otherwise), `m` `^` and `$` match at lines, `s` the dot does not match newline, `x`
white space and comments in the pattern, `A` the match begins at the beginning, `E` `$` matches at the very end only,
`U` quantifiers are not greedy.
"""

from __future__ import annotations

import re

from pillarbox.lib.tables.expressions import Expressions
from pillarbox.lib.tables.perl_regex import translate
from pillarbox.lib.tables.registry import Registry
from pillarbox.lib.tables.rules import RuleError, open_rules
from pillarbox.lib.tables.table import Options, Table

_MODES = {"i": re.IGNORECASE, "m": re.MULTILINE, "s": re.DOTALL, "x": re.VERBOSE}


class PerlExpressions(Expressions):
    """Each flag turns its setting over."""

    kind = "pcre"

    def compile(self, pattern: str, flags: str) -> re.Pattern[str]:
        mode = re.IGNORECASE | re.DOTALL
        anchored = dollar_end_only = ungreedy = False
        for flag in flags:
            if flag in _MODES:
                mode ^= _MODES[flag]
            elif flag == "A":
                anchored = not anchored
            elif flag == "E":
                dollar_end_only = not dollar_end_only
            elif flag == "U":
                ungreedy = not ungreedy
            elif flag != "X":
                raise RuleError(f'unknown regexp option "{flag}"')
        text = translate(pattern, ungreedy=ungreedy)
        if dollar_end_only and not mode & re.MULTILINE:
            text = re.sub(r"(\\.)|(?<!\\)\$(?![^\[]*\])", lambda found: found[1] or "\\Z", text, flags=re.DOTALL)
        if anchored:
            text = f"\\A(?:{text})"
        return re.compile(text, mode)


def open_table(spec: str, options: Options, registry: Registry) -> Table:
    """Open `pcre:FILE` or `pcre:{...}`."""
    return open_rules(spec, PerlExpressions(options))
