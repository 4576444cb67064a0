"""The suppression list, which the service `reputation` keeps: addresses that are not to be tried.

    found = await client.suppressed(["ann@example.net"])      # {"ann@example.net": Reason("moved away", manual=True)}
    client.refused("ann@example.net", "550 5.1.1 no such user", limit=3, lifetime=90 * 86400)

Addresses are equal whatever their case.  Every question raises ServiceUnavailable where nothing is known now: the
caller then delivers as if the list were empty.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from pillarbox.lib.clients.reputation import ANSWER_TIMEOUT, RETRY_AFTER, SERVICE, Notes, ask_once
from pillarbox.lib.clients.tagged import TaggedClient
from pillarbox.lib.config import Config
from pillarbox.lib.ipc import Attributes

ADDRESS_LIMIT: Final = 320
"""Characters of the longest address that can be on the list: RFC 5321 allows 64, an @, and 255."""

ADDRESSES_PER_FRAME: Final = 30
"""Their reasons must fit into the frame of the answer, whatever characters they have."""

REASON_LIMIT: Final = 300
"""Characters of a reason that are sent."""


@dataclass(frozen=True, slots=True)
class Reason:
    """Why an address is on the list; `manual`: a person has put it there."""

    text: str
    manual: bool


@dataclass(frozen=True, slots=True)
class Entry:
    """An address on the list; times are in seconds since the epoch, `expires` 0: never."""

    address: str
    since: int
    expires: int
    manual: bool
    reason: str


def refusal(reason: str, hostname: str, *, learnt: bool = False) -> str:
    """What the sender of mail to a suppressed address is told: `5.7.1 The address ...`, enhanced status code first."""
    if learnt:
        return (
            f"5.1.1 The address is not tried any more, since its own server has refused it several times: {reason}; "
            f"postmaster@{hostname} can change that"
        )
    return f"5.7.1 The address gets no mail from {hostname}: {reason}; postmaster@{hostname} can change that"


def exempt(address: str, double_bounce: str) -> bool:
    """Whether mail to an address is never suppressed: any postmaster, and the address of double bounces, whose local
    part is given."""
    return address.rpartition("@")[0].lower() in ("postmaster", double_bounce.lower())


def normalized(address: str) -> str:
    """The form under which an address is listed."""
    return address.lower()


class AsyncSuppressionClient:
    """For the queue manager."""

    def __init__(self, config: Config) -> None:
        self._service = TaggedClient(config.socket_path(SERVICE), SERVICE, ANSWER_TIMEOUT, RETRY_AFTER)
        self._notes = Notes(self._service)

    async def suppressed(self, addresses: Sequence[str]) -> dict[str, Reason]:
        """Those of the addresses that are on the list, as they were given.  Raises ServiceUnavailable."""
        asked: dict[str, list[str]] = {}
        for address in addresses:
            if len(address) <= ADDRESS_LIMIT:
                asked.setdefault(normalized(address), []).append(address)
        keys = list(asked)
        found: dict[str, Reason] = {}
        for start in range(0, len(keys), ADDRESSES_PER_FRAME):
            part = keys[start : start + ADDRESSES_PER_FRAME]
            reply = await self._service.ask({"do": "suppressed", "addresses": part})
            for group in reply.groups("suppressed"):
                reason = Reason(group.text("reason"), group.boolean("manual"))
                found.update((address, reason) for address in asked.get(group.text("address"), ()))
        return found

    def refused(self, address: str, reason: str, limit: int, lifetime: int) -> None:
        """The address's own server has said that there is no such address.  Nobody waits for it."""
        if len(address) > ADDRESS_LIMIT or self._notes.full:
            return  # it will be refused again
        note = {"address": normalized(address), "reason": reason[:REASON_LIMIT], "limit": limit, "lifetime": lifetime}
        self._notes.add({"do": "refused", **note})

    def close(self) -> None:
        """End the connection; the next question makes a new one."""
        self._service.close()


class SuppressionClient:
    """For commands.  Every method raises ServiceUnavailable."""

    def __init__(self, config: Config) -> None:
        self._path = config.socket_path(SERVICE)

    def add(self, address: str, reason: str) -> None:
        """Put an address on the list."""
        self._ask({"do": "suppress", "address": normalized(address), "reason": reason[:REASON_LIMIT]})

    def remove(self, address: str) -> bool:
        """Take it off; whether anything was known of it."""
        return self._ask({"do": "lift", "address": normalized(address)}).boolean("known")

    def entries(self) -> Iterator[Entry]:
        """The list, in order."""
        after, more = "", True
        while more:
            reply = self._ask({"do": "list", "after": after})
            for group in reply.groups("suppressed"):
                after = group.text("address")
                yield Entry(
                    after,
                    group.integer("since"),
                    group.integer("expires"),
                    group.boolean("manual"),
                    group.text("reason"),
                )
            more = reply.boolean("more")

    def _ask(self, request: dict[str, object]) -> Attributes:
        return ask_once(self._path, request)
