"""One recipient's delivery, step after step, each by the child whose rights it needs.

The order: what the address stands for; commands, files and lists; the user's `.forward` and mailbox; last of all the
message is sent on.  Where a step has to be tried again, the mailbox and the sending are left for then: they would
happen again with it, and again.  Commands and files may be delivered to more than once, as local(8) says.
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from typing import Final

from pillarbox.lib.delivery import BOUNCED, DEFERRED, SENT
from pillarbox.lib.delivery.result import ENTRUSTED, EXPANDED
from pillarbox.lib.log import log
from pillarbox.lib.process.children import ChildFailed
from pillarbox.local.children import Children
from pillarbox.local.identities import Identities
from pillarbox.local.jobs import ADDRESSES_PER_FRAME
from pillarbox.local.mails import Mail
from pillarbox.local.ordinary import Ordinary
from pillarbox.local.steps import ADDRESS_LIMIT, Message, Outcome, Report
from pillarbox.local.users import User, find_user

INCLUDE_LIMIT: Final = 100
"""Include files that one recipient may lead to; a ring of them ends here."""
Put = Callable[[list[str]], Awaitable[None]]


class ListFailed(Exception):
    """A list could be read before and cannot now."""

    def __init__(self, outcomes: list[Outcome]) -> None:
        super().__init__("a list failed")
        self.outcomes = outcomes


@dataclass(frozen=True, slots=True)
class _List:
    """An include file that has been read once: by whom, and which state of it that was."""

    path: str
    reader: User
    named: bool
    """Whether something of the reader's names the file, whoever owns it."""
    signature: str


def _bounded(report: Report, user: User) -> Report:
    """What a process with `user`'s rights may leave to others: addresses, lists and mail.

    Not files and commands, which it does itself, but for root; nor whose rights they have, nor a transport.
    """
    if user.uid == 0:
        return replace(report, mailbox=False, transport="", sender=None, table=-1)
    return replace(report, mailbox=False, transport="", sender=None, table=-1, files=[], commands=[])


