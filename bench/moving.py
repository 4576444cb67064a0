"""What moving an account takes in memory: `python -m bench.moving [--messages 200000] [--directory /var/tmp/moving]`.

Makes a Maildir of small messages, as another server leaves one: without an index of ours, with a UID list.  Then moves
it through the stores and through exports, each by a process of its own, and prints what that had in memory at most
(VmHWM) and how long it took.  Needs 4 kB of disk per message and step; what is there already is used again, so that it
can be stopped.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import time

from pillarbox.lib.store import open_store
from pillarbox.lib.store.interface import INBOX

_MEASURED = """
import sys
from pillarbox.commands.pillarbox import main
status = main(["mailbox", *sys.argv[1:]])
lines = open("/proc/self/status").read().splitlines()
print(next(line.split()[1] for line in lines if line.startswith("VmHWM:")), file=sys.stderr)
sys.exit(status)
"""


def make(place: str, count: int) -> None:
    """A Maildir with a UID list and no index."""
    store = open_store(f"maildir:{place}")
    store.open(INBOX).close()
    os.unlink(f"{place}/pillarbox-index")
    with open(f"{place}/dovecot-uidlist", "a") as listed:
        for number in range(1, count + 1):
            text = b"From: a@example.org\nSubject: %d\n\nbody\n" % number
            base = f"{1_700_000_000 + number}.V801I{number:x}M{number % 1_000_000}.host,S={len(text)},W={len(text) + 4}"
            with open(f"{place}/cur/{base}:2,{'S' * (number % 2)}", "wb") as file:
                file.write(text)
            listed.write(f"{number} :{base}\n")


def moved(*words: str) -> tuple[float, float]:
    """MB at most, and seconds."""
    began = time.monotonic()
    command = [sys.executable, "-c", _MEASURED, *words]
    done = subprocess.run(command, capture_output=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(words)}: {done.stderr.decode()}")
    return int(done.stderr.split()[-1]) * 1024 / 1e6, time.monotonic() - began


def main() -> None:
    """Run it."""
    options = argparse.ArgumentParser(prog="python -m bench.moving", description=__doc__)
    options.add_argument("--messages", type=int, default=200_000)
    options.add_argument("--directory", default="/var/tmp/moving")
    chosen = options.parse_args()
    root = chosen.directory
    if not os.path.exists(f"{root}/made"):
        shutil.rmtree(root, ignore_errors=True)
        os.makedirs(root)
        make(f"{root}/a", chosen.messages)
        os.close(os.open(f"{root}/made", os.O_CREAT | os.O_WRONLY, 0o600))
    steps = (
        ("Maildir to SQLite", ("convert", f"maildir:{root}/a", f"sqlite:{root}/b"), ""),
        ("SQLite to mbox", ("convert", f"sqlite:{root}/b", f"mbox:{root}/c"), ""),
        ("mbox to Maildir", ("convert", f"mbox:{root}/c", f"maildir:{root}/d"), "d"),
        ("SQLite to .eml", ("export", f"sqlite:{root}/b", f"{root}/e", "--format", "eml"), ""),
        (".eml to SQLite", ("import", f"sqlite:{root}/f", f"{root}/e"), "e"),
        ("Maildir tree to SQLite", ("import", f"sqlite:{root}/g", f"{root}/a"), "a"),
    )
    for title, words, done_with in steps:
        memory, seconds = moved(*words)
        print(f"{title:24} {chosen.messages} messages: {memory:6.1f} MB at most, {seconds:6.1f} s", flush=True)
        if done_with:
            shutil.rmtree(f"{root}/{done_with}")
    shutil.rmtree(root)


if __name__ == "__main__":
    main()
