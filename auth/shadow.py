"""Checks a system user's password against shadow(5); needs a process that may read /etc/shadow."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from pillarbox.auth import crypt
from pillarbox.auth.verdict import Verdict

SHADOW = Path("/etc/shadow")
DAY = 86400

NOBODYS_HASH = "$y$j9T$OpgSySPYMlJbKJ1.J8Sfh.$kMyPZfWWKCJKBf6DkqJyqaHMvZB0NdJpwA.I2qpAG45"
"""Computed for unknown and locked users, so that they take as long; yescrypt as Debian makes it."""


def check(name: str, password: str, *, file: Path = SHADOW, clock: Callable[[], float] = time.time) -> Verdict:
    """Whether the password is right; Verdict.UNAVAILABLE where the file cannot be read.  Takes long."""
    try:
        entry = _entry(name, file)
        stored = entry[1] if entry else ""
        if not stored or stored[0] in "!*":
            crypt.verify(password, NOBODYS_HASH)
            return Verdict.WRONG
        if not crypt.verify(password, stored):
            return Verdict.WRONG
    except OSError:
        return Verdict.UNAVAILABLE
    expires = entry[7] if entry and len(entry) > 7 else ""
    if expires.isdigit() and int(expires) * DAY <= clock():
        return Verdict.DISABLED
    return Verdict.RIGHT


def _entry(name: str, file: Path) -> list[str] | None:
    with file.open(encoding="utf-8", errors="surrogateescape") as lines:
        for line in lines:
            fields = line.rstrip("\n").split(":")
            if fields[0] == name and len(fields) > 1:
                return fields
    return None
