"""Dovecot's Sieve, Pigeonhole, asked by its `sieve-test` what a script does with a message.

What it prints is read into the words of `Outcome`, in which our own results are told too.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pillarbox.lib.sieve.actions import Action, Discard, FileInto, Keep, Notify, Redirect, Reject, Vacation
from tests.peers.install import peer

_UID = 61186
_CONFIGURATION = """\
protocols =
base_dir = {0}/run
state_dir = {0}/state
log_path = /dev/stderr
info_log_path = /dev/stderr
mail_location = maildir:{0}/mail
mail_home = {0}
default_internal_user = mail
default_internal_group = mail
default_login_user = nobody
ssl = no
first_valid_uid = 1
first_valid_gid = 1
mail_uid = {1}
mail_gid = {1}
plugin {{
  sieve = file:{0}/scripts
  sieve_global = {0}/global
  sieve_max_actions = 0
  sieve_extensions = +editheader +vacation-seconds +spamtest +spamtestplus +virustest +mboxmetadata +servermetadata
}}
"""
_ACTION = re.compile(r"^ \* (.*)$")
_FLAGS = re.compile(r"^ +\+ add IMAP flags: ?(.*)$")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What is done, a line for each action; `failed` says that the script is none, or broke off."""

    actions: tuple[str, ...]
    failed: bool = False


class Pigeonhole:
    """A context manager; `run` asks."""

    def __enter__(self) -> Pigeonhole:
        self._peer = peer("pigeonhole")
        self.directory = Path(tempfile.mkdtemp(prefix="pigeonhole-"))
        for name in ("mail", "scripts", "global"):
            (self.directory / name).mkdir()
        (self.directory / "dovecot.conf").write_text(_CONFIGURATION.format(self.directory, _UID))
        for path in (self.directory, *self.directory.iterdir()):
            os.chown(path, _UID, _UID)
        return self

    def __exit__(self, *_: object) -> None:
        shutil.rmtree(self.directory)

    def place(self, scripts: Mapping[str, str]) -> None:
        """Make these the scripts that may be included, as personal ones and as global ones."""
        for directory in (self.directory / "scripts", self.directory / "global"):
            for path in directory.iterdir():
                path.unlink()
            for name, text in scripts.items():
                path = directory / f"{name}.sieve"
                path.write_text(text)
                os.chown(path, _UID, _UID)

    def run(self, script: str, message: bytes, sender: str, recipient: str) -> Outcome:
        """What it does with a message; the script may include those that were placed."""
        paths = [self.directory / "script.sieve", self.directory / "message.eml"]
        paths[0].write_text(script)
        paths[1].write_bytes(message)
        paths[0].with_suffix(".svbin").unlink(missing_ok=True)
        for path in paths:
            os.chown(path, _UID, _UID)
        arguments = ["-c", self.directory / "dovecot.conf", "-f", sender, "-r", recipient, "-a", recipient, *paths]
        done = subprocess.run(
            self._peer.in_place(self._peer.command(["sieve-test", *arguments])),
            env=self._peer.environment({"HOME": str(self.directory), "USER": "me"}),
            capture_output=True,
            timeout=60,
            check=False,
        )
        self.said = done.stdout.decode() + done.stderr.decode()
        return _read(done.stdout.decode(), "final result: success" not in self.said)


def _read(text: str, failed: bool) -> Outcome:
    actions: list[str] = []
    for line in text.splitlines():
        if action := _ACTION.match(line):
            actions.append(_name(action[1]))
        elif flags := _FLAGS.match(line):
            actions[-1] += " " + " ".join(sorted(flags[1].lower().split()))
        elif line == "        + preserve implicit keep":
            actions[-1] += " copy"
    return Outcome(tuple(filter(None, actions)), failed)


def _name(action: str) -> str:
    for said, word in (
        ("store message in folder: ", "store "),
        ("redirect message to: ", "redirect "),
        ("reject message with reason: ", "reject "),
        ("discard", "discard"),
        ("send vacation message", "vacation"),
        ("send notification", "notify"),
    ):
        if action.startswith(said):
            return word + action[len(said) :].strip("<>") if word.endswith(" ") else word
    return action


def ours(actions: tuple[Action, ...], failed: bool) -> Outcome:
    """Our own result in the same words."""
    return Outcome(tuple(map(_told, actions)), failed)


def _told(action: Action) -> str:
    if isinstance(action, Keep | FileInto):
        mailbox = action.mailbox if isinstance(action, FileInto) else "INBOX"
        copy = " copy" if isinstance(action, FileInto) and action.copy else ""
        return f"store {mailbox}{copy}" + "".join(f" {flag}" for flag in sorted(action.flags)).lower()
    if isinstance(action, Redirect):
        return f"redirect {action.address}" + (" copy" if action.copy else "")
    if isinstance(action, Reject):
        return f"reject {action.text}"
    return {Discard: "discard", Vacation: "vacation", Notify: "notify"}[type(action)]
