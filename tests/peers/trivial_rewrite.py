"""Questions to trivial-rewrite(8) of a running Postfix, in its own protocol: names and values that end in NUL."""

from __future__ import annotations

import socket
from dataclasses import dataclass
from pathlib import Path

from pillarbox.lib.address.address import quote_local, unquote_local
from pillarbox.lib.address.rewriting import split_written

CLASSES = {0x100: "local", 0x200: "virtual_alias", 0x400: "virtual_mailbox", 0x800: "relay", 0x1000: "default"}
ROUTED, ERROR, FAILED = 1, 2, 4


@dataclass(frozen=True, slots=True)
class Resolved:
    """Postfix's answer; `flags` are ROUTED, ERROR and FAILED."""

    transport: str
    nexthop: str
    recipient: str
    address_class: str
    flags: int


class TrivialRewrite:
    """One connection to a service."""

    def __init__(self, path: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(60)
        self._socket.connect(str(path))
        self._data = b""
        self._reply()  # the greeting

    def rewrite(self, address: str, rule: str = "local") -> str:
        """An address in standard form."""
        return dict(self._ask(request="rewrite", rule=rule, address=address))["address"]

    def resolve(self, address: str, sender: str = "") -> Resolved:
        """Where a rewritten address goes; what has no answer for its syntax has the flag ERROR."""
        local, domain = split_written(address)
        # In this question, and its answer, local parts are without quotes.
        plain = unquote_local(local) if domain is None else f"{unquote_local(local)}@{domain}"
        values = dict(self._ask(request="resolve", sender=sender, address=plain)[1:])
        flags = int(values["flags"])
        address_class = next((name for bit, name in CLASSES.items() if flags & bit), "")
        if values["transport"] == "CHANNEL NOT UPDATED":
            flags |= ERROR
        local, _, domain = values["recipient"].rpartition("@")
        return Resolved(
            values["transport"], values["nexthop"], f"{quote_local(local)}@{domain}", address_class, flags & 7
        )

    def _ask(self, **attributes: str) -> list[tuple[str, str]]:
        pairs = (f"{name}\0{value}\0" for name, value in attributes.items())
        self._socket.sendall("".join(pairs).encode() + b"\0")
        return self._reply()

    def _reply(self) -> list[tuple[str, str]]:
        """Names and values up to the empty name."""
        found = []
        while name := self._text():
            found.append((name, self._text()))
        return found

    def _text(self) -> str:
        while b"\0" not in self._data:
            more = self._socket.recv(65536)
            if not more:
                raise AssertionError("trivial-rewrite has hung up")
            self._data += more
        text, _, self._data = self._data.partition(b"\0")
        return text.decode()

    def close(self) -> None:
        """End the connection."""
        self._socket.close()
