"""The clients of the service `reputation`, which remembers what clients, senders and accounts have done.

    passed = await client.client("192.0.2.1")                   # Passed(greet=..., dnsbl=..., rank=0) or None
    client.passed("192.0.2.1", Passed(greet=..., dnsbl=..., rank=0))
    verdict = await client.greylist("192.0.2.0/24", triplet_key(...), address_key(sender), policy)
    standing = await client.submit("ann@example.com", recipients, limits)

Many questions may be under way at once on one connection.  What need not be answered (`passed`, `written`, `told`) is
gathered and sent a moment later.  What asks raises ServiceUnavailable where nothing is known; the caller then lets
mail pass.  A question that broke off is asked once more, so that in a crash of the service an event may count twice.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Final

from pillarbox.lib.clients.errors import ServiceUnavailable
from pillarbox.lib.clients.tagged import TaggedClient
from pillarbox.lib.config import Config
from pillarbox.lib.ipc import Attributes, Channel, ChannelClosed, ProtocolError

SERVICE: Final = "reputation"

ANSWER_TIMEOUT: Final = 3.0
"""Seconds to wait: an answer is quick or not worth waiting for."""

RETRY_AFTER: Final = 2.0
"""Seconds for which a service that could not be reached is not tried again, so that sessions don't wait for it."""

NOTES_LIMIT: Final = 1000
"""Notes that wait to be sent at most; beyond it the oldest are dropped."""

RECIPIENTS_PER_FRAME: Final = 2000
KEY_SIZE: Final = 12
"""Octets of a key: among a million of them two are equal with a probability of 1 in 10^17."""


def address_key(address: str) -> str:
    """The key under which an address is remembered: not to be turned back, equal for upper and lower case."""
    return blake2b(address.lower().encode("utf-8", "replace"), digest_size=KEY_SIZE).hexdigest()


def triplet_key(network: str, sender: str, recipient: str) -> str:
    """The key of a greylisting triplet."""
    text = f"{network}\n{sender}\n{recipient}".lower()
    return blake2b(text.encode("utf-8", "replace"), digest_size=KEY_SIZE).hexdigest()


@dataclass(frozen=True, slots=True)
class Passed:
    """Until when (seconds since the epoch) a client need not pass a test again, 0: it must; its rank in DNS lists."""

    greet: int
    dnsbl: int
    rank: int


@dataclass(frozen=True, slots=True)
class GreylistPolicy:
    """Seconds, and how many successes make a network known; see `reputation/greylist.py`."""

    delay: int
    window: int
    lifetime: int
    clients: int


@dataclass(frozen=True, slots=True)
class Greylisted:
    """`wait`: seconds that the sender still has to wait, 0: it passes.  `why`: new, early, passed, known, client or
    correspondent.  `after`: how long a sender that passes for the first time has waited."""

    wait: int
    why: str
    after: int


@dataclass(frozen=True, slots=True)
class AccountLimits:
    """The most messages, recipients and new recipients per `period` seconds; 0: any number."""

    messages: int
    recipients: int
    new_recipients: int
    period: int

    @property
    def counting(self) -> bool:
        """Whether there is anything to count."""
        return bool(self.messages or self.recipients or self.new_recipients)


HOLD: Final = "account "
"""How the reason begins for which mail of a braked account is held (`Envelope.hold`)."""


def held_account(reason: str) -> str:
    """The account for which mail is held, by the reason in its envelope; "" where it is held for another."""
    account, colon, _ = reason.removeprefix(HOLD).partition(": ")
    return account if colon and reason.startswith(HOLD) else ""


@dataclass(frozen=True, slots=True)
class Standing:
    """An account: counts since `began`; when it was braked (0: it is not) and why; with `tell`, people are to know."""

    account: str
    began: int
    messages: int
    recipients: int
    new_recipients: int
    braked: int
    reason: str
    tell: bool = False

    @property
    def hold(self) -> str:
        """Why its mail is held: `account ann@example.com: 501 messages within 1 day, 500 are allowed`."""
        return f"{HOLD}{self.account}: {self.reason}"


class Notes:
    """What the service need not answer: gathered and sent a moment later, dropped where it is away."""

    def __init__(self, service: TaggedClient) -> None:
        self._service = service
        self._waiting: list[dict[str, object]] = []
        self._sender: asyncio.Task[None] | None = None

    @property
    def full(self) -> bool:
        """Whether one more pushes out the oldest."""
        return len(self._waiting) >= NOTES_LIMIT

    def add(self, request: dict[str, object]) -> None:
        """Send it when there is time."""
        if self.full:
            del self._waiting[0]
        self._waiting.append(request)
        if self._sender is None or self._sender.done():
            self._sender = asyncio.get_running_loop().create_task(self._send())

    async def _send(self) -> None:
        while self._waiting:
            notes, self._waiting = self._waiting, []
            try:
                for note in notes:
                    await self._service.tell(note)
            except ServiceUnavailable:
                pass  # what is learnt again costs less than mail that waits


