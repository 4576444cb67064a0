"""A private chasquid on a loopback address: takes mail for the users of its domains and keeps it, one file a message.

It needs root, as it listens on port 25 and, given a DNS server, sees that instead of the machine's own (a mount
namespace with its own `/etc/resolv.conf`; the server must listen on port 53).

    with Chasquid(mailboxes=["eve@example.net"], authority=authority) as chasquid:
        ...  # send mail to chasquid.address, chasquid.port
        chasquid.wait_for(lambda: chasquid.mailbox("eve@example.net"))
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from tests.lab.certificates import Authority
from tests.lab.dns import DnsServer, resolv_conf
from tests.lab.ports import free_port, loopback_address, wait_for_port
from tests.lab.processes import stop_process
from tests.peers.install import peer
from tests.peers.server import PrivateServer

_START_TIMEOUT, _STOP_TIMEOUT = 30, 10  # seconds
_PASSWORD = "secret"

_CONFIGURATION = """\
hostname: "{hostname}"
smtp_address: "{address}:{port}"
submission_address: "{address}:{submission}"
mail_delivery_agent_bin: "{directory}/keep"
mail_delivery_agent_args: "%to%"
data_dir: "{directory}/data"
mail_log_path: "<stderr>"
"""

# Written under another name first: a reader never sees half a message.
_KEEP = """\
#!/bin/sh
mkdir -p "{directory}/mail/$1" && cat > "{directory}/mail/.$$" && mv "{directory}/mail/.$$" "{directory}/mail/$1/$$"
"""


class Chasquid(PrivateServer):
    """A private instance; a context manager, or `start()`, `stop()` and `remove()`."""

    def __init__(
        self,
        *,
        mailboxes: Iterable[str],
        hostname: str = "mx.example.net",
        address: str = "",
        port: int = 25,
        dns: DnsServer | None = None,
        authority: Authority | None = None,
    ) -> None:
        """`mailboxes` are its users (all with the password "secret"); it shows a certificate of `authority`."""
        if os.geteuid() != 0:
            raise AssertionError("a private chasquid needs root, for port 25")
        self._peer = peer("chasquid")
        self.hostname, self.address, self.port = hostname, address or loopback_address(), port
        self.submission = free_port(self.address)
        self.label = hostname
        self.directory = Path(tempfile.mkdtemp(prefix="chasquid-"))
        self.directory.chmod(0o755)
        self._dns = dns
        self.process: subprocess.Popen[bytes] | None = None
        for name in ("etc/domains", f"etc/certs/{hostname}", "data", "mail"):
            (self.directory / name).mkdir(parents=True)
        values = {
            "hostname": hostname,
            "address": self.address,
            "port": port,
            "submission": self.submission,
            "directory": self.directory,
        }
        (self.directory / "etc" / "chasquid.conf").write_text(_CONFIGURATION.format(**values))
        (self.directory / "keep").write_text(_KEEP.format(**values))
        (self.directory / "keep").chmod(0o755)
        issued = (authority or Authority(self.directory / "ca")).issue(hostname)
        shutil.copy(issued.certificate, self.directory / "etc" / "certs" / hostname / "fullchain.pem")
        shutil.copy(issued.key, self.directory / "etc" / "certs" / hostname / "privkey.pem")
        for mailbox in mailboxes:
            (self.directory / "etc" / "domains" / mailbox.rpartition("@")[2]).mkdir(exist_ok=True)
            self._peer.run(
                [
                    "chasquid-util",
                    f"--configdir={self.directory / 'etc'}",
                    "user-add",
                    mailbox,
                    f"--password={_PASSWORD}",
                ],
                check=True,
            )

    def start(self) -> None:
        """Start it and return when it accepts connections. Raises AssertionError with its log."""
        mounts = {}
        if self._dns is not None:
            resolver = self.directory / "resolv.conf"
            resolver.write_text(resolv_conf([self._dns.address]))
            mounts[resolver] = Path("/etc/resolv.conf")
        self.process = self._peer.start(
            ["chasquid", f"-config_dir={self.directory / 'etc'}"],
            mounts=mounts,
            output=self.directory / "output",
        )
        try:
            wait_for_port(self.address, self.port, _START_TIMEOUT, self.process)
        except AssertionError as error:
            said = "\n".join(self.log_lines())
            raise AssertionError(f"chasquid does not start: {error}\n{said}") from error

    def stop(self) -> None:
        """End it; a second time does nothing."""
        if self.process is not None:
            stop_process(self.process, _STOP_TIMEOUT)
            self.process = None

    def mailbox(self, address: str) -> list[bytes]:
        """The messages that a user has got, as it stores them."""
        return [path.read_bytes() for path in sorted((self.directory / "mail" / address).glob("*"))]

    def wait_for(self, condition: Callable[[], object], timeout: float = 30) -> None:
        """Return when `condition()` is true; AssertionError with the log when it does not become so."""
        end = time.monotonic() + timeout
        while not condition():
            if time.monotonic() > end:
                raise AssertionError(f"not so after {timeout} s; the log:\n" + "\n".join(self.log_lines()[-80:]))
            time.sleep(0.02)

    def log_lines(self) -> list[str]:
        """What it said so far."""
        path = self.directory / "output"
        return path.read_text(errors="replace").splitlines() if path.exists() else []
