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

    work: int = 2_000_000_000
    """Work, in characters that are searched: a second or two of a processor, the same on a busy one and a quick one."""

    body_size: int = 10 * 1024 * 1024
    """Octets of a body that tests see; what is behind them is cut.  All of a message within the usual size limit."""

    variable_size: int = 65536
    """Characters of a variable and of a string that variables make; what is more is cut (RFC 5229 section 3)."""

    variables: int = 256
    """Variables of a script, and global ones (RFC 5229 section 6 demands 128)."""

    header_growth: int = 256 * 1024
    """Octets of header fields that a script may add."""


DEFAULT_LIMITS = Limits()

# --- what is work, in characters searched
COMMAND = 1000
TEST = 500
PART = 1000
"""Going to another part of a message."""

STEP = 60
"""A character read by an automaton that knows it."""

STATE = 300
"""A place of an expression visited at a character."""

SCRIPT_SIZE = 1024 * 1024
"""Characters of a script; Pigeonhole's default."""

NESTING = 32
"""Blocks, or tests, inside each other (RFC 5228 section 2.4.2: 15 at least)."""

EXPRESSIONS = 200_000
"""Instructions of all regular expressions of a script and those that it includes: some 20 MB."""

INCLUDES = 255
"""Scripts that one script may include, in all; Pigeonhole's default."""

INCLUDE_NESTING = 10
"""Scripts that include each other (RFC 6609 section 3.1 demands 3)."""

NUMBER = 2**63 - 1
"""The greatest number (RFC 5228 section 2.4.1: 2147483647 at least)."""
