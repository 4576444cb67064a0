"""Thunderbird without a display: a fresh profile, its process, and what the tests ask of it.

It is driven over Marionette in chrome context; thunderbird.js has the parts that run inside.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import signal
import ssl
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.clients.marionette import Marionette, ScriptError
from tests.clients.site import Account
from tests.peers import peer

_SCRIPTS = Path(__file__).with_suffix(".js").read_text()

_PORT_FILE = "MarionetteActivePort"

_START = 60  # seconds; it takes two
_END = 20  # seconds

_PREFERENCES: dict[str, object] = {
    "marionette.port": 0,  # a free one, which it writes into the profile
    # Nobody outside this machine is asked, and no page or assistant shows itself.
    "app.update.enabled": False,
    "app.donation.eoy.version.viewed": 999,
    "app.normandy.enabled": False,
    "datareporting.policy.dataSubmissionEnabled": False,
    "datareporting.healthreport.uploadEnabled": False,
    "toolkit.telemetry.enabled": False,
    "extensions.update.enabled": False,
    "extensions.blocklist.enabled": False,
    "extensions.getAddons.cache.enabled": False,
    "mail.provider.suppress_dialog_on_startup": True,
    "mail.spotlight.firstRunDone": True,
    "mail.winsearch.firstRunDone": True,
    "mail.shell.checkDefaultClient": False,
    "mailnews.start_page.enabled": False,
    "mail.rights.version": 1,
    "network.captive-portal-service.enabled": False,
    "network.connectivity-service.enabled": False,
    "browser.safebrowsing.malware.enabled": False,
    "browser.safebrowsing.phishing.enabled": False,
    # Every name is this machine; what is not for localhost goes to a port where nobody listens.
    "network.dns.native-is-localhost": True,
    "network.proxy.type": 1,
    "network.proxy.socks": "127.0.0.1",
    "network.proxy.socks_port": 9,
    "network.proxy.no_proxies_on": "localhost",
}


class Thunderbird:
    """A running Thunderbird with `account` set up; a context manager. Its files lie below `directory`.

    Where `directory` has a profile of before, it goes on with that. `preferences` go over the ones above.
    """

    def __init__(self, account: Account, directory: Path, preferences: Mapping[str, object] | None = None) -> None:
        self._account, self._directory = account, directory
        self._preferences = {**_PREFERENCES, **(preferences or {})}
        self._profile = directory / "profile"
        self._process: subprocess.Popen[bytes] | None = None
        self._marionette: Marionette | None = None

    def __enter__(self) -> Self:
        new = not self._profile.exists()
        self._profile.mkdir(parents=True, exist_ok=True)
        lines = [f"user_pref({json.dumps(name)}, {json.dumps(value)});\n" for name, value in self._preferences.items()]
        (self._profile / "user.js").write_text("".join(lines))
        (self._profile / _PORT_FILE).unlink(missing_ok=True)
        try:
            self._start()
            self._marionette = Marionette(self._port())
            if new:
                self._set_up()
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._end()

    def do(self, name: str, *arguments: Any) -> Any:
        """Call a function of thunderbird.js. Raises ScriptError."""
        assert self._marionette is not None
        return self._marionette.run(f"{_SCRIPTS}\nreturn await thunderbird.{name}(...given);", *arguments)

    def state(self, mailbox: str, subject: str, kind: str = "imap") -> dict[str, Any]:
        """What it knows of a message."""
        (found,) = (each for each in self.do("messages", mailbox, kind) if each["subject"] == subject)
        return dict(found)

    def dialogue(self) -> str:
        """What it has written down of its IMAP, POP3 and SMTP connections; whole when it has ended."""
        return (self._directory / "dialogue.moz_log").read_text(errors="replace")

    def _start(self) -> None:
        program = peer("thunderbird")
        options = ("--headless", "--marionette", "--remote-allow-system-access", "--no-remote")
        with (self._directory / "output").open("ab") as output:
            self._process = subprocess.Popen(
                program.command(["thunderbird-bin", *options, "--profile", self._profile]),
                env=program.environment(
                    {
                        "HOME": str(self._directory),
                        "TMPDIR": str(self._directory),
                        "XDG_RUNTIME_DIR": str(self._directory),
                        "MOZ_LOG": "IMAP:4,POP3:4,SMTP:4,timestamp",
                        "MOZ_LOG_FILE": str(self._directory / "dialogue"),
                    }
                ),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def _port(self) -> int:
        """Wait for the port that it listens on."""
        assert self._process is not None
        place, latest = self._profile / _PORT_FILE, time.monotonic() + _START
        while time.monotonic() < latest and self._process.poll() is None:
            if place.exists() and (text := place.read_text()):
                return int(text)
            time.sleep(0.05)
        raise AssertionError(f"Thunderbird does not start: {(self._directory / 'output').read_text()}")

    def _set_up(self) -> None:
        account, site = self._account, self._account.site
        authority = base64.b64encode(ssl.PEM_cert_to_DER_cert(site.trust.read_text())).decode()
        # The last account is the one that it sends from.
        ports = {"smtp": site.port("submission"), "pop3": site.port("pop3s"), "imap": site.port("imaps")}
        self.do("setUp", authority, account.address, account.password, ports)

    def _end(self) -> None:
        if self._process is None:
            return
        if self._marionette is not None:
            with contextlib.suppress(ScriptError, OSError):
                self._marionette.command("Marionette:Quit", flags=["eForceQuit"])
            self._marionette.close()
        else:
            self._process.terminate()
        try:
            self._process.wait(_END)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
