"""A private S3-compatible server: OpenStack Swift with its s3api, on loopback ports, with its data in a directory.

with Swift() as server:
    server.make_bucket("mail")
    ...  # server.url("mail") as server.key with server.secret in server.region

It checks signatures, clocks and digests of what it is sent.  One process, which may be killed and started again.
"""

from __future__ import annotations

import contextlib
import http.client
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

from pillarbox.lib.store.sql.signature import Credentials, signed_headers
from tests.lab.ports import LOOPBACK, free_port, wait_for_port
from tests.peers.install import peer
from tests.peers.server import PrivateServer

_LAUNCHER = Path(__file__).with_name("swift_servers.py")
_START_TIMEOUT = 60  # seconds

_STORAGE = """[DEFAULT]
swift_dir = {directory}
devices = {directory}/devices
mount_check = false
log_level = WARNING
[pipeline:main]
pipeline = {kind}-server
[app:{kind}-server]
use = egg:swift#{kind}
"""
# A node that has failed once is asked again at once: there is no other.
_PROXY = """[DEFAULT]
swift_dir = {directory}
log_level = WARNING
[pipeline:main]
pipeline = catch_errors gatekeeper listing_formats s3api tempauth copy slo proxy-server
[app:proxy-server]
use = egg:swift#proxy
account_autocreate = true
error_suppression_interval = 0
[filter:s3api]
use = egg:swift#s3api
location = {region}
[filter:tempauth]
use = egg:swift#tempauth
user_mail_pillarbox = {secret} .admin
"""
_FILTERS = ("catch_errors", "gatekeeper", "listing_formats", "copy", "slo")


class Swift(PrivateServer):
    """One node, one copy of everything."""

    key, secret, region = "mail:pillarbox", "s3cr3t/+ü=", "eu-test-1"

    def __init__(self) -> None:
        self._peer = peer("swift")
        self.address = LOOPBACK
        self._ports = [free_port() for _ in range(4)]
        self.port = self._ports[0]
        self.label = f"swift at {self.address}:{self.port}"
        self.directory = Path(tempfile.mkdtemp(prefix="swift-"))
        self.process: subprocess.Popen[bytes] | None = None
        (self.directory / "devices" / "disk").mkdir(parents=True)
        proxy = _PROXY.format(directory=self.directory, region=self.region, secret=self.secret)
        proxy += "".join(f"[filter:{name}]\nuse = egg:swift#{name}\n" for name in _FILTERS)
        (self.directory / "proxy.conf").write_text(proxy)
        for kind in ("account", "container", "object"):
            text = _STORAGE.format(directory=self.directory, kind=kind)
            (self.directory / f"{kind}.conf").write_text(text)
        (self.directory / "swift.conf").write_text("[swift-hash]\nswift_hash_path_suffix = tests\n")

    def start(self) -> None:
        ports = list(map(str, self._ports))
        command = ["/usr/bin/python3", str(_LAUNCHER), str(self.directory), self.address, *ports]
        with (self.directory / "output").open("ab") as output:
            self.process = subprocess.Popen(
                command,
                # Its own modules only, and compiled ones kept where the peer is.
                env=self._peer.environment({"TZ": "UTC"}),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        try:
            # The proxy comes last.
            wait_for_port(self.address, self.port, _START_TIMEOUT, self.process)
        except AssertionError as error:
            said = "\n".join(self.log_lines())
            raise AssertionError(f"{self.label} does not start: {error}\n{said}") from None

    def stop(self) -> None:
        self.kill()  # it has nothing to finish

    def kill(self) -> None:
        """End it at once, connections and all."""
        if self.process is not None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            self.process = None

    @contextlib.contextmanager
    def full(self) -> Iterator[None]:
        """It stores no octet more, as if the disk had no room."""
        assert self.process is not None
        self.process.send_signal(signal.SIGUSR1)
        try:
            yield
        finally:
            self.process.send_signal(signal.SIGUSR2)

    def log_lines(self) -> list[str]:
        path = self.directory / "output"
        return path.read_text(errors="replace").splitlines() if path.exists() else []

    def url(self, bucket: str) -> str:
        """For `objects=`."""
        return f"http://{self.address}:{self.port}/{bucket}"

    def make_bucket(self, bucket: str) -> None:
        """Raises AssertionError."""
        host = f"{self.address}:{self.port}"
        who = Credentials(self.key, self.secret, self.region)
        headers = signed_headers(who, "PUT", f"/{bucket}", {"host": host}, b"", time.time())
        connection = http.client.HTTPConnection(host, timeout=10)
        try:
            connection.request("PUT", quote(f"/{bucket}"), headers=headers)
            answer = connection.getresponse()
            text = answer.read()
        finally:
            connection.close()
        assert answer.status in (200, 409), text

    @property
    def count(self) -> int:
        """Objects in it."""
        return sum(1 for _ in (self.directory / "devices" / "disk").glob("objects/*/*/*/*.data"))

    def keyfile(self, place: Path, secret: str | None = None) -> Path:
        """A file for `objectsfile=`."""
        place.write_text(f"{self.key}\n{self.secret if secret is None else secret}\n", encoding="utf-8")
        return place
