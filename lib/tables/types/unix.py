"""`unix:passwd.byname` and `unix:group.byname`: the user and group databases of the system, through its name service.

The C library is called directly: Python's pwd and grp modules report a name service that is down as "no such user",
which would bounce mail.  The value is the line as in /etc/passwd or /etc/group, the password hidden.
"""

from __future__ import annotations

import ctypes
import errno
import os

from pillarbox.lib.tables.errors import LookupFailed, TableChanged, TableError
from pillarbox.lib.tables.registry import Registry
from pillarbox.lib.tables.table import Options, Table
from pillarbox.lib.tables.watch import Identity, identity

BUFFER_SIZE = 1024
BUFFER_LIMIT = 1 << 20
"""Largest entry that is taken: a group with tens of thousands of members."""

_NOT_FOUND = {0, errno.ENOENT, errno.ESRCH}
"""How getpwnam(3) says "not found".  EPERM and EBADF, which other systems use for it too, are errors to us: they may
come from confinement."""


class _Passwd(ctypes.Structure):
    _fields_ = (
        ("name", ctypes.c_char_p),
        ("password", ctypes.c_char_p),
        ("uid", ctypes.c_uint32),
        ("gid", ctypes.c_uint32),
        ("gecos", ctypes.c_char_p),
        ("home", ctypes.c_char_p),
        ("shell", ctypes.c_char_p),
    )


class _Group(ctypes.Structure):
    _fields_ = (
        ("name", ctypes.c_char_p),
        ("password", ctypes.c_char_p),
        ("gid", ctypes.c_uint32),
        ("members", ctypes.POINTER(ctypes.c_char_p)),
    )


_libc = ctypes.CDLL(None, use_errno=True)


def _text(value: bytes | None) -> str:
    return (value or b"").decode("utf-8", "surrogateescape")


def _passwd_line(entry: _Passwd) -> str:
    fields = (entry.name, entry.gecos, entry.home, entry.shell)
    name, gecos, home, shell = (_text(field) for field in fields)
    return f"{name}:x:{entry.uid}:{entry.gid}:{gecos}:{home}:{shell}"


def _group_line(entry: _Group) -> str:
    members: list[str] = []
    index = 0
    while entry.members and (member := entry.members[index]) is not None:
        members.append(_text(member))
        index += 1
    return f"{_text(entry.name)}:x:{entry.gid}:{','.join(members)}"


def _identity(path: str) -> Identity | None:
    try:
        return identity(os.stat(path))
    except OSError:
        return None


class UnixTable(Table):
    """One of the two databases."""

    def __init__(self, spec: str, options: Options) -> None:
        super().__init__(spec, options)
        self._of_users = spec.endswith(":passwd.byname")
        self._function = _libc.getpwnam_r if self._of_users else _libc.getgrnam_r
        self._file = "/etc/passwd" if self._of_users else "/etc/group"
        self._identity = _identity(self._file)

    def get(self, key: str) -> str | None:
        name = self._folded(key).encode("utf-8", "surrogateescape")
        if not name or b"\0" in name or b":" in name or b"\n" in name:
            return None
        entry = _Passwd() if self._of_users else _Group()
        result = ctypes.c_void_p()
        size = BUFFER_SIZE
        while True:
            buffer = ctypes.create_string_buffer(size)
            status = self._function(name, ctypes.byref(entry), buffer, ctypes.c_size_t(size), ctypes.byref(result))
            if status == errno.EINTR:
                continue
            if status != errno.ERANGE or size >= BUFFER_LIMIT:
                break
            size *= 4
        if result.value:
            return _passwd_line(entry) if isinstance(entry, _Passwd) else _group_line(entry)
        if status in _NOT_FOUND and not self._changed():
            return None
        if status in _NOT_FOUND:
            raise TableChanged(f"table {self.spec}: {self._file} has changed")
        raise LookupFailed(f"table {self.spec}: {os.strerror(status)}")

    def _changed(self) -> bool:
        """Whether a confined process asks a file that was replaced: it may not read the new one, so the name service
        would say "not found" of users who are there."""
        if self.options.denied is None:
            return False
        found = _identity(self._file)
        if found == self._identity:
            return False
        self.options.denied(self._file)
        return True

    def files(self) -> tuple[str, ...]:
        return (self._file,)


def open_table(spec: str, options: Options, registry: Registry) -> Table:
    """Open `unix:passwd.byname` or `unix:group.byname`."""
    if spec.partition(":")[2] not in ("passwd.byname", "group.byname"):
        raise TableError(f"unknown table: {spec}")
    return UnixTable(spec, options)
