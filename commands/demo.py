"""`pillarbox demo`: a running mail system in a throw-away directory, with two users and a first message.

It prints how to connect, follows the log, and on Ctrl-C stops the suite and removes the directory.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import smtplib
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from email.message import EmailMessage
from email.utils import formatdate, make_msgid
from pathlib import Path

from pillarbox.commands import control
from pillarbox.commands.init import InitFailed, make_instance
from pillarbox.lib.config import Config
from pillarbox.lib.config.parameters.general import BASE_PORT, CONFIG_DIRECTORY, MAIL_DIRECTORY, MAILLOG_FILE

DOMAIN = "demo.test"
USERS = ("alice", "bob")
PORTS_NEEDED = (25, 587, 465, 24, 110, 995, 143, 993)
FIRST_BASE, LAST_BASE = 10000, 60000
DELIVERY_LIMIT = 20.0
"""Seconds that the first message may take."""


def free_base_port() -> int:
    """A base port with which all ports of the suite are free just now.  Raises OSError where none is found."""
    for _ in range(200):
        base = FIRST_BASE + secrets.randbelow((LAST_BASE - FIRST_BASE) // 1000) * 1000
        with contextlib.ExitStack() as stack:
            try:
                for port in PORTS_NEEDED:
                    stack.enter_context(socket.create_server(("127.0.0.1", base + port)))
            except OSError:
                continue
        return base
    raise OSError(98, "no range of free ports was found", "127.0.0.1")


def _introduction(config: Config, passwords: dict[str, str]) -> Iterator[str]:
    base = config[BASE_PORT]
    alice, bob = (f"{name}@{DOMAIN}" for name in USERS)
    secret = passwords[bob]
    yield ""
    yield f"Pillarbox runs in {Path(config[CONFIG_DIRECTORY]).parent} on 127.0.0.1."
    yield ""
    yield f"  users        {alice}  password {passwords[alice]}"
    yield f"               {bob}  password {secret}"
    yield f"  SMTP         port {base + 25}  (STARTTLS)"
    yield f"  submission   port {base + 587} (STARTTLS), {base + 465} (TLS)"
    yield f"  LMTP         port {base + 24}"
    yield f"  IMAP         port {base + 143} (STARTTLS), {base + 993} (TLS)"
    yield f"  POP3         port {base + 110} (STLS), {base + 995} (TLS)"
    yield f"  ManageSieve  port {base + 4190} (STARTTLS)"
    yield ""
    yield "Read Bob's first message:"
    yield f"  curl -s -k --user {bob}:{secret} 'imaps://127.0.0.1:{base + 993}/INBOX;MAILINDEX=1'"
    yield f"  curl -s -k --user {bob}:{secret} pop3s://127.0.0.1:{base + 995}/1"
    yield f"  mutt -f imaps://bob%40{DOMAIN}@127.0.0.1:{base + 993}/"
    yield "Send one:"
    yield (
        f"  printf 'Subject: hello\\n\\nHi Bob\\n' | curl -s -k --ssl-reqd --user {alice}:{passwords[alice]} "
        f"--mail-from {alice} --mail-rcpt {bob} -T - smtp://127.0.0.1:{base + 587}/demo"
    )
    directory = config[CONFIG_DIRECTORY]
    yield f"  printf 'Subject: hello\\n\\nHi Bob\\n' | {_command('sendmail')} -C {directory} -f {alice} {bob}"
    yield "Look at it:"
    yield f"  {_command('mailq')} -c {directory}"
    yield f"  {_command('postconf')} -c {directory} -n"
    yield f"  tail -f {config[MAILLOG_FILE]}"
    yield ""


def _command(name: str) -> str:
    beside = Path(sys.executable).with_name(name)
    return str(beside) if beside.exists() else name


def _send_first_message(config: Config, passwords: dict[str, str]) -> None:
    alice, bob = (f"{name}@{DOMAIN}" for name in USERS)
    message = EmailMessage()
    message["From"], message["To"] = f"Alice <{alice}>", f"Bob <{bob}>"
    message["Subject"] = "Welcome to Pillarbox"
    message["Date"], message["Message-ID"] = formatdate(localtime=True), make_msgid(domain=DOMAIN)
    message.set_content("This message came in by submission, with STARTTLS and AUTH, and went through every program.\n")
    context = ssl.create_default_context(cafile=f"{config[CONFIG_DIRECTORY]}/tls/cert.pem")
    with smtplib.SMTP("localhost", config[BASE_PORT] + 587, timeout=20) as client:
        client.starttls(context=context)
        client.login(alice, passwords[alice])
        client.send_message(message)


def _delivered(config: Config) -> Path | None:
    mailbox = Path(config[MAIL_DIRECTORY]) / DOMAIN / "bob" / "new"
    with contextlib.suppress(OSError):
        return next(iter(mailbox.iterdir()), None)
    return None


class _LogFollower:
    """Copies the log to the terminal as it grows."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        with open(self._path, encoding="utf-8", errors="replace") as log:
            while True:
                finished = self._done.is_set()
                if text := log.read():
                    sys.stdout.write(text)
                    sys.stdout.flush()
                elif finished:
                    return
                else:
                    time.sleep(0.1)

    def end(self) -> None:
        """Write what is left, then end."""
        self._done.set()
        self._thread.join(5)


def demo(base_port: int, *, once: bool) -> int:
    """The command; with `once` it ends after the first message has arrived."""
    root = Path(tempfile.mkdtemp(prefix="pillarbox-demo-"))
    root.chmod(0o755)
    passwords = {f"{name}@{DOMAIN}": secrets.token_urlsafe(9) for name in USERS}
    try:
        config = make_instance(
            root,
            f"mail.{DOMAIN}",
            [DOMAIN],
            base_port or free_base_port(),
            [f"{address}:{password}" for address, password in passwords.items()],
        )
        return _run(config, passwords, once=once)
    except InitFailed as error:
        print(f"pillarbox demo: {error}", file=sys.stderr)
        return os.EX_USAGE
    finally:
        shutil.rmtree(root, ignore_errors=True)


def _run(config: Config, passwords: dict[str, str], *, once: bool) -> int:
    # A process of its own, so that Ctrl-C here does not reach the suite: it is stopped in good order instead.
    status = subprocess.run(
        [sys.executable, "-P", "-m", "pillarbox.commands.pillarbox", "-c", config[CONFIG_DIRECTORY], "start"],
        check=False,
    ).returncode
    if status:
        return status
    try:
        for line in _introduction(config, passwords):
            print(line)
        print("The log:")
        follower = _LogFollower(config[MAILLOG_FILE])
        try:
            _send_first_message(config, passwords)
            status = _wait_for_first_message(config)
            while not once:
                time.sleep(1)
        except KeyboardInterrupt:
            print()
        finally:
            control.stop(config)
            follower.end()
    except KeyboardInterrupt:
        control.stop(config)
    if not status:
        print("Stopped; the directory is removed.")
    return status


def _wait_for_first_message(config: Config) -> int:
    deadline = time.monotonic() + DELIVERY_LIMIT
    while (file := _delivered(config)) is None:
        if time.monotonic() > deadline:
            print("pillarbox demo: the first message has not arrived; see the log above", file=sys.stderr)
            return os.EX_SOFTWARE
        time.sleep(0.05)
    time.sleep(0.2)  # so that the delivery's log lines stand before this one
    print(f"\nThe first message has been delivered: {file}")
    print("Ctrl-C ends the demonstration.\n")
    return os.EX_OK
