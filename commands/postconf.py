"""postconf(1): show and change parameters, show services.

Reads what can be read of a configuration with mistakes in it, and warns of each mistake.  A change is written to
main.yaml only when the result is a valid configuration: what start would refuse is refused here.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pillarbox.commands.options import Command, Fatal, output

if TYPE_CHECKING:
    from pillarbox.lib.config import Config

USAGE = (
    "[-a (server SASL types)] [-A (client SASL types)] [-b (bounce texts)] [-c config_dir] "
    "[-C param_class] [-d (parameter defaults)] [-e (edit configuration)] "
    "[-f (fold lines)] [-F (service fields)] [-h (no names)] [-H (no values)] "
    "[-j (JSON)] [-l (lock types)] [-m (map types)] [-M (services)] [-n (non-default parameters)] "
    "[-o name=value (override parameter value)] [-p (main.yaml, default)] [-P (service parameters)] "
    "[-q (no warnings)] [-t (bounce templates)] [-T compile-version|run-version] [-v (verbose)] "
    "[-x (expand parameter values)] [-X (exclude)] [-# (comment-out)] [name...]"
)
_LETTERS = "aAbc:C:deEfFhHjlmMno:pPqtT:vxX#"
_MODES = "aAblmMFPtT"

LOCK_TYPES = ("flock", "fcntl", "dotlock")
SASL_SERVER_TYPES = ("pillarbox",)
SASL_CLIENT_TYPES = ("pillarbox",)
CLASSES = ("builtin", "service", "user", "all")


@dataclass(slots=True)
class Request:
    """What the options asked for."""

    command: Command
    directory: str = ""
    mode: str = ""
    edit: str = ""
    """`e`, `X` or `#`."""
    defaults: bool = False
    only_set: bool = False
    names: bool = True
    values: bool = True
    expand: bool = False
    folded: bool = False
    json: bool = False
    quiet: bool = False
    overrides: dict[str, str] = field(default_factory=dict)
    classes: set[str] = field(default_factory=set)

    def warn(self, text: str) -> None:
        if not self.quiet:
            self.command.warn(text)

    def show(self, name: str, value: str) -> None:
        """One parameter in the form asked for."""
        if self.json:
            import json

            output(json.dumps({"name": name, "value": value}, ensure_ascii=False))
        elif not self.names:
            output(value)
        elif not self.values:
            output(name)
        else:
            output(_fold(f"{name} = {value}") if self.folded else f"{name} = {value}")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; gives the exit status."""
    command = Command("postconf", USAGE)
    try:
        return _run(command, list(sys.argv[1:] if argv is None else argv))
    except Fatal as error:
        return command.fatal(str(error))
    except BrokenPipeError:
        return 1


def _run(command: Command, arguments: list[str]) -> int:
    options, words = command.parse(arguments, _LETTERS)
    request = Request(command)
    directory: str | None = None
    mode_argument = ""
    letters = ""
    for letter, value in options:
        letters += letter
        if letter == "c":
            directory = value
        elif letter == "C":
            request.classes |= _classes(value)
        elif letter == "o":
            name, equals, text = value.partition("=")
            if not equals:
                raise Fatal(f"invalid parameter override: {value}: missing '=' after attribute name")
            request.overrides[name.strip()] = text.strip()
        elif letter in _MODES:
            request.mode, mode_argument = letter, value
        elif letter in "eX#":
            if request.edit and request.edit != letter:
                raise Fatal(f"specify one of -{request.edit} -{letter}")
            request.edit = letter
    request.defaults, request.only_set = "d" in letters, "n" in letters
    request.names, request.values = "h" not in letters, "H" not in letters
    request.expand, request.folded, request.json = "x" in letters, "f" in letters, "j" in letters
    request.quiet = "q" in letters
    _check_combination(request, letters)
    fixed = {"l": LOCK_TYPES, "a": SASL_SERVER_TYPES, "A": SASL_CLIENT_TYPES}
    if request.mode in fixed:
        return _print_all(fixed[request.mode])
    if request.mode == "m":
        from pillarbox.lib.tables import STANDARD

        return _print_all(sorted((*STANDARD.types(), "accounts")))
    if request.mode == "T":
        return _version(mode_argument)
    from pillarbox.lib.config import config_directory

    request.directory = config_directory(directory)
    if request.mode in ("b", "t"):
        return _show_templates(request, words)
    if request.mode in ("M", "F", "P"):
        if request.edit or any("=" in word for word in words):
            raise Fatal("editing of master.yaml is not supported; change the file with an editor")
        from pillarbox.commands.postconf_services import show_services

        return show_services(request, words)
    if not request.edit and any("=" in word for word in words):
        request.edit = "e"
    if request.edit:
        from pillarbox.commands.postconf_edit import edit

        return edit(request, words)
    return _show_parameters(request, words)


