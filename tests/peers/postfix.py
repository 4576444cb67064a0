"""A private Postfix: Debian's, from the unpacked tree, in a directory of its own, on a loopback address of its own.

It needs root, as Postfix's master does (each test says so by failing here with a clear text). No user is made on the
system: the mail owner is one of Debian's base users, the mailboxes belong to a number without a name. When a private
DNS server is given, Postfix runs in a mount namespace with its own `/etc/resolv.conf`; the server must then
listen on port 53, because that file has no place for a port.

    with Postfix(hostname="mx.example.org", mailboxes=["bob@example.org"], dns=dns) as postfix:
        ...  # connect to postfix.address, postfix.port
        postfix.wait_for(lambda: postfix.mailbox("bob@example.org"))
"""

from __future__ import annotations

import grp
import os
import pwd
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.lab.certificates import Authority, Certificate
from tests.lab.dns import DnsServer, resolv_conf
from tests.lab.ports import loopback_address, wait_for_port
from tests.lab.processes import end_tree, stop_process
from tests.peers.install import peer
from tests.peers.server import PrivateServer

# Base users of every Debian system (package base-passwd), with ids that differ from each other and own nothing here.
_MAIL_OWNER = "uucp"
_SETGID_GROUP = "operator"

# Owner of the hosted mailboxes: from the range that Debian leaves to no one.
_MAILBOX_UID = 61185

_START_TIMEOUT = 30  # seconds
_STOP_TIMEOUT = 15  # seconds, then its processes are killed

_SERVICES = """\
pickup    unix  n - n 60   1 pickup
cleanup   unix  n - n -    0 cleanup
qmgr      unix  n - n 300  1 qmgr
tlsmgr    unix  - - n 1000? 1 tlsmgr
rewrite   unix  - - n -    - trivial-rewrite
bounce    unix  - - n -    0 bounce
defer     unix  - - n -    0 bounce
trace     unix  - - n -    0 bounce
verify    unix  - - n -    1 verify
flush     unix  n - n 1000? 0 flush
proxymap  unix  - - n -    - proxymap
smtp      unix  - - n -    - smtp
relay     unix  - - n -    - smtp
showq     unix  n - n -    - showq
error     unix  - - n -    - error
retry     unix  - - n -    - error
discard   unix  - - n -    - discard
local     unix  - n n -    - local
virtual   unix  - n n -    - virtual
lmtp      unix  - - n -    - lmtp
anvil     unix  - - n -    1 anvil
scache    unix  - - n -    1 scache
postlog   unix-dgram n - n - 1 postlogd
"""

_DELIVERY = re.compile(
    r"postfix/(?P<agent>\S+)\[\d+\]: (?P<queue_id>[0-9A-Za-z]+): to=<(?P<recipient>.*?)>,.* "
    r"relay=(?P<relay>\S+), .*dsn=(?P<dsn>[\d.]+), status=(?P<status>\S+) \((?P<text>.*)\)$"
)


@dataclass(frozen=True, slots=True)
class Delivery:
    """One recipient's line in Postfix's log."""

    agent: str
    queue_id: str
    recipient: str
    relay: str
    dsn: str
    status: str
    text: str