class AsyncReputationClient:
    """For event programs."""

    def __init__(self, config: Config) -> None:
        self.service = TaggedClient(config.socket_path(SERVICE), SERVICE, ANSWER_TIMEOUT, RETRY_AFTER)
        self._note = Notes(self.service).add

    async def client(self, address: str) -> Passed | None:
        """What a client address has passed.  Raises ServiceUnavailable."""
        reply = await self.service.ask({"do": "client", "address": address})
        if "rank" not in reply:
            return None
        return Passed(reply.integer("greet"), reply.integer("dnsbl"), reply.integer("rank"))

    def passed(self, address: str, passed: Passed) -> None:
        """Remember it."""
        result = {"greet": passed.greet, "dnsbl": passed.dnsbl, "rank": passed.rank}
        self._note({"do": "passed", "address": address, **result})

    async def greylist(self, network: str, triplet: str, sender: str, policy: GreylistPolicy) -> Greylisted:
        """Whether a sender has to wait; `triplet` and `sender` are keys.  Raises ServiceUnavailable."""
        numbers = [policy.delay, policy.window, policy.lifetime, policy.clients]
        subject = {"network": network, "triplet": triplet, "sender": sender}
        reply = await self.service.ask({"do": "greylist", **subject, "policy": numbers})
        return Greylisted(reply.integer("wait"), reply.text("why"), reply.integer("after", 0))

    def written(self, addresses: Sequence[str], lifetime: int) -> None:
        """Local users have written to these addresses (keys)."""
        for start in range(0, len(addresses), RECIPIENTS_PER_FRAME):
            part = list(addresses[start : start + RECIPIENTS_PER_FRAME])
            self._note({"do": "written", "addresses": part, "lifetime": lifetime})

    async def submit(self, account: str, recipients: Sequence[str], limits: AccountLimits) -> Standing:
        """An account submits a message to recipients (keys).  Raises ServiceUnavailable."""
        numbers = [limits.messages, limits.recipients, limits.new_recipients, limits.period]
        request: dict[str, object] = {"do": "submit", "account": account, "limits": numbers}
        standing, tell = None, False
        for start in range(0, max(len(recipients), 1), RECIPIENTS_PER_FRAME):
            part = list(recipients[start : start + RECIPIENTS_PER_FRAME])
            reply = await self.service.ask({**request, "messages": int(start == 0), "recipients": part})
            tell = tell or reply.boolean("tell")
            standing = _standing(reply, tell)
        assert standing is not None
        return standing

    def told(self, account: str) -> None:
        """The message about a braked account is in the queue."""
        self._note({"do": "told", "account": account})

    def close(self) -> None:
        """End the connection; the next question makes a new one."""
        self.service.close()


class ReputationClient:
    """For commands: accounts only.  Every method raises ServiceUnavailable."""

    def __init__(self, config: Config) -> None:
        self._path = config.socket_path(SERVICE)

    def accounts(self) -> list[Standing]:
        """Accounts of which something is known, the braked ones first."""
        return self._ask({"do": "accounts"})

    def release(self, account: str) -> Standing | None:
        """Take the brake off an account; what it was before, None where nothing is known of it."""
        return next(iter(self._ask({"do": "release", "account": account})), None)

    def _ask(self, request: dict[str, object]) -> list[Standing]:
        reply = ask_once(self._path, request)
        try:
            return _standings(reply.groups("accounts"))
        except ProtocolError as error:
            raise ServiceUnavailable(f"{SERVICE}: {error}") from None


def ask_once(path: str, request: dict[str, object]) -> Attributes:
    """One question of a command, over a connection of its own.  Raises ServiceUnavailable."""
    try:
        channel = Channel.connect(path, ANSWER_TIMEOUT)
        try:
            channel.send({**request, "tag": 1})
            reply = channel.receive()
        finally:
            channel.close()
        if not reply.boolean("ok"):
            raise ProtocolError(reply.text("why", "refused"))
    except (ChannelClosed, ProtocolError) as error:
        raise ServiceUnavailable(f"{SERVICE}: {error}") from None
    return reply


def _standings(groups: Iterable[Attributes]) -> list[Standing]:
    return [_standing(group) for group in groups]


def _standing(reply: Attributes, tell: bool = False) -> Standing:
    return Standing(
        reply.text("account"),
        reply.integer("began"),
        reply.integer("messages"),
        reply.integer("recipients"),
        reply.integer("new_recipients"),
        reply.integer("braked"),
        reply.text("reason", ""),
        tell,
    )
