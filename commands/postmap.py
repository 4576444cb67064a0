"""postmap(1): build, ask and change look-up tables.

Exit status 0, or 1 for a fatal error, a key that was not found, or nothing to delete.  Lines of a source that make no
sense are warned of and skipped.
"""

from __future__ import annotations

import base64
import binascii
import sys
from collections.abc import Iterator, Sequence

from pillarbox.commands.options import Command, Fatal
from pillarbox.commands.table_files import Task, stdin_keys
from pillarbox.lib.tables.lines import decode
from pillarbox.lib.tables.source import parse_map

USAGE = "[-bfFhijmnNoprsuUvw] [-c config_dir] [-d key] [-q key] [map_type:]file..."
_LETTERS = "bc:d:fFhijmnNopq:rsuUvw"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; gives the exit status."""
    command = Command("postmap", USAGE)
    command.take_log()
    try:
        return _run(command, list(sys.argv[1:] if argv is None else argv))
    except Fatal as error:
        return command.fatal(str(error))
    except BrokenPipeError:
        return 1
    finally:
        _flush()


def _flush() -> None:
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        pass


def _run(command: Command, arguments: list[str]) -> int:
    options, names = command.parse(arguments, _LETTERS)
    task = Task(command, parse_map, "\t")
    query = delete = None
    sequence = header = body = mime = False
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
        elif letter == "F":
            task.value_of, task.shown = _file_content, _decoded
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
        elif letter in "bhm":
            body, header, mime = body or letter == "b", header or letter == "h", mime or letter == "m"
    if not names:
        command.bad_usage()
    if (body or header) and query != "-":
        raise Fatal('specify -b -h or -m only with "-q -"')
    if mime and not (body or header):
        command.warn("ignoring -m option without -b or -h")
    if query == "-":
        keys = _message_keys(header, body) if header or body else stdin_keys()
        return task.query_lines(names, keys)
    if query is not None:
        return task.query(names, query)
    if delete is not None:
        return task.delete(names, list(stdin_keys()) if delete == "-" else [delete])
    if sequence:
        return task.list(names)
    return task.build(names)


def _file_content(value: str) -> str:
    """-F: the value names files whose content is stored, in base64; several are joined with a line end between."""
    contents = []
    for name in value.replace(",", " ").split():
        with open(name, "rb") as stream:
            contents.append(stream.read())
    return base64.b64encode(b"".join(contents)).decode("ascii")


def _decoded(value: str) -> str:
    try:
        return base64.b64decode(value, validate=True).decode("utf-8", "surrogateescape")
    except binascii.Error:
        raise ValueError("malformed BASE64 value") from None


def _message_keys(header: bool, body: bool) -> Iterator[str]:
    """The header fields (folded ones with their line ends) and body lines of the message on standard input."""
    pending: list[bytes] = []
    in_header = True
    for raw in sys.stdin.buffer:
        line = raw.rstrip(b"\r\n")
        if in_header and pending and line[:1] in (b" ", b"\t"):
            pending.append(line)
            continue
        if pending and header:
            yield decode(b"\n".join(pending))
        pending = []
        if in_header and line and _is_field(line):
            pending = [line]
            continue
        if in_header:
            in_header = False
            if not line:
                continue
        if body:
            yield decode(line)
    if pending and header:
        yield decode(b"\n".join(pending))


def _is_field(line: bytes) -> bool:
    name, colon, _ = line.partition(b":")
    name = name.rstrip(b" \t")
    return bool(colon and name) and all(33 <= byte <= 126 for byte in name)


if __name__ == "__main__":
    raise SystemExit(main())
