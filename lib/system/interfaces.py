"""The IP addresses of this system, for mail to `user@[192.0.2.1]`: those of inet_interfaces, or the machine's.

Read once, before the process is confined.
"""

from __future__ import annotations

import array
import fcntl
import ipaddress
import socket
import struct
from collections.abc import Iterable

_SIOCGIFCONF = 0x8912
_INTERFACE_SIZE = 40  # struct ifreq on 64-bit Linux
_INTERFACE_LIMIT = 1024
"""Interfaces whose addresses are read: beyond any real machine's number."""

LOOPBACK = frozenset(("127.0.0.1", "::1"))


def machine_addresses() -> frozenset[str]:
    """All addresses of this machine, in their standard spelling; those of loopback where the kernel tells none."""
    return frozenset((*LOOPBACK, *_ipv4(), *_ipv6()))


def _ipv4() -> Iterable[str]:
    buffer = array.array("B", bytes(_INTERFACE_SIZE * _INTERFACE_LIMIT))
    address, length = buffer.buffer_info()
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            answer = fcntl.ioctl(probe.fileno(), _SIOCGIFCONF, struct.pack("iL", length, address))
    except OSError:
        return []
    used = struct.unpack("iL", answer)[0]
    data = buffer.tobytes()
    step = _INTERFACE_SIZE if struct.calcsize("P") == 8 else 32
    return [socket.inet_ntoa(data[start + 20 : start + 24]) for start in range(0, used, step)]


def _ipv6() -> Iterable[str]:
    try:
        with open("/proc/net/if_inet6", encoding="ascii") as stream:
            return [str(ipaddress.IPv6Address(bytes.fromhex(line.split()[0]))) for line in stream]
    except (OSError, ValueError, IndexError):
        return []


def own_addresses(interfaces: Iterable[str]) -> frozenset[str]:
    """The addresses that inet_interfaces names."""
    found: set[str] = set()
    for word in interfaces:
        if word == "all":
            found |= machine_addresses()
        elif word == "loopback-only":
            found |= LOOPBACK
        else:
            try:
                found.add(str(ipaddress.ip_address(word.strip("[]").removeprefix("ipv6:"))))
            except ValueError:
                found |= _resolved(word)
    return frozenset(found)


def _resolved(name: str) -> set[str]:
    try:
        return {str(entry[4][0]) for entry in socket.getaddrinfo(name, None)}
    except OSError:
        return set()
