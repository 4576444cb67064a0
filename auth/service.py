"""The requests of the auth service, on connections that carry many at once (see `pillarbox.lib.clients.auth`).

Each request is a frame with a `tag`, its reply carries the same tag; replies come in the order in which the work ends.
Exchanges belong to the connection that began them.  A request that breaks the protocol is answered, logged and ends
the connection: our own programs do not make such.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import ClassVar

from pillarbox.auth.exchange import SESSION_SERVICES, Authority, Client, Exchange
from pillarbox.lib.accounts import AccountsUnavailable
from pillarbox.lib.clients.auth import Challenge, Failure, Step
from pillarbox.lib.clients.auth_messages import decode_data, encode_account, encode_step
from pillarbox.lib.config import Config
from pillarbox.lib.config.parameters.auth import AUTH_MECHANISMS, AUTH_SYSTEM_USERS
from pillarbox.lib.ipc import AsyncChannel, Attributes, ChannelClosed, ProtocolError
from pillarbox.lib.log import log
from pillarbox.lib.sasl import MECHANISMS

SERVICES = SESSION_SERVICES | {"smtp"}

OUTSTANDING_LIMIT = 1000
"""Requests of one connection under work; further ones wait in the socket."""

EXCHANGE_LIMIT = 5000
"""Unfinished exchanges of one connection; beyond it the oldest is forgotten (its client is most likely gone)."""

Reply = dict[str, object]


class AuthService:
    """Answers requests.  `refused_uid` is the peer that may not redeem tokens: the user of the login parts."""

    def __init__(self, config: Config, authority: Authority, refused_uid: int | None = None) -> None:
        self._authority = authority
        self._refused_uid = refused_uid
        self._mechanisms = offered_mechanisms(config)

    async def serve(self, channel: AsyncChannel) -> None:
        """Serve one connection to its end."""
        await _Connection(self, channel).serve()

    async def answer(self, request: Attributes, exchanges: dict[int, Exchange], peer_uid: int) -> Reply:
        """The reply to one request; raises ProtocolError for one that no program of ours would make."""
        verb = request.text("do")
        handler = self._VERBS.get(verb)
        if handler is None:
            raise ProtocolError(f'unknown request "{verb}"')
        try:
            return await handler(self, request, exchanges, peer_uid)
        except AccountsUnavailable as error:
            log.warning(str(error))
            return {"ok": False, "why": "the account database is unavailable"}

    async def _list_mechanisms(self, request: Attributes, exchanges: dict[int, Exchange], peer_uid: int) -> Reply:
        permitted = self._authority.permits_clear_text(request.boolean("encrypted"), request.text("client_address"))
        names = [name for name in self._mechanisms if permitted or not MECHANISMS[name].clear_text]
        return {"ok": True, "mechanisms": names}

    async def _begin(self, request: Attributes, exchanges: dict[int, Exchange], peer_uid: int) -> Reply:
        client = Client(request.text("service"), request.text("client_address"), request.boolean("encrypted"))
        if client.service not in SERVICES:
            raise ProtocolError(f'unknown service "{client.service}"')
        name, number = request.text("mechanism").upper(), request.integer("exchange")
        initial = decode_data(request, "initial") if "initial" in request else None
        if name not in self._mechanisms:
            return _reply(Failure("mechanism not available", kind="mechanism"))
        kind = MECHANISMS[name]
        if kind.clear_text and not self._authority.permits_clear_text(client.encrypted, client.address):
            return _reply(Failure("encryption required for this mechanism", kind="privacy"))
        exchange = Exchange(self._authority, kind(), client, number)
        step = await exchange.begin(initial)
        if isinstance(step, Challenge):
            if len(exchanges) >= EXCHANGE_LIMIT:
                del exchanges[next(iter(exchanges))]
            exchanges[number] = exchange
        return _reply(step)

    async def _continue(self, request: Attributes, exchanges: dict[int, Exchange], peer_uid: int) -> Reply:
        number, response = request.integer("exchange"), decode_data(request, "response")
        exchange = exchanges.pop(number, None)
        if exchange is None:
            return {"ok": False, "why": "no such exchange"}
        step = await exchange.receive(response)
        if isinstance(step, Challenge):
            exchanges[number] = exchange
        return _reply(step)

    async def _abort(self, request: Attributes, exchanges: dict[int, Exchange], peer_uid: int) -> Reply:
        exchanges.pop(request.integer("exchange"), None)
        return {"ok": True}

    async def _redeem(self, request: Attributes, exchanges: dict[int, Exchange], peer_uid: int) -> Reply:
        if peer_uid == self._refused_uid:
            log.warning(f"redeem refused: the peer runs as uid {peer_uid}, the user of the login parts")
            return {"ok": False, "why": "not permitted"}
        account = self._authority.tokens.redeem(request.text("token"), request.text("service"))
        return {"ok": True, **encode_account(account)}

    async def _account(self, request: Attributes, exchanges: dict[int, Exchange], peer_uid: int) -> Reply:
        user = self._authority.users.find(request.text("address"))
        return {"ok": True, **encode_account(user.account if user else None)}

    async def _domain(self, request: Attributes, exchanges: dict[int, Exchange], peer_uid: int) -> Reply:
        return {"ok": True, "found": self._authority.users.has_domain(request.text("domain"))}

    _Verb = Callable[["AuthService", Attributes, dict[int, Exchange], int], Awaitable[Reply]]
    _VERBS: ClassVar[dict[str, _Verb]] = {
        "mechanisms": _list_mechanisms,
        "begin": _begin,
        "continue": _continue,
        "abort": _abort,
        "redeem": _redeem,
        "account": _account,
        "domain": _domain,
    }


class _Connection:
    """One connection: its exchanges, and its requests under work."""

    def __init__(self, service: AuthService, channel: AsyncChannel) -> None:
        self._service = service
        self._channel = channel
        self._peer_uid = channel.peer_uid
        self._exchanges: dict[int, Exchange] = {}
        self._sending = asyncio.Lock()
        self._room = asyncio.Semaphore(OUTSTANDING_LIMIT)
        self._tasks: set[asyncio.Task[None]] = set()

    async def serve(self) -> None:
        try:
            while True:
                await self._room.acquire()
                request = await self._channel.receive()
                task = asyncio.get_running_loop().create_task(self._work(request))
                self._tasks.add(task)
                task.add_done_callback(self._done)
        finally:
            # When stopping, requests under work are still answered; when the peer is gone, their answers are lost.
            if self._tasks:
                await asyncio.wait(self._tasks)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._room.release()

    async def _work(self, request: Attributes) -> None:
        tag = request.get("tag")
        broken = False
        try:
            reply = await self._service.answer(request, self._exchanges, self._peer_uid)
        except ProtocolError as error:
            log.warning(f"request from uid {self._peer_uid}: {error}")
            reply, broken = {"ok": False, "why": str(error)}, True
        try:
            async with self._sending:
                await self._channel.send({**reply, "tag": tag})
        except ChannelClosed:
            broken = True
        if broken:
            self._channel.close()


def _reply(step: Step) -> Reply:
    return {"ok": True, **encode_step(step)}


def offered_mechanisms(config: Config) -> tuple[str, ...]:
    """The configured mechanisms that we have, in upper case and the configured order.

    SCRAM cannot serve system users, and a client that prefers it would not fall back: it is offered beside them only
    where `auth_mechanisms` is set to say so.
    """
    names = tuple(name.upper() for name in config[AUTH_MECHANISMS])
    for name in names:
        if name not in MECHANISMS:
            log.warning(f'{AUTH_MECHANISMS.name}: there is no mechanism "{name}"')
    known = tuple(name for name in names if name in MECHANISMS)
    if config[AUTH_SYSTEM_USERS] != "no" and AUTH_MECHANISMS.name not in config.values:
        return tuple(name for name in known if MECHANISMS[name].clear_text)
    return known
