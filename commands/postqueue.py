"""postqueue - look at the mail queue, and have it tried again

    postqueue [-c DIR] -p | -j | -f | -i ID | -s SITE

-p lists the queue as `mailq` does, -j as JSON lines; -f tries all deferred mail again now, -i one message, -s the
mail to one domain of fast_flush_domains.  Anyone may use it: the list comes from `showq`, attempts are asked of the
queue manager.  While the mail system is down those who may read the queue directory get the list from there.

Exit status: 0, else a sysexits(3) code: 64 wrong use, 69 mail system down, 78 configuration.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterable, Iterator, Sequence

from pillarbox.commands.options import BadOption, parse, printable
from pillarbox.commands.queue_listing import json_lines, listing
from pillarbox.lib.clients.errors import ServiceUnavailable
from pillarbox.lib.clients.showq import ShowqClient
from pillarbox.lib.config import Config, ConfigError, config_directory, load
from pillarbox.lib.config.parameters.general import QUEUE_DIRECTORY
from pillarbox.lib.queue import Queue, is_queue_id
from pillarbox.lib.queue.listing import Entry, entries

PROGRAM = "postqueue"
USAGE = "postqueue [-c config_dir] -f | -i queue_id | -j | -p | -s site"

_SITE = re.compile(r"[^\s\x00-\x1f]{1,255}")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; `argv` without the program's name."""
    try:
        options, words = parse(sys.argv[1:] if argv is None else argv, "c:fi:jps:v")
        directory = next((value for letter, value in options if letter == "c"), None)
        modes = [(letter, value) for letter, value in options if letter in "fijps"]
        if words or len(modes) != 1:
            return _fatal(f"usage: {USAGE}", os.EX_USAGE)
        config = load(config_directory(directory))
        letter, value = modes[0]
        if letter == "p":
            return _print(listing(queue_entries(config)))
        if letter == "j":
            return _print(json_lines(queue_entries(config)))
        return _flush(config, value if letter == "i" else None, value if letter == "s" else None)
    except BadOption as error:
        print(f"{PROGRAM}: {error}", file=sys.stderr)
        return _fatal(f"usage: {USAGE}", os.EX_USAGE)
    except ConfigError as error:
        return _fatal(str(error), os.EX_CONFIG)
    except ServiceUnavailable as error:
        return _fatal(f"Queue report unavailable - mail system is down ({error.reason})", os.EX_UNAVAILABLE)
    except KeyboardInterrupt:
        return 130


def mailq(argv: Sequence[str] | None = None) -> int:
    """The command `mailq`."""
    return main(["-p", *(sys.argv[1:] if argv is None else argv)])


def _fatal(text: str, status: int) -> int:
    print(f"{PROGRAM}: fatal: {printable(text)}", file=sys.stderr)
    return status


def _print(lines: Iterable[str]) -> int:
    try:
        for line in lines:
            print(line)
        sys.stdout.flush()
    except BrokenPipeError:
        # The reader (head, less) has enough; keep the interpreter from complaining at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    return os.EX_OK


def queue_entries(config: Config) -> Iterator[Entry]:
    """From showq, or from the directory itself."""
    try:
        yield from ShowqClient(config).entries()
        return
    except ServiceUnavailable as error:
        if not error.reason.startswith("Connect to") or not os.access(f"{config[QUEUE_DIRECTORY]}/active", os.R_OK):
            raise
        text = f"Mail system is down -- accessing queue directly ({error.reason})"
        print(f"{PROGRAM}: warning: {text}", file=sys.stderr)
    yield from entries(Queue(config[QUEUE_DIRECTORY]))


def _flush(config: Config, queue_id: str | None, site: str | None) -> int:
    from pillarbox.lib.clients.qmgr import QmgrClient  # a list needs no event loop

    if queue_id is not None and not is_queue_id(queue_id):
        return _fatal(f'Cannot flush queue ID - invalid name: "{queue_id}"', os.EX_USAGE)
    if site is not None and not _SITE.fullmatch(site):
        return _fatal(f'Cannot flush mail queue - invalid destination: "{site}"', os.EX_USAGE)
    try:
        count = QmgrClient(config).flush(queue_id or "", site or "")
    except ServiceUnavailable as error:
        return _fatal(f"Cannot flush mail queue - mail system is down ({error.reason})", os.EX_UNAVAILABLE)
    if count is None:
        return _fatal(f'Flush service is not configured for destination "{site}"', os.EX_UNAVAILABLE)
    return os.EX_OK


if __name__ == "__main__":
    sys.exit(main())
