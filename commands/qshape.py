"""qshape - how old the mail in the queue is, by domain

    qshape [-s] [-p] [-m SUBDOMAINS] [-l] [-b BUCKETS] [-t MINUTES] [-w WIDTH] [-n DOMAINS] [-N MESSAGES]
           [-c DIR] [queue ...]

A row for each domain of recipients (-s: of senders), the one with the most first, and TOTAL above them. A column for
each interval of age: younger than 5 minutes (-t), 5 to 10, 10 to 20 and so on, each twice as long as the one before
(-l: all equally long), -b of them (10). Where mail to one domain piles up the columns to the right fill.
-p adds parent domains, with a dot in front, that have at least -m (5) subdomains. -w is the width of the screen (80).
-n shows that many domains only (20 on a terminal); -N shows intermediate results after so many messages.
Queues are incoming and active unless others are named (deferred, hold, maildrop; a directory's whole path works too).

Options and output are those of Postfix's qshape(1). It reads the queue where it may, and asks `showq` where it may not.
Exit status: 0, else a sysexits(3) code: 64 wrong use, 69 mail system down, 78 configuration.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterable, Iterator, Sequence

from pillarbox.commands.options import BadOption, parse
from pillarbox.commands.queue_shape import Buckets, Shape, table
from pillarbox.lib.clients.errors import ServiceUnavailable
from pillarbox.lib.clients.showq import ShowqClient
from pillarbox.lib.config import Config, ConfigError, config_directory, load
from pillarbox.lib.config.parameters.general import QUEUE_DIRECTORY
from pillarbox.lib.queue import Queue
from pillarbox.lib.queue.listing import ORDER, Entry, entries

PROGRAM = "qshape"
USAGE = (
    "qshape [-s] [-p] [-m min_subdomains] [-l] [-b bucket_count] [-t bucket_time] [-w terminal_width] "
    "[-N batch_msg_count] [-n batch_top_domains] [-c config_dir] [queue_name ...]"
)
DEFAULT_QUEUES = ("incoming", "active")
TERMINAL_TOP, TERMINAL_BATCH = 20, 1000
"""On a terminal: domains that are shown, and messages between two intermediate results."""

_CLEAR = "\033[H\033[2J"
_NUMBERS = {"b": 10, "t": 5, "w": 80, "m": 5}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; `argv` without the program's name."""
    try:
        found, words = parse(sys.argv[1:] if argv is None else argv, "lhc:psw:b:t:m:n:N:")
        options = dict(found)
        numbers = {letter: _number(letter, options[letter]) for letter in "wbtmnN" if letter in options}
    except (BadOption, ValueError) as error:
        return _fatal(f"{error}; usage: {USAGE}", os.EX_USAGE)
    if "h" in options:
        print(__doc__)
        return os.EX_OK
    unknown = [word for word in words if word not in ORDER and not word.startswith("/")]
    if unknown:
        return _fatal(f"no queue is called {unknown[0]}; one of {', '.join(ORDER)} was expected", os.EX_USAGE)
    wanted = {letter: numbers.get(letter) or usual for letter, usual in _NUMBERS.items()}
    shape = Shape(
        Buckets(wanted["b"], wanted["t"] * 60.0, linear="l" in options),
        by_sender="s" in options,
        parents="p" in options,
    )
    screen = sys.stdout.isatty()
    top = numbers.get("n", TERMINAL_TOP if screen else 0)
    batch = numbers.get("N", TERMINAL_BATCH if screen else 0)
    try:
        now = time.time()
        for count, entry in enumerate(_entries(words or DEFAULT_QUEUES, options.get("c")), 1):
            shape.add(now - entry.arrival, entry.sender, [each.address for each in entry.recipients])
            if batch and count % batch == 0:
                _show(table(shape, wanted["w"], wanted["m"], top), screen)
        _show(table(shape, wanted["w"], wanted["m"], top), screen and bool(batch))
    except ConfigError as error:
        return _fatal(str(error), os.EX_CONFIG)
    except ServiceUnavailable as error:
        return _fatal(f"Queue report unavailable - mail system is down ({error.reason})", os.EX_UNAVAILABLE)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # the reader (head) has enough
    except OSError as error:
        return _fatal(f"{error.filename}: {error.strerror}", os.EX_OSERR)
    return os.EX_OK


def _number(letter: str, text: str) -> int:
    if not text.isascii() or not text.isdigit():
        raise ValueError(f"-{letter} needs a number, not {text!r}")
    return int(text)


def _entries(names: Iterable[str], directory: str | None) -> Iterator[Entry]:
    own: list[str] = []
    for name in names:
        if name.startswith("/"):  # as Postfix's: a directory by its path, of this instance or another
            yield from entries(Queue(os.path.dirname(name.rstrip("/"))), (os.path.basename(name.rstrip("/")),))
        else:
            own.append(name)
    if own:
        yield from _of_instance(own, load(config_directory(directory)))


def _of_instance(names: Sequence[str], config: Config) -> Iterator[Entry]:
    queue = Queue(config[QUEUE_DIRECTORY])
    if all(os.access(f"{queue.directory}/{name}", os.R_OK | os.X_OK) for name in names):
        yield from entries(queue, tuple(names))
        return
    for entry in ShowqClient(config).entries():
        if entry.queue in names:
            yield entry


def _show(lines: Iterable[str], clear: bool) -> None:
    sys.stdout.write((_CLEAR if clear else "") + "".join(f"{line}\n" for line in lines))
    sys.stdout.flush()


def _fatal(text: str, status: int) -> int:
    print(f"{PROGRAM}: fatal: {text}", file=sys.stderr)
    return status


if __name__ == "__main__":
    sys.exit(main())
