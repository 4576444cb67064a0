"""Logging in at a server (RFC 4954): as whom, with which mechanism, and what a refusal means.

Where there is a password for a server, mail goes there with a login or waits.  A server that does not know AUTH at all
is talked to as by a stranger, as Postfix does.
"""

from __future__ import annotations

import asyncio
import time
from binascii import Error, a2b_base64
from collections.abc import Callable
from dataclasses import dataclass

from pillarbox.lib.address.address import split_address
from pillarbox.lib.config import Config
from pillarbox.lib.config.parameters import smtp_client_sasl as p
from pillarbox.lib.config.parameters.general import RECIPIENT_DELIMITER
from pillarbox.lib.config.sasl_filter import parse_filter
from pillarbox.lib.sasl.client import ClientChannel, ClientMechanism, Credentials, MechanismFailed, suitable
from pillarbox.lib.smtp.client_command import initial_fits
from pillarbox.lib.smtp.client_reply import ServerReply
from pillarbox.lib.smtp.client_stage import Stage
from pillarbox.lib.tables.keys import split_local
from pillarbox.lib.tls.channel import own_binding
from pillarbox.smtp_client.connection import Connection
from pillarbox.smtp_client.passwords import Passwords
from pillarbox.smtp_client.route import Server

BEARER = "Bearer "
"""What begins a value in the table that is a token."""

ROUNDS = 8
"""Challenges of one exchange; SCRAM has two."""

REMEMBERED = 1000
"""Refused logins that one process keeps in mind."""

NOT_SUPPORTED = 504
"""The reply to a mechanism that the server does not have after all (RFC 4954 section 4)."""


class LoginFailed(Exception):
    """The server does not know us.  `reply` is what it said, if that is why."""

    def __init__(self, dsn: str, text: str, reply: ServerReply | None = None) -> None:
        super().__init__(text)
        self.dsn = dsn
        self.text = text
        self.reply = reply


@dataclass(frozen=True, slots=True)
class Demands:
    """What mechanisms must be on one kind of connection."""

    clear_text: bool = True
    mutual: bool = False

    def met_by(self, mechanism: type[ClientMechanism]) -> bool:
        """Whether a mechanism may be used."""
        return (self.clear_text or not mechanism.clear_text) and (mechanism.mutual or not self.mutual)


def _demands(options: tuple[str, ...]) -> Demands:
    return Demands(clear_text="noplaintext" not in options, mutual="mutual_auth" in options)


