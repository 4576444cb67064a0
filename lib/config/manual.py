"""The shipped `main.yaml`, written from the declarations: every parameter with its text and its default.

    python -m pillarbox.lib.config.manual > etc/main.yaml

A test compares the shipped file with this.
"""

from __future__ import annotations

import importlib
import pkgutil
import sys
import textwrap
from collections.abc import Iterator

from pillarbox.lib.config import parameters as groups
from pillarbox.lib.config.families import Family
from pillarbox.lib.config.parameter import Parameter, joined

WIDTH = 110

PREFACE = """\
main.yaml: the parameters. A line "name: value" sets one; what is commented out shows the default.
Values are texts, or YAML lists where several are allowed; $name stands for the value of another parameter; times are
written 30s, 5m, 4h, 5d, sizes in bytes. "pillarbox check" finds mistakes, "pillarbox reload" puts changes into force,
"postconf -n" shows what is set here. Which services run, and their own exceptions, is said in master.yaml.
Where a text says "SERVICE_...", any service of master.yaml can have a value of its own under that name.
"""

_COMPUTED = {"myhostname": "(the name of this machine)", "mydomain": "(its domain)"}

FIRST = ("general",)


def _group_names() -> list[str]:
    names = [module.name for module in pkgutil.iter_modules(groups.__path__)]
    return [*FIRST, *(name for name in names if name not in FIRST)]


def _declared(group: str) -> Iterator[Parameter[object]]:
    module = importlib.import_module(f"{groups.__name__}.{group}")
    for value in list(vars(module).values()):
        if isinstance(value, Parameter):
            yield value
        elif isinstance(value, Family):
            yield value.default
            yield from value.own.values()
        elif isinstance(value, dict):
            yield from (each for each in value.values() if isinstance(each, Parameter))


def _quoted(text: str) -> str:
    plain = text and text[0] not in "[]{}>|*&!%#@`'\",?:-" and ": " not in text and " #" not in text
    return text if plain and not text.endswith(":") else '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def shipped_main_yaml() -> str:
    """The text of the shipped file."""
    lines = [f"# {line}" for line in PREFACE.splitlines()]
    seen: set[str] = set()
    for group in _group_names():
        title = importlib.import_module(f"{groups.__name__}.{group}")
        lines += ["", f"# {'=' * (WIDTH - 2)}", f"# {(title.__doc__ or group).splitlines()[0]}"]
        for parameter in _declared(group):
            if parameter.name in seen:
                continue
            seen.add(parameter.name)
            value = _COMPUTED.get(parameter.name) or _quoted(joined(parameter.default_raw()))
            lines.append("")
            lines += (f"# {line}" for line in textwrap.wrap(parameter.doc, WIDTH))
            lines.append(f"#{parameter.name}: {value}")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.stdout.write(shipped_main_yaml())
