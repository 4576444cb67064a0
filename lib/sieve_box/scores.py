"""What spam and virus filters have written into the header, as spamtest and virustest want it (RFC 5235).

The parameters are Pigeonhole's, which tell where the score stands and which one means "certainly".
"""

from __future__ import annotations

import re
from typing import Final

from pillarbox.lib.config import Config
from pillarbox.lib.config.parameters import sieve as parameters
from pillarbox.lib.message.header import values

_NUMBER: Final = re.compile(r"[+-]?[0-9]{1,9}(?:\.[0-9]{0,9})?")
VIRUS_MAXIMUM: Final = 5


class Scores:
    """Reads scores as one configuration says."""

    def __init__(self, config: Config) -> None:
        self._spam = config[parameters.SIEVE_SPAMTEST_STATUS_HEADER]
        self._spam_type = config[parameters.SIEVE_SPAMTEST_STATUS_TYPE]
        self._spam_maximum = config[parameters.SIEVE_SPAMTEST_MAX_VALUE]
        self._virus = config[parameters.SIEVE_VIRUSTEST_STATUS_HEADER]
        self._virus_type = config[parameters.SIEVE_VIRUSTEST_STATUS_TYPE]
        self._virus_maximum = config[parameters.SIEVE_VIRUSTEST_MAX_VALUE]

    def spam(self, header: bytes) -> float | None:
        """Per cent of what is certainly spam; None: not tested."""
        return _share(header, self._spam, self._spam_type, self._spam_maximum)

    def virus(self, header: bytes) -> int:
        """From 1, clean, to 5, infected; 0: not tested."""
        share = _share(header, self._virus, self._virus_type, self._virus_maximum)
        return 0 if share is None else 1 + round(share / 100 * (VIRUS_MAXIMUM - 1))


def _share(header: bytes, where: str, kind: str, maximum: int) -> float | None:
    """`where` is NAME, or NAME: EXPRESSION whose first group is the score."""
    name, _, expression = where.partition(":")
    if not name.strip():
        return None
    for value in values(header, name.strip().encode("ascii", "replace")):
        text = value.decode("latin-1").strip()
        if expression.strip():
            found = re.search(expression.strip(), text)
            if found is None:
                continue
            text = (found.group(1) if found.re.groups else found.group()) or ""
        if kind == "strlen":
            score = float(len(text.strip()))
        elif number := _NUMBER.match(text.strip()):
            score = float(number.group())
        else:
            continue
        return max(0.0, min(100.0, score / maximum * 100))
    return None
