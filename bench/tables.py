"""What a look-up costs: `python -m bench.tables [ENTRIES]` builds tables of 1,000,000 addresses and asks them.

Printed are microseconds of processor time for one look-up in a warm process, the mean of many distinct keys in random
order (no key is asked twice within a round, so that no memory of ours helps): keys that are there, and keys that are
not.  Postfix's postmap is asked the same keys from the same file in the same run; its figure holds reading the keys and
printing the values as well, and ours beside it (`through postmap`) does so too, without the start of the interpreter.
A look-up asked of the service `lookup` costs the exchange besides; `find_address` is what one recipient asks at most.
"""

from __future__ import annotations

import os
import random
import resource
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from pillarbox.lib.tables import STANDARD, Maps, Options
from pillarbox.lib.tables.blocking import waiting_allowed
from pillarbox.lib.tables.build import Builder
from pillarbox.lib.tables.keys import find_address
from tests.peers import peer

ENTRIES = 1_000_000
ASKED = 50_000
ROUNDS = 3


def key(number: int) -> str:
    """An address as they are."""
    return f"user{number * 7919 % 10_000_019}@dept{number % 1000}.example.com"


def main() -> None:
    """Measure and print."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else ENTRIES
    there = [key(number) for number in random.Random(1).sample(range(count), min(ASKED, count))]
    absent = ["no" + each for each in there]
    print(f"{count} entries, {len(there)} keys asked in each of {ROUNDS} rounds; microseconds of processor time")
    print(f"{'table':24}{'found':>8}{'absent':>8}   file")
    with tempfile.TemporaryDirectory(dir="/var/tmp") as name, waiting_allowed():
        folder = Path(name)
        for kind in ("hash", "cdb", "lmdb"):
            build(kind, folder / kind, count)
        (folder / "texthash").write_text("".join(f"{key(number)} {number}\n" for number in range(count)))
        sqlite(folder, count)
        tables = [(kind, f"{kind}:{folder / kind}") for kind in ("hash", "cdb", "lmdb", "texthash")]
        tables.append(("sqlite", f"sqlite:{folder / 'sqlite.cf'}"))
        for kind, spec in tables:
            table = STANDARD.open(spec)
            table.preload()
            size = sum(os.path.getsize(file) for file in table.files() if os.path.exists(file))
            print(f"{kind:24}{ask(table.get, there):8.2f}{ask(table.get, absent):8.2f}   {size / 1e6:.0f} MB")
        maps = Maps.open("bench", [f"hash:{folder / 'hash'}"])
        at_most = ask(lambda each: find_address(maps, each, "+", lambda domain: True), [f"x+y{each}" for each in there])
        print(f"{'find_address':24}{'':8}{at_most:8.2f}   five keys, none there")
        patterns(there)
        for kind in ("cdb", "lmdb"):
            spec = f"{kind}:{folder / kind}"
            print(f"{'through postmap, ' + kind:24}{ours(spec, there):8.2f}{ours(spec, absent):8.2f}")
            print(f"{'Postfix, ' + kind:24}{theirs(spec, there, folder):8.2f}{theirs(spec, absent, folder):8.2f}")


def build(kind: str, path: Path, count: int) -> None:
    """The file of a table."""
    builder = Builder(kind, str(path))
    for number in range(count):
        builder.put(key(number), str(number))
    builder.commit()


def sqlite(folder: Path, count: int) -> None:
    """The same entries in a database with an index."""
    with sqlite3.connect(folder / "sqlite.db") as database:
        database.execute("CREATE TABLE box (address TEXT PRIMARY KEY, path TEXT) WITHOUT ROWID")
        database.executemany("INSERT INTO box VALUES (?, ?)", ((key(number), str(number)) for number in range(count)))
    database.close()
    (folder / "sqlite.cf").write_text(
        f"dbpath = {folder / 'sqlite.db'}\nquery = SELECT path FROM box WHERE address = '%s'\n"
    )


def patterns(keys: Sequence[str]) -> None:
    """Tables of a hundred expressions, whose time is bounded and whose is not."""
    rules = "".join(f"{{/^(list-?)+{number}@example\\.com$/ x}}, " for number in range(100)).rstrip(", ")
    for name, limit in (("100 expressions", 0.0), ("the same, bounded", Options().time_limit)):
        table = STANDARD.open(f"pcre:{{{rules}}}", Options(time_limit=limit))
        print(f"{name:24}{'':8}{ask(table.get, keys[:5000]):8.2f}")


def ask(get: Callable[[str], object], keys: Sequence[str]) -> float:
    """Microseconds for one look-up: the best of the rounds, since others only make it longer."""
    best = float("inf")
    for _ in range(ROUNDS):
        began = time.process_time()
        for each in keys:
            get(each)
        best = min(best, time.process_time() - began)
    return best / len(keys) * 1e6


def ours(spec: str, keys: Sequence[str]) -> float:
    """What our postmap takes for a key, less what it takes for none."""
    command = [sys.executable, "-m", "pillarbox.commands.postmap", "-q", "-", spec]
    return _children(command, keys, None)


def theirs(spec: str, keys: Sequence[str], folder: Path) -> float:
    """The same of Postfix's."""
    postfix = peer("postfix-tables")
    config = folder / "postfix"
    config.mkdir(exist_ok=True)
    (config / "main.cf").write_text(
        f"shlib_directory = {postfix.root}/usr/lib/postfix\nmeta_directory = {config}\nmail_owner = uucp\n"
        "setgid_group = tape\ncompatibility_level = 3.6\n"
    )
    (config / "dynamicmaps.cf").write_text(
        "cdb\tpostfix-cdb.so\tdict_cdb_open\tmkmap_cdb_open\nlmdb\tpostfix-lmdb.so\tdict_lmdb_open\tmkmap_lmdb_open\n"
    )
    command = [*map(str, postfix.command(["postmap", "-c", str(config), "-q", "-", spec]))]
    return _children(command, keys, postfix.environment(None))


def _children(command: list[str], keys: Sequence[str], environment: dict[str, str] | None) -> float:
    def once(text: str) -> float:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(command, input=text, env=environment, text=True, stdout=subprocess.DEVNULL)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    text = "".join(f"{each}\n" for each in keys)
    spent = min(once(text) for _ in range(ROUNDS)) - min(once("") for _ in range(ROUNDS))
    return spent / len(keys) * 1e6


if __name__ == "__main__":
    main()
