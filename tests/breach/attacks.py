"""Small named attacks: functions of the world that say what they reached, or end in the OSError that denied it.

`ATTACKS` has them all by name.  An attack that succeeds leaves things as they were, as far as it can.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import json
import os
import platform
import resource
import select
import signal
import socket
import struct
import time
from collections.abc import Callable
from functools import partial

from pillarbox.lib.ipc import Channel
from pillarbox.lib.system.libc import system_call
from tests.breach import world as worlds
from tests.breach.world import (
    ALIAS,
    DROPPED,
    HOSTED,
    QUEUE_DIRECTORIES,
    RELAY,
    RELAY_PASSWORDS,
    TABLE_PASSWORD,
    VICTIM,
    VIRTUAL_ALIAS,
    World,
)

Attack = Callable[[World], str]

PATIENCE = 30.0
"""Seconds that an attacker waits for another program's answer: it is being attacked itself before it serves."""

DENIED, SUCCEEDED, BROKEN = "denied: ", "SUCCEEDED: ", "broken: "

# (x86_64, aarch64)
_NUMBERS = {
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "pidfd_open": (434, 434),
    "pidfd_getfd": (438, 438),
    "pidfd_send_signal": (424, 424),
    "mount": (165, 40),
    "unshare": (272, 97),
    "clone": (56, 220),
    "chroot": (161, 51),
    "capset": (126, 91),
    "io_uring_setup": (425, 425),
    "keyctl": (250, 219),
    "ioprio_set": (251, 30),
    "pwritev2": (328, 287),
    "add_key": (248, 217),
    "open_tree": (428, 428),
    "execveat": (322, 281),
}
_CLONE_NEWUSER, _CLONE_NEWNET, _CLONE_NEWNS = 0x10000000, 0x40000000, 0x00020000
_PTRACE_SEIZE = 0x4206
_MSG_FASTOPEN = 0x20000000
_IPPROTO_MPTCP = 262
_F_SETSIG = 10
_RWF_NOAPPEND = 0x20


def _call(name: str, *arguments: object) -> int:
    number = _NUMBERS[name][("x86_64", "aarch64").index(platform.machine())]
    return system_call(name, number, *(ctypes.c_long(each) if isinstance(each, int) else each for each in arguments))


# --- files


def _read(path: str, world: World) -> str:
    descriptor = os.open(path.format(root=world.root, victim=world.victim), os.O_RDONLY)
    try:
        return f"read {len(os.read(descriptor, 16))} bytes of {path}"
    finally:
        os.close(descriptor)


def _list(path: str, world: World) -> str:
    return f"found {len(os.listdir(path.format(root=world.root)))} names in {path}"


def _create(directory: str, world: World) -> str:
    path = f"{directory.format(root=world.root, outside=world.outside)}/.intruder-{os.getpid()}"
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    os.unlink(path)
    return f"made a file in {directory}"


def _open_for_writing(path: str, world: World) -> str:
    os.close(os.open(path.format(root=world.root), os.O_WRONLY))
    return f"opened {path} for writing"


def _remove(path: str, world: World) -> str:
    """By renaming it, and back."""
    path = path.format(root=world.root)
    os.rename(path, f"{path}.stolen")
    os.rename(f"{path}.stolen", path)
    return f"took away {path}"


def _link(world: World) -> str:
    target = f"{world.root}/spool/incoming/.stolen-{os.getpid()}"
    os.link(f"{world.root}/spool/hold/{VICTIM}", target)
    os.unlink(target)
    return "gave a message of hold/ a name in incoming/"


def _symlink(world: World) -> str:
    path = f"{world.outside}/.link-{os.getpid()}"
    os.symlink("/etc/shadow", path)
    os.unlink(path)
    return "made a symbolic link"


def _truncate(path: str, world: World) -> str:
    path = path.format(root=world.root)
    os.truncate(path, os.stat(path).st_size)
    return f"could truncate {path}"


def _change_mode(path: str, world: World) -> str:
    path = path.format(root=world.root)
    os.chmod(path, os.stat(path).st_mode & 0o777)
    return f"could change the mode of {path}"


def _change_times(path: str, world: World) -> str:
    path = path.format(root=world.root)
    about = os.stat(path)
    os.utime(path, ns=(about.st_atime_ns, about.st_mtime_ns))
    return f"could change the times of {path}"


