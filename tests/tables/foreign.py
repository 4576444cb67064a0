"""The postmap of Debian's Postfix."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from tests.peers import peer

Postmap = Callable[..., tuple[int, str]]
"""Arguments, and `text` for standard input -> status and output, what it says on standard error behind it."""

_MAPS = """\
cdb\tpostfix-cdb.so\tdict_cdb_open\tmkmap_cdb_open
lmdb\tpostfix-lmdb.so\tdict_lmdb_open\tmkmap_lmdb_open
pcre\tpostfix-pcre.so\tdict_pcre_open
sqlite\tpostfix-sqlite.so\tdict_sqlite_open
"""


def settle(path: Path) -> None:
    """Make a file look old: Postfix waits two seconds before it reads one that has just been written."""
    os.utime(path, (1, 1))


def foreign_postmap(config: Path) -> Postmap:
    """Runs it with a configuration of its own in this directory."""
    postfix = peer("postfix-tables")
    (config / "main.cf").write_text(
        f"shlib_directory = {postfix.root}/usr/lib/postfix\nmeta_directory = {config}\nmail_owner = uucp\n"
        "setgid_group = tape\ncompatibility_level = 3.6\n"
    )
    (config / "dynamicmaps.cf").write_text(_MAPS)

    settle(config / "main.cf")

    def run(*arguments: str, text: str = "") -> tuple[int, str]:
        done = postfix.run(["postmap", "-c", str(config), *arguments], input=text)
        return done.returncode, done.stdout if not done.stderr else done.stdout + done.stderr

    return run
