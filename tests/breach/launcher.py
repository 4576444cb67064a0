"""Make an instance, and run it in the foreground with attackers inside: `python -m tests.breach.launcher ORDER`.

Each worker, once confined, tries every attack and reports the outcomes to the inherited descriptor `report`; then it
does its work.  In the root parents nothing is tried: their children are attacked, by putting something in the place of
what a child calls last before its work.  A control process tries the same without confinement.

ORDER is JSON: `root` and `outside` (directories), `base_port`, `report`, `uid` (to start as another user than root),
`main` (parameters), `services` (further ones), `aliases` (lines), `users` (uids of children to be attacked).
"""

from __future__ import annotations

import fcntl
import importlib
import json
import os
import signal
import socket
import stat
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from pillarbox.commands import postalias
from pillarbox.commands.init import make_instance, set_values
from pillarbox.lib.clients.auth import Account, AuthClient
from pillarbox.lib.config import Config, load
from pillarbox.lib.ipc import Channel
from pillarbox.lib.process import Worker
from pillarbox.lib.process.loop import preload
from pillarbox.lib.system.confinement import Confinement, ConfinementReport
from pillarbox.lib.system.libc import prctl
from pillarbox.local import children
from pillarbox.local.filings import Filings
from pillarbox.local.jobs import Serve
from pillarbox.local.users import User
from pillarbox.master.__main__ import run_master
from tests.breach.attacks import attack_all, attack_apart, control, tell
from tests.breach.rooms import room_of
from tests.breach.world import HOSTED, READER, World, make_world

SYSTEM_USER = "other"
"""The user of system sessions; known to nobody but the stand-in for auth."""

_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE = 1, 4

Order = dict[str, Any]

_inherited_report = -1
"""The tests' own descriptor, which is no part of what a worker holds."""


def main(order: Order) -> int:
    """Make, set up, run; returns when the suite has ended."""
    global _inherited_report
    _inherited_report = order["report"]
    root, outside, report = order["root"], order["outside"], order["report"]
    os.umask(0o077)
    if order["uid"]:
        _become(order["uid"])
    prctl("parent's end", _PR_SET_PDEATHSIG, signal.SIGTERM)
    config = _make(order)
    world = make_world(config, root, outside, set(order["users"]))
    world.save(f"{outside}/world.json")
    os.chmod(f"{outside}/world.json", 0o644)
    _fork_control(world, report)
    return run_master(f"{root}/etc", inside=lambda worker: _inside(worker, world, report))


def _become(uid: int) -> None:
    """Be an ordinary user, with everything imported: this user may not be able to read the interpreter's files."""
    for folder in Path(next(iter(importlib.import_module("pillarbox.etc").__path__))).parent.iterdir():
        for program in (folder, *folder.iterdir()) if folder.is_dir() else ():
            if (program / "program.py").exists():
                importlib.import_module(".".join(("pillarbox", *program.relative_to(folder.parent).parts, "program")))
    preload()
    os.setgroups([])
    os.setresgid(uid, uid, uid)
    os.setresuid(uid, uid, uid)
    prctl("dumpable", _PR_SET_DUMPABLE, 1)  # as after an exec by that user


def _make(order: Order) -> Config:
    users = [f"{address}:secret" for address in (HOSTED, READER)]
    make_instance(Path(order["root"]), "mx.example.org", ["example.org"], order["base_port"], users)
    etc = Path(order["root"], "etc")
    (etc / "main.yaml").write_text(set_values((etc / "main.yaml").read_text(), order["main"]))
    with (etc / "aliases").open("a") as aliases:
        aliases.write("".join(f"{line}\n" for line in order["aliases"]))
    postalias.main(["-c", str(etc), f"hash:{etc}/aliases"])
    services = yaml.load((etc / "master.yaml").read_text(), yaml.BaseLoader)  # as written: yes is no boolean here
    services |= order["services"]
    for service in services.values():
        service["warm"] = 1
        for number in ("processes", "sessions"):
            if number in service:
                service[number] = int(service[number])
    (etc / "master.yaml").write_text(yaml.safe_dump(services, sort_keys=False))
    return load(str(etc))


