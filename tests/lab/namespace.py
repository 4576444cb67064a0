"""A network of its own: thousands of hosts on port 25 with one listener, and no way to the world.

    with Namespace() as net, DnsServer(...) as dns, Crowd(port=25) as crowd, Instance(...) as mail:
        net.refuse("10.3.0.0/16")       # connections to these hosts are refused at once
        net.swallow("10.4.0.0/16")      # nothing comes back: a connection attempt hangs until somebody gives up
        net.lose("10.5.0.0/16", 0.1)    # one packet in ten is lost
        net.heal("10.4.0.0/16")         # as before

Between entering and leaving, the calling thread is in a network namespace (network_namespaces(7)), and so is whatever
it starts there: threads, servers, processes. Loopback is up, and every address of 10.0.0.0/8 is one of this host's, so
that a listener on 0.0.0.0 is reached under all of them and sees which one was meant (`getsockname`).

It needs root. Packets are refused and swallowed by nftables (Debian's `nft` from `tests.peers`, rules in the kernel).
There is no delay here: the kernels that tests run on have no `netem`; sinks are what is slow (`Crowd`, `SmtpSink`).
"""

from __future__ import annotations

import contextlib
import ctypes
import ipaddress
import os
import subprocess
from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import Self

from tests.peers.install import peer
from tests.peers.peer import Peer

_CLONE_NEWNET = 0x40000000

EVERYWHERE = "10.0.0.0/8"

# Rules look at what leaves, before it comes back in over loopback: one look per packet.
_RULES = """
table ip lab {{
    set refused {{ type ipv4_addr; flags interval; }}
    set swallowed {{ type ipv4_addr; flags interval; }}
    chain going {{
        type filter hook output priority 0;
        ip daddr @swallowed drop
        ip daddr @refused tcp flags & (syn | ack) == syn reject with tcp reset
{losses}
    }}
}}
{elements}
"""


class Namespace:
    """The network; a context manager.  Only the thread that entered it, and what that starts, is in it."""

    def __init__(self, local: str = EVERYWHERE) -> None:
        """`local` are the addresses that are this host's, besides loopback."""
        if os.geteuid() != 0:
            raise AssertionError("a network namespace needs root")
        self._local = local
        self._outside = self._inside = -1
        self._sets: dict[str, set[str]] = {"refused": set(), "swallowed": set()}
        self._losses: dict[str, float] = {}
        self._filter: Peer | None = None

    def __enter__(self) -> Self:
        self._outside = _own_namespace()
        if _libc().unshare(_CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), "no network namespace can be made")
        self._inside = _own_namespace()
        try:
            self.run(["ip", "link", "set", "lo", "up"])
            self.run(["ip", "route", "add", "local", self._local, "dev", "lo"])
        except BaseException:
            self._leave()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._leave()

    def _leave(self) -> None:
        _enter(self._outside)
        os.close(self._outside)
        os.close(self._inside)

    @contextlib.contextmanager
    def entered(self) -> Iterator[None]:
        """Be in it for a moment, from another thread."""
        before = _own_namespace()
        _enter(self._inside)
        try:
            yield
        finally:
            _enter(before)
            os.close(before)

    def run(self, command: Sequence[str], *, input: str = "") -> str:
        """Run a command in it and give its output; AssertionError with what it said where it fails."""
        with self.entered():
            done = subprocess.run(command, input=input, capture_output=True, text=True)
        if done.returncode != 0:
            raise AssertionError(f"{' '.join(command)} ended with status {done.returncode}: {done.stderr}")
        return done.stdout

    def refuse(self, *networks: str) -> None:
        """Connections to these networks or addresses are answered with a reset."""
        self._put("refused", networks)

    def swallow(self, *networks: str) -> None:
        """Packets to these networks or addresses vanish."""
        self._put("swallowed", networks)

    def lose(self, network: str, share: float) -> None:
        """That share of the packets to and from a network (0 to 1) vanishes, at random."""
        self._losses[str(ipaddress.ip_network(network))] = share
        self._apply()

    def heal(self, *networks: str) -> None:
        """End what was set for these networks; without any, for all."""
        wanted = {str(ipaddress.ip_network(each)) for each in networks}
        for each in self._sets.values():
            each -= wanted or set(each)
        for network in wanted or set(self._losses):
            self._losses.pop(network, None)
        self._apply()

    def _put(self, name: str, networks: Sequence[str]) -> None:
        self._sets[name] |= {str(ipaddress.ip_network(each)) for each in networks}
        self._apply()

    def _apply(self) -> None:
        losses = [
            f"        ip {side} {network} {_chance(share)} drop"
            for network, share in self._losses.items()
            for side in ("daddr", "saddr")
        ]
        elements = [
            f"add element ip lab {name} {{ {', '.join(sorted(members))} }}"
            for name, members in self._sets.items()
            if members
        ]
        text = _RULES.format(losses="\n".join(losses), elements="\n".join(elements))
        if self._filter is None:
            self._filter = peer("nftables")
        with self.entered():
            # The empty table first, so that there is one to delete.
            self._filter.run(["nft", "-f", "-"], input=f"table ip lab\ndelete table ip lab\n{text}", check=True)


def _chance(share: float) -> str:
    return "" if share >= 1 else f"numgen random mod 1000 < {round(share * 1000)}"


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _own_namespace() -> int:
    return os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)


def _enter(descriptor: int) -> None:
    if _libc().setns(descriptor, _CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "the network namespace cannot be entered")
