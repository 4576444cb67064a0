"""The two suites behind one face: start, stop, where mail goes in, how much came out, what it costs.

Both host the same mailbox (a Maildir), find the other domain through MX records in the private DNS server, log to a
file, sync a message to disk before they accept it, and lie on the same file system. Neither is tuned.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Protocol

from tests.lab.dns import DnsServer
from tests.lab.instance import Instance
from tests.peers.postfix import Postfix

HOSTNAME = "mx.bench.test"
MAILBOX = "box@bench.test"


class Contender(Protocol):
    """A mail system under measurement."""

    name: str

    @property
    def target(self) -> tuple[str, int]:
        """Address and port of SMTP."""

    def start(self) -> None:
        """Start it, as its administrator would. Raises AssertionError."""

    def stop(self) -> None:
        """Stop it."""

    def remove(self) -> None:
        """Stop it and delete what it stored."""

    @property
    def pid(self) -> int:
        """Its master process."""

    @property
    def maildir(self) -> Path:
        """Where the hosted mailbox lies."""

    def waiting(self) -> int:
        """How many messages are in its queue."""

    def sendmail(self, sender: str, recipient: str) -> tuple[list[str], dict[str, str]]:
        """Command and environment of its `sendmail`."""

    def log_tail(self) -> list[str]:
        """The end of its log, for reports of failure."""


class PostfixContender:
    """Debian's Postfix with its own defaults."""

    name = "Postfix"

    def __init__(self, dns: DnsServer, directory: Path) -> None:
        self._server = Postfix(
            hostname=HOSTNAME,
            mailboxes=[MAILBOX],
            dns=dns,
            parent=directory,
            # The times of a production system, not those of the tests.
            parameters={"minimal_backoff_time": "300s", "maximal_backoff_time": "4000s", "queue_run_delay": "300s"},
        )

    @property
    def target(self) -> tuple[str, int]:
        return self._server.address, self._server.port

    def start(self) -> None:
        self._server.start()

    def stop(self) -> None:
        self._server.stop()

    def remove(self) -> None:
        self._server.stop()
        self._server.remove()

    @property
    def pid(self) -> int:
        assert self._server.process is not None
        return self._server.process.pid

    @property
    def maildir(self) -> Path:
        return self._server.maildir(MAILBOX)

    def waiting(self) -> int:
        return len(self._server.queue_ids())

    def sendmail(self, sender: str, recipient: str) -> tuple[list[str], dict[str, str]]:
        return self._server.sendmail_command("-f", sender, recipient)

    def log_tail(self) -> list[str]:
        return self._server.log_lines()[-20:]

    def version(self) -> str:
        """Its version."""
        return self._server.run(["postconf", "-h", "mail_version"]).stdout.strip()


class PillarboxContender:
    """This suite as `pillarbox init` sets it up."""

    name = "Pillarbox"

    def __init__(self, dns: DnsServer, directory: Path) -> None:
        self._instance = Instance(
            hostname=HOSTNAME,
            domains=[MAILBOX.partition("@")[2]],
            users={MAILBOX: "benchmark"},
            settings={"dns_resolver": dns.resolver},
            parent=directory,
        )
        try:
            self._instance.init()
        except BaseException:
            self._instance.close()
            raise

    @property
    def target(self) -> tuple[str, int]:
        return self._instance.address, self._instance.port("smtp")

    def start(self) -> None:
        self._instance.start()

    def stop(self) -> None:
        self._instance.stop()

    def remove(self) -> None:
        self._instance.close()

    @property
    def pid(self) -> int:
        return self._instance.master_pid()

    @property
    def maildir(self) -> Path:
        return self._instance.maildir(MAILBOX)

    def waiting(self) -> int:
        return len(self._instance.queue_ids())

    def sendmail(self, sender: str, recipient: str) -> tuple[list[str], dict[str, str]]:
        arguments = ["-f", sender, recipient]
        # What a user runs is the installed command, where there is one beside the interpreter.
        installed = Path(sys.executable).with_name("sendmail")
        if installed.exists():
            return [str(installed), *arguments], self._instance.environment()
        return self._instance.command(["sendmail", *arguments]), self._instance.environment()

    def log_tail(self) -> list[str]:
        return self._instance.log_lines()[-20:]

    def version(self) -> str:
        """Its version: the commit, where there is one."""
        done = subprocess.run(
            ["git", "describe", "--always", "--dirty"],
            cwd=os.path.dirname(__file__),
            capture_output=True,
            text=True,
        )
        return done.stdout.strip() or "working tree"
