"""Clients of the service `milter`, which speaks to the configured mail filters.

    milters = AsyncMilterSession(path, specs, macros)
    decision = await milters.open(peer, values)                 # a Decision; GO_ON where nothing speaks against it
    if milters.wants("helo"):
        decision = await milters.step("helo", ("client.example",), values)
    ...
    decision, edits = await milters.end(examined, values, queue_id=...)     # all have seen the whole message
    milters.abort()                                             # RSET, a new HELO, a refusal: the message is over
    milters.close()

One channel is one client's session.  Every method that waits raises ServiceUnavailable where the service is away: then
nobody has looked at the message, and the default action of the milters must hold.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pillarbox.lib.clients.cleanup import Examined
from pillarbox.lib.clients.errors import ServiceUnavailable
from pillarbox.lib.config.milters import MilterSpec
from pillarbox.lib.ipc import AsyncChannel, Attributes, Channel, ChannelClosed, ProtocolError, close_all
from pillarbox.lib.ipc.frames import encode_frame
from pillarbox.lib.queue.edits import Edits
from pillarbox.lib.smtp.reply import Reply

SERVICE = "milter"

CONNECT_TIMEOUT = 10.0
"""Seconds to wait for the service itself."""

SLACK = 30.0
"""Seconds beyond the milters' own time limits, after which the service counts as dead."""


@dataclass(frozen=True, slots=True)
class Peer:
    """Who has connected: `family` is 4, 6, L (UNIX) or U (unknown)."""

    name: str
    family: str
    port: int
    address: str


@dataclass(frozen=True, slots=True)
class Decision:
    """What the milters decided: `refusal` is the reply for the client, `shutdown`: then end the session; `discard`:
    take the message and drop it; `hold`: the reason to hold the message."""

    refusal: Reply | None = None
    shutdown: bool = False
    discard: bool = False
    hold: str = ""


GO_ON = Decision()


def _opening(
    specs: Sequence[MilterSpec], macros: Mapping[bytes, tuple[str, ...]], peer: Peer, values: Mapping[str, str]
) -> dict[str, object]:
    return {
        "do": "open",
        "milters": [spec.members() for spec in specs],
        "macros": {step.decode(): list(names) for step, names in macros.items()},
        "name": peer.name,
        "family": peer.family,
        "port": peer.port,
        "address": peer.address,
        "values": dict(values),
    }


def _step(name: str, arguments: Sequence[str], values: Mapping[str, str], refused: bool) -> dict[str, object]:
    request: dict[str, object] = {"do": name, "arguments": list(arguments), "values": dict(values)}
    if refused:
        request["refused"] = True
    return request


def _end(examined: Examined, values: Mapping[str, str], queue_id: str, binary: bool) -> dict[str, object]:
    return {
        "do": "end",
        "offset": examined.offset,
        "length": examined.length,
        "header": examined.header,
        "id": queue_id,
        "binary": binary,
        "values": dict(values),
    }


def _decision(answer: Attributes) -> Decision:
    refusal = None
    if "reply" in answer:
        refusal = _reply(answer.items("reply", []))
    return Decision(
        refusal, answer.boolean("shutdown", False), answer.boolean("discard", False), answer.text("hold", "")
    )


def _reply(parts: list[object]) -> Reply:
    match parts:
        case [int(code), str(enhanced), list(lines)] if 400 <= code < 600 and lines:
            return Reply(code, enhanced, tuple(str(line) for line in lines))
    raise ProtocolError("a reply that is none")


def _understood(step: str, answer: Attributes, wanted: _Wanted) -> tuple[Decision, Edits]:
    """What the service says.  Raises ProtocolError, having closed the answer's files."""
    try:
        wanted.learn(step, answer.texts("steps"))
        decision = _decision(answer)
        edits = answer.attributes("edits") if step == "end" and "edits" in answer else None
    except ProtocolError:
        close_all(answer.fds)
        raise
    if edits is None:
        close_all(answer.fds)
        return decision, Edits()
    return decision, Edits.parse(edits, answer.fds)


class _Wanted:
    """Which steps any milter wants to see: between messages, and in the message that is under way."""

    def __init__(self) -> None:
        self._session: frozenset[str] = frozenset()
        self._now: frozenset[str] = frozenset()
        self._in_message = False

    def learn(self, step: str, steps: tuple[str, ...]) -> None:
        """After an answer to `step`."""
        self._now = frozenset(steps)
        if step == "mail":
            self._in_message = True
        elif step == "end":
            self._in_message = False
        if not self._in_message:
            self._session = self._now

    def over(self) -> None:
        """The message is over."""
        self._in_message = False
        self._now = self._session

    def __contains__(self, step: str) -> bool:
        # Who wants to see what follows has to see where it begins, or be known not to care.
        return step in self._now or (step == "mail" and not self._now.isdisjoint(("rcpt", "data")))


