"""postlog(1): write lines to the mail log, for shell scripts.

The text of the command line is one line; without text each line of standard input is one.  With a terminal on standard
error the lines are shown there too.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence

from pillarbox.commands.options import Command, Fatal, printable

USAGE = "[-c config_dir] [-i] [-p priority] [-t tag] [-v] [text]"
SEVERITIES = {
    "info": "info",
    "warn": "warning",
    "warning": "warning",
    "error": "error",
    "err": "error",
    "fatal": "fatal",
    "crit": "fatal",
    "panic": "panic",
}
LINE_LIMIT = 8192
"""Longest line taken from standard input in one piece, in bytes."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; gives the exit status."""
    command = Command("postlog", USAGE)
    try:
        return _run(command, list(sys.argv[1:] if argv is None else argv))
    except Fatal as error:
        return command.fatal(str(error))


def _run(command: Command, arguments: list[str]) -> int:
    options, words = command.parse(arguments, "c:ip:t:v")
    directory: str | None = None
    tag = ""
    severity = "info"
    for letter, value in options:
        if letter == "c":
            directory = value
        elif letter == "p":
            if value not in SEVERITIES:
                raise Fatal(f'bad severity: "{value}"')
            severity = SEVERITIES[value]
        elif letter == "t":
            tag = value
    tag = open_log(directory, tag)
    from pillarbox.lib.log import log

    write = getattr(log, severity)
    for line in [" ".join(words)] if words else _input_lines():
        write(line)
        if sys.stderr.isatty():
            level = "" if severity == "info" else f"{severity}: "
            sys.stderr.write(f"{tag}: {level}{printable(line)}\n")
    return 0


def _input_lines() -> Iterator[str]:
    while line := sys.stdin.buffer.readline(LINE_LIMIT):
        yield line.rstrip(b"\r\n").decode("utf-8", "replace")


def open_log(directory: str | None, tag: str) -> str:
    """Point the log where the configuration says; gives the tag in use.  Raises Fatal."""
    from pillarbox.lib.config import ConfigError, config_directory, load
    from pillarbox.lib.config.parameters.general import LOG_FORMAT, MAILLOG_FILE, MYHOSTNAME, SYSLOG_NAME
    from pillarbox.lib.log import log
    from pillarbox.lib.log.logger import file_destination, syslog_destination

    try:
        config = load(config_directory(directory))
    except ConfigError as error:
        raise Fatal(str(error.problems[0])) from None
    tag = tag or f"{config[SYSLOG_NAME]}/postlog"
    target = config[MAILLOG_FILE]
    if target == "syslog":
        destination = syslog_destination()
    else:
        try:
            destination = file_destination(
                os.open(target, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o640)
            )
        except OSError as error:
            raise Fatal(f"open {target}: {error.strerror}") from None
    log.configure(
        tag,
        destination,
        json_lines=config[LOG_FORMAT] == "json",
        syslog=target == "syslog",
        host=config[MYHOSTNAME],
    )
    return tag


if __name__ == "__main__":
    raise SystemExit(main())
