"""Real milters, as Debian packages bring them, in the foreground on loopback ports."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from tests.lab.dns import DnsServer, resolv_conf
from tests.lab.ports import LOOPBACK, wait_for_port
from tests.lab.processes import stop_process
from tests.peers.install import peer

_START_TIMEOUT, _STOP_TIMEOUT = 60, 1  # seconds


@contextmanager
def running(
    name: str,
    command: Sequence[str | Path],
    port: int,
    directory: Path,
    *,
    in_place: bool = False,
    mounts: Mapping[Path, Path] | None = None,
) -> Iterator[None]:
    """A program of a peer, from the moment that it accepts connections on its port."""
    output = directory / f"{command[0]}.out"
    process: subprocess.Popen[bytes] = peer(name).start(command, output=output, in_place=in_place, mounts=mounts)
    try:
        wait_for_port(LOOPBACK, port, _START_TIMEOUT, process)
        yield
    except AssertionError as error:
        raise AssertionError(f"{error}\n{output.read_text(errors='replace')}") from error
    finally:
        stop_process(process, _STOP_TIMEOUT)
        print(output.read_text(errors="replace"))


@contextmanager
def opendkim(port: int, directory: Path, domain: str) -> Iterator[None]:
    """OpenDKIM: signs what authenticated users of a domain send, verifies what anybody else does."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    (directory / "key.pem").write_bytes(
        key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
    )
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
    text = "".join(public.splitlines()[1:-1])
    (directory / "public").write_text(f"s1._domainkey.{domain} v=DKIM1; k=rsa; p={text}\n")
    (directory / "opendkim.conf").write_text(f"""\
Socket inet:{port}@{LOOPBACK}
Domain {domain}
Selector s1
KeyFile {directory}/key.pem
Mode sv
Canonicalization simple/simple
InternalHosts 192.0.2.1
RequireSafeKeys no
TestPublicKeys {directory}/public
AuthservID verifier.example
AlwaysAddARHeader yes
Syslog no
""")
    with running("opendkim", ["opendkim", "-f", "-x", directory / "opendkim.conf"], port, directory):
        yield


EICAR = rb"X5O!P%@AP[4\PZX54(P^)7CC)7}$" + b"EICAR-STANDARD-ANTIVIRUS-TEST-FILE!$H+H*"


@contextmanager
def clamav(port: int, scanner: int, directory: Path) -> Iterator[None]:
    """ClamAV with a signature of our own, that of the EICAR test file, and its milter, which rejects what it finds."""
    database = directory / "database"
    database.mkdir()
    (database / "own.ndb").write_text(f"Tests.Eicar:0:*:{EICAR.hex()}\n")
    common = f"TemporaryDirectory {directory}\nForeground yes\nUser root\n"
    (directory / "clamd.conf").write_text(
        f"TCPSocket {scanner}\nTCPAddr {LOOPBACK}\nDatabaseDirectory {database}\n{common}"
    )
    (directory / "clamav-milter.conf").write_text(
        f"MilterSocket inet:{port}@{LOOPBACK}\nClamdSocket tcp:{LOOPBACK}:{scanner}\nOnInfected Reject\n"
        f"RejectMsg found %v\nAddHeader Add\n{common}"
    )
    with (
        running("clamav", ["clamd", "-c", directory / "clamd.conf"], scanner, directory),
        running("clamav", ["clamav-milter", "-c", directory / "clamav-milter.conf"], port, directory),
    ):
        yield


GTUBE = b"XJS*C4JDBQADN1.NSBN3*2IDNEN*GTUBE-STANDARD-ANTI-UBE-TEST-EMAIL*C.34X"


@contextmanager
def rspamd(port: int, directory: Path) -> Iterator[None]:
    """rspamd's proxy as a milter that scans by itself, without rules of its own but the test string of spam filters."""
    (directory / "tld").write_text("com\norg\nnet\n")
    (directory / "rspamd.conf").write_text(f"""\
options {{
  pidfile = "{directory}/pid"
  temp_dir = "{directory}"
  hs_cache_dir = "{directory}"
  control_socket = "{directory}/control mode=0600"
  url_tld = "{directory}/tld"
  dns {{ nameserver = ["{LOOPBACK}:9"]; timeout = 0.1s; retransmits = 1; }}
}}
logging {{ type = "console"; level = "notice"; }}
actions {{ reject = 15; add_header = 6; greylist = 4; }}
worker "rspamd_proxy" {{
  bind_socket = "{LOOPBACK}:{port}"
  milter = yes
  count = 1
  upstream "local" {{ default = yes; self_scan = yes; }}
}}
""")
    with running("rspamd", ["rspamd", "-f", "-i", "-c", directory / "rspamd.conf"], port, directory, in_place=True):
        yield


@contextmanager
def opendmarc(port: int, directory: Path, dns: DnsServer) -> Iterator[None]:
    """OpenDMARC, which judges by what OpenDKIM has put into the header, and refuses what a domain's policy forbids.

    It asks the C library's resolver, so it gets a resolv.conf of its own that names `dns` (on port 53).
    """
    (directory / "resolv.conf").write_text(resolv_conf([dns.address]))
    (directory / "ignore").write_text("192.0.2.1\n")
    (directory / "opendmarc.conf").write_text(f"""\
Socket inet:{port}@{LOOPBACK}
AuthservID judge.example
TrustedAuthservIDs verifier.example
IgnoreHosts {directory}/ignore
IgnoreAuthenticatedClients true
RejectFailures true
SPFIgnoreResults true
Syslog false
""")
    mounts = {directory / "resolv.conf": Path("/etc/resolv.conf")}
    command = ["opendmarc", "-f", "-c", directory / "opendmarc.conf"]
    with running("opendmarc", command, port, directory, mounts=mounts):
        yield
