"""A private chasquid on a loopback address: takes mail for its mailboxes on port 25, and submissions with AUTH.

    with Chasquid(hostname="mx.test", mailboxes={"ann@test": "secret"}, authority=authority) as chasquid:
        ...  # send mail to chasquid.address, chasquid.port; chasquid.mailbox("ann@test") has it

It has no mailboxes of its own: a script in the place of its delivery agent writes each message to a file.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path

from tests.lab.certificates import Authority
from tests.lab.dns import DnsServer, resolv_conf
from tests.lab.ports import free_port, loopback_address, wait_for_port
from tests.lab.processes import stop_process
from tests.peers.install import peer
from tests.peers.server import PrivateServer

_START_TIMEOUT, _STOP_TIMEOUT = 30, 10  # seconds

_CONFIGURATION = """\
hostname: "{hostname}"
max_data_size_mb: 50
smtp_address: "{address}:{port}"
submission_address: "{address}:{submission}"
data_dir: "{directory}/data"
mail_log_path: "{directory}/log"
mail_delivery_agent_bin: "{directory}/deliver"
mail_delivery_agent_args: "%to%"
"""

_DELIVER = """\
#!/bin/sh
# A message for $1, complete under its final name only.
folder="{directory}/mail/$1"
mkdir -p "$folder/tmp" "$folder/new"
name="$(date +%s%N).$$"
cat >"$folder/tmp/$name" && mv "$folder/tmp/$name" "$folder/new/$name"
"""


class Chasquid(PrivateServer):
    """A private instance; a context manager, or `start()`, `stop()` and `remove()`."""

    def __init__(
        self,
        *,
        authority: Authority,
        hostname: str = "chasquid.test",
        mailboxes: Mapping[str, str] = {},
        dns: DnsServer | None = None,
        address: str = "",
        port: int = 25,
    ) -> None:
        """`mailboxes` maps addresses to the passwords with which their owners submit mail, under TLS.

        `dns`, on port 53, is what it asks instead of the system's servers (this needs root, for a mount namespace).
        """
        self._peer = peer("chasquid")
        self._dns = dns
        self.hostname, self.address, self.port = hostname, address or loopback_address(), port
        self.submission = free_port(self.address)
        self.label = hostname
        self.directory = Path(tempfile.mkdtemp(prefix="chasquid-"))
        self.process: subprocess.Popen[bytes] | None = None
        certificates = self.directory / "certs" / hostname
        certificates.mkdir(parents=True)
        certificate = authority.issue(hostname, self.address)
        shutil.copyfile(certificate.certificate, certificates / "fullchain.pem")
        shutil.copyfile(certificate.key, certificates / "privkey.pem")
        (self.directory / "chasquid.conf").write_text(
            _CONFIGURATION.format(
                hostname=hostname,
                address=self.address,
                port=port,
                submission=self.submission,
                directory=self.directory,
            )
        )
        deliver = self.directory / "deliver"
        deliver.write_text(_DELIVER.format(directory=self.directory))
        deliver.chmod(0o755)
        (self.directory / "data").mkdir()
        for mailbox, password in mailboxes.items():
            (self.directory / "domains" / mailbox.rpartition("@")[2]).mkdir(parents=True, exist_ok=True)
            self._peer.run(
                ["chasquid-util", f"-C={self.directory}", "user-add", mailbox, f"--password={password}"], check=True
            )

    def start(self) -> None:
        """Start it and return when it accepts connections. Raises AssertionError with its log."""
        mounts = {}
        if self._dns is not None:
            if self._dns.port != 53:
                raise AssertionError("chasquid reads resolv.conf: the DNS server must be on port 53")
            (self.directory / "resolv.conf").write_text(resolv_conf([self._dns.address]))
            mounts[self.directory / "resolv.conf"] = Path("/etc/resolv.conf")
        self.process = self._peer.start(
            ["chasquid", f"-config_dir={self.directory}"], mounts=mounts, output=self.directory / "output"
        )
        try:
            for port in (self.port, self.submission):
                wait_for_port(self.address, port, _START_TIMEOUT, self.process)
        except AssertionError as error:
            raise AssertionError(f"chasquid does not start: {error}\n" + "\n".join(self.log_lines())) from error

    def stop(self) -> None:
        """End it; a second time does nothing."""
        if self.process is not None:
            stop_process(self.process, _STOP_TIMEOUT)
            self.process = None

    def mailbox(self, address: str) -> list[bytes]:
        """The messages for an address, oldest first."""
        files = list((self.directory / "mail" / address / "new").glob("*"))
        return [path.read_bytes() for path in sorted(files, key=lambda path: path.stat().st_mtime_ns)]

    def log_lines(self) -> list[str]:
        """What it said so far."""
        found = []
        for name in ("output", "log"):
            path = self.directory / name
            found += path.read_text(errors="replace").splitlines() if path.exists() else []
        return found
