"""Asking: the tables about addresses of ours, the mail server of an address elsewhere.

A probe is a delivery request that ends behind RCPT (`DeliveryRequest.probe`), given to a service of the program
smtp_client that serves no queue manager.  A service that is away, or dies, says nothing about the address.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import time
from collections.abc import Callable
from typing import Final

from pillarbox.lib.clients.lookup import AsyncLookupClient, Route
from pillarbox.lib.clients.verify import DELIVERABLE, UNDELIVERABLE, UNKNOWN, Verified
from pillarbox.lib.config import Config
from pillarbox.lib.config.parameters.smtp_client import SMTP_CLIENT_PROTOCOL
from pillarbox.lib.config.parameters.verify import (
    ADDRESS_VERIFY_LMTP_SERVICE,
    ADDRESS_VERIFY_SENDER,
    ADDRESS_VERIFY_SMTP_SERVICE,
)
from pillarbox.lib.delivery.request import request_frame
from pillarbox.lib.delivery.result import BOUNCED, SENT, Result, parse_result
from pillarbox.lib.ipc import AsyncChannel, ChannelClosed, ProtocolError
from pillarbox.lib.tables.errors import LookupFailed

CONNECT_TIMEOUT: Final = 10.0
PROBE_TIMEOUT: Final = 600.0
"""Seconds after which a probe counts as failed: longer than the time limits of the conversation before RCPT."""

CONTENT: Final = b"Subject: probe\n\n"
AGENT: Final = "smtp_client"

_numbers = itertools.count(1)


class ProbeFailed(Exception):
    """Nobody could be asked; the text is why."""


class _Connection:
    """One connection to an agent: requests under way by their tags."""

    def __init__(self, channel: AsyncChannel) -> None:
        self._channel = channel
        self._sending = asyncio.Lock()
        self.waiting: dict[int, asyncio.Future[Result]] = {}
        self.leaving = False
        """Whether it takes no further request."""
        self._reader = asyncio.get_running_loop().create_task(self._read())

    async def ask(self, tag: int, frame: dict[str, object], content: int) -> Result:
        """Raises ChannelClosed, TimeoutError."""
        future: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self.waiting[tag] = future
        try:
            async with self._sending:
                await self._channel.send(frame, [content])
            async with asyncio.timeout(PROBE_TIMEOUT):
                return await future
        finally:
            del self.waiting[tag]
            self._close_when_idle()

    async def _read(self) -> None:
        reason = "the agent has gone"
        try:
            while True:
                frame = await self._channel.receive()
                if frame.boolean("bye", False):
                    self.leaving = True
                    self._close_when_idle()
                    continue
                future = self.waiting.get(frame.integer("tag"))
                (result,) = [parse_result(item) for item in frame.groups("results")]
                if future is not None and not future.done():
                    future.set_result(result)
        except (ChannelClosed, ProtocolError, ValueError) as error:
            reason = str(error)
        finally:
            self.leaving = True
            self._channel.close()
            for future in self.waiting.values():
                if not future.done():
                    future.set_exception(ChannelClosed(reason))

    def _close_when_idle(self) -> None:
        """An agent that leaves waits until we go: nothing is on its way to it then."""
        if self.leaving and not self.waiting:
            self._channel.close()

    def close(self) -> None:
        """End it."""
        self._reader.cancel()


class Agent:
    """One probing service."""

    def __init__(self, path: str, service: str) -> None:
        self._path = path
        self._service = service
        self._connection: _Connection | None = None
        self._connecting = asyncio.Lock()
        # The content is the same for all, and read only.
        self._content = os.memfd_create("probe", os.MFD_CLOEXEC)
        os.write(self._content, CONTENT)

    async def probe(self, sender: str, recipient: str, nexthop: str) -> Result:
        """What the next hop says.  Raises ProbeFailed."""
        tag, now = next(_numbers), time.time()
        options = {"probe": True, "smtputf8": not recipient.isascii()}
        recipients: list[dict[str, object]] = [{"n": 0, "address": recipient}]
        name = f"{int(now * 1000):X}{tag:X}"
        frame = request_frame(tag, name, sender, 0, len(CONTENT), self._service, nexthop, now, now, recipients, options)
        try:
            connection = await self._connected()
            return await connection.ask(tag, frame, self._content)
        except TimeoutError:
            raise ProbeFailed(f"{self._service}: no answer within {PROBE_TIMEOUT:g} seconds") from None
        except (ChannelClosed, ProtocolError) as error:
            raise ProbeFailed(f"{self._service}: {error}") from None

    async def _connected(self) -> _Connection:
        async with self._connecting:
            if self._connection is None or self._connection.leaving:
                channel = await AsyncChannel.connect(self._path, CONNECT_TIMEOUT)
                try:
                    await channel.receive(CONNECT_TIMEOUT)  # the greeting
                except (ChannelClosed, ProtocolError):
                    channel.close()
                    raise
                self._connection = _Connection(channel)
            return self._connection

    def close(self) -> None:
        """End the connection."""
        if self._connection is not None:
            self._connection.close()
        os.close(self._content)


class Prober:
    """Finds out about addresses, without memory."""

    def __init__(
        self, config: Config, lookup: AsyncLookupClient | None = None, agent: Callable[[str, str], Agent] = Agent
    ) -> None:
        self._config = config
        self._lookup = lookup or AsyncLookupClient(config)
        sender = config[ADDRESS_VERIFY_SENDER]
        self._sender = "" if sender == "<>" else sender
        self._make = agent
        self._agents: dict[str, Agent] = {}

    async def probe(self, address: str) -> Verified:
        """What can be said about an address now; never raises for what others fail at."""
        try:
            verdict = await self._lookup.recipient(address)
            if verdict.status in ("unknown", "error"):
                status = UNDELIVERABLE if verdict.code >= 500 else UNKNOWN
                return Verified(status, f"{verdict.dsn} {verdict.text}")
            route = await self._lookup.probing_route(address)
        except LookupFailed as error:
            return Verified(UNKNOWN, f"4.3.0 address lookup error: {error.reason}")
        service = self._config.services.get(route.transport)
        if route.transport in ("error", "retry"):
            return Verified(UNDELIVERABLE if route.transport == "error" else UNKNOWN, route.nexthop)
        if service is None and route.transport != "discard":
            return Verified(UNKNOWN, f"4.3.5 there is no transport {route.transport}")
        if service is None or service.command != AGENT:
            return Verified(DELIVERABLE, f"2.0.0 delivers through {route.transport}")
        return await self._ask(route)

    async def _ask(self, route: Route) -> Verified:
        config = self._config
        view = config.for_service(config.services[route.transport])
        protocol = view[SMTP_CLIENT_PROTOCOL]
        lmtp = protocol == "lmtp" or (protocol == "auto" and route.transport.startswith("lmtp"))
        name = config[ADDRESS_VERIFY_LMTP_SERVICE if lmtp else ADDRESS_VERIFY_SMTP_SERVICE]
        asking = config.services.get(name)
        if asking is None or asking.command != AGENT:  # another program would deliver the probe
            return Verified(UNKNOWN, f"4.3.5 there is no service {name} of {AGENT} to ask with")
        agent = self._agents.get(name)
        if agent is None:
            agent = self._agents[name] = self._make(config.socket_path(name), name)
        try:
            result = await agent.probe(self._sender, route.recipient, route.nexthop)
        except ProbeFailed as failure:
            return Verified(UNKNOWN, f"4.3.0 {failure}")
        status = {SENT: DELIVERABLE, BOUNCED: UNDELIVERABLE}.get(result.status, UNKNOWN)
        return Verified(status, result.text)

    def close(self) -> None:
        """End the connections."""
        for agent in self._agents.values():
            agent.close()
