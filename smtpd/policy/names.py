"""Is this a host name, a qualified one, an address: what HELO names and domains in addresses are held against."""

from __future__ import annotations

import ipaddress

from pillarbox.lib.address.domain import is_domain, literal_address


def without_dot(name: str) -> str:
    """A name without its final dot, but not without a second one."""
    return name[:-1] if name.endswith(".") and not name.endswith("..") else name


def is_hostname(name: str) -> bool:
    """Whether it is a good host name, qualified or not: not all numbers, which would be an address."""
    return is_domain(name) and not name.replace(".", "").isdigit()


def is_qualified(name: str) -> bool:
    """Whether it is a host name with a dot in it."""
    return "." in name and is_hostname(name)


def is_address(text: str) -> bool:
    """Whether it is an IP address."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def is_address_literal(text: str) -> bool:
    """Whether it is `[192.0.2.1]` or `[IPv6:2001:db8::1]`."""
    return literal_address(text) is not None


def domain_of(address: str) -> str:
    """The domain of an address, or of a domain itself."""
    return address.rpartition("@")[2]
