"""`pillarbox sieve-test` and `pillarbox sieve-check`: look at Sieve scripts without delivering anything.

    pillarbox sieve-check SCRIPT...
    pillarbox sieve-test [--json] [-f SENDER] [-a RECIPIENT] [--mailbox NAME]... SCRIPT MESSAGE

`sieve-check` says of each script that is wrong where (FILE:LINE:COLUMN) and what was expected there.  `sieve-test` runs
a script on a message (a file, or `-` for the standard input) and prints the actions in their order, one on each line,
or with `--json` as a list of objects.  SENDER is taken from Return-Path: or From: where it is not given, RECIPIENT from
Delivered-To: or To:.  `--mailbox` names a mailbox that exists beside INBOX.  Scripts that are included are looked for
beside SCRIPT, as NAME.sieve.  No instance is needed.
Ends with 0 or a sysexits(3) code: 64 usage, 65 a script or its run has an error, 66 a file cannot be read.
"""

from __future__ import annotations

import dataclasses
import json
import os
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any, Final

from pillarbox.lib.address import parse_address_list
from pillarbox.lib.message.header import body_start, first_value, header_end
from pillarbox.lib.sieve import Script, SieveError, SieveMessage, SieveState, compile_script, execute
from pillarbox.lib.sieve.actions import Action
from pillarbox.lib.sieve_box.scripts import SUFFIX, ScriptTrouble, is_script_name, read_script

_FOLDER_NAMES: Final = {"mailbox": "folder"}
"""Members of actions that people know under another name."""


def check_scripts(paths: Iterable[str]) -> int:
    """Tell of the error in each script that has one; gives the exit status."""
    return max((_compiled(path)[1] for path in paths), default=os.EX_OK)


def try_script(
    path: str,
    message_path: str,
    *,
    sender: str | None = None,
    recipient: str | None = None,
    mailboxes: Iterable[str] = (),
    as_json: bool = False,
) -> int:
    """Print what the script does with the message; gives the exit status."""
    script, status = _compiled(path)
    if script is None:
        return status
    try:
        message = _read_message(message_path)
    except OSError as error:
        return _problem(f"{message_path}: {error.strerror}", os.EX_NOINPUT)
    result = execute(script, _sieve_message(message, sender, recipient), _state(frozenset(mailboxes)))
    print(_as_json(result.actions) if as_json else "\n".join(map(_line, result.actions)))
    return _problem(result.error, os.EX_DATAERR) if result.error else os.EX_OK


def _problem(text: str, status: int) -> int:
    sys.stdout.flush()
    print(text, file=sys.stderr)
    return status


def _compiled(path: str) -> tuple[Script | None, int]:
    """The script, or None and the exit status: the error is told."""
    directory = os.path.dirname(path) or "."

    def include(location: str, name: str) -> str | None:
        file = f"{directory}/{name}{SUFFIX}"
        return read_script(file, 0) if is_script_name(name) and os.path.exists(file) else None

    try:
        return compile_script(read_script(path, 0), name=path, include=include), os.EX_OK
    except SieveError as error:
        return None, _problem(str(error), os.EX_DATAERR)
    except ScriptTrouble as error:
        return None, _problem(str(error), os.EX_NOINPUT if not os.path.isfile(path) else os.EX_DATAERR)


# --- the message and the world


def _read_message(path: str) -> bytes:
    if path == "-":
        data = sys.stdin.buffer.read()
    else:
        with open(path, "rb") as file:
            data = file.read()
    data = data.replace(b"\r\n", b"\n")
    return data.partition(b"\n")[2] if data.startswith(b"From ") else data


def _sieve_message(message: bytes, sender: str | None, recipient: str | None) -> SieveMessage:
    header = message[: header_end(message)]

    def body() -> Iterator[bytes]:
        start = body_start(message)
        if start > header_end(message) or start < len(message):
            yield message[start:]

    envelope = {
        "from": _address(header, b"return-path", b"from") if sender is None else sender.strip("<>"),
        "to": (_address(header, b"delivered-to", b"to") if recipient is None else recipient.strip("<>"))
        or "user@localhost",
    }
    return SieveMessage(header, len(message), body, envelope)


def _address(header: bytes, *names: bytes) -> str:
    for name in names:
        value = first_value(header, name)
        if value is not None:
            mailboxes = parse_address_list(value.decode("utf-8", "replace")).mailboxes
            return mailboxes[0].address if mailboxes else ""
    return ""


def _state(mailboxes: frozenset[str]) -> SieveState:
    now = time.time()
    zone = datetime.fromtimestamp(now).astimezone().tzinfo
    assert zone is not None
    host = os.uname().nodename
    environment = {"host": host, "domain": host.partition(".")[2], "location": "MDA", "name": "Pillarbox"}
    return SieveState(
        now=now,
        zone=zone,
        environment={**environment, "phase": "during"},
        mailbox_exists=lambda name: name.upper() == "INBOX" or name in mailboxes,
    )


# --- actions as people and programs read them


def _members(action: Action) -> dict[str, Any]:
    """What an action says, without what is not said."""
    members: dict[str, Any] = {}
    for field in dataclasses.fields(action):
        value = getattr(action, field.name)
        if value is None or value == "" or value == () or value is False:
            continue
        name = _FOLDER_NAMES.get(field.name, field.name.rstrip("_"))
        members[name] = value.decode("utf-8", "replace") if isinstance(value, bytes) else value
    return members


def _name(action: Action) -> str:
    name = type(action).__name__.lower()
    return "ereject" if name == "reject" and getattr(action, "extended", False) else name


def _as_json(actions: Sequence[Action]) -> str:
    return json.dumps([{"action": _name(action), **_json_members(action)} for action in actions], ensure_ascii=False)


def _json_members(action: Action) -> dict[str, Any]:
    members = _members(action)
    if hasattr(action, "flags"):
        members.setdefault("flags", ())
    members.pop("extended", None)
    return members


def _line(action: Action) -> str:
    """As a script would say it; text in JSON's form, so that it is one line."""
    members = _members(action)
    members.pop("extended", None)
    members.pop("implicit", None)
    words = [_name(action)]
    for name in ("folder", "address", "text", "method"):
        if name in members:
            words.append(_quoted(members.pop(name)))
    last = members.pop("reason", None)
    for name, value in members.items():
        if name == "header":
            words.append(":header-edited")
        elif value is True:
            words.append(f":{name}")
        else:
            words.append(f":{name} {_quoted(value)}")
    if last is not None:
        words.append(_quoted(last))
    return " ".join(words)


def _quoted(value: object) -> str:
    if isinstance(value, tuple):
        return "[" + ", ".join(map(_quoted, value)) + "]"
    return json.dumps(value, ensure_ascii=False)
