"""The deliverer: does one user's steps, as that user and with that user's rights only.

It reads `.forward` and `:include:` files, writes mailboxes and files, runs commands.  What it may not do itself,
sending the message on, it reports.  It has no connection to any other program of the suite than the parent.

For a user who is root it only reads `.forward` and writes the mailbox: nothing that a file or a message says makes root
do anything else; commands and files that root's `.forward` names are left to `default_privs`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Final

from pillarbox.lib.address import parse_mailbox
from pillarbox.lib.config import Config
from pillarbox.lib.config.parameters.general import MYORIGIN
from pillarbox.lib.config.parameters.local import (
    ALLOW_MAIL_TO_COMMANDS,
    ALLOW_MAIL_TO_FILES,
    DUPLICATE_FILTER_LIMIT,
    FORWARD_EXPANSION_FILTER,
    FORWARD_PATH,
    MAILBOX_COMMAND,
)
from pillarbox.lib.config.parameters.lookup import PROPAGATE_UNMATCHED_EXTENSIONS
from pillarbox.lib.delivery import BOUNCED, DEFERRED
from pillarbox.lib.delivery.alias_value import Kind, Target
from pillarbox.lib.store.failure import DeliveryFailure
from pillarbox.local.destinations import Destinations
from pillarbox.local.filters import filtered
from pillarbox.local.forward_file import IgnoredFile, read_forward
from pillarbox.local.include_file import include_file
from pillarbox.local.macros import expand_macros, user_macros
from pillarbox.local.steps import ADDRESS_LIMIT, STEP_LIMIT, Message, Outcome, Report, completed, refuse_loop
from pillarbox.local.users import User

BATCH: Final = 500
"""Addresses of a list that are handed on at a time."""

Step = Callable[[], Outcome]


class Deliverer:
    """The work of one deliverer process, which already runs as `user`."""

    def __init__(
        self,
        config: Config,
        user: User,
        lock_spool: Callable[[], None] | None = None,
        settle: Callable[[], None] = lambda: None,
    ) -> None:
        """`lock_spool` and `settle` as in Destinations."""
        self._config = config
        self._user = user
        self._paths: tuple[tuple[str, ...], tuple[str, ...]] = ((), ())
        self._origin = config[MYORIGIN]
        self._destinations = Destinations(config, user, lock_spool, settle)

    # --- jobs

    def user(self, message: Message, command: str = "", *, elsewhere: bool = False, mailbox: bool = False) -> Report:
        """Deliver to the user: `.forward`, else the mailbox; with `mailbox` to nothing but that.

        `command`: what takes the mail in place of mailbox_command, "" for none; `elsewhere`: the mailbox is another
        agent's.  `mailbox` of the report says whether it was to get the message; `filing`, that it is still to be put
        there.
        """
        report = Report()
        try:
            refuse_loop(message)
            found = None if mailbox else self._forward_file(message, report)
            targets = found[1] if found is not None else None
            if found is not None:
                self._do(self._forward(found, message, report), report)
        except DeliveryFailure as failure:
            return Report(outcomes=[Outcome.failure(failure)], warnings=report.warnings)
        report.mailbox = report.mailbox or targets is None
        if report.mailbox and not elsewhere and not report.deferred:
            with _failures(report):
                self._mailbox(message, report, command)
        return report

    def keep(self, message: Message) -> Report:
        """Deliver to the mailbox, past the user's file and filters."""
        report = Report()
        self._do([partial(self._destinations.mailbox, message, self._destinations.inbox)], report)
        return report

    def include(self, message: Message, path: str, *, named: bool = False) -> Report:
        """Look through an include file that belongs to the user, or that something of the user's has `named`, and do
        what it says besides addresses.

        Nothing is done of a file that has an error: what stands before it would be done again and again.
        """
        report = Report()

        def count(address: str) -> None:
            report.listed += 1

        try:
            with include_file(path, None if named else self._user.uid) as file:
                steps = self._sorted(file.targets(), "include", message, report, count)
                report.signature = file.signature
        except DeliveryFailure as failure:
            return Report(outcomes=[Outcome.failure(failure)])
        self._do(steps, report)
        return report

    def members(self, message: Message, path: str, signature: str, *, named: bool = False) -> Iterator[list[str]]:
        """The addresses in an include file, in batches.  Raises DeliveryFailure where it is not what it was."""
        batch: list[str] = []
        with include_file(path, None if named else self._user.uid) as file:
            if file.signature != signature:
                raise DeliveryFailure("4.3.0", f":include:{path}: the file changes while it is read")
            for target in self._once(file.targets()):
                if target.kind is Kind.ADDRESS and not self._is_self(target, message):
                    batch.append(completed(target.value, self._origin))
                    if len(batch) >= BATCH:
                        yield batch
                        batch = []
        if batch:
            yield batch

    def file(self, message: Message, path: str) -> Report:
        """Deliver to a file that an alias names."""
        report = Report()
        self._do([partial(self._destinations.file, message, path)], report)
        return report

    def command(self, message: Message, command: str) -> Report:
        """Deliver to a command that an alias names."""
        report = Report()
        self._do([partial(self._destinations.command, message, command)], report)
        return report

    # --- targets

    def _forward_file(self, message: Message, report: Report) -> tuple[str, tuple[Target, ...]] | None:
        """The first forward file that is there and may be used, with its targets; None where there are none."""
        for path in self._forward_paths(message):
            try:
                targets = read_forward(path, self._user.uid)
            except IgnoredFile as error:
                report.warnings.append(f"{message.queue_id}: forward file ignored: {error}")
                continue
            if targets is not None:
                return (path, targets) if targets else None  # an empty one says that nothing is forwarded
        return None

    def _forward_paths(self, message: Message) -> tuple[str, ...]:
        """Where forward files may lie, kept for the next message to the same recipient."""
        key = (message.recipient, message.user, message.extension, message.delimiter, message.domain)
        if key != self._paths[0]:
            macros = user_macros(message, self._user, self._config[FORWARD_EXPANSION_FILTER])
            # Split before macros are replaced: an extension is an outsider's text, and must not name a path.
            templates = self._config[FORWARD_PATH].replace(",", " ").split()
            paths = dict.fromkeys(expand_macros(template, macros, self._config) for template in templates)
            self._paths = key, tuple(path for path in paths if "/../" not in path and "\0" not in path)
        return self._paths[1]

    def _forward(self, found: tuple[str, tuple[Target, ...]], message: Message, report: Report) -> list[Step]:
        """What the user's forward file says is put into the report, but for the steps that are done here.

        The extension of the address goes on to its targets where propagate_unmatched_extensions says so and the file is
        not the extension's own.
        """
        path, targets = found
        delimited = f"{message.delimiter}{message.extension}"
        propagates = "forward" in self._config[PROPAGATE_UNMATCHED_EXTENSIONS] and not path.endswith(delimited)
        extension = delimited if message.extension and propagates else ""

        def take(address: str) -> None:
            report.forward.append(completed(address, self._origin, extension))

        return self._sorted(targets, "forward", message, report, take)

    def _sorted(
        self, targets: Iterable[Target], source: str, message: Message, report: Report, take: Callable[[str], None]
    ) -> list[Step]:
        """Put what the targets say into the report, but for the steps that are done here.  `take` gets the addresses.

        Raises DeliveryFailure where there are too many.
        """
        files = source in self._config[ALLOW_MAIL_TO_FILES]
        commands = source in self._config[ALLOW_MAIL_TO_COMMANDS]
        steps: list[Step] = []
        for target in self._once(targets):
            value = target.value
            if target.kind is Kind.ADDRESS:
                if self._is_self(target, message):
                    report.mailbox = True
                else:
                    take(value)
                    if len(report.forward) > ADDRESS_LIMIT:
                        raise DeliveryFailure("4.3.5", f"more than {ADDRESS_LIMIT} addresses without :include:")
                continue
            if len(steps) + len(report.includes) + len(report.files) + len(report.commands) >= STEP_LIMIT:
                raise DeliveryFailure("4.3.5", f"more than {STEP_LIMIT} files, commands and lists in one place")
            if target.kind is Kind.INCLUDE:
                report.includes.append(value)
            elif target.kind is Kind.FILE:
                if not files:
                    steps.append(partial(_restricted, "file"))
                elif self._user.uid:
                    steps.append(partial(self._destinations.file, message, value))
                else:
                    report.files.append(value)
            elif not commands:
                steps.append(partial(_restricted, "command"))
            elif self._user.uid:
                steps.append(partial(self._destinations.command, message, value))
            else:
                report.commands.append(value)
        return steps

    def _once(self, targets: Iterable[Target]) -> Iterator[Target]:
        """The targets without those that come again, as far as they are remembered (duplicate_filter_limit)."""
        limit = self._config[DUPLICATE_FILTER_LIMIT]
        seen: set[Target] = set()
        for target in targets:
            if target in seen:
                continue
            if len(seen) < limit:
                seen.add(target)
            yield target

    def _is_self(self, target: Target, message: Message) -> bool:
        address = parse_mailbox(target.value, allow_bare=True)
        if address.local.lower() != message.user:
            return False
        return not address.domain or address.domain.lower() == message.domain.lower()

    def _do(self, steps: Iterable[Step], report: Report) -> None:
        for step in steps:
            self._destinations.settle()
            with _failures(report):
                report.outcomes.append(step())

    # --- the mailbox

    def _mailbox(self, message: Message, report: Report, command: str) -> None:
        """The user's mailbox: mailbox_command, the user's filters, home_mailbox, or the spool."""
        destinations = self._destinations
        if self._user.uid:
            if command := command or self._config[MAILBOX_COMMAND]:
                destinations.settle()
                report.outcomes.append(destinations.command(message, command))
                return
            if filtered(destinations, message, report):
                return
        inbox = destinations.inbox
        alone = not report.forward  # else what is reported may be more than the one frame of a filing
        if inbox.endswith("/") and alone and not message.report and not destinations.store:
            report.filing = destinations.delivery(message, inbox)
        else:
            destinations.settle()
            report.outcomes.append(destinations.mailbox(message, inbox))


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
    return Outcome(BOUNCED, "5.7.1", f"mail to {what} is restricted")
