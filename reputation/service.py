"""The requests of the service, a function per verb; each is answered at once from the database.

A request without a tag is a note that needs no answer.  {"ok": false, "why": W} says that nothing is known or can be
kept now; the client then lets mail pass.

    client      address                                    -> greet, dnsbl (until when passed), rank; or nothing
    passed      address, greet, dnsbl, rank
    greylist    network, triplet, sender, policy           -> wait, why, after
    written     addresses, lifetime
    submit      account, messages, recipients, limits      -> braked, reason, tell, counts
    told        account
    accounts    [account]                                  -> accounts
    release     account                                    -> accounts (as it was)
    refused     address, reason, limit, lifetime
    suppressed  addresses                                  -> suppressed (those that are on the list, with reasons)
    suppress    address, reason
    lift        address                                    -> known
    list        after                                      -> suppressed (a page of the list), more
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import Final, TypeAlias

from pillarbox.lib.ipc import AsyncChannel, Attributes, ProtocolError
from pillarbox.lib.log import log
from pillarbox.reputation.accounts import Accounts, Limits, State
from pillarbox.reputation.clients import Clients, Passed
from pillarbox.reputation.database import Database, DatabaseUnavailable
from pillarbox.reputation.greylist import Greylist, Policy
from pillarbox.reputation.suppression import Suppression

KEY_LIMIT: Final = 512
"""Longest key, account or address, in characters."""

LIST_LIMIT: Final = 1000
"""Most accounts in one answer."""

PAGE: Final = 30
"""Most addresses of the suppression list in one answer."""

LARGEST: Final = 2**40
"""The largest number that a request may hold: no time or count comes near it."""

Reply: TypeAlias = dict[str, object]


class Memory:
    """What is remembered, by subject."""

    def __init__(self, database: Database, clock: Callable[[], float]) -> None:
        self.database = database
        self.clients = Clients(database, clock)
        self.greylist = Greylist(database, clock)
        self.accounts = Accounts(database, clock)
        self.suppression = Suppression(database, clock)
        self._verbs: dict[str, Callable[[Attributes], Reply]] = {
            "client": self._client,
            "passed": self._passed,
            "greylist": self._greylist,
            "written": self._written,
            "submit": self._submit,
            "told": self._told,
            "accounts": self._accounts,
            "release": self._release,
            "refused": self._refused,
            "suppressed": self._suppressed,
            "suppress": self._suppress,
            "lift": self._lift,
            "list": self._list,
        }

    def answer(self, request: Attributes) -> Reply:
        """The reply to one request.  Raises ProtocolError for one that makes no sense."""
        function = self._verbs.get(request.text("do"))
        if function is None:
            raise ProtocolError(f'unknown verb "{request.text("do")[:100]}"')
        try:
            return {"ok": True, **function(request)}
        except DatabaseUnavailable as error:
            return {"ok": False, "why": str(error)}

    def _client(self, request: Attributes) -> Reply:
        passed = self.clients.find(_key(request, "address"))
        return {} if passed is None else asdict(passed)

    def _passed(self, request: Attributes) -> Reply:
        passed = Passed(_number(request, "greet"), _number(request, "dnsbl"), _number(request, "rank", -LARGEST))
        self.clients.keep(_key(request, "address"), passed)
        return {}

    def _greylist(self, request: Attributes) -> Reply:
        policy = Policy(*_numbers(request, "policy", 4))
        verdict = self.greylist.ask(_key(request, "network"), _key(request, "triplet"), _key(request, "sender"), policy)
        return asdict(verdict)

    def _written(self, request: Attributes) -> Reply:
        self.greylist.written(_keys(request, "addresses"), _number(request, "lifetime"))
        return {}

    def _submit(self, request: Attributes) -> Reply:
        limits = Limits(*_numbers(request, "limits", 4))
        account = _key(request, "account")
        outcome = self.accounts.submit(account, _number(request, "messages"), _keys(request, "recipients"), limits)
        return {**asdict(outcome.state), "tell": outcome.tell}

    def _told(self, request: Attributes) -> Reply:
        self.accounts.told(_key(request, "account"))
        return {}

    def _accounts(self, request: Attributes) -> Reply:
        account = _key(request, "account") if "account" in request else None
        return _listed(self.accounts.states(account))

    def _release(self, request: Attributes) -> Reply:
        state = self.accounts.release(_key(request, "account"))
        return _listed([] if state is None else [state])

    def _refused(self, request: Attributes) -> Reply:
        address, reason = _key(request, "address"), request.text("reason")
        if self.suppression.refused(address, reason, _number(request, "limit"), _number(request, "lifetime")):
            log.info(f"<{address}> is on the suppression list now: {reason[:200]}")
        return {}

    def _suppressed(self, request: Attributes) -> Reply:
        found = self.suppression.reasons(_keys(request, "addresses")[:PAGE])
        return {
            "suppressed": [
                {"address": address, "reason": reason, "manual": manual} for address, (reason, manual) in found.items()
            ]
        }

    def _suppress(self, request: Attributes) -> Reply:
        self.suppression.suppress(_key(request, "address"), request.text("reason"))
        return {}

    def _lift(self, request: Attributes) -> Reply:
        return {"known": self.suppression.lift(_key(request, "address"))}

    def _list(self, request: Attributes) -> Reply:
        found = self.suppression.listed(_key(request, "after"), PAGE + 1)
        return {"suppressed": [asdict(each) for each in found[:PAGE]], "more": len(found) > PAGE}


def _listed(states: list[State]) -> Reply:
    return {"accounts": [asdict(state) for state in states[:LIST_LIMIT]], "more": len(states) > LIST_LIMIT}


def _key(request: Attributes, name: str) -> str:
    text = request.text(name)
    if len(text) > KEY_LIMIT:
        raise ProtocolError(f'attribute "{name}" is longer than {KEY_LIMIT} characters')
    return text


def _keys(request: Attributes, name: str) -> tuple[str, ...]:
    texts = request.texts(name)
    if any(len(text) > KEY_LIMIT for text in texts):
        raise ProtocolError(f'attribute "{name}" has an item longer than {KEY_LIMIT} characters')
    return texts


def _number(request: Attributes, name: str, least: int = 0) -> int:
    number = request.integer(name)
    if not least <= number <= LARGEST:
        raise ProtocolError(f'attribute "{name}" is out of range')
    return number


def _numbers(request: Attributes, name: str, count: int) -> tuple[int, ...]:
    numbers = request.items(name)
    if len(numbers) != count or any(type(item) is not int or not 0 <= item <= LARGEST for item in numbers):
        raise ProtocolError(f'attribute "{name}" is not a list of {count} numbers')
    return tuple(numbers)  # type: ignore[arg-type]


async def serve(memory: Memory, channel: AsyncChannel) -> None:
    """Answer the requests of one connection until it ends.  Raises ChannelClosed, ProtocolError."""
    while True:
        request = await channel.receive()
        tag = request.integer("tag", 0)
        try:
            reply = memory.answer(request)
        except ProtocolError as error:
            log.warning(f"bad request: {error}")
            await channel.send({"ok": False, "why": str(error), "tag": tag})
            raise
        if tag:
            reply["tag"] = tag
            await channel.send(reply)
