"""A private OpenSMTPD on a loopback address: takes mail for anyone and hands it to one server of the test's choice.

It needs root: its places and users are compiled in, so it runs in a mount namespace that shows it all of them.

    with SmtpSink() as sink, OpenSmtpd(relay=(sink.address, sink.port)) as opensmtpd:
        ...  # send mail to opensmtpd.address, opensmtpd.port; it arrives in sink.messages
"""

from __future__ import annotations

import os
import subprocess
import tempfile
from pathlib import Path

from tests.lab.ports import loopback_address, wait_for_port
from tests.lab.processes import stop_process
from tests.peers.install import peer
from tests.peers.server import PrivateServer

_START_TIMEOUT, _STOP_TIMEOUT = 30, 10  # seconds

_CONFIGURATION = """\
smtp max-message-size 50M
listen on {address} port {port} hostname {hostname}
action "on" relay host "smtp://{relay_address}:{relay_port}" helo {hostname}
match from any for any action "on"
"""


class OpenSmtpd(PrivateServer):
    """A private instance; a context manager, or `start()`, `stop()` and `remove()`."""

    def __init__(
        self, *, relay: tuple[str, int], hostname: str = "opensmtpd.test", address: str = "", port: int = 25
    ) -> None:
        """`relay` is the address and port of the server that gets everything."""
        if os.geteuid() != 0:
            raise AssertionError("a private OpenSMTPD needs root, for a mount namespace")
        self._peer = peer("opensmtpd")
        self.hostname, self.address, self.port = hostname, address or loopback_address(), port
        self.label = hostname
        self.directory = Path(tempfile.mkdtemp(prefix="opensmtpd-"))
        self.directory.chmod(0o755)
        self.process: subprocess.Popen[bytes] | None = None
        for name in ("run", "spool/smtpd", "lib/opensmtpd/empty"):
            (self.directory / name).mkdir(parents=True)
        (self.directory / "spool" / "smtpd").chmod(0o711)
        (self.directory / "smtpd.conf").write_text(
            _CONFIGURATION.format(
                address=self.address,
                port=port,
                hostname=hostname,
                relay_address=relay[0],
                relay_port=relay[1],
            )
        )

    def start(self) -> None:
        """Start it and return when it accepts connections. Raises AssertionError with its log."""
        mounts = {
            self._peer.accounts: Path("/etc/passwd"),
            self._peer.accounts.with_name("group"): Path("/etc/group"),
            self.directory / "run": Path("/run"),
            self.directory / "spool": Path("/var/spool"),
            self.directory / "lib": Path("/var/lib"),
        }
        self.process = self._peer.start(
            ["smtpd", "-d", "-f", self.directory / "smtpd.conf"],
            mounts=mounts,
            in_place=True,
            output=self.directory / "output",
        )
        try:
            wait_for_port(self.address, self.port, _START_TIMEOUT, self.process)
        except AssertionError as error:
            raise AssertionError(f"OpenSMTPD does not start: {error}\n{self.log_lines()}") from error

    def stop(self) -> None:
        """End it and all its processes; a second time does nothing."""
        if self.process is not None:
            stop_process(self.process, _STOP_TIMEOUT)
            self.process = None

    def log_lines(self) -> list[str]:
        """What it said so far."""
        path = self.directory / "output"
        return path.read_text(errors="replace").splitlines() if path.exists() else []