def _log_descriptor(world: World) -> int:
    for descriptor in range(256):
        try:
            if os.readlink(f"/proc/self/fd/{descriptor}") == world.log:
                return descriptor
        except OSError:
            continue
    raise OSError(errno.EBADF, "no descriptor of the log was inherited")


def truncate_inherited_log(world: World) -> str:
    descriptor = _log_descriptor(world)
    os.ftruncate(descriptor, os.fstat(descriptor).st_size)
    return "could truncate the log through the inherited descriptor"


def overwrite_inherited_log(world: World) -> str:
    descriptor = _log_descriptor(world)
    flags = fcntl.fcntl(descriptor, fcntl.F_GETFL)
    fcntl.fcntl(descriptor, fcntl.F_SETFL, flags & ~os.O_APPEND)
    changed = fcntl.fcntl(descriptor, fcntl.F_GETFL)
    fcntl.fcntl(descriptor, fcntl.F_SETFL, flags)
    assert not changed & os.O_APPEND
    return "could write into the middle of the log through the inherited descriptor"


def overwrite_inherited_log_by_flag(world: World) -> str:
    descriptor = _log_descriptor(world)
    byte = ctypes.create_string_buffer(b"\n", 1)
    vector = struct.pack("PN", ctypes.addressof(byte), 0)
    _call("pwritev2", descriptor, vector, 1, 0, 0, _RWF_NOAPPEND)
    return "could write into the middle of the log by pwritev2"


def punch_inherited_log(world: World) -> str:
    """fallocate can zero a range; keeping the size, beyond the end, it does no harm here."""
    libc = ctypes.CDLL(None, use_errno=True)
    beyond = ctypes.c_long(1 << 30)
    descriptor = _log_descriptor(world)
    if libc.fallocate(descriptor, 1, beyond, ctypes.c_long(4096)) != 0:  # FALLOC_FL_KEEP_SIZE
        raise OSError(ctypes.get_errno(), "fallocate")
    return "could allocate and zero parts of the log"


# --- programs


_identity: dict[str, object] = {}
_report_descriptor = -1


def _execute(program: str | int, arguments: list[str], attack: str) -> str:
    """Run a shell that reports its own existence on its standard output: if exec works, nobody else can."""
    line = json.dumps({**_identity, "attack": attack, "outcome": SUCCEEDED + "a shell runs"})
    saved = os.dup(1)
    os.dup2(_report_descriptor, 1)
    try:
        os.execve(program, [*arguments, "-c", f"echo '{line}'"], {})
    finally:
        os.dup2(saved, 1)
        os.close(saved)


def exec_shell(world: World) -> str:
    return _execute("/bin/sh", ["sh"], "exec-shell")


def exec_from_memory(world: World) -> str:
    """A program that is no file of the file system."""
    descriptor = os.memfd_create("program", 0)
    os.write(descriptor, worlds.shell)
    return _execute(descriptor, ["sh"], "exec-from-memory")


def exec_interpreter(world: World) -> str:
    """Through the loader in /lib, which may be read."""
    loader = "/lib64/ld-linux-x86-64.so.2" if platform.machine() == "x86_64" else "/lib/ld-linux-aarch64.so.1"
    return _execute(loader, ["ld.so", "/bin/sh"], "exec-interpreter")


def fork(world: World) -> str:
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)
    return "made a process"


# --- other processes


def _signal(target: Callable[[World], int], world: World) -> str:
    """Signal 0 takes the same permission as any other."""
    pid = target(world)
    os.kill(pid, 0)
    return f"could signal process {pid}"


def signal_by_descriptor(world: World) -> str:
    descriptor = os.pidfd_open(world.victim)
    try:
        _call("pidfd_send_signal", descriptor, int(signal.SIGUSR1), None, 0)
        return "sent a signal through a process descriptor"
    finally:
        os.close(descriptor)


