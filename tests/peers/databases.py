"""Private database servers, PostgreSQL, MariaDB and OpenLDAP, each in a directory of its own, by UNIX socket and TCP.

    with PostgreSQL() as server:
        server.execute("CREATE TABLE alias (address text, goto text)")
        ...  # connect to server.address, server.port or server.socket as server.user with server.password

They never sync to disk: nothing of theirs outlives the test.
"""

from __future__ import annotations

import abc
import contextlib
import os
import pwd
import select
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

from tests.lab.certificates import Certificate
from tests.lab.ports import LOOPBACK, free_port, wait_for_port
from tests.lab.processes import stop_process, tree
from tests.peers.install import peer
from tests.peers.server import PrivateServer

# PostgreSQL refuses to run as root.  A base user of every Debian system that owns nothing here.
_OWNER = "news"

_START_TIMEOUT, _STOP_TIMEOUT = 60, 20  # seconds


class Database(PrivateServer):
    """What the three have in common."""

    name: str
    user = "mail"
    end_signal = signal.SIGTERM
    password = "pass'word\\ $1 ü"

    def __init__(self, certificate: Certificate | None = None) -> None:
        """With a certificate the server speaks TLS to who wants it."""
        self._peer = peer(self.name)
        self.address, self.port = LOOPBACK, free_port()
        self.label = f"{self.name} at {self.address}:{self.port}"
        self.directory = Path(tempfile.mkdtemp(prefix=f"{self.name}-"))
        self.process: subprocess.Popen[bytes] | None = None
        if os.geteuid() == 0:
            owner = pwd.getpwnam(_OWNER)
            os.chown(self.directory, owner.pw_uid, owner.pw_gid)
            # The tests' own users connect to the socket in it.
            self.directory.chmod(0o755)
        self.tls = certificate is not None
        if certificate is not None:
            self._own(self.directory / "cert.pem", certificate.certificate.read_bytes())
            self._own(self.directory / "key.pem", certificate.key.read_bytes())
        self.prepare()

    def _own(self, path: Path, content: bytes) -> None:
        path.touch(mode=0o600)
        path.write_bytes(content)
        if os.geteuid() == 0:
            owner = pwd.getpwnam(_OWNER)
            os.chown(path, owner.pw_uid, owner.pw_gid)

    @abc.abstractmethod
    def prepare(self) -> None:
        """Make its files."""

    @property
    @abc.abstractmethod
    def socket(self) -> Path:
        """Its UNIX socket."""

    @abc.abstractmethod
    def command(self) -> list[str | Path]:
        """What is run."""

    def ready(self) -> None:
        """Called once the port accepts connections."""

    def _popen(self, arguments: list[str | Path], **options: Any) -> subprocess.Popen[bytes]:
        if os.geteuid() == 0:
            owner = pwd.getpwnam(_OWNER)
            options |= {"user": owner.pw_uid, "group": owner.pw_gid, "extra_groups": []}
        environment = self._peer.environment({"HOME": str(self.directory), "LC_ALL": "C.UTF-8"})
        with (self.directory / "output").open("ab") as output:
            return subprocess.Popen(
                self._peer.command(arguments),
                env=environment,
                stdout=output,
                stderr=output,
                cwd=self.directory,
                start_new_session=True,
                **options,
            )

    def _run(self, arguments: list[str | Path], text: bytes = b"") -> None:
        """Run one of its programs to the end.  Raises AssertionError with what it said."""
        process = self._popen(arguments, stdin=subprocess.PIPE)
        process.communicate(text, timeout=_START_TIMEOUT)
        if process.returncode != 0:
            raise AssertionError(f"{arguments[0]} failed:\n" + "\n".join(self.log_lines()[-40:]))

    def start(self) -> None:
        """Start it and return when it accepts connections. Raises AssertionError with its log."""
        (self.directory / "output").unlink(missing_ok=True)
        self.process = self._popen(self.command(), stdin=subprocess.DEVNULL)
        try:
            wait_for_port(self.address, self.port, _START_TIMEOUT, self.process)
            self.ready()
        except AssertionError as error:
            said = "\n".join(self.log_lines()[-40:])
            raise AssertionError(f"{self.label} does not start: {error}\n{said}") from error

    def stop(self) -> None:
        """End it; a second time does nothing."""
        if self.process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGCONT)
                os.kill(self.process.pid, self.end_signal)
            stop_process(self.process, _STOP_TIMEOUT)
            self.process = None

    def kill(self) -> None:
        """End it at once, connections and all: who serves them may be in a session of its own (PostgreSQL's are)."""
        if self.process is not None:
            os.kill(self.process.pid, signal.SIGSTOP)  # it makes no other meanwhile
            doomed = []
            for each in tree(self.process.pid):
                with contextlib.suppress(ProcessLookupError):
                    doomed.append(os.pidfd_open(each.pid))
                    signal.pidfd_send_signal(doomed[-1], signal.SIGKILL)
            self.process.wait()
            for pidfd in doomed:
                select.select([pidfd], [], [], _STOP_TIMEOUT)
                os.close(pidfd)
            self.process = None

    @contextlib.contextmanager
    def frozen(self) -> Any:
        """It accepts connections and says nothing."""
        assert self.process is not None
        stopped = [each.pid for each in tree(self.process.pid)]
        for pid in stopped:
            os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            for pid in stopped:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGCONT)

    def log_lines(self) -> list[str]:
        """What it said so far."""
        path = self.directory / "output"
        return path.read_text(errors="replace").splitlines() if path.exists() else []