@dataclass(slots=True)
class RecipientDelivery:
    """The delivery to one recipient; `run` fills `outcomes`.  May raise ChildFailed, PrivilegeError."""

    message: Message
    children: Children
    identities: Identities
    ordinary: Ordinary
    command: str
    """The command that takes the user's mail by mailbox_command_maps, "" for none."""
    outcomes: list[Outcome] = field(default_factory=list)
    _addresses: list[str] = field(default_factory=list)
    _lists: list[_List] = field(default_factory=list)
    _included: set[str] = field(default_factory=set)
    _pending: list[tuple[Report, User | None]] = field(default_factory=list)
    _mails: list[Mail] = field(default_factory=list)
    _mailbox: bool = False
    """Whether the user is to get the message."""
    _asked: bool = False
    """Whether the user's forward file and mailbox have had their turn."""
    _stored: bool = False
    """Whether that was the mailbox."""
    _kept: bool = False
    """Whether the user has got the message already, and all that is left is to send it on as the user's file or script
    says: where that is refused the user has it, and its sender need not hear of it."""
    _filtered: User | None = None
    """The user whose filter only sends the message on: where that is refused the mailbox gets it."""
    _refused: bool = False
    """Whether that has happened."""
    _transport: str = ""

    async def run(self) -> None:
        """Deliver."""
        try:
            user = await self.ordinary.user(self.message)
            if user is None:
                await self._expand()
            else:
                self._mailbox = True
            if self._mailbox and not self._deferred:
                user = user or find_user(self.message.user)
                await self._user(user)
                await self._rest()
                if self._mailbox and not self._stored and not self._deferred:
                    await self._user(user)  # a list that the forward file names has the user in it
                    await self._rest()
            if not self._deferred:
                await self._send_on()
        finally:
            for mail in self._mails:
                mail.close()

    async def _expand(self) -> None:
        """Have done what the name stands for, but for the mailbox and the sending."""
        report = await self.children.expander({"do": "expand"}, self.message)
        if report.sender is not None:
            self.message = self.message.with_sender(report.sender)
        await self._take(report, self.identities.owner_of_table(report.table) if report.includes else None)
        await self._rest()

    @property
    def _deferred(self) -> bool:
        return any(outcome.status == DEFERRED for outcome in self.outcomes)

    async def _rest(self) -> None:
        while self._pending:
            await self._take(*self._pending.pop())

    async def _take(self, report: Report, rights: User | None) -> None:
        """Have done what a report leaves to do, but for the mailbox and the sending.

        `rights`: with whose rights the lists in it are read, None for those of each list's owner.  What a user's file
        names is read as that user: nobody makes things happen with another's rights by including a file of the
        other's.
        """
        for warning in report.warnings:
            log.warning(warning)
        self.outcomes += report.outcomes
        self._mails += report.mails
        self._addresses += report.forward
        if len(self._addresses) > ADDRESS_LIMIT:
            del self._addresses[ADDRESS_LIMIT:]
            self.outcomes.append(Outcome(DEFERRED, "4.3.5", f"more than {ADDRESS_LIMIT} addresses without :include:"))
        if report.mailbox:
            self._mailbox = not self._stored
            self._transport = self._transport or report.transport
        elif report.transport:
            await self._hand_over(report.transport)
        if report.files or report.commands:
            runner = self.identities.of_alias(report.table)
            for verb, arguments in (("file", report.files), ("command", report.commands)):
                for argument in arguments:
                    job = {"do": verb, "argument": argument}
                    done = await self.children.deliverer(runner, job, self.message)
                    self._pending.append((_bounded(done, runner), None))
        for path in report.includes:
            await self._include(path, rights)

    async def _include(self, path: str, rights: User | None) -> None:
        if path in self._included:
            return
        if len(self._included) >= INCLUDE_LIMIT:
            self.outcomes.append(Outcome(BOUNCED, "5.4.6", "recipient nesting limit exceeded"))
            return
        self._included.add(path)
        named = rights is not None
        reader = rights
        if reader is None:
            try:
                owner = os.stat(path).st_uid
            except OSError as error:
                self.outcomes.append(Outcome(DEFERRED, "4.3.5", f":include:{path}: {error.strerror}"))
                return
            reader = self.identities.of_include(owner)
            rights = reader if owner else None
        job = {"do": "include", "argument": path, "named": named}
        report = await self.children.deliverer(reader, job, self.message)
        if report.listed:
            self._lists.append(_List(path, reader, named, report.signature))
        self._pending.append((replace(_bounded(report, reader), mailbox=report.mailbox), rights))

    async def _user(self, user: User | None) -> None:
        """Deliver to the system user that the recipient names, or to the agent that takes mailboxes over; the second
        time past the forward file."""
        second, self._asked, self._mailbox = self._asked, True, False
        if user is not None:
            self.identities.prepare_mailbox(user, self.message)
            elsewhere = bool(self._transport)
            job = {"do": "user", "command": self.command, "elsewhere": elsewhere, "mailbox": second}
            lock = self.identities.mailbox_lock(user)
            report = await self.children.deliverer(self.identities.of_user(user), job, self.message, lock=lock)
            self._stored = report.mailbox
            if not (self._addresses or self._lists):
                self._kept = any(each.status == SENT for each in report.outcomes)
                redirected = report.forward or any(mail.redirects for mail in report.mails)
                self._filtered = user if report.mailbox and redirected and not report.outcomes else None
            self._pending.append((_bounded(report, user), self.identities.of_forward(user)))
            if not (self._stored and self._transport):
                return
        if self._transport:
            await self._hand_over(self._transport)
        else:
            self._pending.append((await self.children.expander({"do": "unknown"}, self.message), None))

    async def _hand_over(self, transport: str) -> None:
        report = await self.children.expander({"do": "hand over", "transport": transport}, self.message)
        self.outcomes += [replace(each, handed=ENTRUSTED) if each.status == SENT else each for each in report.outcomes]

    async def _send_on(self) -> None:
        """Send the message on to all addresses as one new message, and what a filter sends."""
        redirects = sum(mail.redirects for mail in self._mails)
        # One address that stands for one other keeps its reports (RFC 3461 section 5.2.7.1).
        alone = len(self._addresses) + redirects == 1 and not (self._lists or self.outcomes)
        handed = "" if self.message.from_list else ENTRUSTED if alone else EXPANDED
        for mail in self._mails:
            await self._mail(mail, alone, handed)
        if (self._addresses or self._lists) and not self._deferred:
            await self._forward(alone, handed)
        if self._refused and self._filtered is not None and not self._deferred:
            identity, lock = self.identities.of_user(self._filtered), self.identities.mailbox_lock(self._filtered)
            self.outcomes += (await self.children.deliverer(identity, {"do": "keep"}, self.message, lock=lock)).outcomes

    async def _mail(self, mail: Mail, alone: bool, handed: str) -> None:
        """Send a mail of a filter's.  A reply that cannot be sent is no reason for the message to wait."""
        descriptors = [mail.descriptor] if mail.descriptor >= 0 else []
        job: dict[str, object] = {"do": "mail", "alone": alone, **mail.members}
        try:
            (sent,) = (await self.children.expander(job, self.message, descriptors)).outcomes
        except ChildFailed as error:
            if mail.redirects:
                raise
            sent = Outcome(DEFERRED, "4.3.0", str(error))
        if mail.redirects:
            self._sent_on([sent], handed)
        elif sent.status != SENT:
            log.warning(f"{self.message.queue_id}: sieve: a reply is lost: {sent.text}")

    async def _forward(self, alone: bool, handed: str) -> None:
        try:
            report = await self.children.sender({"do": "forward", "alone": alone}, self.message, self._feed)
        except ListFailed as failure:
            self.outcomes += failure.outcomes
            return
        self._sent_on(report.outcomes, handed)

    def _sent_on(self, outcomes: list[Outcome], handed: str) -> None:
        for each in outcomes:
            if each.status == BOUNCED and (self._kept or self._filtered is not None):
                self._refused = True
                log.warning(f"{self.message.queue_id}: kept, but not sent on: {each.text}")
            else:
                self.outcomes.append(replace(each, handed=handed) if each.status == SENT else each)

    async def _feed(self, put: Put) -> None:
        """Give all addresses, a batch at a time.  Raises ListFailed."""
        for start in range(0, len(self._addresses), ADDRESSES_PER_FRAME):
            await put(self._addresses[start : start + ADDRESSES_PER_FRAME])
        for each in self._lists:
            job = {"do": "members", "argument": each.path, "signature": each.signature, "named": each.named}
            report = await self.children.deliverer(each.reader, job, self.message, put)
            if report.outcomes:
                raise ListFailed(report.outcomes)
