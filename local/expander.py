"""The expander: reads aliases and sends messages on, as `default_privs`, confined to two sockets.

The connections to lookup and cleanup are made while the process is still the parent's user, because only the suite's
users can enter the directory of those sockets; when one breaks, the process reports itself stale and ends, and the
parent starts another.

It never writes a file, runs a program or becomes a user: what an alias asks for in that way goes back in the report.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from email.utils import formatdate
from typing import Final

from pillarbox.lib.address import AddressSyntaxError, parse_mailbox
from pillarbox.lib.clients.cleanup import CleanupClient, Rejected
from pillarbox.lib.clients.errors import ServiceUnavailable
from pillarbox.lib.clients.lookup import LookupClient
from pillarbox.lib.config import Config
from pillarbox.lib.config.parameters.general import MAIL_NAME, MYHOSTNAME, MYORIGIN
from pillarbox.lib.config.parameters.local import (
    ALLOW_MAIL_TO_COMMANDS,
    ALLOW_MAIL_TO_FILES,
    DUPLICATE_FILTER_LIMIT,
    EXPAND_OWNER_ALIAS,
    LUSER_RELAY,
)
from pillarbox.lib.config.parameters.lookup import ALIAS_MAPS
from pillarbox.lib.delivery import DEFERRED
from pillarbox.lib.delivery.alias_value import AliasSyntaxError, Kind, Target, parse_targets
from pillarbox.lib.delivery.delivered import delivered_to, has_visited
from pillarbox.lib.queue import Envelope, Recipient
from pillarbox.lib.queue.envelope import notify_of_members
from pillarbox.lib.store.failure import DeliveryFailure
from pillarbox.local.macros import expand_macros
from pillarbox.local.steps import Message, Outcome, Report
from pillarbox.local.users import find_user

CHUNK: Final = 65536


class Stale(Exception):
    """A connection broke before anything was done: a fresh process may do it."""


class Expander:
    """The work of one expander process."""

    def __init__(self, config: Config, lookup: LookupClient, cleanup: CleanupClient) -> None:
        self._config = config
        self._lookup = lookup
        self._cleanup = cleanup
        self._origin = config[MYORIGIN]
        self._commands = "alias" in config[ALLOW_MAIL_TO_COMMANDS]
        self._files = "alias" in config[ALLOW_MAIL_TO_FILES]
        self._limit = config[DUPLICATE_FILTER_LIMIT]

    def expand(self, message: Message) -> Report:
        """What the recipient stands for.  Raises Stale."""
        report = Report()
        try:
            if has_visited(delivered_to(message.content.header()), message.recipient):
                raise DeliveryFailure("5.4.6", f"mail forwarding loop for {message.recipient}")
            name, value = self._alias(message)
            if value is None:
                self._not_an_alias(message, report)
            else:
                report.sender = self._owner(name, message)
                self._sort(name, value, message, report)
        except ServiceUnavailable as error:
            raise Stale(error.reason) from error
        except DeliveryFailure as failure:
            report.outcomes.append(Outcome.failure(failure))
        except (OSError, EOFError) as error:
            report.outcomes.append(Outcome(DEFERRED, "4.3.0", f"cannot read the queue file: {error}"))
        return report

    def _alias(self, message: Message) -> tuple[str, str | None]:
        """The alias that applies: user+extension, then user (aliases(5)); the text is None where there is none."""
        names = [message.user]
        if message.extension:
            names.insert(0, f"{message.user}{message.delimiter}{message.extension}".lower())
        for name in names:
            value = self._lookup.get(ALIAS_MAPS.name, name)
            if value is not None:
                return name, value
        return "", None

    def _owner(self, name: str, message: Message) -> str | None:
        """The sender for what the alias expands to, None = unchanged.

        A bounce keeps its null sender: anything else could go round for ever.
        """
        if not message.sender:
            return None
        owner = self._lookup.get(ALIAS_MAPS.name, f"owner-{name}")
        if owner is None:
            return None
        if self._config[EXPAND_OWNER_ALIAS]:
            try:
                targets = parse_targets(owner)
            except AliasSyntaxError:
                targets = ()
            if len(targets) == 1 and targets[0].kind is Kind.ADDRESS:
                return self._complete(targets[0].value)
        return f"owner-{name}@{message.domain or self._origin}"

    def _sort(self, name: str, value: str, message: Message, report: Report) -> None:
        """Put each target of an alias where it belongs in the report."""
        try:
            targets = parse_targets(value)
        except AliasSyntaxError as error:
            report.warnings.append(f'{message.queue_id}: alias "{name}": {error}')
            raise DeliveryFailure("4.3.5", f'alias "{name}": {error}') from error
        if not targets:
            raise DeliveryFailure("4.3.5", f'alias "{name}" has no value')
        seen: set[Target] = set()
        for target in targets:
            if target in seen:
                continue
            if len(seen) < self._limit:
                seen.add(target)
            if target.kind is Kind.ADDRESS:
                if self._is_self(target, name, message):
                    report.mailbox = True
                else:
                    report.forward.append(self._complete(target.value))
            elif target.kind is Kind.INCLUDE:
                report.includes.append(target.value)
            elif target.kind is Kind.FILE:
                if _permitted(self._files, "file", report):
                    report.files.append(target.value)
            elif _permitted(self._commands, "command", report):
                report.commands.append(target.value)

    def _is_self(self, target: Target, name: str, message: Message) -> bool:
        """Whether an alias names the very user it is for: then the mail goes to the mailbox."""
        address = parse_mailbox(target.value, allow_bare=True)
        if address.local.lower() not in (message.user, name):
            return False
        return not address.domain or address.domain.lower() == message.domain.lower() or target.literal

    def _complete(self, address: str) -> str:
        return address if "@" in address.rpartition('"')[2] else f"{address}@{self._origin}"

    def _not_an_alias(self, message: Message, report: Report) -> None:
        if find_user(message.user) is not None:
            report.mailbox = True
            return
        relay = self._config[LUSER_RELAY]
        if not relay:
            raise DeliveryFailure("5.1.1", f'unknown user: "{message.user}"')
        address = expand_macros(
            relay,
            {
                "user": message.user,
                "local": f"{message.user}{message.delimiter}{message.extension}",
                "extension": message.extension,
                "domain": message.domain,
            },
            self._config,
        )
        try:
            report.forward.append(self._complete(str(parse_mailbox(address, allow_bare=True))))
        except AddressSyntaxError as error:
            raise DeliveryFailure("4.3.5", f"luser_relay: {error}") from error

    def forward(self, message: Message, addresses: Sequence[str], *, alone: bool) -> Outcome:
        """Send the message on as a new one; `alone`: the one address is all that the recipient stands for.

        Raises Stale if that could not even be begun.
        """
        try:
            content = message.content
        except DeliveryFailure as failure:
            return Outcome.failure(failure)
        except (OSError, EOFError) as error:
            return Outcome(DEFERRED, "4.3.0", f"cannot read the queue file: {error}")
        try:
            new = self._cleanup.open()
        except ServiceUnavailable as error:
            raise Stale(error.reason) from error
        now = time.time()
        attributes = message.attributes
        notify = _passed_on(message.notify, alone)
        envelope = Envelope(
            sender=message.sender,
            recipients=tuple(
                Recipient(address, message.original or message.recipient, message.orcpt, notify)
                for address in addresses
            ),
            arrival=now,
            envid=message.envid,
            ret=message.ret,
            deliver_by=message.deliver_by,
            report=message.report,
            body="8bitmime" if message.body == "binarymime" else message.body,
            smtputf8=message.smtputf8,
            requiretls=message.requiretls,
            client_name=attributes.get("client_name", ""),
            client_address=attributes.get("client_address", ""),
            client_helo=attributes.get("client_helo", ""),
            origin="local",
        )
        host, mail_name = self._config[MYHOSTNAME], self._config[MAIL_NAME]
        received = f"Received: by {host} ({mail_name})\n\tid {new.queue_id}; {formatdate(now, localtime=True)}\n"
        with new:
            try:
                new.begin(envelope)
                new.write(received.encode() + f"Delivered-To: {message.recipient}\n".encode("utf-8", "surrogateescape"))
                for data in content.chunks(CHUNK):
                    new.write(data)
                receipt = new.commit()
            except Rejected as error:
                return Outcome.failure(DeliveryFailure(error.enhanced, error.text))
            except ServiceUnavailable as error:
                return Outcome(DEFERRED, "4.3.0", f"cannot forward: {error.reason}")
            except (OSError, EOFError) as error:
                return Outcome(DEFERRED, "4.3.0", f"cannot read the queue file: {error}")
        return Outcome.sent(f"forwarded as {receipt.queue_id}")


def _permitted(allowed: bool, what: str, report: Report) -> bool:
    """Whether a target of this kind may be used; if not, that is its outcome (a mistake of ours: it waits)."""
    if not allowed:
        report.outcomes.append(Outcome(DEFERRED, "4.7.0", f"mail to {what} is restricted"))
    return allowed


def _passed_on(notify: str, alone: bool) -> tuple[str, ...]:
    """NOTIFY of the addresses that one was expanded to: its success has been reported here, unless there is but one
    (RFC 3461 sections 5.2.7.1 and 5.2.7.2)."""
    values = tuple(notify.split(",")) if notify else ()
    return values if alone else notify_of_members(values)
