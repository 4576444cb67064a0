"""A supervisor over trial programs: services whose code is a function of the test, not a folder of the suite."""

from __future__ import annotations

import contextlib
import gc
import hashlib
import importlib
import os
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from pillarbox.lib.config import Config, Service
from pillarbox.lib.config.values import all_parameters
from pillarbox.lib.ipc import AsyncChannel, Channel, ChannelClosed
from pillarbox.lib.log import log
from pillarbox.lib.log.logger import file_destination
from pillarbox.lib.process import Program, Worker, serve_channels
from pillarbox.lib.queue import Queue
from pillarbox.lib.tables import LookupFailed, Maps
from pillarbox.lib.tables.kept import open_kept
from pillarbox.lib.tls import ServerRole
from pillarbox.lib.tls.tickets import TicketKeys
from pillarbox.master import programs, supervisor
from pillarbox.master.supervisor import StartFailed, Supervisor

PATIENCE = 20.0

all_parameters()


async def answers(channel: AsyncChannel) -> None:
    """Tell who we are; `hang`, `die` and `leave` as the words say."""
    while True:
        frame = await channel.receive()
        verb = frame.text("do", "")
        if verb == "hang":
            time.sleep(600)
        elif verb == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        elif verb == "leave":
            os._exit(0)
        await channel.send({"ok": True, "pid": os.getpid()})


def serve(worker: Worker) -> None:
    serve_channels(worker, answers)


def serve_tls(worker: Worker) -> None:
    """As `serve`, and tells the digests of the ticket keys that can be found in the process."""

    def digest(keys: TicketKeys) -> str:
        return hashlib.sha256(keys.current).hexdigest() if any(keys.current) else ""

    async def handle(channel: AsyncChannel) -> None:
        while True:
            await channel.receive()
            gc.unfreeze()
            every = [each for each in gc.get_objects() if isinstance(each, TicketKeys)]
            found = {digest(each) for each in every if each.service in worker.config.services}
            own = digest(worker.tickets) if worker.tickets is not None else ""
            await channel.send({"ok": True, "pid": os.getpid(), "own": own, "found": " ".join(sorted(found - {""}))})

    serve_channels(worker, handle)


def cannot(worker: Worker) -> None:
    raise RuntimeError("no such key file")


def dies_at_once(worker: Worker) -> None:
    os._exit(7)


def secret_tables(config: Config) -> dict[str, tuple[str, ...]]:
    """The table of a "secretive" program; any parameter with a text will do to name it."""
    named = config.expanded("myorigin")
    assert isinstance(named, str)
    return {"secrets": (named,)}


class Secretive:
    """Reads its tables in `prepare`; tells what it has read, and the process that did."""

    def __init__(self) -> None:
        self._maps = Maps("", ())

    def prepare(self, worker: Worker) -> None:
        ((title, specs),) = secret_tables(worker.config).items()
        self._maps = open_kept(title, specs)
        self._maps.preload()

    def run(self, worker: Worker) -> None:
        async def handle(channel: AsyncChannel) -> None:
            channel.on_drain = lambda: None
            while True:
                await channel.receive()
                try:
                    found = self._maps.find("host") or ""
                except LookupFailed as error:
                    found = str(error)
                await channel.send({"ok": True, "pid": os.getpid(), "found": found})

        serve_channels(worker, handle)


_secretive = Secretive()

PROGRAMS: dict[str, Program] = {
    "secretive": Program("secretive", _secretive.run, owner="", prepare=_secretive.prepare, tables=secret_tables),
    "serve": Program("serve", serve, owner=""),
    "tls": Program("tls", serve_tls, owner="", tls=lambda _config: ServerRole(), retires=True),
    "patient": Program("patient", serve, owner="", retires=True),
    "cannot": Program("cannot", cannot, owner=""),
    "dies": Program("dies", dies_at_once, owner=""),
    "prepares": Program("prepares", serve, owner="", prepare=cannot),
}


