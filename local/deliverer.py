"""The deliverer: does one user's steps, as that user and with that user's rights only.

It reads `.forward` and `:include:` files, writes mailboxes and files, runs commands.  What it may not do itself,
sending the message on, it reports.  It has no connection to any other program of the suite than the parent.

For a user who is root it only writes the mailbox: nothing that a file or a message says makes root do anything else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial

from pillarbox.lib.address import parse_mailbox
from pillarbox.lib.config import Config
from pillarbox.lib.config.parameters.general import MYORIGIN
from pillarbox.lib.config.parameters.local import (
    ALLOW_MAIL_TO_COMMANDS,
    ALLOW_MAIL_TO_FILES,
    DUPLICATE_FILTER_LIMIT,
    FORWARD_PATH,
    MAILBOX_COMMAND,
)
from pillarbox.lib.delivery import DEFERRED
from pillarbox.lib.delivery.alias_value import Kind, Target
from pillarbox.lib.store.failure import DeliveryFailure
from pillarbox.local.destinations import Destinations
from pillarbox.local.filters import filtered
from pillarbox.local.forward_file import IgnoredFile, read_forward
from pillarbox.local.include_file import read_include
from pillarbox.local.macros import expand_macros
from pillarbox.local.steps import Message, Outcome, Report
from pillarbox.local.users import User


class Deliverer:
    """The work of one deliverer process, which already runs as `user`."""

    def __init__(self, config: Config, user: User) -> None:
        self._config = config
        self._user = user
        self._origin = config[MYORIGIN]
        self._destinations = Destinations(config, user)

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
            with _failures(report):
                self._mailbox(message, report)
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
        self._attempt(report, lambda: self._destinations.file(message, path))
        return report

    def command(self, message: Message, command: str) -> Report:
        """Deliver to a command that an alias names."""
        report = Report()
        self._attempt(report, lambda: self._destinations.command(message, command))
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
                steps.append(
                    partial(self._destinations.file, message, value) if files else partial(_restricted, "file")
                )
            else:
                steps.append(
                    partial(self._destinations.command, message, value) if commands else partial(_restricted, "command")
                )
        for step in steps:
            self._attempt(report, step)

    def _is_self(self, target: Target, message: Message) -> bool:
        address = parse_mailbox(target.value, allow_bare=True)
        if address.local.lower() != message.user:
            return False
        return not address.domain or address.domain.lower() == message.domain.lower()

    def _attempt(self, report: Report, step: Callable[[], Outcome]) -> None:
        with _failures(report):
            report.outcomes.append(step())

    # --- the mailbox

    def _mailbox(self, message: Message, report: Report) -> None:
        """The user's mailbox: mailbox_command, the user's filters, home_mailbox, or the spool."""
        destinations = self._destinations
        if self._user.uid:
            if command := self._config[MAILBOX_COMMAND]:
                report.outcomes.append(destinations.command(message, command))
                return
            if filtered(destinations, message, report):
                return
        report.outcomes.append(destinations.mailbox(message, destinations.inbox))


@contextmanager
def _failures(report: Report) -> Iterator[None]:
    """What goes wrong within becomes an outcome."""
    try:
        yield
    except DeliveryFailure as failure:
        report.outcomes.append(Outcome.failure(failure))
    except (OSError, EOFError) as error:
        report.outcomes.append(Outcome(DEFERRED, "4.3.0", f"delivery failed: {error}"))


def _restricted(what: str) -> Outcome:
    return Outcome(DEFERRED, "4.7.0", f"mail to {what} is restricted")
