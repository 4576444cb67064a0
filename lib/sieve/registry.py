"""All commands and tests, by name: each module of an extension adds its own."""

from __future__ import annotations

from pillarbox.lib.sieve import conditions, delivery, flags, message_tests

_MODULES = (conditions, delivery, flags, message_tests)

COMMANDS = {name: rule for module in _MODULES for name, rule in getattr(module, "COMMANDS", {}).items()}
TESTS = {name: rule for module in _MODULES for name, rule in getattr(module, "TESTS", {}).items()}

EXTENSIONS = frozenset(
    {
        "encoded-character",
        "comparator-i;ascii-numeric",
        *(rule.extension for rule in (*COMMANDS.values(), *TESTS.values())),
        *(tag.extension for rule in (*COMMANDS.values(), *TESTS.values()) for tag in rule.tags.values()),
    }
) - {""}
"""What a script may require: what a command, a test or a tag belongs to, and two that are in none."""
