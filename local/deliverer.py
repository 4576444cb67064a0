"""The deliverer: does one user's steps, as that user and with that user's rights only.

It reads `.forward` and `:include:` files, writes mailboxes and files, runs commands.  What it may not do itself,
sending the message on, it reports.  It has no connection to any other program of the suite than the parent.

For a user who is root it only writes the mailbox: nothing that a file or a message says makes root do anything else.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Final

from pillarbox.lib.address import parse_mailbox
from pillarbox.lib.config import Config
from pillarbox.lib.config.parameters.general import MYORIGIN
from pillarbox.lib.config.parameters.local import (
    ALLOW_MAIL_TO_COMMANDS,
    ALLOW_MAIL_TO_FILES,
    COMMAND_EXECUTION_DIRECTORY,
    COMMAND_TIME_LIMIT,
    DELIVER_LOCK_ATTEMPTS,
    DELIVER_LOCK_DELAY,
    DUPLICATE_FILTER_LIMIT,
    FORWARD_PATH,
    HOME_MAILBOX,
    LOCAL_COMMAND_SHELL,
    MAIL_SPOOL_DIRECTORY,
    MAILBOX_COMMAND,
    MAILBOX_DELIVERY_LOCK,
    MAILBOX_SIZE_LIMIT,
    STALE_LOCK_TIME,
    STRICT_MAILBOX_OWNERSHIP,
)
from pillarbox.lib.delivery import DEFERRED
from pillarbox.lib.delivery.alias_value import Kind, Target
from pillarbox.lib.delivery.command import command_line, run_command
from pillarbox.lib.delivery.delivered import delivered_lines
from pillarbox.lib.store.failure import DeliveryFailure
from pillarbox.lib.store.maildir.writer import MaildirDelivery, MaildirWriter
from pillarbox.lib.store.mbox.quoting import from_line
from pillarbox.lib.store.mbox.writer import MboxOptions, deliver_to_mbox
from pillarbox.local.environment import command_environment
from pillarbox.local.forward_file import IgnoredFile, read_forward
from pillarbox.local.include_file import read_include
from pillarbox.local.macros import expand_macros
from pillarbox.local.steps import Message, Outcome, Report
from pillarbox.local.users import User

_DISCARD: Final = "/dev/null"


class Deliverer:
    """The work of one deliverer process, which already runs as `user`."""

    def __init__(self, config: Config, user: User) -> None:
        self._config = config
        self._user = user
        self._origin = config[MYORIGIN]
        self._writer = MaildirWriter()

    # --- jobs

    def user(self, message: Message) -> Report:
        """Deliver to the user: `.forward`, else the mailbox."""
        report = Report()
        try:
            targets = self._forward_targets(message, report) if self._user.uid else ()
        except DeliveryFailure as failure:
            report.outcomes.append(Outcome.failure(failure))
            return report
        if targets:
            self._follow(targets, "forward", message, report)
        if not targets or report.mailbox:
            report.mailbox = False
            self._attempt(report, lambda: self._mailbox(message))
        return report

    def include(self, message: Message, path: str) -> Report:
        """Deliver to the targets in an include file that belongs to the user."""
        report = Report()
        try:
            self._follow(read_include(path, self._user.uid), "include", message, report)
        except DeliveryFailure as failure:
            # Nothing is sent on from a list that has an error: it would go twice to those before it.
            return Report(outcomes=[Outcome.failure(failure)])
        return report

    def file(self, message: Message, path: str) -> Report:
        """Deliver to a file that an alias names."""
        report = Report()
        self._attempt(report, lambda: self._file(message, path))
        return report

    def command(self, message: Message, command: str) -> Report:
        """Deliver to a command that an alias names."""
        report = Report()
        self._attempt(report, lambda: self._command(message, command))
        return report

    # --- targets

    def _forward_targets(self, message: Message, report: Report) -> tuple[Target, ...]:
        """The targets of the first forward file that is there and may be used."""
        macros = {
            "home": self._user.home,
            "user": self._user.name,
            "extension": message.extension,
            "recipient_delimiter": message.delimiter if message.extension else "",
        }
        paths = expand_macros(self._config[FORWARD_PATH], macros, self._config).replace(",", " ").split()
        for path in dict.fromkeys(paths):
            if "/../" in path or "\0" in path:
                continue  # an extension is an outsider's text
            try:
                targets = read_forward(path, self._user.uid)
            except IgnoredFile as error:
                report.warnings.append(f"{message.queue_id}: forward file ignored: {error}")
                continue
            if targets is not None:
                return targets
        return ()

    def _follow(self, targets: Iterable[Target], source: str, message: Message, report: Report) -> None:
        """Do what the targets say, or put it into the report."""
        files = source in self._config[ALLOW_MAIL_TO_FILES]
        commands = source in self._config[ALLOW_MAIL_TO_COMMANDS]
        limit = self._config[DUPLICATE_FILTER_LIMIT]
        seen: set[Target] = set()
        steps: list[Callable[[], Outcome]] = []
        for target in targets:
            if target in seen:
                continue
            if len(seen) < limit:
                seen.add(target)
            value = target.value
            if target.kind is Kind.ADDRESS:
                if self._is_self(target, message):
                    report.mailbox = True
                else:
                    report.forward.append(value if "@" in value.rpartition('"')[2] else f"{value}@{self._origin}")
            elif target.kind is Kind.INCLUDE:
                report.includes.append(value)
            elif target.kind is Kind.FILE:
                steps.append(partial(self._file, message, value) if files else partial(_restricted, "file"))
            else:
                steps.append(partial(self._command, message, value) if commands else partial(_restricted, "command"))
        for step in steps:
            self._attempt(report, step)

    def _is_self(self, target: Target, message: Message) -> bool:
        address = parse_mailbox(target.value, allow_bare=True)
        if address.local.lower() != message.user:
            return False
        return not address.domain or address.domain.lower() == message.domain.lower()

    def _attempt(self, report: Report, step: Callable[[], Outcome]) -> None:
        try:
            report.outcomes.append(step())
        except DeliveryFailure as failure:
            report.outcomes.append(Outcome.failure(failure))
        except (OSError, EOFError) as error:
            report.outcomes.append(Outcome(DEFERRED, "4.3.0", f"delivery failed: {error}"))

    # --- ways of delivery

    def _mailbox(self, message: Message) -> Outcome:
        """The user's mailbox: mailbox_command, home_mailbox, or the spool."""
        config, user = self._config, self._user
        if (command := config[MAILBOX_COMMAND]) and user.uid:
            return self._command(message, command)
        if home := config[HOME_MAILBOX]:
            return self._store(message, f"{user.home}/{home}")
        spool = config[MAIL_SPOOL_DIRECTORY]
        return self._store(message, f"{spool.rstrip('/')}/{user.name}{'/' if spool.endswith('/') else ''}")

    def _store(self, message: Message, path: str) -> Outcome:
        if message.report:
            return Outcome.sent("delivers to maildir" if path.endswith("/") else "delivers to mailbox")
        if path.endswith("/"):
            self._maildir(message, path)
            return Outcome.sent("delivered to maildir")
        self._mbox(message, path)
        return Outcome.sent("delivered to mailbox")

    def _file(self, message: Message, path: str) -> Outcome:
        if message.report:
            return Outcome.sent(f"delivers to file: {path}")
        if path.endswith("/"):
            self._maildir(message, path)
            return Outcome.sent("delivered to maildir")
        if path != _DISCARD:
            self._mbox(message, path)
        return Outcome.sent(f"delivered to file: {path}")

    def _maildir(self, message: Message, path: str) -> None:
        content = message.content
        chunks = None if content.in_file else content.chunks
        delivery = MaildirDelivery(path.rstrip("/"), _header(message), content.fd, content.offset, content.size, chunks)
        (failure,) = self._writer.deliver([delivery])
        if failure is not None:
            raise failure

    def _mbox(self, message: Message, path: str) -> None:
        config = self._config
        options = MboxOptions(
            size_limit=config[MAILBOX_SIZE_LIMIT],
            owner=os.geteuid() if config[STRICT_MAILBOX_OWNERSHIP] else None,
            dot_lock="dotlock" in config[MAILBOX_DELIVERY_LOCK],
            lock_timeout=config[DELIVER_LOCK_ATTEMPTS] * config[DELIVER_LOCK_DELAY],
            stale_after=config[STALE_LOCK_TIME],
        )
        deliver_to_mbox(path, message.sender, message.arrival, _header(message), message.content.chunks(), options)

    def _command(self, message: Message, command: str) -> Outcome:
        if message.report:
            return Outcome.sent(f"delivers to command: {command}")
        config = self._config
        shell = config[LOCAL_COMMAND_SHELL]
        argv = [*shell.split(), "-c", command] if shell else command_line(command)
        directory = config[COMMAND_EXECUTION_DIRECTORY] or self._user.home
        if not os.access(directory, os.X_OK):
            directory = "/"
        run_command(
            argv,
            self._command_input(message),
            command_environment(config, message, self._user),
            directory=directory,
            time_limit=config[COMMAND_TIME_LIMIT],
            shown=command,
        )
        return Outcome.sent(f"delivered to command: {command}")

    def _command_input(self, message: Message) -> Iterator[bytes]:
        yield from_line(message.sender, message.arrival) + _header(message)
        yield from message.content.chunks()


def _header(message: Message) -> bytes:
    return delivered_lines(message.sender, message.original, message.recipient)


def _restricted(what: str) -> Outcome:
    return Outcome(DEFERRED, "4.7.0", f"mail to {what} is restricted")
