"""The parent: takes requests, and has each recipient's steps done by whom they belong to (`delivery`, `identities`).

It runs as root where the suite does, so it does little: it reads no alias, no file of a user and no message.
What its children get of a message is a copy (`lib.delivery.excerpt`).
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing

from pillarbox.lib.address import AddressSyntaxError, parse_mailbox, split_extension
from pillarbox.lib.config import Config
from pillarbox.lib.config.parameters.auth import AUTH_SYSTEM_MAIL
from pillarbox.lib.config.parameters.general import QUEUE_DIRECTORY, RECIPIENT_DELIMITER
from pillarbox.lib.config.parameters.local import MAILBOX_COMMAND_MAPS
from pillarbox.lib.delivery import BOUNCED, DEFERRED, DeliveryRecipient, DeliveryRequest, Result, log_result
from pillarbox.lib.delivery.excerpt import excerpt
from pillarbox.lib.log import log
from pillarbox.lib.process.children import ChildFailed
from pillarbox.lib.store.failure import DeliveryFailure
from pillarbox.lib.store.kinds import load
from pillarbox.lib.system.privileges import PrivilegeError
from pillarbox.lib.tables import LookupFailed
from pillarbox.lib.tables.kept import open_kept
from pillarbox.local.children import Children
from pillarbox.local.delivery import RecipientDelivery
from pillarbox.local.identities import Identities
from pillarbox.local.ordinary import Ordinary
from pillarbox.local.steps import Message, Outcome, combined, message_of
from pillarbox.local.users import find_user


class LocalDelivery:
    """The agent's work; one per process."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._delimiters = config[RECIPIENT_DELIMITER]
        self._identities = Identities(config)
        tables = config[MAILBOX_COMMAND_MAPS]
        self._commands = open_kept(MAILBOX_COMMAND_MAPS.name, tables, substitution=False)
        self._commands.preload()
        self._ordinary = Ordinary(config)
        # Whoever a child becomes may not be able to read our code.
        load(config[AUTH_SYSTEM_MAIL].partition(":")[0])
        self.children = Children(config)

    async def close(self) -> None:
        """Let the children end, and the connection to lookup."""
        self.children.close()
        await self._ordinary.close()

    async def deliver(self, request: DeliveryRequest) -> tuple[Sequence[Result], str]:
        """Deliver to each recipient of a request."""
        try:
            copied = await excerpt(request, self._config[QUEUE_DIRECTORY])
        except DeliveryFailure as failure:
            outcome = Outcome.failure(failure)
            return [_reported(request, recipient, [outcome]) for recipient in request.recipients], ""
        with closing(copied):
            return [
                _reported(request, recipient, await self._recipient(copied, recipient))
                for recipient in request.recipients
            ], ""

    async def _recipient(self, request: DeliveryRequest, recipient: DeliveryRecipient) -> list[Outcome]:
        try:
            message = self._message(request, recipient)
        except AddressSyntaxError as error:
            return [Outcome(BOUNCED, "5.1.3", f"bad address: {error}")]
        outcomes: list[Outcome] = []
        try:
            command = self._commands.find(message.user) or ""
            await RecipientDelivery(message, self.children, self._identities, self._ordinary, command, outcomes).run()
        except LookupFailed as error:
            log.warning(f"{request.queue_id}: {error}")
            outcomes.append(Outcome(DEFERRED, "4.3.0", f"lookup failed: {error.reason}"))
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


def _reported(request: DeliveryRequest, recipient: DeliveryRecipient, outcomes: list[Outcome]) -> Result:
    for outcome in outcomes:
        log_result(request, recipient, outcome.result(recipient))
    return combined(outcomes).result(recipient)