class AsyncMilterSession:
    """The milters of one client's session, for an event program; one call at a time."""

    def __init__(self, path: str, specs: Sequence[MilterSpec], macros: Mapping[bytes, tuple[str, ...]]) -> None:
        self._path = path
        self._specs = specs
        self._macros = macros
        self._channel: AsyncChannel | None = None
        self._wanted = _Wanted()
        self.lost = False
        """Whether the service has gone in the middle of the session."""

    async def open(self, peer: Peer, values: Mapping[str, str]) -> Decision:
        """Connect the milters and tell them who is there."""
        try:
            self._channel = await AsyncChannel.connect(self._path, CONNECT_TIMEOUT)
        except ChannelClosed as error:
            self.lost = True
            raise ServiceUnavailable(f"milter: {error}") from None
        opening = _opening(self._specs, self._macros, peer, values)
        return (await self._call("open", opening, self._limit(content=False)))[0]

    def wants(self, step: str) -> bool:
        """Whether a step must be told: helo, mail, rcpt, refused (a recipient that was refused), data, unknown, end."""
        return self.lost or step in self._wanted

    async def step(
        self, name: str, arguments: Sequence[str], values: Mapping[str, str], *, refused: bool = False
    ) -> Decision:
        """Tell the milters of a step.  `refused`: a recipient that was refused already; nothing comes of it."""
        request = _step(name, arguments, values, refused)
        return (await self._call(name, request, self._limit(content=False)))[0]

    async def end(
        self, examined: Examined, values: Mapping[str, str], *, queue_id: str, binary: bool = False
    ) -> tuple[Decision, Edits]:
        """Let the milters see the whole message.  The descriptor stays the caller's; the edits' files become so."""
        request = _end(examined, values, queue_id, binary)
        return await self._call("end", request, self._limit(content=True), (examined.descriptor,))

    def _limit(self, *, content: bool) -> float | None:
        # A message has many pieces, each with a time limit of its own; the milter service watches over those.
        if content:
            return None
        return SLACK + sum(spec.connect_timeout * 2 + spec.command_timeout * 2 for spec in self._specs)

    async def _call(
        self, step: str, request: Mapping[str, object], timeout: float | None, fds: Sequence[int] = ()
    ) -> tuple[Decision, Edits]:
        channel = self._channel
        if channel is None:
            self.lost = True
            raise ServiceUnavailable("milter: the connection is gone")
        try:
            await channel.send(request, fds)
            async with asyncio.timeout(timeout):
                answer = await channel.receive()
            return _understood(step, answer, self._wanted)
        except (ChannelClosed, ProtocolError) as error:
            self._lose()
            raise ServiceUnavailable(f"milter: {error}") from None
        except TimeoutError:
            self._lose()
            raise ServiceUnavailable(f"milter: no answer within {timeout:g} seconds") from None
        except asyncio.CancelledError:
            self._lose()  # the answer would be taken for that to the next question
            raise

    def _lose(self) -> None:
        self.lost = True
        self.close()

    def abort(self) -> None:
        """The message is over without an end; does not wait."""
        self._wanted.over()
        channel = self._channel
        if channel is not None:
            try:
                channel.socket.send(_ABORT)
            except OSError:
                self._lose()

    def close(self) -> None:
        """The client's session is over."""
        channel, self._channel = self._channel, None
        if channel is not None:
            channel.close()


_ABORT = encode_frame({"do": "abort"})


class MilterSession:
    """The same for a blocking program."""

    def __init__(self, path: str, specs: Sequence[MilterSpec], macros: Mapping[bytes, tuple[str, ...]]) -> None:
        self._path = path
        self._specs = specs
        self._macros = macros
        self._channel: Channel | None = None
        self._wanted = _Wanted()

    def open(self, peer: Peer, values: Mapping[str, str]) -> Decision:
        """Connect the milters and tell them who is there."""
        try:
            self._channel = Channel.connect(self._path, CONNECT_TIMEOUT)
        except ChannelClosed as error:
            raise ServiceUnavailable(f"milter: {error}") from None
        self._channel.socket.settimeout(
            SLACK + sum(spec.connect_timeout * 2 + spec.command_timeout * 2 for spec in self._specs)
        )
        return self._call("open", _opening(self._specs, self._macros, peer, values))[0]

    def wants(self, step: str) -> bool:
        """Whether a step must be told."""
        return step in self._wanted

    def step(self, name: str, arguments: Sequence[str], values: Mapping[str, str]) -> Decision:
        """Tell the milters of a step."""
        return self._call(name, _step(name, arguments, values, False))[0]

    def end(self, examined: Examined, values: Mapping[str, str], *, queue_id: str) -> tuple[Decision, Edits]:
        """Let the milters see the whole message; see AsyncMilterSession."""
        assert self._channel is not None
        self._channel.socket.settimeout(None)
        with contextlib.suppress(OSError):
            self._channel.socket.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        return self._call("end", _end(examined, values, queue_id, False), (examined.descriptor,))

    def _call(self, step: str, request: Mapping[str, object], fds: Sequence[int] = ()) -> tuple[Decision, Edits]:
        assert self._channel is not None
        try:
            self._channel.send(request, fds)
            answer = self._channel.receive()
            return _understood(step, answer, self._wanted)
        except (ChannelClosed, ProtocolError) as error:
            self.close()
            raise ServiceUnavailable(f"milter: {error}") from None

    def close(self) -> None:
        """The session is over."""
        channel, self._channel = self._channel, None
        if channel is not None:
            channel.close()
