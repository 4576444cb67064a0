"""What many idle sessions need: 5,000 connections of 500 hosted users, each with its INBOX selected, in IDLE."""

from __future__ import annotations

import resource
import time
from pathlib import Path

from bench.mail_access.client import Connection, session
from bench.mail_access.corpus import Corpus, fill
from bench.mail_access.servers import DOMAIN, PASSWORD, Server, ours

USERS, SESSIONS = 500, 5000
LIMIT_MB = 400
_MESSAGES = 10
_SETTLE = 3.0


def measure(parent: Path, users: int = USERS, sessions: int = SESSIONS) -> str:
    """The line of the report."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = min(hard, 2 * sessions + 500)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))
    names = [f"u{number}" for number in range(users)]
    with ours({f"{name}@{DOMAIN}": PASSWORD for name in names}, parent) as instance:
        server = Server("Pillarbox", instance)
        domain = instance.root / "mail"
        found = domain.stat()
        for name in names:
            fill(server.box(name), Corpus().small(_MESSAGES), (found.st_uid, found.st_gid))
        before = server.memory()
        connections: list[Connection] = []
        try:
            for number in range(sessions):
                connection = session(server.account(names[number % users]), b"SELECT INBOX")
                connection.socket.sendall(b"i IDLE\r\n")
                connections.append(connection)
            time.sleep(_SETTLE)
            after = server.memory()
            failed = ""
        except (AssertionError, OSError) as error:
            after = server.memory()
            failed = f"  FAILED at {len(connections)} sessions: {error}"
        for connection in connections:
            connection.close()
    each = (after - before) / max(1, len(connections)) / 1000
    met = "met" if after < LIMIT_MB * 1e6 and not failed else "NOT MET"
    return (
        f"{len(connections)} idle sessions of {users} users: {after / 1e6:.0f} MB for the whole suite "
        f"({before / 1e6:.0f} MB without them, {each:.1f} kB each); target {LIMIT_MB} MB: {met}{failed}"
    )
