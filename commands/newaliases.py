"""newaliases(1): build the tables that alias_database names.  Says nothing when all is well.

The options of sendmail that other systems' scripts pass are taken and, but for -c, -C and -oA, not used.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from pillarbox.commands.options import Command, Fatal

USAGE = "[-c config_dir] [-oAtype:file]"
_LETTERS = "A:B:C:F:GIN:O:R:UV:X:b:c:e:f:h:imo:p:r:q:tvx"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; gives the exit status."""
    command = Command("newaliases", USAGE)
    command.take_log()
    try:
        return _run(command, list(sys.argv[1:] if argv is None else argv))
    except Fatal as error:
        return command.fatal(str(error))


def _run(command: Command, arguments: list[str]) -> int:
    directory: str | None = None
    names: list[str] = []
    for letter, value in command.parse(arguments, _LETTERS)[0]:
        if letter == "c":
            directory = value
        elif letter == "C":
            directory = value.removesuffix("/main.yaml").removesuffix("/main.cf")
        elif letter == "o" and value[:1] == "A" and value[1:]:
            names = [value[1:]]
    if not names:
        names = _configured(directory)
    if not names:
        return 0
    from pillarbox.commands.postalias import build

    return build(command, names, directory)


def _configured(directory: str | None) -> list[str]:
    from pillarbox.lib.config import ConfigError, config_directory, load
    from pillarbox.lib.config.parameters.lookup import ALIAS_DATABASE

    try:
        config = load(config_directory(directory))
    except ConfigError as error:
        raise Fatal(str(error.problems[0])) from None
    return [name.removeprefix("proxy:") for name in config[ALIAS_DATABASE]]


if __name__ == "__main__":
    raise SystemExit(main())
