"""Parameter values that are mappings: `retry: {gmail.com: [5m, 15m, 1h], "*.example.com": 30m}`.

In main.yaml such a value may be a YAML mapping in either notation.  It is kept, and shown by postconf, as one line in
YAML's flow notation, so that `postconf -e "retry={gmail.com: [5m, 15m]}"` sets what the file would.  Scalars are texts.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TypeAlias, cast

import yaml

Tree: TypeAlias = "str | tuple[Tree, ...] | dict[str, Tree]"

DEPTH_LIMIT = 5
"""Mappings within mappings; an alias of YAML may refer to what it stands in, and would go on for ever."""

_PLAIN = re.compile(r"[A-Za-z0-9_./+*][A-Za-z0-9_./+@*-]*")

_LOADER = cast("type[yaml.SafeLoader]", getattr(yaml, "CSafeLoader", yaml.SafeLoader))


class BadEntry(ValueError):
    """What is wrong with one entry of a mapping; `entry` is its key, so that its line can be named."""

    def __init__(self, entry: str, text: str) -> None:
        super().__init__(f"{entry}: {text}")
        self.entry = entry


def flow(node: yaml.Node, depth: int = 0) -> str:
    """A YAML node on one line.  Raises ValueError for what is none of mapping, list and scalar, or too deep."""
    if depth > DEPTH_LIMIT:
        raise ValueError("too many mappings within mappings")
    if isinstance(node, yaml.ScalarNode):
        return _written(node.value)
    if isinstance(node, yaml.SequenceNode):
        return "[" + ", ".join(flow(item, depth + 1) for item in node.value) + "]"
    if isinstance(node, yaml.MappingNode):
        return "{" + ", ".join(f"{flow(key, depth + 1)}: {flow(value, depth + 1)}" for key, value in node.value) + "}"
    raise ValueError("a mapping, a list or a value was expected")


def _written(text: str) -> str:
    if _PLAIN.fullmatch(text) and not text.startswith("*"):
        return text
    return '"' + "".join(_escaped(each) for each in text) + '"'


def _escaped(character: str) -> str:
    """As YAML's double quotes want it."""
    if character in '"\\':
        return f"\\{character}"
    return character if character.isprintable() else f"\\U{ord(character):08x}"


def entry_lines(node: yaml.MappingNode) -> Iterator[tuple[str, int]]:
    """(key, line) of each entry of a mapping that stands in a file; lines count from 1."""
    for key, _ in node.value:
        if isinstance(key, yaml.ScalarNode):
            yield str(key.value), key.start_mark.line + 1


def parse_mapping(text: str) -> dict[str, Tree]:
    """The mapping that a text in flow notation holds; {} for an empty text.  Raises ValueError."""
    if not text.strip():
        return {}
    try:
        node = yaml.compose(text, Loader=_LOADER)
    except yaml.MarkedYAMLError as error:
        raise ValueError(f"not YAML: {error.problem or error.context}") from None
    except yaml.YAMLError as error:
        raise ValueError(f"not YAML: {' '.join(str(error).split())}") from None
    if not isinstance(node, yaml.MappingNode):
        raise ValueError('a mapping such as "{NAME: VALUE, ...}" was expected')
    return _mapping(node, 0)


def _mapping(node: yaml.MappingNode, depth: int) -> dict[str, Tree]:
    found: dict[str, Tree] = {}
    for key, value in node.value:
        if not isinstance(key, yaml.ScalarNode):
            raise ValueError("a name was expected before the colon")
        if key.value in found:
            raise BadEntry(key.value, "stands here twice")
        found[key.value] = _tree(value, depth + 1)
    return found


def _tree(node: yaml.Node, depth: int) -> Tree:
    if depth > DEPTH_LIMIT:
        raise ValueError("too many mappings within mappings")
    if isinstance(node, yaml.SequenceNode):
        return tuple(_tree(item, depth + 1) for item in node.value)
    if isinstance(node, yaml.MappingNode):
        return _mapping(node, depth)
    return str(node.value)
