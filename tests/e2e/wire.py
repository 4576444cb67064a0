"""How the tests speak to a running instance: mail by smtplib, raw dialogues by socket, SCRAM as a client does it."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import hmac
import itertools
import re
import smtplib
import socket
import ssl
from collections.abc import Callable, Iterator, Sequence
from email.message import Message
from email.parser import BytesParser

from tests.lab.instance import Instance

ALICE, BOB, EVE = "alice@example.org", "bob@example.org", "eve@example.net"
PASSWORD = "correct horse"
HELLO = b"From: Alice <alice@example.org>\r\nTo: bob@example.org\r\nSubject: test\r\n\r\nhello\r\n"

_TIMEOUT = 60  # seconds; a server that does not answer is a failure
_CHUNK = 65536
_ATTEMPTS = 5


def trusting(instance: Instance) -> ssl.SSLContext:
    """A client's TLS context that accepts the instance's own certificate and no other."""
    context = ssl.create_default_context(cafile=str(instance.config / "tls" / "cert.pem"))
    context.check_hostname = False  # it is for the host name; tests connect to the address
    return context


@contextlib.contextmanager
def client(
    instance: Instance, service: str = "smtp", *, tls: bool = False, user: str = "", password: str = PASSWORD
) -> Iterator[smtplib.SMTP]:
    """A session that is ready for MAIL: greeted, under TLS and logged in as asked."""
    made: smtplib.SMTP
    if service == "submissions":
        made = smtplib.SMTP_SSL(instance.address, instance.port(service), timeout=_TIMEOUT, context=trusting(instance))
    elif service == "lmtp":
        made = smtplib.LMTP(instance.address, instance.port(service), timeout=_TIMEOUT)
    else:
        made = smtplib.SMTP(instance.address, instance.port(service), timeout=_TIMEOUT)
    with contextlib.closing(made):
        if tls:
            made.starttls(context=trusting(instance))
        if user:
            made.login(user, password)
        yield made
        # A server that drains says 421 between transactions, which loses nothing.
        with contextlib.suppress(smtplib.SMTPServerDisconnected):
            made.quit()


def send(
    instance: Instance, recipients: str | Sequence[str], content: bytes = HELLO, *, sender: str = "carol@example.com"
) -> None:
    """Bring a message to port 25. Raises SMTPException when a recipient or the content is refused.

    A server that a reload replaces may say 421 before MAIL; as every client then does, this one comes back.
    """
    for attempt in itertools.count():
        try:
            with client(instance) as session:
                refused = session.sendmail(sender, recipients, content)
        except (smtplib.SMTPServerDisconnected, smtplib.SMTPConnectError, smtplib.SMTPSenderRefused):
            if attempt == _ATTEMPTS:
                raise
            continue
        if refused:
            raise smtplib.SMTPRecipientsRefused(refused)
        return


def transaction(session: smtplib.SMTP, sender: str, recipients: Sequence[str], options: Sequence[str] = ()) -> None:
    """MAIL and RCPT, each of which must be accepted; `options` are those of every RCPT."""
    for code, said in [session.mail(sender), *(session.rcpt(each, options) for each in recipients)]:
        assert code == 250, said


def scram_login(session: smtplib.SMTP, user: str, password: str) -> tuple[int, bytes]:
    """AUTH SCRAM-SHA-256 (RFC 5802, RFC 7677), with the server's proof checked; the final reply."""
    first_bare = f"n={user},r=abcdefgh"
    code, said = session.docmd("AUTH", "SCRAM-SHA-256 " + base64.b64encode(f"n,,{first_bare}".encode()).decode())
    assert code == 334, said
    server_first = base64.b64decode(said).decode()
    fields = dict(part.split("=", 1) for part in server_first.split(","))
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), base64.b64decode(fields["s"]), int(fields["i"]))
    final_bare = f"c=biws,r={fields['r']}"
    signed = ",".join((first_bare, server_first, final_bare)).encode()
    client_key = hmac.digest(salted, b"Client Key", "sha256")
    signature = hmac.digest(hashlib.sha256(client_key).digest(), signed, "sha256")
    proof = base64.b64encode(bytes(a ^ b for a, b in zip(client_key, signature, strict=True))).decode()
    code, said = session.docmd(base64.b64encode(f"{final_bare},p={proof}".encode()).decode())
    if code != 334:
        return code, said
    expected = hmac.digest(hmac.digest(salted, b"Server Key", "sha256"), signed, "sha256")
    assert base64.b64decode(said) == b"v=" + base64.b64encode(expected)
    return session.docmd("")


class Dialogue:
    """A raw connection: what is sent is exactly what the test says."""

    def __init__(self, instance: Instance, service: str) -> None:
        self.socket: socket.socket = instance.connect(service)
        self.socket.settimeout(_TIMEOUT)
        if service in ("submissions", "imaps", "pop3s"):
            self.socket = trusting(instance).wrap_socket(self.socket)
        self._buffer = b""

    def __enter__(self) -> Dialogue:
        return self

    def __exit__(self, *error: object) -> None:
        self.socket.close()

    def send(self, data: bytes) -> None:
        """Send bytes; raises OSError when the other side has closed."""
        self.socket.sendall(data)

    def line(self) -> bytes:
        """The next line without its end; b"" when the connection is closed."""
        while b"\n" not in self._buffer:
            try:
                piece = self.socket.recv(_CHUNK)
            except ConnectionError:
                piece = b""
            if not piece:
                rest, self._buffer = self._buffer, b""
                return rest
            self._buffer += piece
        line, _, self._buffer = self._buffer.partition(b"\n")
        return line.rstrip(b"\r")

    def until(self, pattern: bytes) -> bytes:
        """The next line in which `pattern` (a regular expression) is found; AssertionError when none comes."""
        seen = []
        while line := self.line():
            seen.append(line)
            if re.search(pattern, line):
                return line
        raise AssertionError(f"the connection was closed without {pattern!r}; said: {seen}")

    def ask(self, command: bytes, pattern: bytes = rb"^\d{3} ") -> bytes:
        """Send a command line and return the last line of its SMTP reply (or the line that matches)."""
        self.send(command + b"\r\n")
        return self.until(pattern)

    def rest(self) -> bytes:
        """All that comes until the other side closes."""
        data, self._buffer = self._buffer, b""
        with contextlib.suppress(ConnectionError):
            while piece := self.socket.recv(_CHUNK):
                data += piece
        return data


def parsed(content: bytes) -> Message:
    """A stored message as the standard library's parser sees it."""
    return BytesParser().parsebytes(content)


def received(content: bytes) -> list[str]:
    """Its Received: fields, unfolded, newest first."""
    return [" ".join(field.split()) for field in parsed(content).get_all("Received", [])]


def body(content: bytes) -> bytes:
    """What follows the header."""
    return content.partition(b"\n\n")[2]


def only(found: Callable[[], Sequence[bytes]], instance: Instance, count: int = 1) -> bytes:
    """Wait for the first message of a mailbox (or for the `count`th) and return it."""
    instance.wait_for(lambda: len(found()) >= count)
    return found()[count - 1]
