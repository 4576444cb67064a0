"""All commands and tests, by name: each module of an extension adds its own."""

from __future__ import annotations

from collections.abc import Collection
from importlib import import_module

_MODULES = tuple(
    import_module(f"pillarbox.lib.sieve.{name}")
    for name in (
        "body",
        "conditions",
        "dates",
        "delivery",
        "duplicate",
        "editheader",
        "environment",
        "flags",
        "including",
        "mailboxes",
        "message_tests",
        "notify",
        "part_loops",
        "vacation",
        "variables",
    )
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


def chosen_extensions(setting: Collection[str]) -> frozenset[str]:
    """What scripts may require where a site has chosen: names, or -NAME and +NAME for what is different from all.

    A name that is none is passed over.
    """
    plain = frozenset(name for name in setting if name[0] not in "+-")
    return EXTENSIONS & plain if plain else EXTENSIONS - {name[1:] for name in setting if name[0] == "-"}