class Postfix(PrivateServer):
    """A private instance; a context manager, or `start()`, `stop()` and `remove()`."""

    def __init__(
        self,
        *,
        hostname: str = "postfix.test",
        address: str = "",
        port: int = 25,
        mailboxes: Iterable[str] = (),
        dns: DnsServer | None = None,
        authority: Authority | None = None,
        parameters: Mapping[str, str] | None = None,
        services: str = "",
        extra_ports: Mapping[int, Sequence[str]] | None = None,
        parent: Path | None = None,
        mounts: Mapping[Path, Path] | None = None,
    ) -> None:
        """Prepare it; nothing runs yet.

        `address` is a loopback address (a fresh one by default). `mailboxes` are hosted addresses, delivered to
        Maildirs. `authority` turns TLS on: the server's certificate comes from it, and it is trusted. `parameters`
        are added to main.cf and win; `services` is added to master.cf. `extra_ports` maps further ports to
        smtpd options (`{587: ["-o", "smtpd_tls_security_level=encrypt"]}`). `parent` is where its directory is made.
        `mounts` are files that stand in the place of others for it (`{passwd: Path("/etc/passwd")}`).
        """
        if os.geteuid() != 0:
            raise AssertionError("a private Postfix needs root: its master refuses to run as another user")
        self.hostname = hostname
        self.address = address or loopback_address()
        self.port = port
        self._peer = peer("postfix")
        self._dns = dns
        self._mounts = dict(mounts or {})
        self.label = hostname
        self.directory = Path(tempfile.mkdtemp(prefix="postfix-", dir=parent))
        self.directory.chmod(0o755)
        self.config, self.queue = self.directory / "etc", self.directory / "spool"
        self._log, self._mail = self.directory / "mail.log", self.directory / "mail"
        self.certificate: Certificate | None = None
        self._authority = authority
        self.process: subprocess.Popen[bytes] | None = None
        self._boxes = tuple(mailboxes)
        self._make_directories()
        self._parameters = self._default_parameters()
        self._parameters.update(parameters or {})
        self._services = services
        self._ports = {port: (), **(extra_ports or {})}
        self._write_configuration()

    # Life

    def start(self) -> None:
        """Start master and return when its ports accept connections. Raises AssertionError with its log."""
        mounts = dict(self._mounts)
        if self._dns is not None:
            if self._dns.port != 53:
                raise AssertionError("Postfix asks the C library's resolver: the DNS server must be on port 53")
            (self.directory / "resolv.conf").write_text(resolv_conf([self._dns.address]))
            mounts[self.directory / "resolv.conf"] = Path("/etc/resolv.conf")
        # -d: stay the process that was started, so that it is known by its id.
        self.process = self._peer.start(
            ["master", "-c", self.config, "-d"], mounts=mounts, output=self.directory / "output"
        )
        try:
            for port in self._ports:
                wait_for_port(self.address, port, _START_TIMEOUT, self.process)
        except AssertionError as error:
            said = (self.directory / "output").read_text() + "\n".join(self.log_lines())
            raise AssertionError(f"Postfix does not start: {error}\n{said}") from error

    def stop(self) -> None:
        """End master and all its processes; a second time does nothing."""
        if self.process is not None:
            stop_process(self.process, _STOP_TIMEOUT)
            self.process = None

    def kill(self) -> None:
        """End it as a power failure would: SIGKILL to all its processes."""
        if self.process is not None:
            end_tree(self.process.pid)
            self.process.wait()
            self.process = None

    # Use

    def run(
        self, command: Sequence[str | Path], *, input: str | bytes | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run one of Postfix's commands against this instance, e.g. `run(["postqueue", "-p"])`."""
        return self._peer.run(
            [command[0], *command[1:]], env={"MAIL_CONFIG": str(self.config)}, input=input, timeout=120
        )

    def sendmail_command(self, *arguments: str) -> tuple[list[str], dict[str, str]]:
        """The command and environment that submit a message from standard input."""
        environment = self._peer.environment({"MAIL_CONFIG": str(self.config)})
        return self._peer.command(["sendmail", *arguments]), environment

    def set(self, parameter: str, value: str) -> None:
        """Change a parameter, and reload if it runs."""
        self._parameters[parameter] = value
        self._write_configuration()
        if self.process is not None:
            self.run(["postfix", "reload"])

    def queue_ids(self) -> list[str]:
        """The messages that it still has, in whatever state."""
        return [
            path.name
            for state in ("incoming", "active", "deferred", "hold")
            for path in (self.queue / state).rglob("*")
            if path.is_file()
        ]

    def maildir(self, address: str) -> Path:
        """The Maildir of a hosted address."""
        return self._mail / address

    def mailbox(self, address: str) -> list[bytes]:
        """The messages in the mailbox of a hosted address, oldest first."""
        files = list((self.maildir(address) / "new").glob("*"))
        return [path.read_bytes() for path in sorted(files, key=lambda path: path.stat().st_mtime_ns)]

    def log_lines(self) -> list[str]:
        """Its log so far."""
        return self._log.read_text(errors="replace").splitlines() if self._log.exists() else []

    def deliveries(self, recipient: str = "") -> list[Delivery]:
        """Every attempt in the log that has ended, for one recipient or all."""
        matches = map(_DELIVERY.search, self.log_lines())
        found = [Delivery(**match.groupdict()) for match in matches if match]
        return [delivery for delivery in found if recipient in ("", delivery.recipient)]

    def wait_for(self, condition: Callable[[], object], timeout: float = 30) -> None:
        """Return when `condition()` is true; AssertionError with the log when it does not become so."""
        end = time.monotonic() + timeout
        while not condition():
            if time.monotonic() > end:
                raise AssertionError(f"not so after {timeout} s; the log:\n" + "\n".join(self.log_lines()[-60:]))
            time.sleep(0.02)

    # What it is made of

    def _make_directories(self) -> None:
        owner = pwd.getpwnam(_MAIL_OWNER).pw_uid
        group = grp.getgrnam(_SETGID_GROUP).gr_gid
        (self.directory / "etc").mkdir()
        (self.directory / "spool").mkdir()
        (self.directory / "spool" / "pid").mkdir()
        data = self.directory / "data"
        data.mkdir(mode=0o700)
        os.chown(data, owner, -1)
        self._mail.mkdir(mode=0o700)
        os.chown(self._mail, _MAILBOX_UID, _MAILBOX_UID)
        for name in ("active", "bounce", "corrupt", "defer", "deferred", "flush", "hold", "incoming", "private"):
            self._queue_directory(name, 0o700, owner, -1)
        for name in ("saved", "trace"):
            self._queue_directory(name, 0o700, owner, -1)
        self._queue_directory("maildrop", 0o1730, owner, group)
        self._queue_directory("public", 0o2710, owner, group)

    def _queue_directory(self, name: str, mode: int, owner: int, group: int) -> None:
        path = self.directory / "spool" / name
        path.mkdir()
        os.chown(path, owner, group)
        path.chmod(mode)

    def _default_parameters(self) -> dict[str, str]:
        root = self._peer.root
        parameters = {
            "compatibility_level": "3.6",
            "command_directory": str(root / "usr/sbin"),
            "daemon_directory": str(root / "usr/lib/postfix/sbin"),
            "shlib_directory": str(root / "usr/lib/postfix"),
            "meta_directory": str(self.config),
            "queue_directory": str(self.queue),
            "data_directory": str(self.directory / "data"),
            "sendmail_path": str(root / "usr/sbin/sendmail"),
            "mail_owner": _MAIL_OWNER,
            "setgid_group": _SETGID_GROUP,
            # The unpacked programs need their library path in every process that master starts.
            "import_environment": "MAIL_CONFIG MAIL_LOGTAG TZ LANG=C POSTLOG_SERVICE POSTLOG_HOSTNAME LD_LIBRARY_PATH",
            "export_environment": "TZ MAIL_CONFIG LANG LD_LIBRARY_PATH",
            "maillog_file": str(self._log),
            "maillog_file_prefixes": str(self.directory),
            "myhostname": self.hostname,
            "mydestination": "localhost",
            "mynetworks": "127.0.0.0/8",
            # Only addresses that an interface has may stand here; all of 127/8 can be bound without that.
            "inet_interfaces": "127.0.0.1",
            "proxy_interfaces": self.address,
            "smtp_bind_address": self.address,
            "inet_protocols": "ipv4",
            "alias_maps": "",
            "alias_database": "",
            "local_recipient_maps": "",
            "biff": "no",
            "smtp_host_lookup": "dns",
            # Tests must not wait a minute for what a second shows.
            "minimal_backoff_time": "5s",
            "maximal_backoff_time": "10s",
            "queue_run_delay": "5s",
        }
        if self._boxes:
            (self.config / "mailboxes").write_text("".join(f"{box} {box}/\n" for box in self._boxes))
            domains = sorted({box.rpartition("@")[2] for box in self._boxes})
            parameters |= {
                "virtual_mailbox_domains": ", ".join(domains),
                "virtual_mailbox_maps": "texthash:$config_directory/mailboxes",
                "virtual_mailbox_base": str(self._mail),
                "virtual_uid_maps": f"static:{_MAILBOX_UID}",
                "virtual_gid_maps": f"static:{_MAILBOX_UID}",
            }
        if self._authority is not None:
            self.certificate = self._authority.issue(self.hostname, self.address)
            chain = self.config / "chain.pem"
            shutil.copyfile(self.certificate.chain, chain)
            chain.chmod(0o600)
            parameters |= {
                "smtpd_tls_chain_files": str(chain),
                "smtpd_tls_security_level": "may",
                "smtpd_tls_loglevel": "1",
                "smtpd_tls_received_header": "yes",
                "smtp_tls_security_level": "may",
                "smtp_tls_CAfile": str(self._authority.certificate),
                "smtp_tls_loglevel": "1",
            }
        return parameters

    def _write_configuration(self) -> None:
        lines = (f"{name} = {value}".rstrip() for name, value in self._parameters.items())
        (self.config / "main.cf").write_text("\n".join(lines) + "\n")
        listeners = "".join(
            f"{self.address}:{port} inet n - n - - smtpd {' '.join(options)}\n" for port, options in self._ports.items()
        )
        # master opens sockets in the order of the file: when the ports accept connections, everything else does.
        (self.config / "master.cf").write_text(_SERVICES + self._services + listeners)
        # Postfix does not trust a file that changed within the last second, and waits instead of reading it.
        for path in self.config.iterdir():
            os.utime(path, (time.time() - 60, time.time() - 60))
