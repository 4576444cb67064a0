"""Greylisting: the first mail of an unknown client network, sender and recipient is put off, since mail servers come
back and most spam does not.

`Greylist` decides for one recipient.  With smtpd_greylisting it is asked by a check in RCPT, behind all others; else by
the restriction reject_greylisted, for whom the lists want it.  Nobody waits who is one of us, is on a DNS list of good
clients, is in a table of exceptions, belongs to a network that comes back as a rule, or has been written to by a local
user.  What is remembered is the service reputation's; where it is away mail passes.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any, Final

from pillarbox.lib.address.address import split_address
from pillarbox.lib.clients import ServiceUnavailable
from pillarbox.lib.clients.lookup import LookupUnavailable
from pillarbox.lib.clients.reputation import address_key, triplet_key
from pillarbox.lib.config.parameters import smtpd_screening as parameters
from pillarbox.lib.log import log
from pillarbox.lib.smtp import replies
from pillarbox.lib.smtp.events import Data, Rcpt
from pillarbox.lib.smtp.networks import ClientNetworks
from pillarbox.lib.smtp.reply import Reply

if TYPE_CHECKING:
    from pillarbox.smtpd.checks import Checks
    from pillarbox.smtpd.server import Server
    from pillarbox.smtpd.session import Session

NETWORK_LIFETIME: Final = 600.0
"""Seconds for which a network that comes back as a rule is not asked about again by one process."""

NETWORKS_REMEMBERED: Final = 10_000

Answer = Reply | None

# Local parts that change from mail to mail while the sender is the same.
_SRS0: Final = re.compile(r"^srs0[-+=][^=]+=[^=]+=", re.IGNORECASE)  # SRS0=HASH=TIME=domain=user
_SRS1: Final = re.compile(r"^srs1[-+=][^=]+=(.*?)==[^=]+=[^=]+=", re.IGNORECASE)  # SRS1=HASH=host==HASH=TIME=...
_BATV: Final = re.compile(r"^(prvs|msprvs1?)=[^=]*=", re.IGNORECASE)  # prvs=1234abcdef=user
_HEXADECIMAL: Final = re.compile(r"(?<![a-z0-9])[0-9a-f]{8,}(?![a-z0-9])", re.IGNORECASE)
_DIGITS: Final = re.compile(r"[0-9]+")


def plain_sender(sender: str) -> str:
    """The sender without what VERP, SRS, BATV and mailing lists change from mail to mail: digits and tokens."""
    local, domain = split_address(sender) if "@" in sender else (sender, "")
    local = _SRS0.sub("srs0=#=", local)
    local = _SRS1.sub(r"srs1=#=\1==#=", local)
    local = _BATV.sub(r"\1=#=", local)
    local = _HEXADECIMAL.sub("#", local)
    return f"{_DIGITS.sub('#', local)}@{domain}".lower()


def checks(server: Server) -> Checks:
    """A check in RCPT where the service greylists; one in DATA that learns where any service does."""
    settings = server.screening
    return {
        "RCPT": (greylist,) if settings.greylisting.everywhere else (),
        "DATA": (learn,) if settings.learns else (),
    }


def greylist(session: Session, event: Rcpt) -> Any:
    """smtpd_greylisting."""
    assert session.transaction is not None
    return session.server.greylist(session, session.transaction.candidate)


class Greylist:
    """The decisions of one process."""

    def __init__(self, server: Server) -> None:
        self._server = server
        greylisting = server.screening.greylisting
        self._clients = ClientNetworks(greylisting.prefix_ipv4, greylisting.prefix_ipv6)
        self._networks: dict[str, float] = {}
        """Networks that need not wait, until when (seconds since the epoch)."""

    def __call__(self, session: Session, recipient: str) -> Answer | Coroutine[Any, Any, Answer]:
        """A reply that puts the recipient off, or None; at once where nobody has to be asked."""
        server = self._server
        settings = server.screening
        if session.trusted or session.core.authenticated or settings.lists.good_enough(session.screened.rank):
            return None
        net = self._clients.of(session.client.address)
        if self._networks.get(net, 0.0) > server.clock():
            return None
        return self._ask(session, net, recipient)

    async def _ask(self, session: Session, net: str, recipient: str) -> Answer:
        server, transaction = self._server, session.transaction
        assert transaction is not None
        policy = server.screening.greylisting.policy
        sender = transaction.sender
        if await self._excepted(session, sender, recipient):
            return None
        triplet = triplet_key(net, plain_sender(sender) if sender else "", recipient)
        try:
            verdict = await server.reputation.greylist(net, triplet, address_key(sender) if sender else "", policy)
        except ServiceUnavailable as error:
            log.warning(f"not greylisted: {error.reason}")
            return None
        if verdict.wait > 0:
            return replies.greylisted(recipient, verdict.wait)
        if verdict.why == "client":
            if len(self._networks) >= NETWORKS_REMEMBERED:
                self._networks.clear()
            self._networks[net] = server.clock() + NETWORK_LIFETIME
        elif verdict.why == "passed":
            who = f"{session.client.tag} passes after {verdict.after} seconds"
            log.info(f"greylist: {who}; from=<{sender}> to=<{recipient}>")
        return None

    async def _excepted(self, session: Session, sender: str, recipient: str) -> bool:
        """Whether a table says that this mail does not wait.  A table that cannot be asked makes no exception."""
        greylisting = self._server.screening.greylisting
        questions: list[tuple[str, str]] = []
        if greylisting.client_exceptions:
            questions.append((parameters.SMTPD_GREYLIST_CLIENT_EXCEPTIONS.name, session.client.address))
        if greylisting.sender_exceptions:
            name = parameters.SMTPD_GREYLIST_SENDER_EXCEPTIONS.name
            questions += [(name, key) for key in table_keys(sender)]
        if greylisting.recipient_exceptions:
            name = parameters.SMTPD_GREYLIST_RECIPIENT_EXCEPTIONS.name
            questions += [(name, key) for key in table_keys(recipient)]
        if not questions:
            return False
        values = await asyncio.gather(*(self._value(name, key) for name, key in questions))
        decided: set[str] = set()
        for (name, _), value in zip(questions, values, strict=True):
            # Of one table the most special key decides, as in access(5).
            if value is not None and name not in decided:
                decided.add(name)
                if value.strip().lower() not in ("no", "dunno"):
                    return True
        return False

    async def _value(self, name: str, key: str) -> str | None:
        try:
            return await self._server.lookup.get(name, key)
        except LookupUnavailable as error:
            log.warning(f"{name}: {error.reason}")
            return None


def table_keys(address: str) -> list[str]:
    """What stands for an address in a table, from the most special on: user@domain, domain, .parents, user@; `<>`."""
    if not address:
        return ["<>"]
    local, domain = split_address(address) if "@" in address else (address, "")
    keys = [address.lower()]
    if domain:
        keys.append(domain.lower())
        labels = domain.lower().split(".")
        keys += [f".{'.'.join(labels[start:])}" for start in range(1, len(labels))]
        keys.append(f"{local.lower()}@")
    return keys


def learn(session: Session, event: Data) -> Any:
    """Remember whom local users write to: their answers shall not wait."""
    if not session.trusted and not session.core.authenticated:
        return None
    assert session.transaction is not None
    return _learn(session, [recipient.address for recipient in session.transaction.recipients])


async def _learn(session: Session, addresses: list[str]) -> Answer:
    server = session.server
    written = []
    for address in addresses:
        try:
            verdict = server.lookup.known_recipient(address) or await server.lookup.recipient(address)
        except LookupUnavailable:
            continue
        # Not our own: whoever forged a local sender would be spared.
        if verdict.address_class == "default":
            written.append(address_key(address))
    if written:
        server.reputation.written(written, server.screening.greylisting.correspondent_lifetime)
    return None
