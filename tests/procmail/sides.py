"""The same recipes and message given to Debian's procmail and to ours, each in a directory of its own."""

from __future__ import annotations

import contextlib
import os
import pwd
import re
import subprocess
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from pillarbox.lib.procmail import Interpreter, RecipeError, parse_rcfile
from pillarbox.lib.procmail.variables import Variables, presets
from pillarbox.local.procmail_carrier import LocalCarrier
from pillarbox.local.procmail_folders import FolderOptions
from tests.peers.install import peer

MESSAGE = b"""From s@example.org  Thu Nov 26 13:00:00 2026
Return-Path: <s@example.org>
Received: from a.example (a.example [192.0.2.1])
\tby mx.example.com; Thu, 26 Nov 2026 13:00:00 +0000
Subject: hello
 world [list] 42
To: ann@x.example, "Team (all)" <team@x.example>
Cc: Bob B. <bob+x@y.example>
From: Sender <s@example.org>
Date: Thu, 26 Nov 2026 13:00:00 +0000
List-Id: Discussion <talk.lists.example>
Precedence: bulk
X-Score: *****

first line of the body
From here on
> quoted one
> quoted two
Make money fast! FREE free Free

last line
"""

_SENDMAIL = """#!/bin/sh
{ echo "ARGS $*"; cat; } >> @/sent
"""


@dataclass(frozen=True)
class Result:
    """What lies in the directory: content by name, names that are chosen freely made equal; and the exit code."""

    files: Mapping[str, tuple[str, ...]]
    code: int
    log: str


def prepare(directory: Path, files: Mapping[str, str]) -> None:
    """The directory as a user's home: a sendmail that writes down what it gets, and further files."""
    directory.mkdir()
    script = directory / "sendmail"
    script.write_text(_SENDMAIL.replace("@", str(directory)))
    script.chmod(0o755)
    for name, text in files.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        if text.startswith("#!"):
            path.chmod(0o755)


def _values(directory: Path) -> dict[str, str]:
    home = str(directory)
    return {
        "HOME": home,
        "MAILDIR": home,
        "ORGMAIL": f"{home}/orgmail",
        "DEFAULT": f"{home}/inbox",
        "SENDMAIL": f"{home}/sendmail",
        "LOGFILE": f"{home}/log",
        "SHELL": "/bin/sh",
        "PATH": "/usr/bin:/bin",
        "LOGABSTRACT": "no",
    }


def real(directory: Path, recipes: str, message: bytes, files: Mapping[str, str], arguments: Iterable[str]) -> Result:
    """By Debian's procmail."""
    prepare(directory, files)
    (directory / "rc").write_bytes(recipes.encode("latin-1"))
    (directory / "rc").chmod(0o600)
    options = [word for argument in arguments for word in ("-a", argument)]
    values = [f"{name}={value}" for name, value in _values(directory).items()]
    reading, writing = os.pipe()
    try:
        done = subprocess.run(
            [str(peer("procmail").program("procmail")), "-t", "-Y", *options, *values, str(directory / "rc")],
            input=message,
            capture_output=True,
            cwd=directory,
            env={},
            pass_fds=(writing,),
            timeout=120,
        )
        os.close(writing)
        # It does not wait for each program that it starts: they all hold this pipe.
        os.read(reading, 1)
    finally:
        os.close(reading)
    return _result(directory, done.returncode)


def ours(directory: Path, recipes: str, message: bytes, files: Mapping[str, str], arguments: Iterable[str]) -> Result:
    """By the interpreter, with the hands that local delivery has.  A mistake in a file gives code -1."""
    prepare(directory, files)
    (directory / "rc").write_bytes(recipes.encode("latin-1"))
    user = pwd.getpwuid(os.geteuid())
    values = presets(user.pw_name, user.pw_dir, user.pw_shell, "", os.uname().nodename)
    values.update(_values(directory))
    options = FolderOptions(0, None, f"{directory}/inbox", 20.0, "", 0o077)
    carrier = LocalCarrier(str(directory / "rc"), options, os.uname().nodename, time.monotonic() + 60)
    umask = os.umask(0o077)
    try:
        with contextlib.closing(carrier):
            mail = carrier.keep([message])
            rcfile = parse_rcfile(recipes, str(directory / "rc"))
            code = Interpreter(carrier, Variables(values, list(arguments)), mail, str(directory)).run(rcfile).code
    except RecipeError as error:
        return Result({}, -1, str(error))
    finally:
        os.umask(umask)
    return _result(directory, code)


_FREE = (
    (re.compile(r"(/new/)[^/]+$"), r"\1*"),
    (re.compile(r"(^|/)msg\.[^/]+$"), r"\1msg.*"),
)


def _result(directory: Path, code: int) -> Result:
    files: dict[str, list[str]] = {}
    log = ""
    for path in sorted(directory.rglob("*")):
        name = str(path.relative_to(directory))
        if name in ("rc", "sendmail") or not path.is_file():
            continue
        text = path.read_bytes().decode("latin-1").replace(str(directory), "@")
        if name == "log":
            log = text
            text = "".join(re.findall(r"\[\[.*?\]\]", text, re.DOTALL))
        for pattern, shown in _FREE:
            name = pattern.sub(shown, name)
        files.setdefault(name, []).append(text)
    found = {name: tuple(sorted(texts)) for name, texts in files.items() if name != "log" or texts != [""]}
    return Result(found, code, log)
