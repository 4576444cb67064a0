"""A private Exim on a loopback address: takes mail for hosted mailboxes, routes the rest by MX records, with TLS.

It needs root: Exim insists on its own user, on its compiled-in places and on port 25, so it runs in a mount namespace
that shows it all three. Its deliveries run as that user, and nothing of it is set-uid.
"""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from tests.lab.certificates import Authority, Certificate
from tests.lab.dns import DnsServer, resolv_conf
from tests.lab.ports import loopback_address, wait_for_port
from tests.lab.processes import stop_process
from tests.peers.install import peer
from tests.peers.server import PrivateServer

_START_TIMEOUT, _STOP_TIMEOUT = 30, 10  # seconds

_CONFIGURATION = """\
primary_hostname = {hostname}
domainlist hosted = {domains}
spool_directory = {directory}/spool
log_file_path = {directory}/log/%slog
pid_file_path = {directory}/spool/exim.pid
local_interfaces = {address}
daemon_smtp_ports = {port}
deliver_drop_privilege
never_users =
host_lookup =
rfc1413_query_timeout = 0s
keep_environment =
{tls}
acl_smtp_rcpt = check
acl_smtp_data = accept

begin acl
check:
  accept domains = +hosted
         verify = recipient
  accept domains = !+hosted
         hosts = 127.0.0.0/8
  deny

begin routers
hosted:
  driver = accept
  domains = +hosted
  address_data = ${{lookup{{$local_part@$domain}}lsearch{{{directory}/mailboxes}}{{$value}}fail}}
  transport = maildir
remote:
  driver = dnslookup
  domains = !+hosted
  transport = remote
  self = send
  no_more

begin transports
maildir:
  driver = appendfile
  directory = {directory}/mail/$address_data
  maildir_format
  delivery_date_add
  envelope_to_add
  return_path_add
remote:
  driver = smtp
  interface = {address}
  tls_verify_certificates = {authority}
  tls_try_verify_hosts = *

begin retry
* * F,1h,5s
"""

_TLS = """\
tls_advertise_hosts = *
tls_certificate = {directory}/chain.pem
"""


class Exim(PrivateServer):
    """A private instance; a context manager, or `start()`, `stop()` and `remove()`."""

    def __init__(
        self,
        *,
        hostname: str = "exim.test",
        mailboxes: Iterable[str] = (),
        dns: DnsServer | None = None,
        authority: Authority | None = None,
        address: str = "",
        port: int = 25,
    ) -> None:
        """`mailboxes` are hosted addresses; `dns` must be on port 53; `authority` turns TLS on and is trusted."""
        if os.geteuid() != 0:
            raise AssertionError("a private Exim needs root, for a mount namespace")
        self._peer = peer("exim")
        self._dns = dns
        self.hostname, self.address, self.port = hostname, address or loopback_address(), port
        self.label = hostname
        self.directory = Path(tempfile.mkdtemp(prefix="exim-"))
        self.directory.chmod(0o755)
        self.process: subprocess.Popen[bytes] | None = None
        self.certificate: Certificate | None = None
        tls = "tls_advertise_hosts =\n"
        if authority is not None:
            self.certificate = authority.issue(hostname, self.address)
            shutil.copyfile(self.certificate.chain, self.directory / "chain.pem")
            shutil.copyfile(authority.certificate, self.directory / "ca.pem")
            tls = _TLS.format(directory=self.directory)
        boxes = list(mailboxes)
        (self.directory / "mailboxes").write_text("".join(f"{box}: {box}\n" for box in boxes))
        (self.directory / "exim.conf").write_text(
            _CONFIGURATION.format(
                hostname=hostname,
                domains=" : ".join(sorted({box.rpartition("@")[2] for box in boxes})),
                directory=self.directory,
                address=self.address,
                port=port,
                tls=tls,
                authority=self.directory / "ca.pem" if authority is not None else "system",
            )
        )
        for name in ("spool", "log", "mail"):
            (self.directory / name).mkdir()
        for path in (self.directory, *self.directory.iterdir()):
            if path.name != "exim.conf":  # that one it trusts only from root
                os.chown(path, self._user(), self._user())

    def _user(self) -> int:
        """The number of the user that the package's account file names."""
        for line in self._peer.accounts.read_text().splitlines():
            name, _, uid, *_rest = line.split(":")
            if name == "Debian-exim":
                return int(uid)
        return pwd.getpwnam("Debian-exim").pw_uid

    def start(self) -> None:
        """Start the daemon and return when it accepts connections. Raises AssertionError with its log."""
        mounts = {
            self._peer.accounts: Path("/etc/passwd"),
            self._peer.accounts.with_name("group"): Path("/etc/group"),
        }
        if self._dns is not None:
            if self._dns.port != 53:
                raise AssertionError("Exim asks the C library's resolver: the DNS server must be on port 53")
            (self.directory / "resolv.conf").write_text(resolv_conf([self._dns.address]))
            mounts[self.directory / "resolv.conf"] = Path("/etc/resolv.conf")
        self.process = self._peer.start(
            ["exim4", "-C", self.directory / "exim.conf", "-bdf", "-q5s"],
            mounts=mounts,
            in_place=True,
            output=self.directory / "output",
        )
        try:
            wait_for_port(self.address, self.port, _START_TIMEOUT, self.process)
        except AssertionError as error:
            said = (self.directory / "output").read_text() + "\n".join(self.log_lines())
            raise AssertionError(f"Exim does not start: {error}\n{said}") from error

    def stop(self) -> None:
        """End it and all its processes; a second time does nothing."""
        if self.process is not None:
            stop_process(self.process, _STOP_TIMEOUT)
            self.process = None

    def mailbox(self, address: str) -> list[bytes]:
        """The messages in the mailbox of a hosted address, oldest first."""
        files = list((self.directory / "mail" / address / "new").glob("*"))
        return [path.read_bytes() for path in sorted(files, key=lambda path: path.stat().st_mtime_ns)]

    def log_lines(self) -> list[str]:
        """Its main log so far."""
        path = self.directory / "log" / "mainlog"
        return path.read_text(errors="replace").splitlines() if path.exists() else []

    def wait_for(self, condition: Callable[[], object], timeout: float = 30) -> None:
        """Return when `condition()` is true; AssertionError with the log when it does not become so."""
        end = time.monotonic() + timeout
        while not condition():
            if time.monotonic() > end:
                raise AssertionError(f"not so after {timeout} s; the log:\n" + "\n".join(self.log_lines()[-60:]))
            time.sleep(0.02)
