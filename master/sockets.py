"""Binding the sockets of the services, before anything else starts.

UNIX sockets: `spool/private/NAME`, in a directory that only the suite's users can enter, and `spool/public/NAME`,
for commands.
"""

from __future__ import annotations

import contextlib
import ipaddress
import os
import socket
from collections.abc import Iterable

from pillarbox.lib.config import Config, Service
from pillarbox.lib.config.parameters.general import BASE_PORT, INET_INTERFACES, INET_PROTOCOLS, QUEUE_DIRECTORY

BACKLOG = 1024
"""Connections that may wait to be accepted; the kernel caps it at net.core.somaxconn."""

OPEN_MODE, GROUP_MODE, OWNER_MODE = 0o666, 0o660, 0o600
"""Modes of UNIX sockets; who may write to one may connect to it."""

HIGHEST_PORT = 65535

LOOPBACK = ("127.0.0.1", "::1")


class BindError(Exception):
    """A socket that could not be bound; the text says which, why and what to do."""


def _addresses(config: Config) -> list[str]:
    found: list[str] = []
    for name in config[INET_INTERFACES]:
        if name == "all":
            found += ["0.0.0.0", "::"]
        elif name == "loopback-only":
            found += LOOPBACK
        else:
            found.append(name.strip("[]"))
    protocols = config[INET_PROTOCOLS]
    return [
        address for address in dict.fromkeys(found) if protocols == "all" or (":" in address) == (protocols == "ipv6")
    ]


def _bind_inet(service: Service, address: str, port: int, *, optional: bool) -> socket.socket | None:
    if port > HIGHEST_PORT:
        raise BindError(f"{service.name}: there is no port {port}; choose a smaller base_port")
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        # The protocol is named, so that accepted sockets know theirs: the event loops set TCP_NODELAY by it.
        listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    except OSError as error:
        if optional:
            return None
        raise BindError(f"{service.name}: {error.strerror}") from None
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listener.bind((address, port))
        listener.listen(BACKLOG)
        listener.setblocking(False)
    except OSError as error:
        listener.close()
        if optional and family == socket.AF_INET6:
            return None  # "all" and "loopback-only" take IPv6 where the machine has it
        hint = {
            "Address already in use": "; another program listens there",
            "Permission denied": "; ports below 1024 need root, set base_port or start as root",
        }.get(error.strerror or "", "")
        raise BindError(f"{service.name}: cannot listen on {address} port {port}: {error.strerror}{hint}") from None
    return listener


def _bind_unix(path: str, mode: int, uid: int, gid: int) -> socket.socket:
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        listener.bind(path)
        os.chmod(path, mode)
        if uid >= 0:
            os.chown(path, uid, gid)
        listener.listen(BACKLOG)
        listener.setblocking(False)
    except OSError as error:
        listener.close()
        reason = error.strerror or f"{error}; choose a shorter queue_directory"
        raise BindError(f"cannot bind the socket {path}: {reason}") from None
    return listener


def bind_service(
    config: Config,
    service: Service,
    uid: int = -1,
    gid: int = -1,
    mode: int = OPEN_MODE,
    *,
    inherited: Iterable[socket.socket] = (),
) -> list[socket.socket]:
    """The listening sockets of one service.  Raises BindError; sockets that were bound are then closed again.

    Of `inherited`, the sockets of a former generation, those are taken over whose address is still wanted.
    private/ can be entered by the suite's own users only; of these `uid`, `gid` and `mode` say which may connect.
    A socket in public/ may be connected to by everyone.
    """
    listeners: list[socket.socket] = []
    fresh: list[socket.socket] = []
    known = {address_of(listener): listener for listener in inherited}
    try:
        for address, port in service.inet:
            wildcard = not address and any(name in ("all", "loopback-only") for name in config[INET_INTERFACES])
            for each in [address] if address else _addresses(config):
                number = config[BASE_PORT] + port
                listener = known.get((_canonical(each), number))
                if listener is None and (listener := _bind_inet(service, each, number, optional=wildcard)) is not None:
                    fresh.append(listener)
                if listener is not None:
                    listeners.append(listener)
        for folder in ("private", "public"):
            if folder in service.listen:
                path = f"{config[QUEUE_DIRECTORY]}/{folder}/{service.name}"
                if (listener := known.get(path)) is None:
                    listener = _bind_unix(path, mode if folder == "private" else OPEN_MODE, uid, gid)
                    fresh.append(listener)
                listeners.append(listener)
    except BindError:
        for listener in fresh:
            listener.close()
        raise
    return listeners


def address_of(listener: socket.socket) -> object:
    """Where a socket listens: the path of a UNIX socket, else (address, port)."""
    name = listener.getsockname()
    return name if isinstance(name, str) else name[:2]


def _canonical(address: str) -> str:
    try:
        return ipaddress.ip_address(address).compressed
    except ValueError:
        return address
