"""Landlock: file, TCP and scope rules that a process lays on itself (landlock(7)).

Promises: a rule set uses everything the running kernel knows and says which parts it does not know.
Rules only ever take rights away, and hold for all children.  Connecting to a UNIX socket that has a
path is outside Landlock up to ABI 7: file permissions on the socket's directory guard that.

Works without privileges.  Holds for the calling thread and those it starts: call it before threads exist.
"""

from __future__ import annotations

import ctypes
import errno
import os
import stat
import struct
from collections.abc import Iterable
from dataclasses import dataclass

from pillarbox.lib.system.libc import system_call

# The numbers are the same on all architectures.
_CREATE_RULESET = 444
_ADD_RULE = 445
_RESTRICT_SELF = 446

_CREATE_RULESET_VERSION = 1
_RULE_PATH_BENEATH = 1
_RULE_NET_PORT = 2

EXECUTE = 1 << 0
WRITE_FILE = 1 << 1
READ_FILE = 1 << 2
READ_DIR = 1 << 3
REMOVE_DIR = 1 << 4
REMOVE_FILE = 1 << 5
MAKE_CHAR = 1 << 6
MAKE_DIR = 1 << 7
MAKE_REG = 1 << 8
MAKE_SOCK = 1 << 9
MAKE_FIFO = 1 << 10
MAKE_BLOCK = 1 << 11
MAKE_SYM = 1 << 12
REFER = 1 << 13
TRUNCATE = 1 << 14
IOCTL_DEV = 1 << 15

# Rights by the ABI that brought them.
_FILE_RIGHTS = {1: (1 << 13) - 1, 2: REFER, 3: TRUNCATE, 5: IOCTL_DEV}
# The rights that make sense on something that is not a directory; the kernel refuses others there.
_RIGHTS_ON_FILES = EXECUTE | WRITE_FILE | READ_FILE | TRUNCATE | IOCTL_DEV

READ = READ_FILE | READ_DIR
# Device nodes are missing on purpose: no program of a mail system makes one.
WRITE = (
    READ
    | WRITE_FILE
    | TRUNCATE
    | REMOVE_DIR
    | REMOVE_FILE
    | MAKE_DIR
    | MAKE_REG
    | MAKE_SOCK
    | MAKE_FIFO
    | MAKE_SYM
    | REFER
)

PUT = MAKE_REG | REFER
"""Enough to move a file into a directory whose files are out of reach."""

_BIND_TCP = 1 << 0
_CONNECT_TCP = 1 << 1
_TCP_ABI = 4
_SCOPE_ABSTRACT_UNIX = 1 << 0
_SCOPE_SIGNAL = 1 << 1
_SCOPE_ABI = 6


@dataclass(frozen=True, slots=True)
class Rules:
    """What stays allowed.  `None` for a port list leaves that operation unrestricted."""

    read: tuple[str, ...] = ()
    write: tuple[str, ...] = ()
    put: tuple[str, ...] = ()
    connect_tcp: tuple[int, ...] | None = ()
    bind_tcp: tuple[int, ...] | None = ()
    execute: bool = False
    scope_signals: bool = True
    scope_abstract_sockets: bool = True


@dataclass(frozen=True, slots=True)
class Outcome:
    """What `restrict` reached: the ABI, the parts in force, the parts this kernel lacks, paths that do not exist."""

    abi: int
    held: tuple[str, ...] = ()
    lacking: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()


def abi_version() -> int:
    """The kernel's Landlock ABI, 0 where Landlock is absent or switched off."""
    try:
        return system_call(
            "landlock_create_ruleset", _CREATE_RULESET, None, ctypes.c_size_t(0), _CREATE_RULESET_VERSION
        )
    except OSError as error:
        if error.errno in (errno.ENOSYS, errno.EOPNOTSUPP, errno.EPERM):
            return 0
        raise


