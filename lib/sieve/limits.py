"""How much a script may do: each limit stands beside its reason."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of one run.  Beyond one the script fails, unless the limit says that it cuts."""

    actions: int = 32
    """Actions that store, send or answer; Pigeonhole's default."""

    redirects: int = 4
    """Addresses that one message is sent on to: a script is no mailing list; Pigeonhole's default."""

    work: int = 50_000_000
    """Characters looked at, counted once for each test that looks at them: about a second of a processor."""

    body_size: int = 4 * 1024 * 1024
    """Octets of a body that tests see; what is behind them is cut."""

    variable_size: int = 65536
    """Characters of a variable and of a string that variables make; what is more is cut (RFC 5229 section 3)."""

    variables: int = 256
    """Variables of a script, and global ones (RFC 5229 section 6 demands 128)."""

    header_growth: int = 256 * 1024
    """Octets of header fields that a script may add."""


DEFAULT_LIMITS = Limits()

SCRIPT_SIZE = 1024 * 1024
"""Characters of a script; Pigeonhole's default."""

NESTING = 32
"""Blocks, or tests, inside each other (RFC 5228 section 2.4.2: 15 at least)."""

INCLUDES = 255
"""Scripts that one script may include, in all; Pigeonhole's default."""

INCLUDE_NESTING = 10
"""Scripts that include each other (RFC 6609 section 3.1 demands 3)."""

NUMBER = 2**63 - 1
"""The greatest number (RFC 5228 section 2.4.1: 2147483647 at least)."""