def signal_by_ownership(world: World) -> str:
    """Make another process the one that is told by a signal when a socket of ours can be read (F_SETOWN)."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        mark = worlds.mark_of(os.getuid())
        worlds.signalled[mark] = 0
        fcntl.fcntl(ours, fcntl.F_SETOWN, world.victim)
        fcntl.fcntl(ours, _F_SETSIG, int(signal.SIGUSR1))
        fcntl.fcntl(ours, fcntl.F_SETFL, fcntl.fcntl(ours, fcntl.F_GETFL) | os.O_ASYNC)
        theirs.send(b"x")
        end = time.monotonic() + 0.2
        while time.monotonic() < end:
            if worlds.signalled[mark]:
                return "sent a signal by owning a socket in another's name"
            time.sleep(0.005)
    raise PermissionError(errno.EPERM, "no signal came")


def limit_victim(world: World) -> str:
    """With a limit of zero on CPU time or descriptors this ends or cripples it."""
    old = resource.prlimit(world.victim, resource.RLIMIT_NOFILE)
    resource.prlimit(world.victim, resource.RLIMIT_NOFILE, old)
    return "could set the limits of another process"


def renice_victim(world: World) -> str:
    os.setpriority(os.PRIO_PROCESS, world.victim, os.getpriority(os.PRIO_PROCESS, world.victim))
    return "could set the priority of another process"


def schedule_victim(world: World) -> str:
    os.sched_setaffinity(world.victim, os.sched_getaffinity(world.victim))
    return "could set the processors of another process"


def trace_victim(world: World) -> str:
    _call("ptrace", _PTRACE_SEIZE, world.victim, 0, 0)
    return "traces another process"


def read_memory_of_victim(world: World) -> str:
    copy = ctypes.create_string_buffer(16)
    here = struct.pack("PN", ctypes.addressof(copy), 16)
    there = struct.pack("PN", ctypes.addressof(worlds.memory), 16)
    _call("process_vm_readv", world.victim, here, 1, there, 1, 0)
    return f"read {copy.raw!r} in the memory of another process"


def open_memory_of_victim(world: World) -> str:
    descriptor = os.open(f"/proc/{world.victim}/mem", os.O_RDWR)
    try:
        return f"read {os.pread(descriptor, 16, ctypes.addressof(worlds.memory))!r} in the memory of another process"
    finally:
        os.close(descriptor)


def write_memory_of_victim(world: World) -> str:
    here = struct.pack("PN", ctypes.addressof(worlds.memory), 16)
    _call("process_vm_writev", world.victim, here, 1, here, 1, 0)
    return "wrote to the memory of another process"


def take_descriptor_of_victim(world: World) -> str:
    descriptor = os.pidfd_open(world.victim)
    try:
        os.close(_call("pidfd_getfd", descriptor, 0, 0))
        return "took a descriptor of another process"
    finally:
        os.close(descriptor)


# --- secrets that another program has


def learn_relay_password(world: World) -> str:
    """Ask lookup about the table in every way, then read the file."""
    address, file = f"{world.root}/spool/private/lookup", f"{world.root}/{RELAY_PASSWORDS}"
    tables = [f"texthash:{file}"]
    names = ("smtp_sasl_password_maps", "lmtp_sasl_password_maps")
    questions: list[dict[str, object]] = [
        *({"do": "get", "parameter": name, "key": RELAY} for name in names),
        {"do": "access", "tables": tables, "keys": [RELAY], "partial": ["0"]},
        {"do": "owners", "tables": tables, "address": RELAY},
    ]
    for question in questions if _asks_lookup(address) else ():
        channel = Channel.connect(address, PATIENCE)
        try:
            answer = channel.call(question)
        finally:
            channel.close()
        if answer.boolean("ok"):
            return f"was told by lookup: {answer.text('value', 'that there is none')}"
    return _read("{root}/" + RELAY_PASSWORDS, world)


def learn_alias_value(world: World) -> str:
    """Ask lookup in every way what an alias stands for."""
    address = f"{world.root}/spool/private/lookup"
    table = f"hash:{world.root}/etc/aliases"
    questions: list[dict[str, object]] = [
        {"do": "get", "parameter": "alias_maps", "key": ALIAS},
        {"do": "get", "parameter": "virtual_alias_maps", "key": VIRTUAL_ALIAS},
        *({"do": verb, "address": each} for verb in ("expand", "members") for each in (ALIAS, VIRTUAL_ALIAS)),
        {"do": "access", "tables": [table], "keys": [ALIAS], "partial": ["0"]},
        {"do": "owners", "tables": [table], "address": ALIAS},
        {"do": "canonical", "kind": "recipient", "address": VIRTUAL_ALIAS},
    ]
    told = []
    for question in questions if _asks_lookup(address) else ():
        channel = Channel.connect(address, PATIENCE)
        try:
            channel.send(question)
            answer = channel.receive()
        finally:
            channel.close()
        if answer.boolean("ok") and ("value" in answer or "addresses" in answer):
            told.append(f"was told by lookup: {question}")
    if not told:
        raise PermissionError(errno.EACCES, "nothing was told")
    return told[0]


def _asks_lookup(address: str) -> bool:
    """Whether there is somebody to ask: where the kernel forbids it, and inside lookup itself, there is not."""
    if _identity.get("service") == "lookup":
        return False
    try:
        with socket.socket(socket.AF_UNIX) as sock:
            sock.connect(address)
            return True
    except PermissionError:
        return False


# --- networks


def connect_tcp(world: World) -> str:
    with socket.create_connection(("127.0.0.1", world.tcp_port), 5):
        return "connected by TCP to a port of another program"


def connect_tcp_fast_open(world: World) -> str:
    with socket.socket() as sock:
        sock.sendto(b"x", _MSG_FASTOPEN, ("127.0.0.1", world.tcp_port))
        return "connected by TCP Fast Open"


def connect_multipath(world: World) -> str:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM, _IPPROTO_MPTCP) as sock:
        sock.connect(("127.0.0.1", world.tcp_port))
        return "connected by multipath TCP"


def listen_tcp(world: World) -> str:
    with socket.create_server(("127.0.0.1", 0)):
        return "listens on a port of its own"


def listen_tcp_unbound(world: World) -> str:
    """listen(2) on a socket without a name takes a free port."""
    with socket.socket() as sock:
        sock.listen()
        return f"listens on port {sock.getsockname()[1]}"


def send_udp(world: World) -> str:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.sendto(b"x", ("127.0.0.1", world.udp_port))
        return "sent a datagram"


def _socket(family: int, kind: int, protocol: int, world: World) -> str:
    socket.socket(family, kind, protocol).close()
    return f"made a socket of family {family}, kind {kind}"


def _connect_unix(path: str, world: World) -> str:
    address = path.format(root=world.root, outside=world.outside)
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(5)
        sock.connect(world.abstract if path == "abstract" else address)
        return f"connected to {path.strip()}"


# --- rights


def become_root(world: World) -> str:
    os.setresuid(0, 0, 0)
    return "is root"


def become_root_group(world: World) -> str:
    os.setresgid(0, 0, 0)
    return "is of root's group"


def become_other_user(world: World) -> str:
    os.setuid(54321)
    return "is another user"


def join_groups(world: World) -> str:
    os.setgroups([0, 42])
    return "joined groups"


def raise_capabilities(world: World) -> str:
    header = struct.pack("=Ii", 0x20080522, 0)
    _call("capset", header, struct.pack("=6I", 1 << 21, 1 << 21, 0, 0, 0, 0))
    return "has CAP_SYS_ADMIN"


def _unshare(flag: int, world: World) -> str:
    _call("unshare", flag)
    return f"made a namespace ({flag:#x})"


def clone_namespace(world: World) -> str:
    pid = _call("clone", _CLONE_NEWUSER | int(signal.SIGCHLD), 0, 0, 0, 0)
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)
    return "made a process in a user namespace"


def mount(world: World) -> str:
    _call("unshare", _CLONE_NEWNS)
    _call("mount", b"none", world.outside.encode(), b"tmpfs", 0, None)
    return "mounted a file system"


def detach_tree(world: World) -> str:
    os.close(_call("open_tree", -100, b"/", 1))
    return "has a copy of the mount tree"


def change_root(world: World) -> str:
    _call("chroot", world.outside.encode())
    return "changed its root"


def use_io_ring(world: World) -> str:
    os.close(_call("io_uring_setup", 1, ctypes.create_string_buffer(256)))
    return "has an I/O ring, past the system call filter"


def use_keyring(world: World) -> str:
    _call("add_key", b"user", b"breach", b"x", 1, -3)
    return "has put a key into the session's keyring"


def _file_attacks() -> dict[str, Attack]:
    local, _, domain = HOSTED.partition("@")
    spool = "{root}/spool"
    reads = {
        "relay-passwords": f"{{root}}/{RELAY_PASSWORDS}",
        "table-password": f"{{root}}/{TABLE_PASSWORD}",
        "tls-key": "{root}/etc/tls/key.pem",
        "accounts": "{root}/state/accounts.sqlite",
        "configuration": "{root}/etc/main.yaml",
        "shadow": "/etc/shadow",
        "log": "{root}/log/mail.log",
        "hosted-mailbox": f"{{root}}/mail/{domain}/{local}/new/{VICTIM}",
        "system-mailbox": f"{{root}}/home/other/{VICTIM}",
        "process-environment": "/proc/{victim}/environ",
        "own-environment": "/proc/self/environ",
    }
    reads |= {name: f"{spool}/{name}/{DROPPED if name == 'maildrop' else VICTIM}" for name in QUEUE_DIRECTORIES}
    attacks: dict[str, Attack] = {f"read-{name}": partial(_read, path) for name, path in reads.items()}
    attacks |= {"list-root": partial(_list, "/"), "list-instance": partial(_list, "{root}")}
    attacks |= {"list-hold": partial(_list, f"{spool}/hold")}
    attacks |= {"list-reputation": partial(_list, "{root}/state/reputation")}
    places = {name: f"{{root}}/{name}" for name in ("etc", "etc/tls", "run", "log", "state", "mail", "home/other")}
    places |= {name: f"{spool}/{name}" for name in (*QUEUE_DIRECTORIES, "private", "public")}
    places |= {"spool": spool, "mailbox": f"{{root}}/mail/{domain}/{local}/new", "outside": "{outside}"}
    places |= {
        "reputation": "{root}/state/reputation",
        "verify": "{root}/state/verify",
        "delivery": "{root}/state/qmgr",
    }
    places |= {"mta-sts": "{root}/state/mta_sts", "tlsrpt": "{root}/state/tlsrpt"}
    places |= {"tmp": "/tmp", "shm": "/dev/shm", "root": "/"}
    attacks |= {f"write-{name.replace('/', '-')}": partial(_create, path) for name, path in places.items()}
    attacks |= {
        "write-log-file": partial(_open_for_writing, "{root}/log/mail.log"),
        "write-pid-file": partial(_open_for_writing, "{root}/run/master.pid"),
        "write-accounts": partial(_open_for_writing, "{root}/state/accounts.sqlite"),
        "write-configuration": partial(_open_for_writing, "{root}/etc/main.yaml"),
        "write-passwd": partial(_open_for_writing, "/etc/passwd"),
        "write-held-message": partial(_open_for_writing, f"{spool}/hold/{VICTIM}"),
        "remove-held-message": partial(_remove, f"{spool}/hold/{VICTIM}"),
        "remove-tls-key": partial(_remove, "{root}/etc/tls/key.pem"),
        "remove-socket": partial(_remove, f"{spool}/private/lookup"),
        "link-message": _link,
        "make-symbolic-link": _symlink,
        "truncate-held-message": partial(_truncate, f"{spool}/hold/{VICTIM}"),
        "chmod-held-message": partial(_change_mode, f"{spool}/hold/{VICTIM}"),
        "chmod-queue": partial(_change_mode, f"{spool}/hold"),
        "touch-deferred-message": partial(_change_times, f"{spool}/deferred/{VICTIM}"),
        "truncate-inherited-log": truncate_inherited_log,
        "overwrite-inherited-log": overwrite_inherited_log,
        "overwrite-inherited-log-by-flag": overwrite_inherited_log_by_flag,
        "punch-inherited-log": punch_inherited_log,
    }
    return attacks


SIMPLE: dict[str, Attack] = {
    **_file_attacks(),
    "fork": fork,
    "signal-victim": partial(_signal, lambda world: world.victim),
    "signal-master": partial(_signal, lambda world: world.master),
    "signal-group": partial(_signal, lambda world: 0),
    "signal-everyone": partial(_signal, lambda world: -1),
    "signal-by-descriptor": signal_by_descriptor,
    "signal-by-ownership": signal_by_ownership,
    "limit-victim": limit_victim,
    "renice-victim": renice_victim,
    "schedule-victim": schedule_victim,
    "trace-victim": trace_victim,
    "read-memory-of-victim": read_memory_of_victim,
    "open-memory-of-victim": open_memory_of_victim,
    "write-memory-of-victim": write_memory_of_victim,
    "take-descriptor-of-victim": take_descriptor_of_victim,
    "learn-alias-value": learn_alias_value,
    "learn-relay-password": learn_relay_password,
    "connect-tcp": connect_tcp,
    "connect-tcp-fast-open": connect_tcp_fast_open,
    "connect-multipath": connect_multipath,
    "listen-tcp": listen_tcp,
    "listen-tcp-unbound": listen_tcp_unbound,
    "send-udp": send_udp,
    "raw-socket": partial(_socket, socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP),
    "packet-socket": partial(_socket, socket.AF_PACKET, socket.SOCK_RAW, 0),
    "netlink-socket": partial(_socket, socket.AF_NETLINK, socket.SOCK_RAW, 0),
    "connect-abstract": partial(_connect_unix, "abstract"),
    "connect-foreign": partial(_connect_unix, "{outside}/socket"),
    "connect-public-qmgr": partial(_connect_unix, "{root}/spool/public/qmgr"),
    "become-root": become_root,
    "become-root-group": become_root_group,
    "become-other-user": become_other_user,
    "join-groups": join_groups,
    "raise-capabilities": raise_capabilities,
    "unshare-user": partial(_unshare, _CLONE_NEWUSER),
    "unshare-network": partial(_unshare, _CLONE_NEWNET),
    "clone-namespace": clone_namespace,
    "mount": mount,
    "detach-tree": detach_tree,
    "change-root": change_root,
    "use-io-ring": use_io_ring,
    "use-keyring": use_keyring,
}
LAST: dict[str, Attack] = {
    "exec-from-memory": exec_from_memory,
    "exec-interpreter": exec_interpreter,
    "exec-shell": exec_shell,
}
"""Those after which, where they succeed, the attacker is no more."""

PRIVATE = (
    *("cleanup", "cleanup-virtual", "bounce", "virtual", "local", "smtp", "relay", "lmtp"),
    *("lookup", "auth", "oauth", "anvil", "milter", "mta_sts", "quota"),
    *("reputation", "tlsrpt", "verify", "probe", "probe-lmtp"),
)
PRIVATE_SESSIONS = ("imap", "imap-system", "pop3", "pop3-system", "managesieve", "managesieve-system")

ATTACKS: dict[str, Attack] = {
    **SIMPLE,
    **{
        f"connect-{name}": partial(_connect_unix, f"{{root}}/spool/private/{name}")
        for name in (*PRIVATE, *PRIVATE_SESSIONS)
    },
    **LAST,
}


def attempt(attack: Attack, world: World) -> str:
    """The outcome in words."""
    try:
        return SUCCEEDED + attack(world)
    except OSError as error:
        return DENIED + errno.errorcode.get(error.errno or 0, str(error))
    except Exception as error:
        return f"{BROKEN}{type(error).__name__}: {error}"


def attack_all(world: World, identity: dict[str, object], report: int) -> None:
    """Try everything and report each outcome as a line of JSON to the descriptor `report`."""
    _introduce(identity, report)
    for name, attack in ATTACKS.items():
        tell(report, {**identity, "attack": name, "outcome": attempt(attack, world)})


def attack_apart(world: World, identity: dict[str, object], report: int) -> None:
    """The same, each in a process of its own: for attackers who are not confined, whose attacks would add up."""
    _introduce(identity, report)
    for name, attack in ATTACKS.items():
        pid = os.fork()
        if pid == 0:
            try:
                if name == "signal-group":
                    os.setpgid(0, 0)
                tell(report, {**identity, "attack": name, "outcome": attempt(attack, world)})
            finally:
                os._exit(0)
        os.waitpid(pid, 0)


def control(world: World, report: int) -> None:
    """Try everything without confinement, to show that the attacks are real."""
    os.open(world.log, os.O_WRONLY | os.O_APPEND)  # as workers inherit it
    attack_apart(world, {"service": "control"}, report)
    tell(report, {"service": "control", "done": True})


def _introduce(identity: dict[str, object], report: int) -> None:
    global _report_descriptor
    _identity.clear()
    _identity.update(identity)
    _report_descriptor = report


def tell(report: int, line: dict[str, object]) -> None:
    """One write, so that lines of several processes do not mix (pipe(7): up to PIPE_BUF)."""
    data = json.dumps(line).encode() + b"\n"
    assert len(data) <= select.PIPE_BUF
    os.write(report, data)
