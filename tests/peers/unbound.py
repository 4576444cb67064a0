"""A private Unbound: a validating resolver (RFC 4035 section 4) in front of the private DNS server.

    with DnsServer(ZONE, signed=True) as dns, Unbound(dns) as resolver:
        settings = {"dns_resolver": resolver.resolver}      # AD for what is secure, SERVFAIL for what is bogus

It trusts the server's root and nothing else, keeps no answer (what the server is told to break counts at once), and
sees the real time: signatures of the server that run by a virtual clock hold for two months around it.
"""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path

from tests.lab.dns import DnsServer
from tests.lab.ports import LOOPBACK, free_port, wait_for_port
from tests.lab.processes import stop_process
from tests.peers.install import peer
from tests.peers.server import PrivateServer

_START_TIMEOUT, _STOP_TIMEOUT = 30, 10  # seconds

# Zones that Unbound answers by itself unless told not to; tests live in them.
_OPENED = (
    "10.in-addr.arpa.",
    "127.in-addr.arpa.",
    "168.192.in-addr.arpa.",
    "2.0.192.in-addr.arpa.",
    "test.",
    "invalid.",
)

_CONFIGURATION = """\
server:
    directory: "{directory}"
    chroot: ""
    username: ""
    pidfile: "{directory}/pid"
    use-syslog: no
    do-daemonize: no
    num-threads: 1
    interface: {address}@{port}
    access-control: 127.0.0.0/8 allow
    do-not-query-localhost: no
    do-ip6: no
    module-config: "validator iterator"
    trust-anchor: "{anchor}"
    val-log-level: 2
    cache-max-ttl: 0
    cache-max-negative-ttl: 0
    val-bogus-ttl: 0
    aggressive-nsec: no
    trust-anchor-signaling: no
    root-key-sentinel: no
    infra-host-ttl: 1
{opened}
remote-control:
    control-enable: no
forward-zone:
    name: "."
    forward-addr: {server}@{server_port}
    forward-no-cache: yes
"""


class Unbound(PrivateServer):
    """A private instance; a context manager, or `start()`, `stop()` and `remove()`."""

    def __init__(self, dns: DnsServer, *, address: str = LOOPBACK, port: int = 0, anchor: str = "") -> None:
        """`dns` must sign. `anchor` is another DNSKEY or DS record to trust than that of its root."""
        self._peer = peer("unbound")
        self.address, self.port = address, port or free_port(address)
        self.label = f"Unbound at {self.address}:{self.port}"
        self.directory = Path(tempfile.mkdtemp(prefix="unbound-"))
        self.process: subprocess.Popen[bytes] | None = None
        (self.directory / "unbound.conf").write_text(
            _CONFIGURATION.format(
                directory=self.directory,
                address=self.address,
                port=self.port,
                anchor=anchor or dns.trust_anchor(),
                opened="\n".join(f'    local-zone: "{zone}" nodefault' for zone in _OPENED),
                server=dns.address,
                server_port=dns.port,
            )
        )

    @property
    def resolver(self) -> str:
        """`address:port`, the form that `dns_resolver` takes."""
        return f"{self.address}:{self.port}"

    def start(self) -> None:
        """Start it and return when it accepts connections. Raises AssertionError with its log."""
        self.process = self._peer.start(
            ["unbound", "-d", "-c", self.directory / "unbound.conf"], output=self.directory / "output"
        )
        try:
            wait_for_port(self.address, self.port, _START_TIMEOUT, self.process)
        except AssertionError as error:
            said = "\n".join(self.log_lines())
            raise AssertionError(f"Unbound does not start: {error}\n{said}") from error

    def stop(self) -> None:
        """End it; a second time does nothing."""
        if self.process is not None:
            stop_process(self.process, _STOP_TIMEOUT)
            self.process = None

    def log_lines(self) -> list[str]:
        """What it said so far, the reasons why something is bogus among it."""
        path = self.directory / "output"
        return path.read_text(errors="replace").splitlines() if path.exists() else []