def _check_combination(request: Request, letters: str) -> None:
    if request.defaults and request.only_set:
        raise Fatal("specify one of -d -n")
    if request.mode == "M":
        for letter in "dhHn":
            if letter in letters:
                raise Fatal(f"with option -M, do not specify -{letter}")
    if request.edit and request.mode not in ("", "M", "F", "P"):
        raise Fatal(f"with option -{request.edit}, do not specify -{request.mode}")


def _classes(value: str) -> set[str]:
    names = set(value.replace(",", " ").split())
    for name in names:
        if name not in CLASSES:
            raise Fatal(f'unknown -C option value "{name}" in "{value}"')
    return names


def _print_all(lines: Iterable[str]) -> int:
    for line in lines:
        output(line)
    return 0


def _version(what: str) -> int:
    if what not in ("compile-version", "run-version"):
        raise Fatal(f"unknown 'postconf -T' mode: {what}")
    import pillarbox

    output(f"Pillarbox {pillarbox.__version__}")
    return 0


def _show_templates(request: Request, words: list[str]) -> int:
    """The words at the top of reports, of the file that is named or configured, as a file has them or as mail has."""
    from pillarbox.lib.config.parameters.bounce import BOUNCE_TEMPLATE_FILE
    from pillarbox.lib.config.values import Config
    from pillarbox.lib.message.dsn import BUILT_IN
    from pillarbox.lib.message.dsn.configured import expanded, read_file

    config, warnings = _read(request)
    for warning in warnings:
        request.warn(warning)
    if words:
        config = Config({**config.values, BOUNCE_TEMPLATE_FILE.name: words[0]}, config.services)
    found = read_file(config, request.warn)
    filled = expanded(config, found, request.warn)
    for name in BUILT_IN:
        template = found.get(name, BUILT_IN[name])
        if request.mode == "t":
            text = template.written(name)
        else:
            text = f"expanded_{name}_text = <<EOF\n{filled[name].body}EOF\n"
        sys.stdout.buffer.write(text.encode("utf-8", "surrogateescape") + b"\n")
    sys.stdout.flush()
    return 0


def _show_parameters(request: Request, words: list[str]) -> int:
    from pillarbox.lib.config.families import members
    from pillarbox.lib.config.files import known_parameters
    from pillarbox.lib.config.parameter import REGISTER, Parameter, joined
    from pillarbox.lib.config.protocols import mirrors
    from pillarbox.lib.config.values import Config, all_parameters

    known: dict[str, Parameter[Any]] = dict(all_parameters())
    warnings: list[str] = []
    if request.defaults:
        config = Config({"config_directory": request.directory})
    else:
        config, warnings = _read(request)
        known = known_parameters(config)
    if request.overrides:
        for name in request.overrides:
            if name not in known:
                request.warn(f"{name}: unknown parameter")
        values = {name: text for name, text in request.overrides.items() if name in known}
        config = Config({**config.values, **values}, config.services)
    set_names = {name for name in config.values if name in known}
    if request.classes and not request.classes & {"builtin", "all"}:
        names: list[str] = []  # there are no parameters but the declared ones
    else:
        unset = (members(config.services) | mirrors(known)).keys() - REGISTER.keys() - config.values.keys()
        names = sorted(known.keys() - unset)
    if words:
        names = []
        for word in words:
            if word in known:
                names.append(word)
            else:
                request.warn(f"{word}: unknown parameter")
    for name in names:
        if request.only_set and name not in set_names:
            continue
        raw = config.raw(name) if not request.defaults else known[name].default_raw()
        if request.expand:
            try:
                raw = config.expanded(name)
            except ValueError as error:
                request.warn(f"{name}: {error}")
        request.show(name, joined(raw))
    for text in warnings:
        request.warn(text)
    return 0


def _read(request: Request) -> tuple[Config, list[str]]:
    """The configuration, and its mistakes as warnings.  Raises Fatal where main.yaml cannot be read."""
    import os

    from pillarbox.lib.config.files import MAIN, MASTER, examine

    path = os.path.join(request.directory, MAIN)
    try:
        os.close(os.open(path, os.O_RDONLY | os.O_CLOEXEC))
    except OSError as error:
        raise Fatal(f"open {path}: {error.strerror}") from None
    config, problems = examine(request.directory)
    services = os.path.join(request.directory, MASTER)
    missing = not os.path.exists(services)
    return config, [str(problem) for problem in problems if not (missing and problem.file == services)]


def _fold(line: str) -> str:
    """A long value over several lines, each but the first begun with four blanks."""
    limit = 71  # as Postfix folds
    out: list[str] = []
    current = ""
    for word in line.split(" "):
        if current and len(current) + 1 + len(word) > limit:
            out.append(current)
            current = "    " + word
        else:
            current = f"{current} {word}" if current else word
    return "\n".join((*out, current))


if __name__ == "__main__":
    raise SystemExit(main())
