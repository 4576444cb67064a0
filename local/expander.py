"""The expander: reads aliases, as `default_privs`, confined to two sockets; in its process messages are sent on, too
(`sending`).

The connections to lookup and cleanup are made while the process is still the parent's user, because only the suite's
users can enter the directory of those sockets; when one breaks, the process reports itself stale and ends, and the
parent starts another.

It never writes a file, runs a program or becomes a user: what an alias asks for in that way goes back in the report.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from pillarbox.lib.address import Address, AddressSyntaxError, parse_mailbox
from pillarbox.lib.clients.errors import ServiceUnavailable
from pillarbox.lib.clients.lookup import LookupClient
from pillarbox.lib.config import Config
from pillarbox.lib.config.parameter import Parameter
from pillarbox.lib.config.parameters.general import MYORIGIN
from pillarbox.lib.config.parameters.local import (
    ALLOW_MAIL_TO_COMMANDS,
    ALLOW_MAIL_TO_FILES,
    DUPLICATE_FILTER_LIMIT,
    EXPAND_OWNER_ALIAS,
    FALLBACK_TRANSPORT,
    FALLBACK_TRANSPORT_MAPS,
    LUSER_RELAY,
    MAILBOX_TRANSPORT,
    MAILBOX_TRANSPORT_MAPS,
)
from pillarbox.lib.config.parameters.lookup import ALIAS_MAPS, PROPAGATE_UNMATCHED_EXTENSIONS
from pillarbox.lib.delivery import BOUNCED, DEFERRED
from pillarbox.lib.delivery.alias_value import AliasSyntaxError, Kind, Target, parse_targets
from pillarbox.lib.store.failure import DeliveryFailure
from pillarbox.local.macros import expand_macros, user_macros
from pillarbox.local.sending import Stale
from pillarbox.local.steps import (
    ADDRESS_LIMIT,
    STEP_LIMIT,
    Message,
    Outcome,
    Report,
    alias_names,
    completed,
    refuse_loop,
)
from pillarbox.local.users import find_user


class Expander:
    """The work of one expander process."""

    def __init__(self, config: Config, lookup: LookupClient) -> None:
        self._config = config
        self._lookup = lookup
        self._origin = config[MYORIGIN]
        self._commands = "alias" in config[ALLOW_MAIL_TO_COMMANDS]
        self._files = "alias" in config[ALLOW_MAIL_TO_FILES]
        self._limit = config[DUPLICATE_FILTER_LIMIT]
        self._propagates = "alias" in config[PROPAGATE_UNMATCHED_EXTENSIONS]

    def expand(self, message: Message) -> Report:
        """What the recipient stands for.  Raises Stale."""
        report = Report()
        with self._failures(report):
            refuse_loop(message)
            name, value = self._alias(message)
            if value is None:
                self._not_an_alias(message, report)
            else:
                report.sender = self._owner(name, message)
                self._sort(name, value, message, report)
                if report.files or report.commands or report.includes:
                    table = self._lookup.locate(ALIAS_MAPS.name, name)
                    report.table = -1 if table is None else table
                if report.mailbox:
                    report.transport = self._mailbox_transport(message)
        return report

    @contextmanager
    def _failures(self, report: Report) -> Iterator[None]:
        """What goes wrong within becomes an outcome; a broken connection is Stale."""
        try:
            yield
        except ServiceUnavailable as error:
            raise Stale(error.reason) from error
        except DeliveryFailure as failure:
            report.outcomes.append(Outcome.failure(failure))
        except (OSError, EOFError) as error:
            report.outcomes.append(Outcome(DEFERRED, "4.3.0", f"cannot read the queue file: {error}"))

    def _alias(self, message: Message) -> tuple[str, str | None]:
        """The alias that applies: user+extension, then user (aliases(5)); the text is None where there is none."""
        for name in alias_names(message):
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
                return completed(targets[0].value, self._origin)
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
        unmatched = self._propagates and message.extension and name == message.user
        extension = f"{message.delimiter}{message.extension}" if unmatched else ""
        for target in targets:
            if target in seen:
                continue
            if len(seen) < self._limit:
                seen.add(target)
            if target.kind is Kind.ADDRESS:
                if self._is_self(target, name, message):
                    report.mailbox = True
                else:
                    report.forward.append(completed(target.value, self._origin, extension))
                    if len(report.forward) > ADDRESS_LIMIT:
                        raise DeliveryFailure("4.3.5", f"more than {ADDRESS_LIMIT} addresses without :include:")
                continue
            if len(report.includes) + len(report.files) + len(report.commands) >= STEP_LIMIT:
                raise DeliveryFailure("4.3.5", f'alias "{name}": more than {STEP_LIMIT} files, commands and lists')
            if target.kind is Kind.INCLUDE:
                report.includes.append(target.value)
            elif target.kind is Kind.FILE:
                if _permitted(self._files, "file", report):
                    report.files.append(target.value)
            elif _permitted(self._commands, "command", report):
                report.commands.append(target.value)

    def _mailbox_transport(self, message: Message) -> str:
        return self._transport(MAILBOX_TRANSPORT_MAPS, MAILBOX_TRANSPORT, message)

    def _transport(self, maps: Parameter[tuple[str, ...]], default: Parameter[str], message: Message) -> str:
        """What the tables, else the parameter, say for the user: `transport:nexthop`, or "" for none."""
        found = self._lookup.get(maps.name, message.user) if self._config[maps] else None
        return found or self._config[default]

    def _is_self(self, target: Target, name: str, message: Message) -> bool:
        """Whether an alias names the very user it is for: then the mail goes to the mailbox."""
        address = parse_mailbox(target.value, allow_bare=True)
        if address.local.lower() not in (message.user, name):
            return False
        return not address.domain or address.domain.lower() == message.domain.lower() or target.literal

    def _not_an_alias(self, message: Message, report: Report) -> None:
        report.transport = self._mailbox_transport(message)
        if report.transport or find_user(message.user) is not None:
            report.mailbox = True
        else:
            self._unknown(message, report)

    def unknown(self, message: Message) -> Report:
        """What becomes of mail for a name that is neither an alias nor a user.  Raises Stale."""
        report = Report()
        with self._failures(report):
            self._unknown(message, report)
        return report

    def _unknown(self, message: Message, report: Report) -> None:
        report.transport = self._transport(FALLBACK_TRANSPORT_MAPS, FALLBACK_TRANSPORT, message)
        if report.transport:
            return
        relay = self._config[LUSER_RELAY]
        if not relay:
            raise DeliveryFailure("5.1.1", f'unknown user: "{message.user}"')
        local, at, domain = expand_macros(relay, user_macros(message, None), self._config).rpartition("@")
        try:
            # The local part may be what a sender wrote: it is quoted where it has to be.
            address = Address(local, domain) if at and local else parse_mailbox(domain, allow_bare=True)
            report.forward.append(completed(str(parse_mailbox(str(address), allow_bare=True)), self._origin))
        except AddressSyntaxError as error:
            raise DeliveryFailure("4.3.5", f"luser_relay: {error}") from error


def _permitted(allowed: bool, what: str, report: Report) -> bool:
    """Whether a target of this kind may be used; if not, that is its outcome."""
    if not allowed:
        report.outcomes.append(Outcome(BOUNCED, "5.7.1", f"mail to {what} is restricted"))
    return allowed