class PostgreSQL(Database):
    """The database `mail`, owned by the user `mail`, who has a SCRAM password."""

    name = "postgresql"
    end_signal = signal.SIGINT  # does not wait for its clients

    def prepare(self) -> None:
        secret = self.directory / "secret"
        self._own(secret, f"{self.password}\n".encode())
        options = ("--no-sync", "--no-instructions", "--locale=C.UTF-8", "--encoding=UTF8", "--auth=scram-sha-256")
        self._run(["initdb", "-D", self.directory / "data", f"--username={self.user}", f"--pwfile={secret}", *options])

    @property
    def socket(self) -> Path:
        return self.directory / f".s.PGSQL.{self.port}"

    def command(self) -> list[str | Path]:
        settings = {
            "unix_socket_directories": self.directory,
            "listen_addresses": self.address,
            "port": self.port,
            "fsync": "off",
            "jit": "off",
            "shared_buffers": "8MB",
            "max_connections": "40",
            "autovacuum": "off",
        }
        if self.tls:
            settings |= {"ssl": "on", "ssl_cert_file": "../cert.pem", "ssl_key_file": "../key.pem"}
        options: list[str | Path] = []
        for name, value in settings.items():
            options += ["-c", f"{name}={value}"]
        return ["postgres", "-D", self.directory / "data", *options]

    def ready(self) -> None:
        end = time.monotonic() + _START_TIMEOUT
        while not any("ready to accept connections" in line for line in self.log_lines()):
            if time.monotonic() > end:
                raise AssertionError("it does not become ready")
            time.sleep(0.02)

    def execute(self, *statements: str) -> None:
        """Run statements as the owner of everything."""
        import pg8000.native

        with pg8000.native.Connection(
            self.user, unix_sock=str(self.socket), password=self.password, database="postgres"
        ) as connection:
            for statement in statements:
                connection.execute_simple(statement)


