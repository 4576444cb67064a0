"""The parent: for each recipient, asks the expander what the address stands for, then has each step done by whom it
belongs to.

It runs as root where the suite does, so it does little: it reads no alias, no file of a user and no message; who a step
runs as is decided here, from the user database and from the owner of an `:include:` file, never by what a child says.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from pillarbox.lib.address import AddressSyntaxError, parse_mailbox, split_extension
from pillarbox.lib.config import Config
from pillarbox.lib.config.parameters.general import RECIPIENT_DELIMITER
from pillarbox.lib.config.parameters.local import HOME_MAILBOX, MAIL_SPOOL_DIRECTORY, MAILBOX_COMMAND
from pillarbox.lib.delivery import BOUNCED, DEFERRED, SENT, DeliveryRecipient, DeliveryRequest, Result, log_result
from pillarbox.lib.delivery.result import ENTRUSTED, EXPANDED
from pillarbox.lib.log import log
from pillarbox.lib.system.privileges import PrivilegeError
from pillarbox.local.children import ChildFailed, Children, caller, default_user
from pillarbox.local.spool_file import ensure_spool_file
from pillarbox.local.steps import Message, Outcome, Report, combined, message_of
from pillarbox.local.users import User, find_uid, find_user

INCLUDE_LIMIT: Final = 100
"""Include files that one recipient may lead to; a ring of them ends here."""
ADDRESSES_PER_MESSAGE: Final = 800
"""Addresses of one message that is sent on; a longer list becomes several."""


class LocalDelivery:
    """The agent's work; one per process."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._delimiters = config[RECIPIENT_DELIMITER]
        self._spool = config[MAIL_SPOOL_DIRECTORY]
        self._uses_spool = not (config[HOME_MAILBOX] or config[MAILBOX_COMMAND] or self._spool.endswith("/"))
        self._root = os.geteuid() == 0
        self.children = Children(config)

    async def deliver(self, request: DeliveryRequest) -> tuple[Sequence[Result], str]:
        """Deliver to each recipient of a request."""
        results = []
        for recipient in request.recipients:
            outcomes = await self._recipient(request, recipient)
            for outcome in outcomes:
                log_result(request, recipient, outcome.result(recipient))
            results.append(combined(outcomes).result(recipient))
        return results, ""

    async def _recipient(self, request: DeliveryRequest, recipient: DeliveryRecipient) -> list[Outcome]:
        try:
            message = self._message(request, recipient)
        except AddressSyntaxError as error:
            return [Outcome(BOUNCED, "5.1.3", f"bad address: {error}")]
        outcomes: list[Outcome] = []
        try:
            await self._expand(message, outcomes)
        except ChildFailed as error:
            log.warning(f"{request.queue_id}: local delivery process: {error}")
            outcomes.append(Outcome(DEFERRED, "4.3.0", "local delivery process failed"))
        except PrivilegeError as error:
            log.error(f"{request.queue_id}: {error}")
            outcomes.append(Outcome(DEFERRED, "4.3.5", "local configuration error"))
        return outcomes or [Outcome(DEFERRED, "4.3.0", "delivery gave no result")]

    def _message(self, request: DeliveryRequest, recipient: DeliveryRecipient) -> Message:
        address = parse_mailbox(recipient.address, allow_bare=True)
        user, extension = split_extension(address.local, self._delimiters)
        if extension and find_user(address.local.lower()) is not None:
            user, extension = address.local, None  # a user's name may contain the delimiter
        delimiter = address.local[len(user)] if extension is not None else ""
        return message_of(request, recipient, user.lower(), extension or "", f"{delimiter}@{address.domain}")

    async def _expand(self, message: Message, outcomes: list[Outcome]) -> None:
        report = await self.children.expander({"do": "expand"}, message)
        if report.sender is not None:
            message = message.with_sender(report.sender)
        await self._carry_out(report, message, outcomes)

    async def _carry_out(self, report: Report, message: Message, outcomes: list[Outcome]) -> None:
        """Have done what a report leaves to do, and what that leaves in turn."""
        pending = [(report, message)]
        included: set[str] = set()
        delivered_to_user = False
        while pending:
            report, message = pending.pop()
            for warning in report.warnings:
                log.warning(warning)
            outcomes += report.outcomes
            if report.mailbox and not delivered_to_user:
                delivered_to_user = True
                pending.append((await self._user(message), message))
            if report.files or report.commands:
                nobody = default_user(self._config)
                for verb, arguments in (("file", report.files), ("command", report.commands)):
                    for argument in arguments:
                        job = {"do": verb, "argument": argument}
                        pending.append((await self.children.deliverer(nobody, job, message), message))
            # One address that stands for one other keeps its reports (RFC 3461 section 5.2.7.1).
            alone = len(report.forward) == 1 and not (outcomes or pending or report.targets)
            handed = "" if message.from_list else ENTRUSTED if alone else EXPANDED
            for start in range(0, len(report.forward), ADDRESSES_PER_MESSAGE):
                addresses = report.forward[start : start + ADDRESSES_PER_MESSAGE]
                handing: dict[str, object] = {"do": "forward", "addresses": addresses, "alone": alone}
                sent = await self.children.expander(handing, message)
                outcomes += [replace(each, handed=handed) if each.status == SENT else each for each in sent.outcomes]
            for path in report.includes:
                if path in included:
                    continue
                if len(included) >= INCLUDE_LIMIT:
                    outcomes.append(Outcome(BOUNCED, "5.4.6", "recipient nesting limit exceeded"))
                    break
                included.add(path)
                pending.append((await self._include(path, message), message))

    async def _user(self, message: Message) -> Report:
        """Deliver to the system user that the recipient names."""
        user = find_user(message.user)
        if user is None:
            return Report(outcomes=[Outcome(BOUNCED, "5.1.1", f'unknown user: "{message.user}"')])
        if self._root and self._uses_spool and not message.report:
            ensure_spool_file(self._spool, user)
        return await self.children.deliverer(self._rights(user), {"do": "user"}, message)

    def _rights(self, user: User) -> User:
        """Who does this user's steps: the user, and in an unprivileged instance always the caller."""
        if self._root:
            return user
        me = caller()
        return User(user.name, me.uid, me.gid, user.home, user.shell)

    async def _include(self, path: str, message: Message) -> Report:
        """Have an include file read by its owner; one of root's by `default_privs`."""
        try:
            owner = os.stat(path).st_uid
        except OSError as error:
            return Report(outcomes=[Outcome(DEFERRED, "4.3.5", f":include:{path}: {error.strerror}")])
        user = find_uid(owner) or User(str(owner), owner, owner, "/", "/bin/sh")
        rights = default_user(self._config) if self._root and owner == 0 else self._rights(user)
        return await self.children.deliverer(rights, {"do": "include", "argument": path}, message)
