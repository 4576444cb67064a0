"""All commands and tests, by name: each module of an extension adds its own."""

from __future__ import annotations

from pillarbox.lib.sieve import (
    body,
    conditions,
    dates,
    delivery,
    duplicate,
    editheader,
    environment,
    flags,
    including,
    mailboxes,
    message_tests,
    notify,
    part_loops,
    vacation,
    variables,
)

_MODULES = (
    body,
    conditions,
    dates,
    delivery,
    duplicate,
    editheader,
    environment,
    flags,
    including,
    mailboxes,
    message_tests,
    notify,
    part_loops,
    vacation,
    variables,
)

COMMANDS = {name: rule for module in _MODULES for name, rule in getattr(module, "COMMANDS", {}).items()}
TESTS = {name: rule for module in _MODULES for name, rule in getattr(module, "TESTS", {}).items()}

EXTENSIONS = frozenset(
    {
        "encoded-character",
        "comparator-i;ascii-numeric",
        *(word for rule in (*COMMANDS.values(), *TESTS.values()) for word in rule.extension.split()),
        *(tag.extension for rule in (*COMMANDS.values(), *TESTS.values()) for tag in rule.tags.values()),
    }
) - {""}
"""What a script may require: what a command, a test or a tag belongs to, and two that are in none."""
