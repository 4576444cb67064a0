"""A running Pillarbox instance in a directory of its own, used through its public commands only.

    with Instance(hostname="mx.example.org", domains=["example.org"], users={"bob@example.org": "secret"}) as mail:
        smtplib.SMTP(mail.address, mail.port("smtp"))
        mail.wait_for(lambda: mail.mailbox("bob@example.org"))

By default it sits on 127.0.0.1 with a free base port, which works for any user. With `port_base=0` and an `address` it
has the standard ports of that loopback address (needs root), so that other servers find it through MX records.

With a `VirtualClock` its programs live by that clock, and `run_until` lets days of retries pass in seconds:

    with VirtualClock() as clock, Instance(clock=clock, settings={"dns_resolver": dns.resolver}) as mail:
        ...  # hand in a message to a host that is down
        mail.run_until(lambda: mail.log_matching("status=expired"), horizon="6d")
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from pillarbox.lib.ipc import encode_frame
from tests.lab.clock import VirtualClock, seconds
from tests.lab.ports import LOOPBACK, SERVICE_PORTS, base_port, give_back
from tests.lab.prepared import PREPARED
from tests.lab.processes import alive, children, end_tree, in_a_test, title, tree

_REPOSITORY = Path(__file__).resolve().parents[2]

_COMMAND_TIMEOUT = 120  # seconds; a command that hangs is a failure, not a reason to wait for ever
_LOG_TAIL = 80  # lines that a failed wait shows
_LOG_SHOWN = 400  # lines that the end of a test prints

_RELOADED = "reload -- configuration"
_PARTING = 1.0  # seconds; who is not gone then has sessions, or messages
_WAKE_TIMEOUT = 10  # seconds for the queue manager's answer
_LAST_WORDS = 10  # seconds for what is written when the last message has left the queue
_PAUSE, _LONGEST_PAUSE = 0.02, 0.5  # seconds between two looks at what is waited for
_TICK = 0.001  # seconds; a jump ends just behind the moment it aims at

_MAILQ = "import sys; from pillarbox.commands.postqueue import mailq; sys.exit(mailq())"

# What a setting is over when the file is edited: its line, and the indented or list lines that continue it.
_SETTING = r"(?m)^{name}[ \t]*:.*\n?(?:[ \t]+\S.*\n?|-[ \t].*\n?)*"


def _module(command: str) -> str:
    return f"pillarbox.commands.{command.replace('-', '_')}"


class Instance:
    """One instance; a context manager that makes, starts, stops and deletes it, or these steps one by one."""

    def __init__(
        self,
        *,
        hostname: str = "mx.example.org",
        domains: Iterable[str] = ("example.org",),
        users: Mapping[str, str] | None = None,
        settings: Mapping[str, object] | None = None,
        address: str = LOOPBACK,
        port_base: int | None = None,
        parent: Path | None = None,
        run_as: int | None = None,
        clock: VirtualClock | None = None,
        plain: bool = False,
    ) -> None:
        """Prepare it; nothing is made yet.

        `users` maps addresses to passwords; `settings` go into main.yaml; `parent` is where the directory is made;
        `run_as` is the uid under which all commands run (another than one's own needs root); `clock` is the time that
        all programs and commands get; `plain` starts an interpreter for each command, as a shell does, where else one
        that is prepared is used (tests.lab.prepared): for tests of what processes cost or hold.  Outside of tests
        every instance is plain.
        """
        self.hostname, self.domains, self.users = hostname, tuple(domains), dict(users or {})
        self.settings = dict(settings or {})
        self.address = address
        self.base_port = base_port(address) if port_base is None else port_base
        # Not below a test's own temporary directory: that is closed to the users that the programs run as.
        self.directory = Path(tempfile.mkdtemp(prefix="pillarbox-", dir=parent))
        self.directory.chmod(0o755)
        self.root = self.directory / "instance"
        self.run_as = run_as
        if run_as is not None:
            os.chown(self.directory, run_as, run_as)
        self._master: int | None = None
        self._plain = plain
        self.clock = clock
        if clock is not None:
            clock.on_advance.append(self.wake)

    # Life

    def __enter__(self) -> Self:
        try:
            self.init()
            self.start()
        except BaseException:
            self.show_log()
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None or in_a_test():
            self.show_log()
        self.close()

    def init(self) -> None:
        """Make the instance: `pillarbox init`, then the settings."""
        arguments = ["init", str(self.root), "--hostname", self.hostname]
        if self.base_port:
            arguments += ["--base-port", str(self.base_port)]
        for domain in self.domains:
            arguments += ["--domain", domain]
        for user, password in self.users.items():
            arguments += ["--user", f"{user}:{password}"]
        self.run(["pillarbox", *arguments], configured=False, check=True)
        if not self.base_port or self.address != LOOPBACK:
            self.set("inet_interfaces", self.address)
        for name, value in self.settings.items():
            self.set(name, value)

    def start(self) -> None:
        """`pillarbox start`: returns when every service accepts connections. Raises AssertionError."""
        self.run(["pillarbox", "start"], check=True)
        self._master = self.master_pid()

    def stop(self) -> None:
        """`pillarbox stop`; does nothing when it does not run."""
        if self._master is not None:
            self.run(["pillarbox", "stop"], check=True)
            self._master = None

    def reload(self) -> None:
        """`pillarbox reload`; returns when it has happened, and the old processes that have nothing to do are gone."""
        old = children(self.master_pid())
        before = len(self.log_matching(_RELOADED))
        self.run(["pillarbox", "reload"], check=True)
        if (self.root / "log" / "mail.log").exists():  # not where the log goes elsewhere, or was moved away
            self.wait_for(lambda: len(self.log_matching(_RELOADED)) > before)
        end = time.monotonic() + _PARTING
        while any(alive(pid) and not title(pid).endswith("(retired)") for pid in old) and time.monotonic() < end:
            time.sleep(_PAUSE)

    def kill(self) -> None:
        """End it as a power failure would: SIGKILL to master and all its processes."""
        if self._master is not None:
            end_tree(self._master)
            self._master = None

    def close(self) -> None:
        """Stop it, with force if need be, and delete its directory."""
        master = self._running_master()
        members = {each.pid for root in (master, self._master) if root is not None for each in tree(root)}
        if master is not None:
            os.kill(master, signal.SIGTERM)  # what `pillarbox stop` does, without the start of an interpreter
            end = time.monotonic() + _COMMAND_TIMEOUT
            while any(map(alive, members)) and time.monotonic() < end:
                time.sleep(0.01)
        for pid in filter(alive, members):
            print(f"process {pid} was left after the stop and is killed", file=sys.stderr)
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._master = None
        if self.clock is not None and self.wake in self.clock.on_advance:
            self.clock.on_advance.remove(self.wake)
        give_back(self.base_port)
        shutil.rmtree(self.directory, ignore_errors=True)

    # Settings

    def set(self, parameter: str, value: object) -> None:
        """Write a parameter into main.yaml in place of an earlier value (takes effect with a start or `reload()`)."""
        path = self.root / "etc" / "main.yaml"
        text = re.sub(_SETTING.format(name=re.escape(parameter)), "", path.read_text())
        if text and not text.endswith("\n"):
            text += "\n"
        # JSON is YAML, and needs no thought about quoting.
        path.write_text(f"{text}{parameter}: {json.dumps(value)}\n")

    @property
    def config(self) -> Path:
        """The configuration directory, for `-c` and MAIL_CONFIG."""
        return self.root / "etc"

    def port(self, service: str) -> int:
        """The port of "smtp", "submission", "submissions", "lmtp", "imap", "imaps", "pop3", "pop3s", ..."""
        return self.base_port + SERVICE_PORTS[service]

    # Commands

    def command(self, arguments: Sequence[str]) -> list[str]:
        """The command line of one of our commands, e.g. `["mailq"]`, independent of what is on PATH."""
        if arguments[0] == "mailq":  # the one command that shares a module with another
            return [sys.executable, "-P", "-c", _MAILQ, *arguments[1:]]
        return [sys.executable, "-P", "-m", _module(arguments[0]), *arguments[1:]]

    def environment(self, configured: bool = True) -> dict[str, str]:
        """The environment in which our commands find their code and this instance."""
        environment = {**os.environ, "PYTHONPATH": str(_REPOSITORY / "src")}
        if self.clock is not None:
            ours = self.clock.environment()
            environment |= ours | {"PYTHONPATH": f"{ours['PYTHONPATH']}{os.pathsep}{environment['PYTHONPATH']}"}
        environment.pop("MAIL_CONFIG", None)
        environment.pop("PYTHONDONTWRITEBYTECODE", None)  # else each start compiles anew what has changed
        if configured:
            environment["MAIL_CONFIG"] = str(self.config)
        return environment

    def run(
        self,
        arguments: Sequence[str],
        *,
        input: str | bytes = b"",
        check: bool = False,
        configured: bool = True,
        user: int | None = None,
    ) -> subprocess.CompletedProcess[str]:
        """Run a command against this instance: `run(["mailq"])`, `run(["pillarbox", "flush"], check=True)`.

        `user` is the uid to run it as, if not the instance's own (needs root). With `check`, a status other than 0
        raises AssertionError.
        """
        user = self.run_as if user is None else user
        # Output goes to a file: a daemon that keeps a pipe open would make the command seem never to end.
        with tempfile.TemporaryFile() as given, tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
            given.write(input.encode() if isinstance(input, str) else input)
            given.seek(0)
            command, environment = self.command(arguments), self.environment(configured)
            if self._is_ordinary(arguments, user):
                status = PREPARED.run(
                    _module(arguments[0]),
                    arguments[1:],
                    (given, out, err),
                    environment,
                    self.directory,
                    _COMMAND_TIMEOUT,
                )
            else:
                status = subprocess.run(
                    command,
                    stdin=given,
                    stdout=out,
                    stderr=err,
                    env=environment,
                    cwd=self.directory,
                    timeout=_COMMAND_TIMEOUT,
                    user=user,
                    group=user,
                    extra_groups=None if user is None else [],
                ).returncode
            texts = []
            for file in (out, err):
                file.seek(0)
                texts.append(file.read().decode("utf-8", "replace"))
        result = subprocess.CompletedProcess(command, status, *texts)
        if check and status != 0:
            raise AssertionError(
                f"{' '.join(arguments)} ended with status {status}\n{texts[0]}{texts[1]}\n"
                + "\n".join(self.log_lines()[-_LOG_TAIL:])
            )
        return result

    def _is_ordinary(self, arguments: Sequence[str], user: int | None) -> bool:
        """Whether a command can run in the prepared interpreter."""
        ours = type(self).command is Instance.command and type(self).environment is Instance.environment
        measured = self._plain or not in_a_test()
        other = not ours or measured or self.clock is not None or user is not None or arguments[0] == "mailq"
        return not other and PREPARED.fits()

    # What it holds

    def master_pid(self) -> int:
        """The process id of master. Raises OSError or ValueError when there is none."""
        return int((self.root / "run" / "master.pid").read_text())

    def _running_master(self) -> int | None:
        """The process that holds the lock on the pid file, whoever has started it."""
        with contextlib.suppress(FileNotFoundError), (self.root / "run" / "master.pid").open() as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return int(file.read())
        return None

    def log_lines(self) -> list[str]:
        """The log so far."""
        path = self.root / "log" / "mail.log"
        return path.read_text(errors="replace").splitlines() if path.exists() else []

    def log_matching(self, pattern: str) -> list[str]:
        """The lines of the log that `pattern` (a regular expression) occurs in."""
        return [line for line in self.log_lines() if re.search(pattern, line)]

    def show_log(self) -> None:
        """Print the end of the log, for the report of a failed test."""
        print(f"--- log of {self.hostname} ---\n" + "\n".join(self.log_lines()[-_LOG_SHOWN:]), file=sys.stderr)

    def maildir(self, address: str) -> Path:
        """The Maildir of a hosted address."""
        local, _, domain = address.rpartition("@")
        return self.root / "mail" / domain / local

    def mailbox(self, address: str) -> list[bytes]:
        """The messages in the INBOX of a hosted address, oldest first, as stored."""
        found = [path for place in ("new", "cur") for path in (self.maildir(address) / place).glob("*")]
        return [path.read_bytes() for path in sorted(found, key=lambda path: path.stat().st_mtime_ns)]

    def queue_ids(self) -> list[str]:
        """The messages that it still has, in whatever state (a name with a dot in front is no message yet)."""
        return [
            path.name
            for state in ("incoming", "active", "deferred", "hold", "maildrop")
            for path in (self.root / "spool" / state).rglob("*")
            if not path.name.startswith(".") and path.is_file()
        ]

    def held_ids(self) -> set[str]:
        """Those that are on hold."""
        return {path.name for path in (self.root / "spool" / "hold").rglob("*") if path.is_file()}

    def connect(self, service: str) -> socket.socket:
        """A TCP connection to a service."""
        return socket.create_connection((self.address, self.port(service)), timeout=30)

    def wait_for(self, condition: Callable[[], object], timeout: float = 30) -> None:
        """Return when `condition()` is true; AssertionError with the log when it does not become so.

        Asking takes no more than a fifth of the time: what is waited for needs the processor too.
        """
        end = time.monotonic() + timeout
        while True:
            asked = time.monotonic()
            if condition():
                return
            now = time.monotonic()
            if now > end:
                raise AssertionError(f"not so after {timeout} s; the log:\n" + "\n".join(self.log_lines()[-_LOG_TAIL:]))
            time.sleep(min(max(_PAUSE, 4 * (now - asked)), _LONGEST_PAUSE))

    # Time

    def wake(self) -> None:
        """Let the queue manager look at the clock and its directories now; where none runs nothing happens."""
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as control:
            control.settimeout(_WAKE_TIMEOUT)
            control.connect(str(self.root / "spool" / "public" / "qmgr"))
            control.sendall(encode_frame({"do": "changed", "ids": []}))
            control.recv(1024)

    def run_until(self, condition: Callable[[], object], horizon: float | str = "6d", patience: float = 60) -> None:
        """Let time pass, from one due message to the next, until `condition()` is true.

        It is asked when the instance is at rest: nothing is in maildrop/, incoming/ or active/.  AssertionError where
        it is not true after `horizon` of virtual time, where no message waits any more, or where the instance comes to
        no rest, or takes no due message up, for `patience` seconds of real time.
        """
        assert self.clock is not None, "run_until needs Instance(clock=VirtualClock())"
        end = self.clock.time() + seconds(horizon)
        while True:
            self.wait_for(self._at_rest, patience)
            if condition():
                return
            due = self._due_times()
            if not due:
                # What ends a message also writes: a notification is on its way, or the log.
                self.wait_for(lambda: condition() or self._due_times() or not self._at_rest(), _LAST_WORDS)
                continue
            first = min(due.values())
            if first > end:
                raise AssertionError(f"not so within {horizon}; the log:\n" + "\n".join(self.log_lines()[-_LOG_TAIL:]))
            if (ahead := first - self.clock.time()) > 0:
                self.clock.advance(ahead + _TICK)
            else:
                self.wake()
            taken = {name for name, when in due.items() if when <= self.clock.time()}
            self.wait_for(lambda due=due, taken=taken: self._moved(due, taken), patience)

    def _at_rest(self) -> bool:
        return not any(
            not name.startswith(".")
            for state in ("maildrop", "incoming", "active")
            for name in os.listdir(self.root / "spool" / state)
        )

    def _due_times(self) -> dict[str, float]:
        """When each deferred message is due, as the modification times say."""
        found = {}
        for path in (self.root / "spool" / "deferred").iterdir():
            with contextlib.suppress(FileNotFoundError):
                found[path.name] = path.stat().st_mtime
        return found

    def _moved(self, before: Mapping[str, float], taken: Iterable[str]) -> bool:
        now = self._due_times()
        return all(now.get(name) != before[name] for name in taken)
