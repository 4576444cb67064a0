"""What commands that run at every start and stop do not import: an event loop, a database, a client of a service."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.lab.instance import Instance

DEAR = {"asyncio", "ssl", "sqlite3", "cryptography", "uvloop", "logging", "platform", "dns", "subprocess"}
"""Modules that take more milliseconds than the command itself."""

TELL = """
import sys
from pillarbox.commands.pillarbox import main
main(sys.argv[1:])
print(" ".join(sorted({name.partition(".")[0] for name in sys.modules})))
"""


@pytest.mark.parametrize("verb", ["status", "stop"])
def test_they_import_nothing_dear(verb: str) -> None:
    mail = Instance()
    try:
        mail.init()
        done = subprocess.run(
            [sys.executable, "-P", "-c", TELL, "-c", str(mail.config), verb], capture_output=True, text=True, check=True
        )
    finally:
        mail.close()
    imported = set(done.stdout.splitlines()[-1].split())
    assert "yaml" in imported, "it has read the configuration"
    assert imported & DEAR == set()
