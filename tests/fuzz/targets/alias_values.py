"""alias files, `.forward` and `:include:` files."""

from __future__ import annotations

from pillarbox.lib.delivery.alias_value import AliasSyntaxError, parse_lines, parse_targets
from pillarbox.lib.tables.aliases import parse_aliases


def fuzz(data: bytes) -> None:
    """A mistake is an AliasSyntaxError, or a warning."""
    text = data.decode("utf-8", "surrogateescape")
    for parse in (parse_targets, parse_lines):
        try:
            parse(text)
        except AliasSyntaxError:
            pass
    warnings: list[str] = []
    list(parse_aliases(data.splitlines(), "aliases", warnings.append))
