"""The requests of the auth service, on connections that carry many at once (see `pillarbox.lib.clients.auth`).

Each request is a frame with a `tag`, its reply carries the same tag; replies come in the order in which the work ends.
Exchanges belong to the connection that began them.  A request that breaks the protocol is answered, logged and ends
the connection: our own programs do not make such.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import ClassVar

from pillarbox.auth.authority import Authority, Client
from pillarbox.auth.exchange import SESSION_SERVICES, Exchange
from pillarbox.lib.accounts import AccountsUnavailable
from pillarbox.lib.clients.auth import Challenge, Failure, Step
from pillarbox.lib.clients.auth_messages import decode_data, decode_security, encode_account, encode_step
from pillarbox.lib.config import Config
from pillarbox.lib.config.parameters.auth import AUTH_MECHANISMS, AUTH_SYSTEM_USERS
from pillarbox.lib.config.parameters.oauth import OAUTH_INTROSPECTION_URL
from pillarbox.lib.ipc import AsyncChannel, Attributes, ProtocolError, serve_tagged
from pillarbox.lib.log import log
from pillarbox.lib.sasl import MECHANISMS, Channel

SERVICES = SESSION_SERVICES | {"smtp"}

EXCHANGE_LIMIT = 5000
"""Unfinished exchanges of one connection; beyond it the oldest is forgotten (its client is most likely gone)."""

DOMAINS_AT_ONCE = 900
"""Domains in one answer: of the longest names, so many fit into a frame."""

Reply = dict[str, object]

Exchanges = dict[int, "Exchange | None"]
"""Unfinished exchanges of a connection by number; None while one is at work for the first time."""

BINDING = "SCRAM-SHA-256-PLUS"
CERTIFICATE = "EXTERNAL"
TOKENS = frozenset(("OAUTHBEARER", "XOAUTH2"))


class AuthService:
    """Answers requests.  `refused_uid` is the peer that may not redeem tokens: the user of the login parts."""

    def __init__(self, config: Config, authority: Authority, refused_uid: int | None = None) -> None:
        self._authority = authority
        self._refused_uid = refused_uid
        self._mechanisms = offered_mechanisms(config)

    async def serve(self, channel: AsyncChannel) -> None:
        """Serve one connection to its end."""
        exchanges: Exchanges = {}
        await serve_tagged(channel, lambda request: self.answer(request, exchanges, channel.peer_uid))

    async def answer(self, request: Attributes, exchanges: Exchanges, peer_uid: int) -> Reply:
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

    async def _list_mechanisms(self, request: Attributes, exchanges: Exchanges, peer_uid: int) -> Reply:
        names = self._offered(
            clear_text=self._authority.permits_clear_text(request.boolean("encrypted"), request.text("client_address")),
            binding=request.boolean("binding", False),
            certificate=request.boolean("certificate", False),
        )
        return {"ok": True, "mechanisms": names}

    def _offered(self, *, clear_text: bool, binding: bool, certificate: bool) -> list[str]:
        """The mechanisms for a client whose channel permits such."""
        return [
            name
            for name in self._mechanisms
            if (clear_text or not MECHANISMS[name].clear_text)
            and (binding or name != BINDING)
            and (certificate or name != CERTIFICATE)
        ]

    async def _begin(self, request: Attributes, exchanges: Exchanges, peer_uid: int) -> Reply:
        security = decode_security(request)
        client = Client(request.text("service"), request.text("client_address"), request.boolean("encrypted"), security)
        if client.service not in SERVICES:
            raise ProtocolError(f'unknown service "{client.service}"')
        name, number = request.text("mechanism").upper(), request.integer("exchange")
        initial = decode_data(request, "initial") if "initial" in request else None
        if name not in self._mechanisms:
            return _reply(Failure("mechanism not available", kind="mechanism"))
        kind = MECHANISMS[name]
        clear_text = self._authority.permits_clear_text(client.encrypted, client.address)
        if kind.clear_text and not clear_text:
            return _reply(Failure("encryption required for this mechanism", kind="privacy"))
        offered = self._offered(
            clear_text=clear_text, binding=bool(security.bindings), certificate=security.certificate is not None
        )
        if name not in offered:
            return _reply(Failure("mechanism not available", kind="mechanism"))
        mechanism = kind.over(Channel(security.bindings, BINDING in offered))
        return await self._proceed(exchanges, number, Exchange(self._authority, mechanism, client, number), initial)

    async def _proceed(
        self, exchanges: Exchanges, number: int, exchange: Exchange, response: bytes | None, *, first: bool = True
    ) -> Reply:
        """Let an exchange go on; it is kept where it wants the client again, unless it is aborted meanwhile."""
        if len(exchanges) >= EXCHANGE_LIMIT:
            del exchanges[next(iter(exchanges))]
        exchanges[number] = None
        try:
            step = await (exchange.begin(response) if first else exchange.receive(response or b""))
        except BaseException:
            exchanges.pop(number, None)
            raise
        if exchanges.pop(number, exchange) is None and isinstance(step, Challenge):
            exchanges[number] = exchange
        return _reply(step)

    async def _continue(self, request: Attributes, exchanges: Exchanges, peer_uid: int) -> Reply:
        number, response = request.integer("exchange"), decode_data(request, "response")
        exchange = exchanges.pop(number, None)
        if exchange is None:
            return {"ok": False, "why": "no such exchange"}
        return await self._proceed(exchanges, number, exchange, response, first=False)

    async def _abort(self, request: Attributes, exchanges: Exchanges, peer_uid: int) -> Reply:
        exchanges.pop(request.integer("exchange"), None)
        return {"ok": True}

    async def _redeem(self, request: Attributes, exchanges: Exchanges, peer_uid: int) -> Reply:
        if peer_uid == self._refused_uid:
            log.warning(f"redeem refused: the peer runs as uid {peer_uid}, the user of the login parts")
            return {"ok": False, "why": "not permitted"}
        account = self._authority.tokens.redeem(request.text("token"), request.text("service"))
        return {"ok": True, **encode_account(account)}

    async def _account(self, request: Attributes, exchanges: Exchanges, peer_uid: int) -> Reply:
        user = self._authority.users.find(request.text("address"))
        return {"ok": True, **encode_account(user.account if user else None)}

    async def _domain(self, request: Attributes, exchanges: Exchanges, peer_uid: int) -> Reply:
        return {"ok": True, "found": self._authority.users.has_domain(request.text("domain"))}

    async def _domains(self, request: Attributes, exchanges: Exchanges, peer_uid: int) -> Reply:
        return {"ok": True, "domains": self._authority.users.domains(request.text("after"), DOMAINS_AT_ONCE)}

    _Verb = Callable[["AuthService", Attributes, Exchanges, int], Awaitable[Reply]]
    _VERBS: ClassVar[dict[str, _Verb]] = {
        "mechanisms": _list_mechanisms,
        "begin": _begin,
        "continue": _continue,
        "abort": _abort,
        "redeem": _redeem,
        "account": _account,
        "domain": _domain,
        "domains": _domains,
    }


def _reply(step: Step) -> Reply:
    return {"ok": True, **encode_step(step)}


def offered_mechanisms(config: Config) -> tuple[str, ...]:
    """The configured mechanisms that we have, in upper case and the configured order.

    SCRAM cannot serve system users, and a client that prefers it would not fall back: it is offered beside them only
    where `auth_mechanisms` is set to say so.  Tokens are offered where there is somebody to ask about them.
    """
    names = tuple(name.upper() for name in config[AUTH_MECHANISMS])
    for name in names:
        if name not in MECHANISMS:
            log.warning(f'{AUTH_MECHANISMS.name}: there is no mechanism "{name}"')
    known = [name for name in names if name in MECHANISMS]
    if not config[OAUTH_INTROSPECTION_URL]:
        known = [name for name in known if name not in TOKENS]
    if config[AUTH_SYSTEM_USERS] != "no" and AUTH_MECHANISMS.name not in config.values:
        known = [name for name in known if not name.startswith("SCRAM-")]
    return tuple(known)
