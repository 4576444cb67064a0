"""One connection to one milter: the asyncio shell around `lib.milter.Conversation`.

Whatever goes wrong with a milter (it is away, silent, closes, sends nonsense) is found here, logged once, and from then
on answered with its default action, for the rest of the client's session.
"""

from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from pillarbox.lib.config.milters import MilterSpec, parse_endpoint
from pillarbox.lib.dns import Answer, Failed, Resolver
from pillarbox.lib.log import log
from pillarbox.lib.milter import Conversation, Edit, MilterError, Offer, PacketReader, Verdict
from pillarbox.lib.milter.conversation import GO_ON
from pillarbox.lib.milter.packets import NAMES, NEGOTIATE
from pillarbox.lib.smtp.reply import Reply

READ_SIZE: Final = 64 * 1024

UNAVAILABLE: Final = Reply(550, "5.5.0", ("Service unavailable",))
TRY_LATER: Final = Reply(451, "4.7.1", ("Service unavailable - try again later",))
CLOSING: Final = Reply(421, "4.7.1", ("Service unavailable - try again later",))

Taker = Callable[[list[Edit]], None]
"""Takes edits; raises MilterError for one that cannot be."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a milter, or the lack of one, means for a step.  `hold` is the reason to hold the message."""

    verdict: Verdict = GO_ON
    hold: str = ""


_NOTHING: Final = Outcome()


class Milter:
    """One milter in one client's session."""

    def __init__(
        self,
        spec: MilterSpec,
        macros: Mapping[bytes, tuple[str, ...]],
        queue_directory: str,
        wanted: Callable[[], bool] = lambda: True,
    ) -> None:
        """`wanted` says whether anybody still waits: a milter that only ever reports progress must not be heard on."""
        self.spec = spec
        self.conversation = Conversation(Offer.of(spec.version, no_header_reply=spec.no_header_reply), macros)
        self.broken = False
        self._directory = queue_directory
        self._wanted = wanted
        self._packets = PacketReader()
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._sticky = _NOTHING

    # --- the connection
    async def open(self, resolver: Resolver) -> Outcome:
        """Connect and agree on options."""
        try:
            async with asyncio.timeout(self.spec.connect_timeout):
                self._reader, self._writer = await self._connect(resolver)
        except TimeoutError:
            return self.give_up(f"connect to Milter service {self.spec.endpoint}: Connection timed out", whole=True)
        except OSError as error:
            reason = os.strerror(error.errno) if error.errno else str(error)
            return self.give_up(f"connect to Milter service {self.spec.endpoint}: {reason}", whole=True)
        try:
            await self._send(self.conversation.open(), NEGOTIATE, self.spec.connect_timeout)
            self.conversation.agree(*await self._packet(NEGOTIATE, self.spec.connect_timeout))
        except MilterError as error:
            return self.give_up(str(error))
        return _NOTHING

    async def _connect(self, resolver: Resolver) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        host, port = parse_endpoint(self.spec.endpoint)
        if not port:
            return await asyncio.open_unix_connection(os.path.join(self._directory, host), limit=READ_SIZE)
        error = OSError(errno.EHOSTUNREACH, "")
        for address in await _addresses(resolver, host):
            try:
                return await asyncio.open_connection(address, port, limit=READ_SIZE)
            except OSError as problem:
                error = problem
        raise error

    # --- steps
    def wants(self, step: bytes) -> bool:
        """Whether the client's step matters to this milter, or to what its default action makes of it."""
        return self._sticky is not _NOTHING or (not self.broken and self.conversation.cares_for(step))

    async def step(
        self, step: bytes, data: bytes, values: Mapping[str, str], timeout: float, take: Taker | None = None
    ) -> Outcome:
        """Tell the milter of a step and wait for what it says."""
        if self._sticky is not _NOTHING or self.broken:
            return self._sticky
        request = self.conversation.say(step, data, values)
        if request is None:
            return _NOTHING
        try:
            await self._send(request.data, step, timeout)
            if not request.answered:
                return _NOTHING
            while True:
                verdict = self.conversation.hear(*await self._packet(step, timeout))
                if self.conversation.edits:
                    edits = self.conversation.take_edits()
                    if take is None:
                        raise MilterError("edits where there is nothing to edit")
                    take(edits)
                if verdict is not None:
                    return self._decided(verdict)
                if not self._wanted():
                    raise MilterError("the client has gone")
        except MilterError as error:
            return self.give_up(str(error))

    def _decided(self, verdict: Verdict) -> Outcome:
        outcome = _NOTHING if verdict is GO_ON else Outcome(verdict)
        if self.conversation.over:
            if verdict is not GO_ON:
                self._sticky = outcome
            self._close(self.conversation.quit())
        return outcome

    def abort(self) -> None:
        """The message is over; does not wait."""
        if not self.broken and self._writer is not None and (data := self.conversation.abort()):
            self._writer.write(data)

    def close(self) -> None:
        """The client's session is over; does not wait."""
        self._close(self.conversation.quit())

    def _close(self, last: bytes) -> None:
        writer, self._writer = self._writer, None
        if writer is not None:
            if last and not self.broken:
                writer.write(last)
            writer.close()

    # --- bytes
    async def _send(self, data: bytes, step: bytes, timeout: float) -> None:
        assert self._writer is not None
        try:
            self._writer.write(data)
            if (
                self._writer.transport.get_write_buffer_size()
            ):  # else it is on its way, and there is nothing to wait for
                async with asyncio.timeout(timeout):
                    await self._writer.drain()
        except TimeoutError:
            raise MilterError(f"error writing {NAMES[step]}: Connection timed out") from None
        except OSError as error:
            raise MilterError(f"error writing {NAMES[step]}: {_reason(error)}") from None

    async def _packet(self, step: bytes, timeout: float) -> tuple[bytes, bytes]:
        assert self._reader is not None
        packets = self._packets
        if (packet := packets.packet()) is not None:
            return packet
        reason = "the milter closed the connection"
        try:
            async with asyncio.timeout(timeout):  # for the whole packet: one that drips counts as silent
                while data := await self._reader.read(READ_SIZE):
                    packets.feed(data)
                    if (packet := packets.packet()) is not None:
                        return packet
        except TimeoutError:
            reason = "Connection timed out"
        except OSError as error:
            reason = _reason(error)
        part = "data" if packets.pending >= 4 else "header"
        raise MilterError(f"can't read {NAMES[step]} reply packet {part}: {reason}")

    def give_up(self, reason: str, *, whole: bool = False) -> Outcome:
        """The milter is of no use any more: say so, and let the default action hold."""
        log.warning(reason if whole else f"milter {self.spec.endpoint}: {reason}")
        self.broken = True
        self._close(b"")
        action = self.spec.default_action
        if action == "reject":
            self._sticky = Outcome(Verdict(refusal=UNAVAILABLE))
        elif action == "tempfail":
            self._sticky = Outcome(Verdict(refusal=TRY_LATER))
        elif action == "shutdown":
            self._sticky = Outcome(Verdict(refusal=CLOSING, shutdown=True))
        elif action == "quarantine":
            self._sticky = Outcome(hold="milter failure")
        return self._sticky


def _reason(error: OSError) -> str:
    return os.strerror(error.errno) if error.errno else str(error)


async def _addresses(resolver: Resolver, host: str) -> tuple[str, ...]:
    if host.replace(".", "").isdigit() or ":" in host:
        return (host,)
    found = await resolver.addresses(host)
    if isinstance(found, Answer):
        return tuple(found.records)
    raise OSError(f"{host}: {found.detail}" if isinstance(found, Failed) else f"{host}: no such host")
