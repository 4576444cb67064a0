"""The brake on stolen accounts: over its limits an account's mail is taken and held, and people are told.

A check in DATA of authenticated sessions asks the service reputation, which counts for all processes and across
restarts.  Whoever has the password learns nothing: the replies are those of mail that goes out.  Where reputation is
away nothing is limited, but an account that this process knows to be braked stays so.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

from pillarbox.lib.clients import ServiceUnavailable
from pillarbox.lib.clients.reputation import Standing, address_key
from pillarbox.lib.log import log
from pillarbox.lib.smtp import replies
from pillarbox.lib.smtp.events import Data
from pillarbox.smtpd.screening.notice import send_notice

if TYPE_CHECKING:
    from pillarbox.smtpd.checks import Checks, Verdict
    from pillarbox.smtpd.server import Server
    from pillarbox.smtpd.session import Session

_running: Final[set[asyncio.Task[None]]] = set()


def checks(server: Server) -> Checks:
    """A check in DATA, where there are accounts and limits."""
    if not server.profile.auth or not server.screening.accounts.counting:
        return {}
    brake = Brake(server)
    return {"DATA": (brake,)}


class Brake:
    """The accounts that one process knows to be braked."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._braked: dict[str, Standing] = {}

    def __call__(self, session: Session, event: Data) -> Any:
        """Count the message; where the account is braked, have it held."""
        return self._count(session) if session.sasl_username else None

    async def _count(self, session: Session) -> Verdict:
        server, transaction, account = self._server, session.transaction, session.sasl_username.lower()
        assert transaction is not None
        recipients = [address_key(recipient.address) for recipient in transaction.recipients]
        try:
            standing = await server.reputation.submit(account, recipients, server.screening.accounts)
        except ServiceUnavailable as error:
            log.warning(f"mail of {account} is not counted: {error.reason}")
            known = self._braked.get(account)
            if known is None:
                return None
            standing = known
        if not standing.braked:
            self._braked.pop(account, None)
            return None
        self._braked[account] = standing
        if server.proxy_filter is not None:
            # What a filter before the queue has taken is not ours to hold: the mail stays with the client.
            log.warning(f"mail of {account} from {session.client.tag} is put off: {standing.reason}")
            self._tell(standing)
            return replies.too_much_mail(account)
        transaction.hold = transaction.hold or standing.hold
        log.warning(f"{transaction.queue_id}: hold: mail of {account} from {session.client.tag}: {standing.reason}")
        self._tell(standing)
        return None

    def _tell(self, standing: Standing) -> None:
        if standing.tell:
            task = asyncio.get_running_loop().create_task(send_notice(self._server, standing))
            _running.add(task)
            task.add_done_callback(_running.discard)
