"""A private HAProxy that passes TCP connections on and says by the PROXY protocol for whom, on loopback addresses.

with HAProxy({"one": Route(mail.port("smtp"), "send-proxy")}) as haproxy:
    smtplib.SMTP(haproxy.address, haproxy.ports["one"])
    haproxy.wait_for_health("one")
"""

from __future__ import annotations

import csv
import io
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from tests.lab.ports import LOOPBACK, free_port, loopback_address, wait_for_port
from tests.lab.processes import stop_process
from tests.peers.install import peer

_START_TIMEOUT, _STOP_TIMEOUT, _HEALTH_TIMEOUT = 30, 10, 60  # seconds

_GLOBAL = """\
global
    stats socket {directory}/stats mode 600
defaults
    mode tcp
    timeout connect 30s
    timeout client 120s
    timeout server 120s
"""

_ROUTE = """\
listen {name}
    bind {address}:{port}
    {check}
    server behind {target} source {address} {options}
"""


@dataclass(frozen=True, slots=True)
class Route:
    """Where connections go: a port of 127.0.0.1, the options of the `server` line, and more lines about checks."""

    port: int
    options: str
    check: str = ""


class HAProxy:
    """A private instance; a context manager."""

    def __init__(self, routes: Mapping[str, Route], *, address: str = "") -> None:
        """Each route has a port of its own; all go out from `address` (a fresh loopback address by default)."""
        self.address = address or loopback_address()
        self.ports = {name: free_port(self.address) for name in routes}
        self.directory = Path(tempfile.mkdtemp(prefix="haproxy-"))
        self.process: subprocess.Popen[bytes] | None = None
        text = _GLOBAL.format(directory=self.directory)
        for name, route in routes.items():
            text += _ROUTE.format(
                name=name,
                address=self.address,
                port=self.ports[name],
                check=route.check,
                target=f"{LOOPBACK}:{route.port}",
                options=route.options,
            )
        (self.directory / "haproxy.cfg").write_text(text)

    def __enter__(self) -> HAProxy:
        try:
            self.process = peer("haproxy").start(
                ["haproxy", "-db", "-f", self.directory / "haproxy.cfg"], output=self.directory / "output"
            )
            for port in self.ports.values():
                wait_for_port(self.address, port, _START_TIMEOUT, self.process)
        except AssertionError as error:
            said = (self.directory / "output").read_text()
            self.close()
            raise AssertionError(f"HAProxy does not start: {error}\n{said}") from error
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End it and delete its directory."""
        if self.process is not None:
            stop_process(self.process, _STOP_TIMEOUT)
            self.process = None
        shutil.rmtree(self.directory, ignore_errors=True)

    def health(self, name: str) -> tuple[str, str]:
        """What HAProxy thinks of a route's server: status, and the result of the last check (`L7OK`)."""
        with socket.socket(socket.AF_UNIX) as control:
            control.connect(str(self.directory / "stats"))
            control.sendall(b"show stat\n")
            text = b"".join(iter(lambda: control.recv(65536), b"")).decode()
        for row in csv.DictReader(io.StringIO(text.removeprefix("# "))):
            if row["pxname"] == name and row["svname"] == "behind":
                return row["status"], row["check_status"]
        raise AssertionError(f"HAProxy knows no route {name}")

    def wait_for_health(self, name: str) -> None:
        """Return when a check that speaks SMTP has succeeded; AssertionError when none does."""
        end = time.monotonic() + _HEALTH_TIMEOUT
        while (found := self.health(name)) != ("UP", "L7OK"):
            if time.monotonic() > end:
                raise AssertionError(f"the check of {name} says {found}")
            time.sleep(0.05)
