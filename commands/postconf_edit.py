"""Changing main.yaml in place: set, remove or comment out parameters; comments and everything else stay as they are.

The file is changed as text, at the lines that the YAML reader names, then read again: a change that would make the
configuration invalid is refused and the file left alone.  The new file replaces the old one in one step.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from typing import Any

import yaml

from pillarbox.commands.options import Fatal
from pillarbox.commands.postconf import Request
from pillarbox.lib.config.files import MAIN, examine, known_parameters, unknown_parameter
from pillarbox.lib.config.parameter import Parameter
from pillarbox.lib.config.values import Config
from pillarbox.lib.system.files import write_file

_PLAIN_FIRST = set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/$.")
_SPECIAL_WORDS = {"~", "null", "true", "false"}


def edit(request: Request, words: Sequence[str]) -> int:
    """Carry out -e, -X or -#.  Raises Fatal."""
    path = os.path.join(request.directory, MAIN)
    if not words:
        raise Fatal("-e requires name=value argument" if request.edit == "e" else "missing parameter name")
    changes = _assignments(words, request) if request.edit == "e" else _names(words, request.edit)
    try:
        with open(path, encoding="utf-8", errors="surrogateescape", newline="") as stream:
            text = stream.read()
            mode = os.fstat(stream.fileno()).st_mode & 0o7777
    except OSError as error:
        raise Fatal(f"open {path}: {error.strerror}") from None
    changed = apply(text, changes, path, comment_out=request.edit == "#")
    if request.edit == "e":
        _check(request, path, {name: value for name, value in changes.items() if value is not None})
    if changed != text:
        try:
            write_file(path, changed.encode("utf-8", "surrogateescape"), mode)
        except OSError as error:
            raise Fatal(f"write {path}: {error.strerror}") from None
    return 0


def _assignments(words: Sequence[str], request: Request) -> dict[str, str | None]:
    known = _known(request, words)
    changes: dict[str, str | None] = {}
    for word in words:
        if "\n" in word:
            raise Fatal("-e, -X, or -# accepts no multi-line input")
        if word.lstrip().startswith("#"):
            raise Fatal("-e, -X, or -# accepts no comment input")
        name, equals, value = word.partition("=")
        name, value = name.strip(), value.strip()
        if not equals or " " in name:
            raise Fatal(f"missing '=' after attribute name: \"{word}\"")
        if not name:
            raise Fatal(f'missing attribute name: "{word}"')
        if name not in known:
            raise Fatal(f"{name}: {unknown_parameter(name, known)}")
        if name in changes:
            request.warn(f"ignoring earlier request: '{name} = {changes[name]}'")
        changes[name] = value
    return changes


def _known(request: Request, words: Sequence[str]) -> dict[str, Parameter[Any]]:
    """The parameters, with the restriction classes that are named in the file or in this very command."""
    config, _ = examine(request.directory)
    words_said = {name.strip(): value for name, _, value in (word.partition("=") for word in words)}
    return known_parameters(Config({**config.values, **words_said}, config.services))


def _names(words: Sequence[str], edit: str) -> dict[str, str | None]:
    for word in words:
        if "=" in word:
            raise Fatal(f"specify one of -e -{edit}")
        if not word.strip():
            raise Fatal("-X or -# requires non-blank parameter names")
    return {word.strip(): None for word in words}


def _check(request: Request, path: str, changes: dict[str, str]) -> None:
    """Refuse values that the parameters do not take.  Raises Fatal."""
    known = _known(request, [f"{name}={value}" for name, value in changes.items()])
    config, _ = examine(request.directory)
    config = Config({**config.values, **changes}, config.services)
    for name in changes:
        try:
            config[known[name]]
        except ValueError as error:
            raise Fatal(f"{path}: {name}: {error}") from None


def apply(text: str, changes: dict[str, str | None], path: str, *, comment_out: bool = False) -> str:
    """`text` with the parameters set, or where the value is None removed or commented out.  Raises Fatal."""
    lines = text.splitlines(keepends=True)
    if lines and not lines[-1].endswith("\n"):
        lines[-1] += "\n"
    places = _places(text, path)
    new_lines: list[str] = []
    for name, value in changes.items():
        place = places.get(name)
        if place is None:
            if value is not None:
                new_lines.append(f"{name}: {written(value)}\n")
            continue
        first, last = place
        if value is not None:
            lines[first] = f"{name}: {written(value)}\n"
            lines[first + 1 : last + 1] = [""] * (last - first)
        elif comment_out:
            for number in range(first, last + 1):
                lines[number] = f"#{lines[number]}" if lines[number].strip() else lines[number]
        else:
            lines[first : last + 1] = [""] * (last - first + 1)
    return "".join((*lines, *new_lines))


def _places(text: str, path: str) -> dict[str, tuple[int, int]]:
    """For each parameter that is set, the first and last line (from 0) of its entry."""
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 0
        raise Fatal(f"{path}, line {line}: not YAML: {error.problem}") from None
    except yaml.YAMLError as error:
        raise Fatal(f"{path}: not YAML: {' '.join(str(error).split())}") from None
    if node is None:
        return {}
    if not isinstance(node, yaml.MappingNode) or node.flow_style:
        raise Fatal(f'{path}: "name: value" lines were expected; change the file with an editor')
    lines = text.splitlines()
    places: dict[str, tuple[int, int]] = {}
    for key, value in node.value:
        last = max(key.start_mark.line, _last_line(value))
        # The end of a block lies behind the comments and blank lines that follow it; they stay.
        while last > key.start_mark.line and (not lines[last].strip() or lines[last].lstrip().startswith("#")):
            last -= 1
        places[str(key.value)] = (key.start_mark.line, last)
    return places


def _last_line(node: yaml.Node) -> int:
    mark = node.end_mark
    line: int = mark.line
    if mark.column == 0 and line > node.start_mark.line:
        line -= 1
    return line


def written(value: str) -> str:
    """A value as YAML writes it: as it is where that means the same text, else in double quotes."""
    plain = (
        value[:1] in _PLAIN_FIRST
        and value.isprintable()
        and not value.endswith(":")
        and ": " not in value
        and " #" not in value
        and value.lower() not in _SPECIAL_WORDS
    )
    return value if plain else json.dumps(value, ensure_ascii=False)
