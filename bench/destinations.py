"""Mail to 10,000 destinations, half of them dead: `python -m bench.destinations`; needs root, for network namespaces.

Each message goes to a destination of its own that was never heard of before.  Measured is the time from the first
delivery until the good half's mail is gone: once where there is nothing else, once among as many messages to dead
destinations of all kinds (see `bench/far_side.py`).  --slow of the good ones take some seconds for each reply; their
mail is not waited for.  Both against servers without TLS, and against such as offer STARTTLS, as nearly all do: there
the dead are a smaller part of the work.  The suite is started anew for each run; both runs alternate.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from bench.far_side import ADDRESS, DNS_PORT, LOCAL, NETWORKS
from tests.lab.instance import Instance
from tests.lab.processes import tree
from tests.load.backlog import put_in
from tests.load.sessions import private_memory

DEAD = ("refused", "black", "silent", "nodns")
NEAR = "10.0.0.1"
SEED = 20261126
LIMIT = 600.0
"""Seconds after which a run has failed."""

_NEW_NETWORK = 0x40000000  # CLONE_NEWNET


class World:
    """The far side, and the way there from this process's own network namespace."""

    def __init__(self, delay: float, certificate: str = "") -> None:
        if ctypes.CDLL(None, use_errno=True).unshare(_NEW_NETWORK):
            raise OSError(ctypes.get_errno(), "unshare: a network namespace needs root")
        self._started = threading.Event()
        gate_read, gate_write = os.pipe()
        # The namespace must be furnished before the far side binds its addresses.
        shell = f"read _ <&{gate_read}; exec {sys.executable} -m bench.far_side {delay} {certificate}"
        command = ["unshare", "-n", "sh", "-c", shell]
        self._far = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, pass_fds=(gate_read,), text=True
        )
        time.sleep(0.2)
        self._furnish()
        os.write(gate_write, b"\n")
        self._taken: dict[str, int] = {}
        threading.Thread(target=self._read, daemon=True).start()
        self._started.wait(30)

    def _furnish(self) -> None:
        def near(command: str) -> None:
            subprocess.run(["ip", *command.split()], check=True)

        def far(command: str) -> None:
            subprocess.run(["nsenter", "-t", str(self._far.pid), "-n", "ip", *command.split()], check=True)

        near("link set lo up")
        near(f"link add near type veth peer name far netns {self._far.pid}")
        near(f"addr add {NEAR}/30 dev near")
        near("link set near up")
        far("link set lo up")
        far(f"addr add {ADDRESS}/30 dev far")
        far("link set far up")
        near(f"route add 10.0.0.0/8 via {ADDRESS}")
        near(f"route add local 10.{NETWORKS['refused']}.0.0/16 dev lo")
        for kind in LOCAL:
            far(f"route add local 10.{NETWORKS[kind]}.0.0/16 dev lo")

    def _read(self) -> None:
        assert self._far.stdout is not None
        for line in self._far.stdout:
            self._taken = json.loads(line)
            self._started.set()

    def taken(self, kind: str) -> int:
        """Messages that servers of a kind have taken so far."""
        return self._taken.get(kind, 0)

    def close(self) -> None:
        """End the far side."""
        assert self._far.stdin is not None
        self._far.stdin.close()
        self._far.wait()


def recipients(good: int, slow: int, dead: int) -> list[str]:
    """One address for each destination, in an order that mixes the kinds."""
    found = [f"u@d{number}.good.test" for number in range(good)]
    found += [f"u@d{number}.slow.test" for number in range(slow)]
    found += [f"u@d{number}.{DEAD[number % len(DEAD)]}.test" for number in range(dead)]
    random.Random(SEED).shuffle(found)
    return found


@contextlib.contextmanager
def stopped(directory: Path) -> Iterator[Instance]:
    """An instance that is ready to be started."""
    settings = {"dns_resolver": f"{ADDRESS}:{DNS_PORT}"}
    mail = Instance(settings=settings, parent=directory)
    try:
        mail.init()
        mail.start()
        mail.stop()
        yield mail
    finally:
        mail.kill()
        mail.close()


def run(world: World, directory: Path, good: int, slow: int, dead: int) -> dict[str, float]:
    """The figures of one run."""
    with stopped(directory) as mail:
        put_in(mail.root / "spool", recipients(good, slow, dead))
        before = world.taken("good")
        mail.start()
        end = time.monotonic() + LIMIT
        while world.taken("good") == before:
            time.sleep(0.005)
        begin = time.monotonic()
        peak: dict[str, float] = {}
        while world.taken("good") < before + good:
            if time.monotonic() > end:
                raise AssertionError(f"{world.taken('good') - before} of {good} after {LIMIT} s\n" + _tail(mail))
            time.sleep(0.02)
        elapsed = time.monotonic() - begin
        used = cpu(mail)
        for program in ("qmgr", "smtp_client"):
            peak[f"memory of {program} (MB)"] = sum(private_memory(mail, program).values()) / 1e6
        return {"seconds": elapsed, **{f"CPU of {name} (s)": value for name, value in used.items()}, **peak}


def cpu(mail: Instance) -> dict[str, float]:
    """Seconds of processor time by program, those that used some."""
    found: dict[str, float] = {}
    for each in tree(mail.master_pid()):
        with contextlib.suppress(OSError):
            title = Path(f"/proc/{each.pid}/cmdline").read_text().rstrip("\0").partition(": ")[2]
            name = title.split(" ")[0] or "master"
            found[name] = found.get(name, 0.0) + each.own_time
    return {name: value for name, value in found.items() if value >= 0.2}


def _tail(mail: Instance) -> str:
    return "\n".join(mail.log_lines()[-20:])


def _certificate(directory: Path) -> str:
    """A file with a key and a certificate that nobody vouches for, as most mail servers have one."""
    path = directory / "far.pem"
    command = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        "-nodes",
        "-days",
        "2",
    ]
    subprocess.run([*command, "-subj", "/CN=far.test", "-keyout", path, "-out", f"{path}.crt"], check=True, stderr=-3)
    path.write_text(path.read_text() + Path(f"{path}.crt").read_text())
    return str(path)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m bench.destinations", description=__doc__)
    parser.add_argument("--destinations", type=int, default=10_000)
    parser.add_argument("--slow", type=float, default=0.02, help="share of slow destinations")
    parser.add_argument("--delay", type=float, default=3.0, help="seconds before each reply of a slow one")
    parser.add_argument("--tls-only", action="store_true", help="leave out the run against servers without TLS")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--directory", type=Path, default=Path("/var/tmp"), help="where the queue lies")
    options = parser.parse_args()
    dead = options.destinations // 2
    slow = int(options.destinations * options.slow)
    good = options.destinations - dead - slow
    with tempfile.TemporaryDirectory() as directory:
        for certificate in [""] * (not options.tls_only) + [_certificate(Path(directory))]:
            world = World(options.delay, certificate)
            times: dict[str, list[float]] = {"alone": [], "among the dead": []}
            try:
                for _ in range(options.rounds):
                    for name, beside in (("alone", 0), ("among the dead", dead)):
                        found = run(world, options.directory, good, slow, beside)
                        times[name].append(found["seconds"])
                        told = ", ".join(f"{what} {value:.1f}" for what, value in found.items())
                        print(f"{name}: {told}", flush=True)
            finally:
                world.close()
            ratio = statistics.median(times["among the dead"]) / statistics.median(times["alone"])
            how = "all that answer offer STARTTLS" if certificate else "nobody offers TLS"
            print(f"{good} good, {slow} slow, {dead} dead, {how}: {ratio:.2f} times the time without the dead")


if __name__ == "__main__":
    main()
