"""What there is to attack: an instance, processes of the suite's users, listeners of others.

Made by the launcher before the suite starts, so that every worker inherits the knowledge by its fork; nothing of it
is in reach of a worker by way of the suite itself.
"""

from __future__ import annotations

import ctypes
import json
import mmap
import os
import signal
import socket
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from pillarbox.lib.config import Config
from pillarbox.lib.config.parameters.general import AUTH_OWNER, LOOKUP_OWNER, MAIL_OWNER, NET_OWNER, VMAIL_OWNER
from pillarbox.lib.system.libc import prctl
from pillarbox.lib.system.privileges import resolve_identity

QUEUE_DIRECTORIES = ("incoming", "active", "deferred", "hold", "corrupt", "defer", "bounce", "spare", "maildrop")
VICTIM = "victim"
HOSTED = "bob@example.org"
"""Whose mailbox is attacked."""
READER = "alice@example.org"
"""Who gets and reads mail after the attacks."""
RELAY = "relay.example"
ALIAS, VIRTUAL_ALIAS = "trap", "secret-list@example.org"
"""A local and a virtual alias."""

RELAY_PASSWORDS = "etc/relay_passwords"
TABLE_PASSWORD = "etc/database.cf"
"""Whose password the SMTP client has, and the file below the instance's root with it, which is the starting user's."""
DROPPED = ".victim"
"""In maildrop/, where pickup takes every other name."""

_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE = 1, 4

memory = ctypes.create_string_buffer(b"a secret in the memory of a process", 64)
"""Lies at the same address in every process that was forked from the launcher."""

shell = Path("/bin/sh").read_bytes()
"""A program in memory, as an attacker would bring it along."""

signalled = mmap.mmap(-1, mmap.PAGESIZE)
"""Shared by all: the byte of a uid is not zero once its victim has got a signal."""


def mark_of(uid: int) -> int:
    """The place of a uid in `signalled`."""
    return uid % mmap.PAGESIZE


@dataclass(frozen=True, slots=True)
class World:
    """Places, ports and process ids."""

    root: str
    outside: str
    """A directory that everyone may write to, with a socket that everyone may connect to."""
    master: int
    """The process id of the master: the launcher becomes it."""
    tcp_port: int
    udp_port: int
    abstract: str
    reaches: tuple[str, ...]
    """The private sockets of the instance."""
    victims: dict[str, int] = field(default_factory=dict)
    """uid -> a process that runs as it, is not confined and may be traced."""
    keep: list[Any] = field(default_factory=list)

    @property
    def victim(self) -> int:
        """A process of the attacker's own user."""
        return self.victims[str(os.getuid())]

    @property
    def log(self) -> str:
        return f"{self.root}/log/mail.log"

    @property
    def foreign_socket(self) -> str:
        return f"{self.outside}/socket"

    def save(self, path: str) -> None:
        """For attackers that are no children of the launcher."""
        members = asdict(World(**{**{name: getattr(self, name) for name in self.__slots__}, "keep": []}))
        Path(path).write_text(json.dumps(members))

    @classmethod
    def load(cls, path: str) -> World:
        return cls(**json.loads(Path(path).read_text()))


def owners(config: Config) -> set[int]:
    """The uids of the suite."""
    return {
        resolve_identity(config[parameter]).uid
        for parameter in (MAIL_OWNER, NET_OWNER, LOOKUP_OWNER, AUTH_OWNER, VMAIL_OWNER)
    }


def make_world(config: Config, root: str, outside: str, users: set[int]) -> World:
    """Lay out the victims; `users` are further uids that will attack."""
    _make_files(config, root)
    listener = socket.create_server(("127.0.0.1", 0))
    datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    datagrams.bind(("127.0.0.1", 0))
    abstract = socket.socket(socket.AF_UNIX)
    name = f"\0pillarbox-breach-{os.getpid()}"
    abstract.bind(name)
    abstract.listen()
    foreign = socket.socket(socket.AF_UNIX)
    foreign.bind(f"{outside}/socket")
    os.chmod(f"{outside}/socket", 0o777)
    foreign.listen(1024)
    for each in (listener, datagrams, abstract, foreign):
        # Listened on by a process of its own, so that no worker inherits it from here.
        os.set_inheritable(each.fileno(), False)
    world = World(
        root,
        outside,
        os.getpid(),
        listener.getsockname()[1],
        datagrams.getsockname()[1],
        name,
        tuple(service.name for service in config.services.values() if "private" in service.listen),
    )
    _fork_keeper()
    for each in (listener, datagrams, abstract, foreign):
        each.close()
    for uid in sorted(users | owners(config) | {os.getuid()}):
        world.victims[str(uid)] = _fork_victim(uid)
    return world


def _make_files(config: Config, root: str) -> None:
    """A file of another in each place."""
    mail, vmail = resolve_identity(config[MAIL_OWNER]), resolve_identity(config[VMAIL_OWNER])
    paths = [
        (f"{root}/spool/{name}/{DROPPED if name == 'maildrop' else VICTIM}", mail.uid) for name in QUEUE_DIRECTORIES
    ]
    local, _, domain = HOSTED.partition("@")
    new = f"{root}/mail/{domain}/{local}/new"
    os.makedirs(new, 0o700)
    for folder in (f"{root}/mail/{domain}", f"{root}/mail/{domain}/{local}", new):
        os.chown(folder, vmail.uid, -1)
    os.mkdir(f"{root}/home", 0o755)
    os.mkdir(f"{root}/home/other", 0o700)
    paths += [(f"{new}/{VICTIM}", vmail.uid), (f"{root}/home/other/{VICTIM}", os.getuid())]
    for path, uid in paths:
        with open(path, "xb") as file:
            file.write(b"the mail of another\n")
        os.chmod(path, 0o600)
        os.chown(path, uid, -1)
    passwords = Path(root, RELAY_PASSWORDS)
    passwords.touch(0o600)
    passwords.write_text(f"{RELAY} ann:secret\n")
    table = Path(root, TABLE_PASSWORD)
    table.touch(0o600)
    table.write_text(
        "hosts = unix:/nonexistent\nuser = mail\npassword = secret\nquery = SELECT 1\ndomain = database.example\n"
    )


def _until_the_end() -> None:
    """Live as long as the launcher."""
    prctl("parent's end", _PR_SET_PDEATHSIG, signal.SIGKILL)
    while True:
        time.sleep(3600)


def _fork_keeper() -> None:
    """A process that keeps the listeners open."""
    if os.fork() == 0:
        _until_the_end()


def _fork_victim(uid: int) -> int:
    """A process of `uid` that marks each signal, and that nothing but the attacker's confinement protects."""
    pid = os.fork()
    if pid:
        return pid
    if os.getuid() == 0 and uid:
        gid = resolve_identity(str(uid)).gid
        os.setgroups([])
        os.setresgid(gid, gid, gid)
        os.setresuid(uid, uid, uid)
    prctl("dumpable", _PR_SET_DUMPABLE, 1)

    def mark(_number: int, _frame: object) -> None:
        signalled[mark_of(uid)] = 1

    for number in (signal.SIGUSR1, signal.SIGIO, signal.SIGTERM):
        signal.signal(number, mark)
    _until_the_end()
    os._exit(0)
