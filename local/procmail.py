"""A user's procmail recipes as a filter of local delivery (`filters`): found, read, carried out, judged.

A file that is not there leaves the mail to the next filter.  One that must not be used (others may write it) or has a
mistake leaves it to the mailbox, with a warning that names file, line and what was expected.

What recipes have not delivered anywhere waits in the queue; an EXITCODE that they set counts as that of a command.
"""

from __future__ import annotations

import os
import socket
import stat
import sys
import time
from pathlib import Path
from typing import Final

from pillarbox.lib.config.parameters.local import (
    COMMAND_TIME_LIMIT,
    DELIVER_LOCK_ATTEMPTS,
    DELIVER_LOCK_DELAY,
    MAILBOX_SIZE_LIMIT,
    STRICT_MAILBOX_OWNERSHIP,
)
from pillarbox.lib.config.parameters.procmail import PROCMAILRC_PATH, SENDMAIL_PATH
from pillarbox.lib.delivery.command import judge_status
from pillarbox.lib.procmail import Interpreter, RecipeError, Verdict, parse_rcfile
from pillarbox.lib.procmail.interpreter import TEMPORARY_FAILURE
from pillarbox.lib.procmail.syntax import RcFile
from pillarbox.lib.procmail.variables import Variables, presets
from pillarbox.lib.store.failure import DeliveryFailure
from pillarbox.local.destinations import Destinations, command_input
from pillarbox.local.environment import command_environment
from pillarbox.local.macros import expand_macros
from pillarbox.local.procmail_carrier import LocalCarrier, octets, read_all
from pillarbox.local.procmail_folders import FolderOptions
from pillarbox.local.steps import Message, Outcome, Report

_NOT_OTHERS: Final = stat.S_IWGRP | stat.S_IWOTH


class UnusableFile(Exception):
    """The file is there but must not be used; the text says why."""


def by_recipes(destinations: Destinations, message: Message, report: Report) -> bool:
    """Whether the user's recipes have taken the message.  Raises DeliveryFailure, OSError, EOFError."""
    config, user = destinations.config, destinations.user
    wanted = config[PROCMAILRC_PATH]
    if not wanted or not user.uid:
        return False
    macros = {
        "home": user.home,
        "user": user.name,
        "extension": message.extension,
        "recipient_delimiter": message.delimiter if message.extension else "",
    }
    path = expand_macros(wanted, macros, config)
    if "/../" in path or "\0" in path:
        return False  # an extension is an outsider's text
    try:
        rcfile = read_recipes(path, user.uid)
        if rcfile is None:
            return False
        if message.report:
            report.outcomes.append(Outcome.sent(f"delivers to procmailrc: {path}"))
            return True
        report.outcomes.append(_carried_out(destinations, message, report, rcfile))
    except (UnusableFile, RecipeError) as error:
        report.warnings.append(f"{message.queue_id}: recipes ignored: {error}")
        return False
    return True


def read_recipes(path: str, uid: int) -> RcFile | None:
    """The file's recipes, None where there is no file.

    Raises UnusableFile, RecipeError, and DeliveryFailure where it cannot be told now.
    """
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except PermissionError as error:
        raise UnusableFile(f"{path}: {error.strerror}") from None
    except OSError as error:
        raise DeliveryFailure("4.3.0", f"{path}: {error.strerror}") from error
    try:
        _check(os.fstat(fd), os.stat(os.path.dirname(path) or "."), path, uid)
        data = read_all(fd)
    except OSError as error:
        raise DeliveryFailure("4.3.0", f"{path}: {error.strerror}") from error
    finally:
        os.close(fd)
    return parse_rcfile(data.decode("latin-1"), octets(path))


def _check(about: os.stat_result, directory: os.stat_result, path: str, uid: int) -> None:
    """procmail's rules for the file of a user (procmail(1), "Suspicious rcfile")."""
    if not stat.S_ISREG(about.st_mode):
        raise UnusableFile(f"{path}: not a regular file")
    if about.st_uid not in (0, uid):
        raise UnusableFile(f"{path}: belongs to uid {about.st_uid}")
    if about.st_mode & _NOT_OTHERS:
        raise UnusableFile(f"{path}: others may write it")
    if directory.st_mode & _NOT_OTHERS and not directory.st_mode & stat.S_ISVTX:
        raise UnusableFile(f"{path}: others may write its directory")


def _carried_out(destinations: Destinations, message: Message, report: Report, rcfile: RcFile) -> Outcome:
    destinations.settle()
    config, user = destinations.config, destinations.user
    options = FolderOptions(
        size_limit=config[MAILBOX_SIZE_LIMIT],
        owner=os.geteuid() if config[STRICT_MAILBOX_OWNERSHIP] else None,
        inbox=destinations.inbox,
        lock_timeout=config[DELIVER_LOCK_ATTEMPTS] * config[DELIVER_LOCK_DELAY],
        prefix="",
        umask=0o077,
    )
    host = socket.gethostname()
    deadline = time.monotonic() + config[COMMAND_TIME_LIMIT]
    carrier = LocalCarrier(rcfile.name, options, host, deadline, destinations.lock_spool)
    try:
        mail = carrier.keep(command_input(message))
        variables = _variables(destinations, message, host)
        verdict = Interpreter(carrier, variables, mail, octets(user.home)).run(rcfile)
    finally:
        carrier.close()
        report.warnings += [f"{message.queue_id}: {rcfile.name}: {remark}" for remark in carrier.remarks]
    return _judged(verdict, carrier, rcfile)


def _variables(destinations: Destinations, message: Message, host: str) -> Variables:
    """procmail's presets, the message's data as commands get them, and the extension as $1."""
    config, user = destinations.config, destinations.user
    values = command_environment(config, message, user)
    values.update(presets(user.name, user.home, user.shell, destinations.inbox, host))
    values["SENDMAIL"] = config[SENDMAIL_PATH] or own_sendmail()
    arguments = [message.extension] if message.extension else []
    return Variables({name: octets(value) for name, value in values.items()}, [octets(each) for each in arguments])


def own_sendmail() -> str:
    """The suite's own command: its file where that can be executed, as in a checkout, else what was installed."""
    file = Path(__file__).resolve().parents[1] / "commands" / "sendmail.py"
    return str(file) if os.access(file, os.X_OK) else str(Path(sys.executable).with_name("sendmail"))


def _judged(verdict: Verdict, carrier: LocalCarrier, rcfile: RcFile) -> Outcome:
    folder = verdict.folder.strip()
    shown = f"{rcfile.name}{f': {folder[:100]}' if folder else ''}"
    if verdict.code == 0:
        return Outcome.sent(f"delivered by procmailrc: {shown}")
    if verdict.code == TEMPORARY_FAILURE and carrier.failure is not None:
        raise carrier.failure
    judge_status(verdict.code, rcfile.name, b"")
    raise AssertionError("a status that is not zero is judged")
