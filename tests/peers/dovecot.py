"""A private Dovecot (2.3): IMAP, POP3 and LMTP on loopback ports, accounts in a password file, Maildirs of its own.

It needs root: it runs in a mount namespace in which its unpacked tree lies over /usr, because the places of its
modules are compiled in. No user is made on the system.

    with Dovecot({"bob": "secret"}) as dovecot:
        imaplib.IMAP4(dovecot.address, dovecot.port("imap")).login("bob", "secret")
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path

from tests.lab.certificates import Authority, Certificate
from tests.lab.ports import LOOPBACK, free_port, wait_for_port
from tests.lab.processes import stop_process
from tests.peers.install import PeerUnavailable, peer
from tests.peers.server import PrivateServer

# Base users of Debian for its own two, and a number without a name for the mail.
_INTERNAL_USER, _LOGIN_USER = "mail", "nobody"
_MAIL_UID = 61186

_START_TIMEOUT, _STOP_TIMEOUT = 30, 10  # seconds

_SERVICES = ("imap", "imaps", "pop3", "pop3s", "lmtp")

_CONFIGURATION = """\
protocols = imap pop3 lmtp{protocols}
listen = {address}
base_dir = {directory}/run
state_dir = {directory}/state
log_path = {directory}/dovecot.log
default_internal_user = {internal}
default_internal_group = {internal}
default_login_user = {login}
disable_plaintext_auth = no
auth_mechanisms = plain login scram-sha-256
ssl = yes
ssl_cert = <{directory}/cert.pem
ssl_key = <{directory}/key.pem
mail_location = {location}
first_valid_uid = {uid}
passdb {{
  driver = passwd-file
  args = scheme=PLAIN username_format=%u {directory}/users
}}
userdb {{
  driver = static
  args = uid={uid} gid={uid} home={directory}/mail/%u
}}
namespace inbox {{
  inbox = yes
}}
service imap-login {{
  chroot =
  inet_listener imap {{
    port = {imap}
  }}
  inet_listener imaps {{
    port = {imaps}
    ssl = yes
  }}
}}
service pop3-login {{
  chroot =
  inet_listener pop3 {{
    port = {pop3}
  }}
  inet_listener pop3s {{
    port = {pop3s}
    ssl = yes
  }}
}}
service lmtp {{
  inet_listener lmtp {{
    address = {address}
    port = {lmtp}
  }}
}}
service stats {{
  unix_listener stats-writer {{
    mode = 0666
  }}
}}
{extra}
"""

_SIEVE = """
service managesieve-login {{
  chroot =
  inet_listener sieve {{
    port = {sieve}
  }}
}}
plugin {{
  sieve = file:~/sieve;active=~/.dovecot.sieve
}}
"""


class Dovecot(PrivateServer):
    """A private instance; a context manager, or `start()`, `stop()` and `remove()`."""

    def __init__(
        self,
        users: Mapping[str, str],
        *,
        address: str = LOOPBACK,
        authority: Authority | None = None,
        location: str = "maildir:~/Maildir",
        extra: str = "",
        sieve: bool = False,
    ) -> None:
        """`users` maps names to passwords; `location` is the `mail_location`; `extra` is added to the configuration;
        `sieve`: with ManageSieve."""
        if os.geteuid() != 0:
            raise AssertionError("a private Dovecot needs root, for a mount namespace")
        self._peer = peer("dovecot-managesieved" if sieve else "dovecot")
        version = self._peer.run(["dovecot", "--version"]).stdout
        if not version.startswith("2.3"):
            raise PeerUnavailable(f"the configuration here is for Dovecot 2.3; this is {version.strip()}")
        self.address = address
        self.label = "Dovecot"
        self.directory = Path(tempfile.mkdtemp(prefix="dovecot-"))
        self.directory.chmod(0o755)
        self._ports = {name: free_port(address) for name in (*_SERVICES, *(("sieve",) if sieve else ()))}
        self._mail = self.directory / "mail"
        self._mail.mkdir(mode=0o700)
        os.chown(self._mail, _MAIL_UID, _MAIL_UID)
        self.authority = authority or Authority(self.directory / "ca")
        self.certificate: Certificate = self.authority.issue("localhost", address)
        shutil.copyfile(self.certificate.certificate, self.directory / "cert.pem")
        shutil.copyfile(self.certificate.key, self.directory / "key.pem")
        (self.directory / "users").write_text("".join(f"{name}:{{PLAIN}}{word}\n" for name, word in users.items()))
        (self.directory / "dovecot.conf").write_text(
            _CONFIGURATION.format(
                address=address,
                directory=self.directory,
                internal=_INTERNAL_USER,
                login=_LOGIN_USER,
                uid=_MAIL_UID,
                location=location,
                extra=extra + (_SIEVE.format(**self._ports) if sieve else ""),
                protocols=" sieve" if sieve else "",
                **self._ports,
            )
        )
        self.process: subprocess.Popen[bytes] | None = None

    def port(self, service: str) -> int:
        """The port of "imap", "imaps", "pop3", "pop3s", "lmtp" or "sieve"."""
        return self._ports[service]

    def start(self) -> None:
        """Start it and return when it accepts connections. Raises AssertionError with its log."""
        self.process = self._peer.start(
            ["dovecot", "-F", "-c", self.directory / "dovecot.conf"], in_place=True, output=self.directory / "output"
        )
        try:
            for port in self._ports.values():
                wait_for_port(self.address, port, _START_TIMEOUT, self.process)
        except AssertionError as error:
            said = (self.directory / "output").read_text() + "\n".join(self.log_lines())
            raise AssertionError(f"Dovecot does not start: {error}\n{said}") from error

    def stop(self) -> None:
        """End it and all its processes; a second time does nothing."""
        if self.process is not None:
            stop_process(self.process, _STOP_TIMEOUT)
            self.process = None

    def maildir(self, user: str) -> Path:
        """The Maildir of a user (with the default location)."""
        return self._mail / user / "Maildir"

    def log_lines(self) -> list[str]:
        """Its log so far."""
        path = self.directory / "dovecot.log"
        return path.read_text(errors="replace").splitlines() if path.exists() else []
