"""Least rights for one process, kept by the kernel: Landlock, seccomp, no_new_privs, rlimits, no core dumps.

Promises: after `Confinement.apply()` the process can touch only what the value names, for good, children included.
A layer that this kernel lacks is left out and named in the report, never an error: the suite runs on, and the log says
so.  Works as root and as an ordinary user.  Call it before threads start and before the first outside byte is read.

Does not change users (see `privileges`), and cannot keep a process from a UNIX socket with a path: permissions of
the socket's directory do that.
"""

from __future__ import annotations

import os
import sys
import sysconfig
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Literal

import pillarbox
from pillarbox.lib.system import landlock, libc, seccomp
from pillarbox.lib.system.limits import Limits

# What an interpreter may need after confinement: libraries for late imports, time zone, TLS defaults, resolver files.
_SYSTEM_FILES = (
    "/usr/lib",
    "/usr/lib64",
    "/usr/local/lib",
    "/lib",
    "/lib64",
    "/usr/share/zoneinfo",
    "/etc/ld.so.cache",
    "/etc/localtime",
    "/etc/timezone",
    "/etc/resolv.conf",
    "/etc/hosts",
    "/etc/host.conf",
    "/etc/gai.conf",
    "/etc/nsswitch.conf",
    "/etc/services",
    "/etc/passwd",
    "/etc/group",
    "/etc/ssl/openssl.cnf",
    "/etc/ssl/certs",
    "/usr/share/ca-certificates",
    "/dev/urandom",
    "/dev/random",
    "/dev/zero",
)
_SYSTEM_DEVICES = ("/dev/null",)


@dataclass(frozen=True, slots=True)
class ConfinementReport:
    """What `apply` reached.  `str()` is one line for the log: the layers held, then what this kernel lacks."""

    held: tuple[str, ...]
    lacking: tuple[str, ...]
    missing: tuple[str, ...] = ()

    def __str__(self) -> str:
        text = "confined: " + (", ".join(self.held) or "nothing")
        if self.lacking:
            text += "; this kernel lacks: " + ", ".join(self.lacking)
        if self.missing:
            text += "; not found: " + ", ".join(self.missing)
        return text


@dataclass(frozen=True, slots=True)
class Confinement:
    """What a program may still do.  The default is next to nothing.

    read, write     paths; a directory stands for everything below it.  `write` includes reading, making and removing.
    put             directories into which files may be moved or made, but in which none can be opened or removed
    connect_tcp     TCP ports that may be connected to; None = any, () = none
    bind_tcp        TCP ports that may be bound; None = any.  Inherited listening sockets work without.
    udp             UDP sockets (DNS)
    exec            run other programs
    fork            make child processes
    unix            make AF_UNIX sockets (socketpair works always)
    signals         False: to itself only; "children": also to processes that it starts; True: to anyone that uids allow
    attributes      change modes, owners and times of files; None = where there is something to write
    shorten         shorten open files, the inherited log included; None = where there is something to write
    runtime         read access to the interpreter, its packages, libraries, time zone and resolver files
    """

    read: tuple[str | os.PathLike[str], ...] = ()
    write: tuple[str | os.PathLike[str], ...] = ()
    put: tuple[str | os.PathLike[str], ...] = ()
    connect_tcp: tuple[int, ...] | None = ()
    bind_tcp: tuple[int, ...] | None = ()
    udp: bool = False
    exec: bool = False
    fork: bool = True
    unix: bool = True
    signals: bool | Literal["children"] = False
    attributes: bool | None = None
    shorten: bool | None = None
    runtime: bool = True
    limits: Limits = field(default_factory=Limits)

    def apply(self) -> ConfinementReport:
        """Confine this process for good and say what was reached.

        Raises OSError only where a layer exists but refuses (out of memory, more than 16 Landlock layers).
        """
        held: list[str] = []
        lacking: list[str] = []
        self.limits.apply()
        libc.set_not_dumpable()
        libc.set_no_new_privileges()
        held += ["limits", "no_new_privs"]
        outcome = landlock.restrict(self._landlock_rules())
        if outcome.abi:
            held.append(f"landlock ABI {outcome.abi} ({', '.join(outcome.held)})")
            lacking += (f"landlock {part}" for part in outcome.lacking)
        else:
            lacking.append("landlock")
        self._install_seccomp(held, lacking, scoped="scopes" in outcome.held)
        threads = _thread_count()
        if threads > 1:
            lacking.append(f"landlock for {threads - 1} threads that already ran")
        wanted = {os.fspath(path) for path in (*self.read, *self.write, *self.put)}
        return ConfinementReport(tuple(held), tuple(lacking), tuple(path for path in outcome.missing if path in wanted))

    def _landlock_rules(self) -> landlock.Rules:
        read = tuple(os.fspath(path) for path in self.read)
        write = tuple(os.fspath(path) for path in self.write)
        if self.runtime:
            read += runtime_paths()
            write += _SYSTEM_DEVICES
        return landlock.Rules(
            read=read,
            write=write,
            put=tuple(os.fspath(path) for path in self.put),
            connect_tcp=self.connect_tcp,
            bind_tcp=self.bind_tcp,
            execute=self.exec,
            scope_signals=self.signals is not True,
        )

    def _install_seccomp(self, held: list[str], lacking: list[str], *, scoped: bool) -> None:
        if not seccomp.supported():
            lacking.append(f"seccomp numbers for {libc.MACHINE}")
            return
        if self.connect_tcp == () and self.bind_tcp == () and not self.udp:
            network: seccomp.Network = "none"
        else:
            network = "tcp+udp" if self.udp else "tcp"
        rules = seccomp.Filter(
            exec=self.exec,
            fork=self.fork,
            unix=self.unix,
            network=network,
            guard_ports=self.connect_tcp is not None,
            signals="any" if self.signals else "self",
            listen=self.bind_tcp is None or any(self.bind_tcp),
            attributes=bool(self.write) if self.attributes is None else self.attributes,
            shorten=bool(self.write) if self.shorten is None else self.shorten,
        )
        try:
            covered = seccomp.install(rules)
        except OSError as error:
            lacking.append(f"seccomp ({error.strerror})")
            return
        held.append(f"seccomp ({covered} calls)")
        if self.signals == "children" and not scoped:
            lacking.append("a way to limit signals to children")


@cache
def runtime_paths() -> tuple[str, ...]:
    """Files and directories that the interpreter and late imports read; found once, before confinement.

    The suite's own rooms are listed one by one: what else lies beside them (an instance, a key) is not included.
    """
    found: dict[str, None] = dict.fromkeys(_SYSTEM_FILES)
    for key in ("stdlib", "platstdlib", "purelib", "platlib"):
        found[sysconfig.get_path(key)] = None
    for entry in sys.path:
        if entry.endswith(("site-packages", "dist-packages", "lib-dynload", ".zip")):
            found[entry] = None
    base = Path(sys.base_exec_prefix, "lib")
    if sys.base_exec_prefix not in ("/", "/usr"):
        found[str(base)] = None
    for package in pillarbox.__path__:
        found[package] = None
        for room in Path(package).iterdir():
            found[str(room.resolve())] = None
    return tuple(found)


def _thread_count() -> int:
    try:
        return len(os.listdir("/proc/self/task"))
    except OSError:
        return 1
