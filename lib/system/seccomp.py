"""A seccomp filter written as BPF by hand: system calls that no program of a mail system needs end in EPERM.

Promises: what is denied fails with EPERM (clone3 with ENOSYS, so that the C library falls back to clone, whose
flags can be read); everything else runs as before, threads, event loops, databases and TLS included.
A second architecture's entry (32-bit calls, x32) is denied as a whole.  The filter holds for all threads and
children.  It is a deny-list on purpose: an allow-list breaks with each new C library; files and TCP
are Landlock's part.
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct
from dataclasses import dataclass
from typing import Literal

from pillarbox.lib.system.libc import MACHINE, system_call
from pillarbox.lib.system.system_calls import ARCHITECTURES, number

_AUDIT_ARCH = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
_X32_BIT = 0x40000000

_SET_MODE_FILTER = 1
_FLAG_ALL_THREADS = 1  # SECCOMP_FILTER_FLAG_TSYNC

_ALLOW = 0x7FFF0000
_FAIL = 0x00050000  # SECCOMP_RET_ERRNO, the number in the low half
_DENY = _FAIL | errno.EPERM
_UNKNOWN_CALL = _FAIL | errno.ENOSYS

# struct seccomp_data { int nr; u32 arch; u64 instruction_pointer; u64 args[6]; }, little end first on both machines
_OFFSET_NUMBER = 0
_OFFSET_ARCHITECTURE = 4

# BPF instruction codes (linux/bpf_common.h)
_LOAD = 0x20  # BPF_LD | BPF_W | BPF_ABS
_IF_EQUAL = 0x15  # BPF_JMP | BPF_JEQ | BPF_K
_IF_AT_LEAST = 0x35  # BPF_JMP | BPF_JGE | BPF_K
_IF_ANY_BIT = 0x45  # BPF_JMP | BPF_JSET | BPF_K
_AND = 0x54  # BPF_ALU | BPF_AND | BPF_K
_RETURN = 0x06  # BPF_RET | BPF_K

_AF_UNIX, _AF_INET, _AF_INET6 = 1, 2, 10
_SOCK_STREAM, _SOCK_DGRAM, _SOCK_TYPE_MASK = 1, 2, 0xF
_IPPROTO_TCP, _IPPROTO_UDP = 6, 17
_MSG_FASTOPEN = 0x20000000
_F_SETFL, _O_APPEND, _RWF_NOAPPEND = 4, os.O_APPEND, 0x20
_TIOCSTI, _TIOCLINUX = 0x5412, 0x541C
# CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET
_NEW_NAMESPACES = 0x7E020000
_CLONE_THREAD = 0x00010000

_NEVER = [
    "ptrace",
    "process_vm_readv",
    "process_vm_writev",
    "process_madvise",
    "process_mrelease",
    "kcmp",
    "pidfd_getfd",
    "move_pages",
    "migrate_pages",
    "mount",
    "umount2",
    "pivot_root",
    "chroot",
    "open_tree",
    "move_mount",
    "fsopen",
    "fsconfig",
    "fsmount",
    "fspick",
    "mount_setattr",
    "unshare",
    "setns",
    "name_to_handle_at",
    "open_by_handle_at",
    "init_module",
    "finit_module",
    "delete_module",
    "create_module",
    "query_module",
    "get_kernel_syms",
    "kexec_load",
    "kexec_file_load",
    "bpf",
    "perf_event_open",
    "userfaultfd",
    "io_uring_setup",
    "io_uring_enter",
    "io_uring_register",
    "add_key",
    "request_key",
    "keyctl",
    "fanotify_init",
    "lookup_dcookie",
    "nfsservctl",
    "syslog",
    "acct",
    "reboot",
    "swapon",
    "swapoff",
    "quotactl",
    "quotactl_fd",
    "sethostname",
    "setdomainname",
    "settimeofday",
    "clock_settime",
    "clock_adjtime",
    "adjtimex",
    "vhangup",
    "personality",
    "iopl",
    "ioperm",
    "modify_ldt",
    "uselib",
    "_sysctl",
    "ustat",
    "sysfs",
]
_EXEC = ("execve", "execveat")
# What programs that are run may want, and this process does not: other processes of the same user are in reach.
_PRIORITIES = ("setpriority", "ioprio_set")
_FILE_ATTRIBUTES = (
    "chmod",
    "fchmod",
    "fchmodat",
    "fchmodat2",
    "chown",
    "lchown",
    "fchown",
    "fchownat",
    "utime",
    "utimes",
    "futimesat",
    "utimensat",
    "setxattr",
    "lsetxattr",
    "fsetxattr",
    "setxattrat",
    "removexattr",
    "lremovexattr",
    "fremovexattr",
    "removexattrat",
    "file_setattr",
)
_FORK = ("fork", "vfork")
# The first argument is the process (for tkill the thread) that is to get the signal.
_SIGNALS_WITH_TARGET = ("kill", "tkill", "tgkill", "rt_sigqueueinfo", "rt_tgsigqueueinfo")
_SIGNALS_WITHOUT_TARGET = ("pidfd_send_signal",)
# The first argument is the process whose limits or place on the processors change, 0 for the caller.
_TUNING = ("prlimit64", "sched_setaffinity", "sched_setattr", "sched_setparam", "sched_setscheduler")

Signals = Literal["self", "any"]
Network = Literal["none", "tcp", "tcp+udp"]


@dataclass(frozen=True, slots=True)
class Filter:
    """What stays allowed.

    `network`: which internet sockets may be made (those that were inherited work always).
    `guard_ports`: Landlock watches TCP ports, so ways around connect(2) (TCP Fast Open) are closed.
    `signals`: "self" = only to the calling process, as raise(3) and abort(3) do.
    `listen`: make sockets that listen; those that were inherited listen already.
    `attributes`: change modes, owners, times and extended attributes of files.
    `shorten`: shorten files that are open.

    Without `exec` a file that was opened for appending, as the log is, takes nothing but appended lines.
    """

    exec: bool = False
    fork: bool = True
    unix: bool = True
    network: Network = "none"
    guard_ports: bool = True
    signals: Signals = "self"
    listen: bool = False
    attributes: bool = False
    shorten: bool = False


class _Program:
    """Collects BPF instructions; jumps are forward and relative, as BPF wants them."""

    def __init__(self) -> None:
        self._code: list[tuple[int, int, int, int]] = []

    def add(self, code: int, value: int, if_true: int = 0, if_false: int = 0) -> None:
        self._code.append((code, if_true, if_false, value))

    def load_argument(self, index: int) -> None:
        """The low 32 bits of argument `index`: all inspected arguments are ints, which the kernel truncates too."""
        self.add(_LOAD, 16 + 8 * index)

    def give(self, verdict: int) -> None:
        self.add(_RETURN, verdict)

    def give_if_equal(self, value: int, verdict: int) -> None:
        self.add(_IF_EQUAL, value, 0, 1)
        self.give(verdict)

    def when_number(self, call: int, body: _Program) -> None:
        """Run `body` (which always returns) if the accumulator holds `call`."""
        self.add(_IF_EQUAL, call, 0, len(body._code))
        self._code.extend(body._code)

    def assemble(self) -> bytes:
        return b"".join(struct.pack("=HBBI", *instruction) for instruction in self._code)


def supported(machine: str = MACHINE) -> bool:
    """Whether the numbers of this machine are known."""
    return machine in ARCHITECTURES


def assemble(rules: Filter, *, pid: int, machine: str = MACHINE) -> tuple[bytes, int]:
    """The filter's BPF code and how many system calls it denies or looks into."""
    main = _Program()
    main.add(_LOAD, _OFFSET_ARCHITECTURE)
    main.add(_IF_EQUAL, _AUDIT_ARCH[machine], 1, 0)
    main.give(_DENY)
    main.add(_LOAD, _OFFSET_NUMBER)
    if machine == "x86_64":
        main.add(_IF_AT_LEAST, _X32_BIT, 0, 1)
        main.give(_DENY)

    inspected = {name: body for name, body in _inspections(rules, pid).items() if number(name, machine) >= 0}
    for name, body in inspected.items():
        main.when_number(number(name, machine), body)
    denied = [name for name in _denied(rules) if number(name, machine) >= 0]
    for name in denied:
        main.give_if_equal(number(name, machine), _DENY)
    main.give_if_equal(number("clone3", machine), _UNKNOWN_CALL)
    main.give(_ALLOW)
    return main.assemble(), len(inspected) + len(denied) + 1


