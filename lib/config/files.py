"""Reading `main.yaml` and `master.yaml`: every mistake is found, with file, line, key and what was expected.

YAML is only the notation: scalars are taken as the text that stands in the file (`yes` stays `yes`, `0700` stays
`0700`), so that a value means the same here as in `postconf name=value`.
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Iterable, Mapping
from typing import cast

import yaml

from pillarbox.lib.config.access import access_problems
from pillarbox.lib.config.errors import ConfigError, Problem, nearest
from pillarbox.lib.config.families import members, service_of
from pillarbox.lib.config.mapping import BadEntry, entry_lines, flow
from pillarbox.lib.config.parameter import Parameter, Raw, split_words
from pillarbox.lib.config.protocols import mirrors
from pillarbox.lib.config.restrictions import CLASSES, class_parameter, is_class_name
from pillarbox.lib.config.services import Service, parse_service
from pillarbox.lib.config.values import Config, all_parameters

DEFAULT_DIRECTORY = "/etc/pillarbox"
MAIN, MASTER = "main.yaml", "master.yaml"

_WRITTEN_BOOLEANS = {"true": "yes", "false": "no", "True": "yes", "False": "no"}

_LOADER = cast("type[yaml.SafeLoader]", getattr(yaml, "CSafeLoader", yaml.SafeLoader))


def config_directory(option: str | None, environ: Mapping[str, str] = os.environ) -> str:
    """The configuration directory: the `-c` option, else MAIL_CONFIG, else /etc/pillarbox; absolute."""
    return os.path.abspath(option or environ.get("MAIL_CONFIG") or DEFAULT_DIRECTORY)


def load(directory: str) -> Config:
    """The configuration in `directory`.  Raises ConfigError that names every mistake in both files."""
    config, problems = examine(directory)
    if problems:
        raise ConfigError(problems)
    return config


def examine(directory: str) -> tuple[Config, list[Problem]]:
    """What can be read of the configuration in `directory`, and every mistake in it; for commands that show it."""
    main_file, master_file = os.path.join(directory, MAIN), os.path.join(directory, MASTER)
    problems: list[Problem] = []
    main = _document(main_file, problems)
    in_master: list[Problem] = []
    master = _document(master_file, in_master)
    parameters = {**all_parameters(), **members(_names(master))}
    parameters.update(mirrors(list(parameters)))
    values, lines = _parameters(main, main_file, parameters, problems) if main else ({}, {})
    literal = directory.replace("$", "$$")
    values["config_directory"] = literal
    if os.path.basename(directory) == "etc":
        values.setdefault("instance_directory", os.path.dirname(literal))
    problems += in_master
    services, option_lines = _read_services(master, master_file, parameters, problems, class_names(values))
    if not services and not in_master and not any(problem.file == master_file for problem in problems):
        problems.append(Problem(master_file, 0, "", "no service is defined"))
    config = Config(values, services)
    problems += _check_values(config, config.values, main_file, lines, parameters)
    for service in services.values():
        view = config.for_service(service)
        problems += _check_values(view, service.options, master_file, option_lines[service.name], parameters)
    if not problems:  # what lists say together can be looked at only where each makes sense
        problems += access_problems(config, main_file, lines, master_file, option_lines)
    return config, problems


def _check_values(
    config: Config,
    names: Mapping[str, Raw],
    file: str,
    lines: Mapping[str, int],
    parameters: Mapping[str, Parameter[object]],
) -> list[Problem]:
    problems = []
    for name in names:
        try:
            if name in parameters:
                config[parameters[name]]
            elif name in class_names(config.values):
                config[class_parameter(name)]
        except ValueError as error:
            line = lines.get(name, 0)
            if isinstance(error, BadEntry):
                line = lines.get(f"{name}: {error.entry}", line)
            problems.append(Problem(file, line, name, str(error)))
    return problems


def known_parameters(config: Config) -> dict[str, Parameter[object]]:
    """Every parameter that this configuration may set: the declared ones, the members of families that its services
    have, and the restriction classes that the administrator has made."""
    classes: dict[str, Parameter[object]] = {}
    for name in class_names(config.values):
        classes[name] = class_parameter(name)  # type: ignore[assignment]
    return {**all_parameters(), **mirrors(all_parameters()), **members(config.services), **classes}


def unknown_parameter(name: str, known: Iterable[str]) -> str:
    """What is wrong with a name that no parameter has."""
    known = list(known)
    hint = nearest(name, known)
    service = service_of(name)
    if service and not hint:
        return f'unknown parameter: there is no service "{service}" in {MASTER}'
    return f"unknown parameter{hint}"


def _names(node: yaml.MappingNode | None) -> list[str]:
    """The keys of a document."""
    return [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)] if node else []


def class_names(values: Mapping[str, Raw]) -> frozenset[str]:
    """The names of the restriction classes, which are parameters that the administrator makes."""
    return frozenset(name for name in split_words(values.get(CLASSES, "")) if is_class_name(name))


def _document(file: str, problems: list[Problem]) -> yaml.MappingNode | None:
    try:
        with open(file, "rb") as stream:
            node = yaml.compose(stream, Loader=_LOADER)
    except OSError as error:
        problems.append(Problem(file, 0, "", f"cannot be read: {error.strerror}"))
        return None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        problems.append(Problem(file, mark.line + 1 if mark else 0, "", f"not YAML: {error.problem or error.context}"))
        return None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        problems.append(Problem(file, 0, "", f"not YAML: {' '.join(str(error).split())}"))
        return None
    if node is None:
        return None
    if not isinstance(node, yaml.MappingNode):
        problems.append(Problem(file, node.start_mark.line + 1, "", '"name: value" lines were expected'))
        return None
    return node


def _entries(node: yaml.MappingNode, file: str, problems: list[Problem]) -> list[tuple[str, yaml.Node, int]]:
    found: dict[str, int] = {}
    entries = []
    for key, value in node.value:
        line = key.start_mark.line + 1
        if not isinstance(key, yaml.ScalarNode):
            problems.append(Problem(file, line, "", "a name was expected before the colon"))
            continue
        if key.value in found:
            problems.append(Problem(file, line, key.value, f"is set already in line {found[key.value]}"))
            continue
        found[key.value] = line
        entries.append((key.value, value, line))
    return entries


def _scalar(node: yaml.ScalarNode) -> str:
    if not node.style:  # plain: None or "", which of the two depends on the loader
        if node.value in ("~", "null"):
            return ""
        return str(_WRITTEN_BOOLEANS.get(node.value, node.value))
    return str(node.value)


def _raw(node: yaml.Node) -> Raw | None:
    if isinstance(node, yaml.ScalarNode):
        return _scalar(node)
    if isinstance(node, yaml.SequenceNode) and all(isinstance(item, yaml.ScalarNode) for item in node.value):
        return tuple(_scalar(item) for item in node.value)
    return None


def _parameters(
    node: yaml.MappingNode,
    file: str,
    parameters: Mapping[str, Parameter[object]],
    problems: list[Problem],
    inherited: frozenset[str] = frozenset(),
) -> tuple[dict[str, Raw], dict[str, int]]:
    """The values and their lines, also those of a mapping's entries; `inherited` are restriction classes that are named
    elsewhere."""
    values: dict[str, Raw] = {}
    lines: dict[str, int] = {}
    entries = _entries(node, file, problems)
    own = {name: _raw(value) or "" for name, value, _ in entries if name == CLASSES}
    classes = inherited | class_names(own)
    for name, value, line in entries:
        if name not in parameters and name not in classes:
            problems.append(Problem(file, line, name, unknown_parameter(name, [*parameters, *classes])))
            continue
        raw = _raw(value)
        if name in parameters and parameters[name].mapping and not isinstance(value, yaml.ScalarNode):
            try:
                raw = flow(value)
            except ValueError as error:
                problems.append(Problem(file, line, name, str(error)))
                continue
            if isinstance(value, yaml.MappingNode):
                lines.update((f"{name}: {entry}", number) for entry, number in entry_lines(value))
        if raw is None:
            problems.append(Problem(file, line, name, "one value or a list of values was expected"))
            continue
        values[name], lines[name] = raw, line
    return values, lines


def _read_services(
    node: yaml.MappingNode | None,
    file: str,
    parameters: Mapping[str, Parameter[object]],
    problems: list[Problem],
    classes: frozenset[str],
) -> tuple[dict[str, Service], dict[str, dict[str, int]]]:
    services: dict[str, Service] = {}
    option_lines: dict[str, dict[str, int]] = {}
    for name, value, line in _entries(node, file, problems) if node else []:
        if not isinstance(value, yaml.MappingNode):
            problems.append(
                Problem(file, line, name, 'the fields of a service were expected, such as "command: smtpd"')
            )
            continue
        fields: dict[str, Raw] = {}
        lines = {"": line}
        options: dict[str, Raw] = {}
        option_lines[name] = {}
        for key, item, key_line in _entries(value, file, problems):
            lines[key] = key_line
            if key == "options" and isinstance(item, yaml.MappingNode):
                options, option_lines[name] = _parameters(item, file, parameters, problems, classes)
                continue
            raw = _raw(item)
            if key == "options" or raw is None:
                expected = '"name: value" lines' if key == "options" else "one value or a list of values"
                problems.append(Problem(file, key_line, f"{name}.{key}", f"{expected} was expected"))
                continue
            fields[key] = raw

        def place(key: str, text: str, name: str = name, lines: dict[str, int] = lines) -> Problem:
            return Problem(file, lines.get(key, lines[""]), f"{name}.{key}" if key else name, text)

        service, found = parse_service(name, fields, options, place)
        problems += found
        if service and not _program_exists(service.command):
            problems.append(place("command", f'there is no program "{service.command}"'))
        elif service:
            services[name] = service
    return services, option_lines


def _program_exists(command: str) -> bool:
    try:
        return importlib.util.find_spec(f"pillarbox.{command}.program") is not None
    except ModuleNotFoundError:
        return False