class MariaDB(Database):
    """The database `mail`; the user `mail` may do everything in it."""

    name = "mariadb"

    def _options(self) -> list[str | Path]:
        share = self._peer.root / "usr/share/mysql"
        return [
            "mariadbd",
            "--no-defaults",
            f"--datadir={self.directory / 'data'}",
            f"--lc-messages-dir={share}",
            f"--character-sets-dir={share / 'charsets'}",
            f"--plugin-dir={self._peer.root / 'usr/lib/mysql/plugin'}",
            f"--tmpdir={self.directory}",
            "--innodb-flush-log-at-trx-commit=0",
            "--innodb-buffer-pool-size=8M",
            "--innodb-log-file-size=4M",
            "--skip-log-bin",
        ]

    def prepare(self) -> None:
        (self.directory / "data").mkdir()
        if os.geteuid() == 0:
            owner = pwd.getpwnam(_OWNER)
            os.chown(self.directory / "data", owner.pw_uid, owner.pw_gid)
        share = self._peer.root / "usr/share/mysql"
        script = "CREATE DATABASE IF NOT EXISTS mysql;\nUSE mysql;\nSET @auth_root_socket=NULL;\n"
        script += "".join((share / f"mysql_system_tables{part}.sql").read_text() for part in ("", "_data"))
        self._run([*self._options(), "--bootstrap"], script.encode())

    @property
    def socket(self) -> Path:
        return self.directory / "mysqld.sock"

    def command(self) -> list[str | Path]:
        secret = self.password.replace("\\", "\\\\").replace("'", "''")
        (self.directory / "init.sql").write_text(
            "CREATE DATABASE IF NOT EXISTS mail CHARACTER SET utf8mb4;\n"
            f"CREATE USER IF NOT EXISTS '{self.user}'@'%' IDENTIFIED BY '{secret}';\n"
            f"GRANT ALL ON mail.* TO '{self.user}'@'%';\n"
        )
        return [
            *self._options(),
            *((f"--ssl-cert={self.directory}/cert.pem", f"--ssl-key={self.directory}/key.pem") if self.tls else ()),
            "--character-set-server=utf8mb4",
            f"--init-file={self.directory / 'init.sql'}",
            f"--socket={self.socket}",
            f"--port={self.port}",
            f"--bind-address={self.address}",
            "--skip-name-resolve",
            f"--pid-file={self.directory / 'pid'}",
        ]

    def execute(self, *statements: str) -> None:
        """Run statements in the database, as root."""
        import pymysql

        connection = pymysql.connect(unix_socket=str(self.socket), user="root", database="mail", ssl_disabled=True)
        with connection, connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)
            connection.commit()


class OpenLDAP(Database):
    """A directory `dc=example,dc=org`; its manager has the password.  Entries are given as LDIF."""

    name = "openldap"
    user = "cn=manager,dc=example,dc=org"
    password = "ldap'secret"
    base = "dc=example,dc=org"
    tls_port = 0
    """Where TLS is spoken from the first byte."""

    def __init__(self, entries: str, certificate: Certificate | None = None) -> None:
        self._entries = entries
        super().__init__(certificate)

    def prepare(self) -> None:
        root, data = self._peer.root, self.directory / "data"
        data.mkdir()
        if os.geteuid() == 0:
            owner = pwd.getpwnam(_OWNER)
            os.chown(data, owner.pw_uid, owner.pw_gid)
        schemas = ("core", "cosine", "inetorgperson", "nis", "misc", "dyngroup")
        lines = [f"include {root}/etc/ldap/schema/{name}.schema" for name in schemas]
        lines += [
            f"modulepath {root}/usr/lib/ldap",
            "moduleload back_mdb",
            *((f"TLSCertificateFile {self.directory}/cert.pem",) if self.tls else ()),
            *((f"TLSCertificateKeyFile {self.directory}/key.pem",) if self.tls else ()),
            "sizelimit unlimited",
            f"pidfile {self.directory}/pid",
            "database mdb",
            f'suffix "{self.base}"',
            f'rootdn "{self.user}"',
            f'rootpw "{self.password}"',
            f"directory {data}",
            "dbnosync",
            "maxsize 33554432",
            "index objectClass,mail,uid eq",
        ]
        (self.directory / "slapd.conf").write_text("\n".join(lines) + "\n")
        self._run(["slapadd", "-q", "-f", self.directory / "slapd.conf"], self._entries.encode())

    @property
    def socket(self) -> Path:
        return self.directory / "ldapi"

    def command(self) -> list[str | Path]:
        if self.tls:
            self.tls_port = self.tls_port or free_port()
        places = f"ldaps://{self.address}:{self.tls_port}/ " if self.tls else ""
        places += f"ldap://{self.address}:{self.port}/ ldapi://{str(self.socket).replace('/', '%2F')}/"
        return ["slapd", "-d", "0", "-f", self.directory / "slapd.conf", "-h", places]
