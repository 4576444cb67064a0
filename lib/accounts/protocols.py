"""The protocols that a password can be good for."""

from __future__ import annotations

from collections.abc import Iterable

from pillarbox.lib.accounts.errors import BadProtocol

PROTOCOLS = ("smtp", "imap", "pop3", "sieve")


def protocols_text(protocols: Iterable[str]) -> str:
    """As stored: in our order, blanks between; raises BadProtocol."""
    wanted = {protocol.lower() for protocol in protocols}
    if unknown := wanted - set(PROTOCOLS):
        raise BadProtocol(f'"{min(unknown)}" is no protocol; known are {", ".join(PROTOCOLS)}')
    return " ".join(protocol for protocol in PROTOCOLS if protocol in wanted)


def read_protocols(text: str) -> tuple[str, ...]:
    """As stored, as a tuple."""
    return tuple(text.split())
