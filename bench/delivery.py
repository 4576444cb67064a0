"""The last metre: `python -m bench.delivery` delivers a queue to 100 mailboxes, beside Postfix in the same run.

    virtual   --messages messages of 4 kB to 100 hosted Maildirs
    local     the same to 100 system users, each with a uid and a Maildir of their own (--mbox: a file in the spool)

The messages are accepted on hold and then put into incoming/, as a queue manager finds them after a restart.  Measured
is from the first delivery in the log until it has one for each message, and the processor time that the suite, and
each of its programs, used meanwhile.  The two suites take turns.  Needs root.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import os
import shutil
import statistics
import subprocess
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from bench.load import send
from tests.lab.instance import Instance
from tests.lab.ports import loopback_address
from tests.lab.processes import title, tree
from tests.peers.postfix import Postfix

BOXES = 100
FIRST_UID = 61300
"""In the range that Debian leaves to nobody."""
HOSTED, SYSTEM = "hosted.test", "system.test"
SENDERS = 10
LIMIT = 600.0
"""Seconds after which a run has failed."""

_NEW_MOUNTS = 0x20000  # CLONE_NEWNS


def system_users(homes: Path) -> None:
    """Give this process and its children 100 more users; their homes lie in `homes`."""
    if ctypes.CDLL(None, use_errno=True).unshare(_NEW_MOUNTS):
        raise OSError(ctypes.get_errno(), "unshare: a mount namespace needs root")
    subprocess.run(["mount", "--make-rprivate", "/"], check=True)
    accounts = homes / "passwd"
    lines = Path("/etc/passwd").read_text()
    for number in range(BOXES):
        home, uid = homes / f"u{number}", FIRST_UID + number
        home.mkdir(mode=0o700)
        os.chown(home, uid, uid)
        lines += f"u{number}:x:{uid}:{uid}::{home}:/bin/sh\n"
    accounts.write_text(lines)
    homes.chmod(0o755)
    subprocess.run(["mount", "--bind", str(accounts), "/etc/passwd"], check=True)


class Contender:
    """One suite under measurement."""

    def __init__(self, name: str, server: Instance | Postfix) -> None:
        self.name = name
        self._server = server
        self._read = 0

    @property
    def target(self) -> tuple[str, int]:
        """Where it takes mail."""
        port = self._server.port
        return self._server.address, port if isinstance(port, int) else port("smtp")

    def release(self) -> None:
        """Let the held messages go."""
        queue = self._server.root / "spool" if isinstance(self._server, Instance) else self._server.queue
        for name in os.listdir(queue / "hold"):
            os.rename(queue / "hold" / name, queue / "incoming" / name)
        done = self._server.run(["postqueue", "-f"])
        if done.returncode:
            raise AssertionError(f"{self.name}: postqueue: {done.stdout}{done.stderr}")

    def processes(self) -> dict[int, tuple[str, float]]:
        """Its processes: what they are, and the processor time they and their ended children have used."""
        if isinstance(self._server, Instance):
            root = self._server.master_pid()
        else:
            assert self._server.process is not None
            root = self._server.process.pid
        found = {}
        for each in tree(root):
            with contextlib.suppress(OSError):
                words = title(each.pid).rpartition("pillarbox: ")[2].split(" ")
                name = words[0] if isinstance(self._server, Instance) else each.name
                found[each.pid] = (name or each.name, each.own_time + each.children_time)
        return found

    def sent(self) -> int:
        """Deliveries that the log has more than when it was asked last."""
        log = (
            self._server.root / "log" / "mail.log"
            if isinstance(self._server, Instance)
            else self._server.directory / "mail.log"
        )
        with open(log, "rb") as file:
            file.seek(self._read)
            data = file.read()
        whole = data[: data.rfind(b"\n") + 1]
        self._read += len(whole)
        return whole.count(b"status=sent")


@contextlib.contextmanager
def contenders(directory: Path, homes: Path, mbox: bool) -> Iterator[tuple[Contender, ...]]:
    """Both, started."""
    spool = homes / "spool"
    common: dict[str, str] = {
        "smtpd_client_restrictions": "check_client_access static:HOLD",
        "mydestination": SYSTEM,
        "local_recipient_maps": "",
        "alias_maps": "",
        **({"mail_spool_directory": str(spool)} if mbox else {"home_mailbox": "Maildir/"}),
    }
    if mbox:
        spool.mkdir()
        spool.chmod(0o1777)
    boxes = [f"u{number}@{HOSTED}" for number in range(BOXES)]
    ours = Instance(
        hostname="mx.bench.test",
        domains=[HOSTED],
        users=dict.fromkeys(boxes, "benchmark"),
        settings=common,
        address=loopback_address(),
        port_base=0,
        parent=directory,
    )
    theirs = Postfix(hostname="mx.bench.test", mailboxes=boxes, parameters=common, parent=directory)
    try:
        ours.init()
        ours.start()
        theirs.start()
        yield Contender("Pillarbox", ours), Contender("Postfix", theirs)
    finally:
        theirs.stop()
        theirs.remove()
        ours.close()


def run(contender: Contender, domain: str, messages: int) -> dict[str, float]:
    """Accept, release, deliver: the figures."""
    each = max(1, messages // BOXES)
    with ThreadPoolExecutor(SENDERS) as pool:
        jobs = [pool.submit(send, contender.target, f"u{number}@{domain}", 2, each) for number in range(BOXES)]
        for job in jobs:
            job.result()
    os.sync()
    contender.sent()
    before = contender.processes()
    begin = time.monotonic()
    contender.release()
    done = first = 0
    while done < each * BOXES:
        if time.monotonic() - begin > LIMIT:
            raise AssertionError(f"{contender.name}: {done} of {each * BOXES} after {LIMIT} s")
        time.sleep(0.02)
        done += contender.sent()
        if not first and done:
            begin, first = time.monotonic(), done
    elapsed = time.monotonic() - begin
    used: dict[str, float] = defaultdict(float)
    for pid, (name, cpu) in contender.processes().items():
        used[name] += cpu - before.get(pid, ("", 0.0))[1]
    total = sum(used.values())
    figures = {"messages a second": (done - first) / elapsed, "CPU ms a message": 1000 * total / done}
    return figures | {f"  {name}": 1000 * cpu / done for name, cpu in sorted(used.items()) if cpu > total / 50}


def measure(domain: str, options: argparse.Namespace, parent: Path) -> None:
    """Measure one kind of mailbox and print."""
    values: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    homes = parent / "homes"
    with contenders(parent, homes, options.mbox) as both:
        for number in range(options.rounds + 1):
            for contender in both:
                # The first round starts the processes that this load wants.
                count = options.messages if number else BOXES * 2
                for name, value in run(contender, domain, count).items():
                    if number:
                        values[name][contender.name].append(value)
                for home in homes.glob("u*"):
                    shutil.rmtree(home / "Maildir", ignore_errors=True)
                for file in (homes / "spool").glob("*"):
                    file.write_bytes(b"")
                os.sync()
    print(f"{domain:28} {'Pillarbox':>12} {'Postfix':>12} {'ratio':>8}")
    for name, found in values.items():
        ours, theirs = (statistics.median(found[who]) if found.get(who) else 0.0 for who in ("Pillarbox", "Postfix"))
        print(f"{name:28} {ours:12.2f} {theirs:12.2f} {f'{ours / theirs:8.2f}' if ours and theirs else ''}", flush=True)


def main(argv: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m bench.delivery", description=__doc__)
    parser.add_argument("--messages", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--mbox", action="store_true", help="system users have a file in the spool, not a Maildir")
    parser.add_argument("--only", choices=("virtual", "local"))
    parser.add_argument("--directory", type=Path, default=Path("/var/tmp"), help="where queues and mailboxes lie")
    options = parser.parse_args(argv)
    with tempfile.TemporaryDirectory(dir=options.directory) as parent:
        Path(parent).chmod(0o755)
        homes = Path(parent, "homes")
        homes.mkdir()
        system_users(homes)
        if options.only != "local":
            measure(HOSTED, options, Path(parent))
        if options.only != "virtual":
            measure(SYSTEM, options, Path(parent))


if __name__ == "__main__":
    main()
