"""Recipients that are nothing but a system user, as nearly all are: no alias, no transport in the mailbox's place.

The parent asks lookup whether there is an alias of the name, and looks at nothing else of the answer.  What is not
plainly so, and every trouble, is the expander's business.
"""

from __future__ import annotations

from pillarbox.lib.clients.lookup import AsyncLookupClient
from pillarbox.lib.config import Config
from pillarbox.lib.config.parameters.local import MAILBOX_TRANSPORT, MAILBOX_TRANSPORT_MAPS
from pillarbox.lib.config.parameters.lookup import ALIAS_MAPS
from pillarbox.lib.tables import LookupFailed
from pillarbox.local.steps import Message, alias_names
from pillarbox.local.users import User, find_user


class Ordinary:
    """Tells them by one configuration."""

    def __init__(self, config: Config, lookup: AsyncLookupClient | None = None) -> None:
        self._possible = not config[MAILBOX_TRANSPORT] and not config[MAILBOX_TRANSPORT_MAPS]
        self._lookup = lookup or AsyncLookupClient(config)
        self._aliases = bool(config[ALIAS_MAPS])

    async def user(self, message: Message) -> User | None:
        """The user whose mailbox, or forward file, the message goes to; None where the expander is to say."""
        user = find_user(message.user) if self._possible else None
        if user is None or not self._aliases:
            return user
        try:
            for name in alias_names(message):
                if await self._lookup.get(ALIAS_MAPS.name, name) is not None:
                    return None
        except LookupFailed:
            return None
        return user

    async def close(self) -> None:
        """End the connection."""
        await self._lookup.close()