def install(rules: Filter) -> int:
    """Lay the filter on all threads of this process for good; returns how many calls it covers.

    no_new_privs must be set before.  Raises OSError where the kernel has no seccomp filters.
    """
    code, covered = assemble(rules, pid=os.getpid())
    buffer = ctypes.create_string_buffer(code, len(code))
    # struct sock_fprog { unsigned short len; struct sock_filter *filter; }
    program = struct.pack("@HP", len(code) // 8, ctypes.addressof(buffer))
    arguments = (ctypes.c_uint(_SET_MODE_FILTER), ctypes.c_uint(_FLAG_ALL_THREADS), program)
    result = system_call("seccomp", number("seccomp", MACHINE), *arguments)
    if result != 0:
        # With TSYNC a positive result is the thread that could not take the filter, and nothing was installed.
        raise OSError(errno.EBUSY, f"seccomp: thread {result} could not be confined")
    return covered


def _denied(rules: Filter) -> list[str]:
    names = list(_NEVER)
    if not rules.exec:
        names += (*_EXEC, *_PRIORITIES, "fallocate")
    if not rules.shorten:
        names.append("ftruncate")
    if not rules.attributes:
        names += _FILE_ATTRIBUTES
    if not rules.listen:
        names.append("listen")
    if not rules.fork:
        names += _FORK
    if rules.signals == "self":
        names += _SIGNALS_WITHOUT_TARGET
    return names


def _inspections(rules: Filter, pid: int) -> dict[str, _Program]:
    """Bodies for the calls whose arguments decide, the frequent ones first."""
    bodies: dict[str, _Program] = {}
    if rules.network != "none" and rules.guard_ports:
        for name, flags in (("sendto", 3), ("sendmsg", 2), ("sendmmsg", 3)):
            bodies[name] = _deny_bits(flags, _MSG_FASTOPEN)
    bodies["ioctl"] = _inspect_ioctl()
    bodies["socket"] = _inspect_socket(rules)
    bodies["clone"] = _inspect_clone(rules)
    if rules.signals == "self":
        for name in _SIGNALS_WITH_TARGET:
            bodies[name] = _only_values(0, pid)
    for name in _TUNING:
        bodies[name] = _only_values(0, 0, pid)
    if not rules.exec:
        bodies["fcntl"] = _inspect_fcntl()
        bodies["pwritev2"] = _deny_bits(5, _RWF_NOAPPEND)
    return bodies


def _deny_bits(argument: int, bits: int) -> _Program:
    body = _Program()
    body.load_argument(argument)
    body.add(_IF_ANY_BIT, bits, 0, 1)
    body.give(_DENY)
    body.give(_ALLOW)
    return body


def _only_values(argument: int, *values: int) -> _Program:
    body = _Program()
    body.load_argument(argument)
    for value in values:
        body.give_if_equal(value, _ALLOW)
    body.give(_DENY)
    return body


def _inspect_fcntl() -> _Program:
    """No taking O_APPEND away.  The libraries in use make descriptors non-blocking by ioctl, not by F_SETFL."""
    body = _Program()
    body.load_argument(1)
    body.add(_IF_EQUAL, _F_SETFL, 1, 0)
    body.give(_ALLOW)
    body.load_argument(2)
    body.add(_IF_ANY_BIT, _O_APPEND, 0, 1)
    body.give(_ALLOW)
    body.give(_DENY)
    return body


def _inspect_ioctl() -> _Program:
    """No typing into a terminal that started us."""
    body = _Program()
    body.load_argument(1)
    body.give_if_equal(_TIOCSTI, _DENY)
    body.give_if_equal(_TIOCLINUX, _DENY)
    body.give(_ALLOW)
    return body


def _inspect_clone(rules: Filter) -> _Program:
    """No new namespaces; without `fork`, threads only."""
    body = _Program()
    body.load_argument(0)
    body.add(_IF_ANY_BIT, _NEW_NAMESPACES, 0, 1)
    body.give(_DENY)
    if not rules.fork:
        body.add(_IF_ANY_BIT, _CLONE_THREAD, 1, 0)
        body.give(_DENY)
    body.give(_ALLOW)
    return body


def _inspect_socket(rules: Filter) -> _Program:
    """AF_UNIX; plain TCP and UDP over AF_INET and AF_INET6.  No raw, netlink, packet, MPTCP, SCTP or vsock sockets.

    MPTCP and SMC matter: they carry TCP past Landlock's port rules.
    """
    body = _Program()
    body.load_argument(0)
    if rules.unix:
        body.give_if_equal(_AF_UNIX, _ALLOW)
    if rules.network == "none":
        body.give(_DENY)
        return body
    body.add(_IF_EQUAL, _AF_INET, 2, 0)
    body.add(_IF_EQUAL, _AF_INET6, 1, 0)
    body.give(_DENY)
    body.load_argument(1)
    body.add(_AND, _SOCK_TYPE_MASK)
    kinds = [(_SOCK_STREAM, _IPPROTO_TCP)]
    if rules.network == "tcp+udp":
        kinds.append((_SOCK_DGRAM, _IPPROTO_UDP))
    for kind, protocol in kinds:
        inner = _Program()
        inner.load_argument(2)
        inner.give_if_equal(0, _ALLOW)
        inner.give_if_equal(protocol, _ALLOW)
        inner.give(_DENY)
        body.when_number(kind, inner)
    body.give(_DENY)
    return body