class Suite:
    """A supervisor in a process of its own, seen from outside."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.spool = root / "spool"
        Queue(str(self.spool)).create()
        self.logfile = root / "log"
        self.plan = root / "plan"
        self.pid = 0
        self.code: int | None = None
        self.values: dict[str, str] = {}
        self._services: dict[str, Service] = {}

    def config(self) -> Config:
        """The plan in force: read anew at each reload."""
        space: dict[str, object] = {}
        exec(self.plan.read_text(), {"Service": Service}, space)
        values, services = space["values"], space["services"]
        assert isinstance(values, dict) and isinstance(services, list)
        return Config(
            {"queue_directory": str(self.spool), "mail_owner": str(os.getuid()), **values},
            {one.name: one for one in services},
        )

    def set(self, *services: Service, **values: str) -> None:
        """Write the plan."""
        self.plan.write_text(f"values = {values!r}\nservices = {list(services)!r}\n")

    def start(self, notify: str = "") -> str:
        """Fork the supervisor; "ok" or the reason why it did not start."""
        ours, theirs = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            os.close(ours)
            if notify:
                os.environ["NOTIFY_SOCKET"] = notify
            code = 70
            try:
                descriptor = os.open(self.logfile, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
                log.configure("trial/master", file_destination(descriptor))
                programs.load_program = PROGRAMS.__getitem__
                supervisor.TURN = 0.05
                master = Supervisor(self.config(), self.config, own_descriptors=[theirs])
                try:
                    master.start()
                except StartFailed as error:
                    os.write(theirs, str(error).encode())
                    os._exit(69)
                os.write(theirs, b"ok")
                os.close(theirs)
                master.own_descriptors = []
                master.run()
                code = 0
            finally:
                os._exit(code)
        os.close(theirs)
        answer = b""
        while piece := os.read(ours, 4096):
            answer += piece
        os.close(ours)
        return answer.decode()

    # --- what can be seen
    @property
    def lines(self) -> list[str]:
        return [line.partition("]: ")[2] for line in self.logfile.read_text().splitlines()]

    def logged(self, text: str) -> bool:
        return any(text in line for line in self.lines)

    def children(self, name: str = "") -> set[int]:
        """The workers of a service, by what ps shows."""
        found = set()
        place = Path(f"/proc/{self.pid}/task/{self.pid}/children")
        children = ""
        while children != (children := place.read_text()):
            pass  # proc(5): where one ends meanwhile, another may be left out
        for pid in children.split():
            with contextlib.suppress(OSError):
                title = Path(f"/proc/{pid}/cmdline").read_bytes().decode()
                if not name or f"[{name}]" in title:
                    found.add(int(pid))
        return found

    @staticmethod
    def cpu_seconds(pid: int) -> float:
        """What a process itself has used, without its children."""
        used = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13]
        return sum(map(int, used)) / os.sysconf("SC_CLK_TCK")

    def until(self, condition: Callable[[], object]) -> None:
        deadline = time.monotonic() + PATIENCE
        while not condition():
            assert time.monotonic() < deadline, f"it did not come to pass; log: {self.lines}"
            time.sleep(0.005)

    def connect(self, name: str, folder: str = "private") -> Channel:
        return Channel.connect(str(self.spool / folder / name), PATIENCE)

    def ask(self, name: str) -> int:
        """The process id of the worker that answers."""
        channel = self.connect(name)
        try:
            return channel.call({"do": "pid"}).integer("pid")
        finally:
            channel.close()

    def tell(self, name: str, verb: str) -> None:
        """Say something that is not answered."""
        channel = self.connect(name)
        try:
            channel.call({"do": verb})
        except ChannelClosed:
            pass
        finally:
            channel.close()

    # --- what is done to it
    def signal(self, number: int) -> None:
        os.kill(self.pid, number)

    def reload(self) -> None:
        before = sum(line.startswith(("reload -- ", "error: reload refused")) for line in self.lines)
        self.signal(signal.SIGHUP)
        self.until(
            lambda: sum(line.startswith(("reload -- ", "error: reload refused")) for line in self.lines) > before
        )

    def end(self) -> int:
        """Wait for its end; the exit status."""
        deadline = time.monotonic() + PATIENCE
        while self.code is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.code = os.waitstatus_to_exitcode(status)
                break
            if time.monotonic() > deadline:
                workers = self.children()
                os.kill(self.pid, signal.SIGKILL)
                os.waitpid(self.pid, 0)
                self.code = -9
                for worker in workers:
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(worker, signal.SIGKILL)
                raise AssertionError(f"the supervisor does not end; log: {self.lines}")
            time.sleep(0.005)
        return self.code

    def stop(self) -> int:
        if self.code is None:
            with contextlib.suppress(ProcessLookupError):
                self.signal(signal.SIGTERM)
        return self.end()


def service(name: str, command: str = "serve", **more: object) -> Service:
    """A service with a name that ps shows in brackets."""
    return replace(Service(name, command), **more)  # type: ignore[arg-type]


@pytest.fixture
def suite() -> Iterator[Suite]:
    """Not under tmp_path: the path of a UNIX socket has at most 107 bytes."""
    assert importlib.import_module("pillarbox.master.supervisor")
    with tempfile.TemporaryDirectory() as root:
        made = Suite(Path(root))
        yield made
        if made.pid:
            made.stop()
