"""postalias(1): build, ask and change alias tables, aliases(5).

Exit status as postmap.  The built table also holds the entries that NIS programs look for: `@`, YP_LAST_MODIFIED
and YP_MASTER_NAME.
"""

from __future__ import annotations

import socket
import sys
import time
from collections.abc import Iterable, Iterator, Sequence

from pillarbox.commands.options import Command, Fatal
from pillarbox.commands.table_files import Task, stdin_keys
from pillarbox.lib.tables.aliases import parse_aliases
from pillarbox.lib.tables.build import Builder
from pillarbox.lib.tables.lines import Warn
from pillarbox.lib.tables.source import Entry

USAGE = "[-Nfijnoprsuvw] [-c config_dir] [-d key] [-q key] [map_type:]file..."
_LETTERS = "Nc:d:fijnopq:rsuUvw"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; gives the exit status."""
    command = Command("postalias", USAGE)
    command.take_log()
    try:
        return _run(command, list(sys.argv[1:] if argv is None else argv))
    except Fatal as error:
        return command.fatal(str(error))
    except BrokenPipeError:
        return 1


def build(command: Command, names: Sequence[str], config_option: str | None = None) -> int:
    """Build alias tables, for newaliases.  Raises Fatal."""
    return _task(command, config_option).build(names)


def _task(command: Command, config_option: str | None) -> Task:
    return Task(command, _parse, ":\t", config_option, extra=_add_own_entries)


def _parse(source: Iterable[bytes], name: str, warn: Warn) -> Iterator[Entry]:
    for entry in parse_aliases(source, name, warn):
        yield Entry(entry.line, entry.key, _spaced(entry.value))


def _spaced(value: str) -> str:
    """A list of values on one line: outside quotes one blank where there were several, one after each comma."""
    out: list[str] = []
    quoted = escaped = False
    for character in value:
        if escaped:
            escaped = False
        elif character == "\\":
            escaped = True
        elif character == '"':
            quoted = not quoted
        elif not quoted and character in " \t":
            if out and out[-1] == " ":
                continue
            character = " "
        elif not quoted and character == ",":
            if out and out[-1] == " ":
                out.pop()
            out += (",", " ")
            continue
        out.append(character)
    return "".join(out).strip()


def _add_own_entries(builder: Builder) -> None:
    for key, value in (
        ("@", "@"),
        ("YP_LAST_MODIFIED", f"{int(time.time()):010d}"),
        ("YP_MASTER_NAME", socket.gethostname()),
    ):
        builder.put_own(key, value)


def _run(command: Command, arguments: list[str]) -> int:
    options, names = command.parse(arguments, _LETTERS)
    task = _task(command, None)
    query = delete = None
    sequence = False
    for letter, value in options:
        if letter in "dqs":
            if query is not None or delete is not None or sequence:
                raise Fatal("specify only one of -s -q or -d")
            query = value if letter == "q" else None
            delete = value if letter == "d" else None
            sequence = letter == "s"
        elif letter == "c":
            task.config_option = value
        elif letter == "f":
            task.fold = False
        elif letter == "i":
            task.incremental = True
        elif letter == "j":
            task.json = True
        elif letter == "o":
            task.keep_root = True
        elif letter == "p":
            task.inherit_mode = False
        elif letter in "rw":
            task.duplicates = "replace" if letter == "r" else "ignore"
    if not names:
        command.bad_usage()
    if query == "-":
        return task.query_lines(names, stdin_keys())
    if query is not None:
        return task.query(names, query)
    if delete is not None:
        return task.delete(names, list(stdin_keys()) if delete == "-" else [delete])
    if sequence:
        return task.list(names)
    return task.build(names)


if __name__ == "__main__":
    raise SystemExit(main())
