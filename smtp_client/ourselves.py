"""Which addresses and ports are this mail system's own: mail must not be sent in a circle (RFC 5321 section 5.1).

A server is ourselves where its address is local and one of our own SMTP services listens on its port; so several
instances on the addresses or ports of one machine can send each other mail.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Callable

from pillarbox.lib.config import Config
from pillarbox.lib.config.parameters.general import BASE_PORT, INET_INTERFACES
from pillarbox.lib.config.parameters.smtp_client import PROXY_INTERFACES

_LOOPBACK = ("127.0.0.1", "::1")

AddressTest = Callable[[str], bool]


def is_local_address(address: str) -> bool:
    """Whether this machine has the address: a datagram socket can be bound to no other."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.bind((address, 0))
    except OSError:
        return False
    return True


class Ourselves:
    """Answers `is_us(address, port)`.  `local` is the test for addresses of this machine."""

    def __init__(self, config: Config, local: AddressTest = is_local_address) -> None:
        self._local = local
        self._known: dict[str, bool] = {}
        base = config[BASE_PORT]
        self._listeners = {
            (address, port + base)
            for service in config.services.values()
            if service.command == "smtpd"
            for address, port in service.inet
        }
        self._ports = {port for _, port in self._listeners}
        self._proxies = {_standard(item) for item in config[PROXY_INTERFACES]}
        interfaces = config[INET_INTERFACES]
        if interfaces == ("loopback-only",):
            interfaces = _LOOPBACK
        # None: every address of this machine
        self._interfaces = None if "all" in interfaces else {_standard(item) for item in interfaces}

    def is_us(self, address: str, port: int) -> bool:
        """Whether a connection there would reach this mail system."""
        if port not in self._ports:
            return False
        if ":" in address:
            address = _standard(address)  # those of IPv4 have one spelling
        if address in self._proxies or (address, port) in self._listeners:
            return True
        if ("", port) not in self._listeners:
            return False
        if self._interfaces is not None:
            return address in self._interfaces
        known = self._known.get(address)
        if known is None:
            if len(self._known) > 10000:  # the addresses of the whole world pass here
                self._known.clear()
            known = self._known[address] = self._local(address)
        return known


def _standard(text: str) -> str:
    try:
        return str(ipaddress.ip_address(text.strip("[]")))
    except ValueError:
        return text
