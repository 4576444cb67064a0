"""The services of master.yaml in the columns that scripts know from master.cf: postconf -M, -F and -P.

A service that listens in several places is a row for each; a service without Internet socket is of type `unix`.
"""

from __future__ import annotations

import fnmatch
import os
from collections.abc import Iterator
from dataclasses import dataclass

from pillarbox.commands.options import Fatal, output
from pillarbox.commands.postconf import Request
from pillarbox.lib.config.files import MASTER, examine
from pillarbox.lib.config.parameter import joined
from pillarbox.lib.config.services import Service

_WIDTHS = (10, 5, 7, 7, 7, 7, 7, 0)
FIELDS = ("service", "type", "private", "unprivileged", "chroot", "wakeup", "process_limit", "command")


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table."""

    fields: tuple[str, ...]
    options: tuple[tuple[str, str], ...]

    @property
    def name(self) -> str:
        """`service/type`."""
        return f"{self.fields[0]}/{self.fields[1]}"

    def line(self, *, folded: bool) -> str:
        """As in master.cf."""
        columns = " ".join(field.ljust(width) for field, width in zip(self.fields, _WIDTHS, strict=True))
        options = [
            f"-o {name}={value}" if " " not in value else f"-o {{ {name} = {value} }}" for name, value in self.options
        ]
        return ("\n    " if folded else " ").join((columns, *options))


def rows(service: Service) -> Iterator[Row]:
    """The rows of one service."""
    options = tuple((name, joined(raw)) for name, raw in service.options.items())
    wakeup = f"{service.wakeup:g}" if service.wakeup else "-"
    for listen in service.listen:
        internet = listen.startswith("inet:")
        fields = (
            listen.removeprefix("inet:") if internet else service.name,
            "inet" if internet else "unix",
            "n" if internet or listen == "public" else "-",
            "-",
            "n",
            wakeup,
            str(service.processes),
            service.command,
        )
        yield Row(fields, options)


def show_services(request: Request, words: list[str]) -> int:
    """Print rows (-M), their fields (-F) or parameters (-P), of all services or those that the words name."""
    path = os.path.join(request.directory, MASTER)
    config, problems = examine(request.directory)
    if not os.path.exists(path):
        raise Fatal(f"open {path}: No such file or directory")
    table = [row for service in config.services.values() for row in rows(service)]
    chosen: list[tuple[Row, str]] = []
    for word in words or ["*"]:
        service, _, rest = word.partition("/")
        kind, _, member = rest.partition("/")
        found = [row for row in table if fnmatch.fnmatch(row.name, f"{service}/{kind or '*'}")]
        if not found:
            request.warn(f'unmatched request: "{word}"')
        chosen += ((row, member or "*") for row in found)
    for row, member in chosen:
        if request.mode == "M":
            output(row.line(folded=request.folded))
            continue
        pairs = zip(FIELDS, row.fields, strict=True) if request.mode == "F" else iter(row.options)
        for name, value in pairs:
            if fnmatch.fnmatch(name, member):
                request.show(f"{row.name}/{name}", value)
    for problem in problems:
        if problem.file == path:
            request.warn(str(problem))
    return 0