class Logins:
    """The logins of one service.  `clock` is given so that tests need not wait."""

    def __init__(self, config: Config, passwords: Passwords, clock: Callable[[], float] = time.monotonic) -> None:
        self._passwords = passwords
        self._clock = clock
        self._by_sender = config[p.SMTP_SENDER_DEPENDENT_AUTHENTICATION]
        self._delimiters = config[RECIPIENT_DELIMITER]
        named = config[p.SMTP_SASL_MECHANISM_FILTER]
        self._filter = parse_filter(named)
        self._clear = _demands(config[p.SMTP_SASL_SECURITY_OPTIONS])
        self._encrypted = _demands(config[p.SMTP_SASL_TLS_SECURITY_OPTIONS])
        self._verified = _demands(config[p.SMTP_SASL_TLS_VERIFIED_SECURITY_OPTIONS])
        self._soft = config[p.SMTP_SASL_AUTH_SOFT_BOUNCE]
        self._memory = config[p.SMTP_SASL_AUTH_CACHE_TIME]
        self._refused: dict[tuple[str, Credentials], tuple[float, ServerReply]] = {}

    def place(self, nexthop: str, sender: str) -> str:
        """Under what a connection for a next hop is kept: one sender's is not just taken for another's."""
        return f"{nexthop}\n{sender}" if self._by_sender else nexthop

    def find(self, sender: str, nexthop: str, server: Server) -> Credentials | None:
        """As whom a message of `sender` goes to `server`; None = as a stranger.  Raises LookupFailed."""
        keys = [server.host, nexthop]
        if self._by_sender and sender:
            local, domain = split_address(sender)
            user, extension = split_local(local, self._delimiters)
            plain = [f"{user}@{domain}"] if extension else []
            keys = [sender, *plain, f"@{domain}", *keys]
        value = self._passwords.find(dict.fromkeys(keys))
        if value is None:
            return None
        name, _, secret = value.partition(":")
        if secret.startswith(BEARER):
            return Credentials(name, secret.removeprefix(BEARER).strip(), bearer=True)
        return Credentials(name, secret)

    async def log_in(self, connection: Connection, credentials: Credentials) -> None:
        """Raises LoginFailed, ConversationFailed."""
        client, server = connection.client, connection.server
        offered = client.capabilities.auth_mechanisms
        if not offered:
            return
        demands = self._clear
        if connection.tls:
            demands = self._verified if connection.verified else self._encrypted
        kind, data = own_binding(connection.ssl_object)
        channel = ClientChannel(kind, data, any(name.endswith("-PLUS") for name in offered))
        mechanisms = suitable(filter(self._filter, offered), credentials, demands.met_by, bindable=bool(data))
        if not mechanisms:
            raise LoginFailed(
                "4.7.0",
                f"SASL authentication failed: server {server.name} offered no compatible authentication mechanisms for "
                "this type of connection security",
            )
        reply = self._remembered(server, credentials)
        if reply is None:
            for mechanism in mechanisms:
                reply = await _exchange(connection, mechanism(credentials, channel))
                if reply.kind == 2:
                    connection.login = credentials
                    return
                if reply.code != NOT_SUPPORTED or not connection.alive:
                    break
            assert reply is not None
            self._remember(server, credentials, reply)
        dsn = reply.enhanced if reply.kind in (4, 5) else "4.7.0"
        if self._soft:
            dsn = f"4{dsn[1:]}"
        raise LoginFailed(dsn, f"SASL authentication failed; server {server.name} said: {reply}", reply)

    def _remembered(self, server: Server, credentials: Credentials) -> ServerReply | None:
        found = self._refused.get((server.host, credentials)) if self._memory else None
        return found[1] if found is not None and found[0] > self._clock() else None

    def _remember(self, server: Server, credentials: Credentials, reply: ServerReply) -> None:
        if self._memory and reply.code == 535:
            if len(self._refused) >= REMEMBERED:
                self._refused.clear()
            self._refused[server.host, credentials] = (self._clock() + self._memory, reply)


async def _exchange(connection: Connection, mechanism: ClientMechanism) -> ServerReply:
    """One exchange; the reply that ends it.  Raises LoginFailed, ConversationFailed."""
    client = connection.client
    try:
        initial = mechanism.initial()
        connection.take_turn(Stage.AUTH)
        held_back = initial if initial is not None and not initial_fits(mechanism.name, initial) else None
        client.authenticate(mechanism.name, initial if held_back is None else None)
        for _ in range(ROUNDS):
            await connection.settle()
            reply = client.auth_reply
            assert reply is not None
            if reply.kind != 3:
                break
            challenge = _challenge(reply)
            connection.take_turn(Stage.AUTH)
            if held_back is not None:
                client.respond(held_back)
                held_back = None
            elif mechanism.clear_text:
                client.respond(mechanism.respond(challenge))
            else:  # some servers ask for millions of hashes
                response = await asyncio.to_thread(mechanism.respond, challenge)
                connection.take_turn(Stage.AUTH)
                client.respond(response)
        else:
            raise MechanismFailed("it asks and asks")
        if reply.kind == 2:
            mechanism.finish()
        return reply
    except MechanismFailed as failure:
        if connection.alive:
            client.respond(None)
            await connection.settle()
        text = f"SASL authentication failed; cannot authenticate to server {connection.server.name}: {failure}"
        raise LoginFailed("4.7.0", text) from None


def _challenge(reply: ServerReply) -> bytes:
    try:
        return a2b_base64(reply.lines[-1].encode(errors="surrogateescape"), strict_mode=True)
    except Error:
        raise MechanismFailed("a challenge that is no base64") from None