def handled_file_rights(abi: int, *, execute: bool = False) -> int:
    """All file rights that a kernel of this ABI can take away (`execute`: leave running programs alone)."""
    rights = 0
    for since, bits in _FILE_RIGHTS.items():
        if abi >= since:
            rights |= bits
    return rights & ~EXECUTE if execute else rights


def restrict(rules: Rules) -> Outcome:
    """Lay `rules` on the calling thread for good.  no_new_privs must be set before.

    Raises OSError only for real failures (no memory, too many layers); a kernel without Landlock gives ABI 0.
    """
    abi = abi_version()
    if abi == 0:
        return Outcome(0, lacking=("landlock",))
    held = ["files"]
    lacking: list[str] = []
    files = handled_file_rights(abi, execute=rules.execute)
    network = 0
    for right, ports in ((_BIND_TCP, rules.bind_tcp), (_CONNECT_TCP, rules.connect_tcp)):
        if ports is not None:
            network |= right
    scopes = 0
    if rules.scope_abstract_sockets:
        scopes |= _SCOPE_ABSTRACT_UNIX
    if rules.scope_signals:
        scopes |= _SCOPE_SIGNAL
    if network:
        (held if abi >= _TCP_ABI else lacking).append("tcp")
        network = network if abi >= _TCP_ABI else 0
    if scopes:
        (held if abi >= _SCOPE_ABI else lacking).append("scopes")
        scopes = scopes if abi >= _SCOPE_ABI else 0

    missing: list[str] = []
    ruleset = _create(abi, files, network, scopes)
    try:
        _allow_paths(ruleset, rules.read, READ & files, missing)
        _allow_paths(ruleset, rules.write, WRITE & files, missing)
        _allow_paths(ruleset, rules.put, PUT & files, missing)
        if network:
            _allow_ports(ruleset, rules.bind_tcp or (), _BIND_TCP)
            _allow_ports(ruleset, rules.connect_tcp or (), _CONNECT_TCP)
        system_call("landlock_restrict_self", _RESTRICT_SELF, ctypes.c_int(ruleset), ctypes.c_uint(0))
    finally:
        os.close(ruleset)
    return Outcome(abi, tuple(held), tuple(lacking), tuple(missing))


def _create(abi: int, files: int, network: int, scopes: int) -> int:
    """A rule set descriptor; the attribute structure has as many fields as this ABI knows."""
    fields = [files]
    if abi >= _TCP_ABI:
        fields.append(network)
    if abi >= _SCOPE_ABI:
        fields.append(scopes)
    attributes = struct.pack(f"={len(fields)}Q", *fields)
    size = ctypes.c_size_t(len(attributes))
    return system_call("landlock_create_ruleset", _CREATE_RULESET, attributes, size, ctypes.c_uint(0))


def _allow_paths(ruleset: int, paths: Iterable[str], rights: int, missing: list[str]) -> None:
    for path in paths:
        try:
            descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
        except OSError:
            # What does not exist or cannot be reached needs no permission.
            missing.append(path)
            continue
        try:
            is_directory = stat.S_ISDIR(os.fstat(descriptor).st_mode)
            allowed = rights if is_directory else rights & _RIGHTS_ON_FILES
            rule = struct.pack("=Qi", allowed, descriptor)
            arguments = (ctypes.c_int(ruleset), ctypes.c_int(_RULE_PATH_BENEATH), rule, ctypes.c_uint(0))
            system_call(f"landlock_add_rule {path}", _ADD_RULE, *arguments)
        finally:
            os.close(descriptor)


def _allow_ports(ruleset: int, ports: Iterable[int], right: int) -> None:
    for port in ports:
        rule = struct.pack("=QQ", right, port)
        arguments = (ctypes.c_int(ruleset), ctypes.c_int(_RULE_NET_PORT), rule, ctypes.c_uint(0))
        system_call(f"landlock_add_rule port {port}", _ADD_RULE, *arguments)
