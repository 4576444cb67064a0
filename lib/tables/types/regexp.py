"""`regexp:FILE`: POSIX regular expressions, regexp_table(5).

Flags: `i` case matters (it does not otherwise), `x` basic syntax instead of extended, `m` `^` and `$` match at lines.
"""

from __future__ import annotations

import re

from pillarbox.lib.tables.expressions import Expressions
from pillarbox.lib.tables.posix_regex import translate
from pillarbox.lib.tables.registry import Registry
from pillarbox.lib.tables.rules import RuleError, open_rules
from pillarbox.lib.tables.table import Options, Table


class PosixExpressions(Expressions):
    """Each flag turns its setting over."""

    kind = "regexp"

    def compile(self, pattern: str, flags: str) -> re.Pattern[str]:
        ignore_case, extended, multiline = True, True, False
        for flag in flags:
            if flag == "i":
                ignore_case = not ignore_case
            elif flag == "x":
                extended = not extended
            elif flag == "m":
                multiline = not multiline
            else:
                raise RuleError(f'unknown regexp option "{flag}"')
        mode = re.ASCII | (re.MULTILINE if multiline else re.DOTALL)
        if ignore_case:
            mode |= re.IGNORECASE
        return re.compile(translate(pattern, extended=extended, multiline=multiline), mode)


def open_table(spec: str, options: Options, registry: Registry) -> Table:
    """Open `regexp:FILE` or `regexp:{...}`."""
    return open_rules(spec, PosixExpressions(options))
