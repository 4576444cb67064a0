"""Regular expressions of `regexp:` and `pcre:` tables: what is translated can be compiled, the rest is ValueError."""

from __future__ import annotations

import re
import warnings

from pillarbox.lib.tables import perl_regex, posix_regex


def fuzz(data: bytes) -> None:
    """A pattern as an administrator may write it."""
    pattern = data[:80].decode("utf-8", "replace")
    for translate in (posix_regex.translate, perl_regex.translate):
        try:
            text = translate(pattern)
        except ValueError:
            continue
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            try:
                re.compile(text)
            except (re.error, OverflowError, RecursionError):
                pass