def _fork_control(world: World, report: int) -> None:
    if os.fork() == 0:
        try:
            prctl("parent's end", _PR_SET_PDEATHSIG, signal.SIGKILL)
            while "daemon started" not in _log(world):
                time.sleep(0.02)
            control(world, report)
        finally:
            os._exit(0)


def _log(world: World) -> str:
    path = Path(world.log)
    return path.read_text(errors="replace") if path.exists() else ""


# --- in the workers


def _inside(worker: Worker, world: World, report: int) -> None:
    """What runs in each worker, confined as it is."""
    name = worker.service.name
    room = room_of(name, worker.service.command)
    if room is None or not (room.parent or worker.is_parent):
        _attack(name, world, report, None if room is None else attack_all)
        return
    _describe_to(report, name)
    tell(report, {"service": name, "done": True})
    # What follows changes this parent and thereby its children, nobody else.
    begin_deliverer, apply = children.begin_deliverer, Confinement.apply

    def attacked_deliverer(config: Config, user: User, channel: Channel, filings: Filings) -> Serve:
        child = f"{name}-deliverer-{user.name}"
        with _report_file(world, child) as own:
            serve = begin_deliverer(config, user, channel, filings)
            _attack(child, world, own, attack_apart)
        return serve

    def attacked_apply(confinement: Confinement) -> ConfinementReport:
        child = f"{name}-child"
        with _report_file(world, child) as own:
            done = apply(confinement)
            _attack(child, world, own)
        return done

    def redeem(client: AuthClient, token: str, service: str) -> Account:
        home = f"{world.root}/home/own"
        uid = int(token)  # of the test's choice
        return Account(SYSTEM_USER, uid, uid, home, f"maildir:{home}/Maildir", True)

    children.begin_deliverer = attacked_deliverer
    Confinement.apply = attacked_apply  # type: ignore[method-assign, assignment]
    AuthClient.redeem = redeem  # type: ignore[method-assign, assignment]


def _attack(
    name: str,
    world: World,
    report: int,
    attacks: Callable[[World, dict[str, object], int], None] | None = attack_all,
) -> None:
    try:
        _describe_to(report, name)
        if attacks is not None:
            attacks(world, {"service": name}, report)
    except Exception:
        tell(report, {"service": name, "attack": "launcher", "outcome": traceback.format_exc()[-2000:]})
    tell(report, {"service": name, "done": True})


class _report_file:
    """A descriptor for the reports of a child that was left none; taken before its confinement."""

    def __init__(self, world: World, name: str) -> None:
        self._path = f"{world.outside}/{name}.{os.getpid()}"

    def __enter__(self) -> int:
        self._descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        return self._descriptor

    def __exit__(self, *_: object) -> None:
        os.close(self._descriptor)


def _describe_to(report: int, name: str) -> None:
    descriptors = [each for each in describe_descriptors() if each[0] not in (report, _inherited_report)]
    tell(report, {"service": name, "descriptors": descriptors})
    tell(report, {"service": name, "ids": [*os.getresuid(), *os.getresgid()], "groups": os.getgroups()})


def describe_descriptors() -> list[list[object]]:
    """[number, kind, name, ways] of all open descriptors of this process."""
    return [found for number in range(1024) if (found := _describe(number)) is not None]


def _describe(number: int) -> list[object] | None:
    try:
        flags = fcntl.fcntl(number, fcntl.F_GETFL)
    except OSError:
        return None
    mode = os.fstat(number).st_mode
    if stat.S_ISSOCK(mode):
        with socket.socket(fileno=os.dup(number)) as sock:
            listening = bool(sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN))
            name = sock.getsockname()
            address = f"{name[0]}:{name[1]}" if isinstance(name, tuple) else str(name)
            return [number, "listener" if listening else "socket", address, ""]
    ways = {os.O_RDONLY: "r", os.O_WRONLY: "w", os.O_RDWR: "rw"}[flags & os.O_ACCMODE]
    return [number, "file", os.readlink(f"/proc/self/fd/{number}"), ways]


if __name__ == "__main__":
    sys.exit(main(json.loads(sys.argv[1])))
