"""The program: one process, one channel per asking process, a request is answered at once.

{"do": "connect", "service": S, "address": A}              -> {"ok": true, "connections": N, "rate": N}
{"do": "disconnect", "service": S, "address": A}           -> {"ok": true}
{"do": "count", "service": S, "address": A, "kind": K}     -> {"ok": true, "rate": N}
{"do": "rate", "service": S, "address": A, "kind": K}      -> {"ok": true, "rate": N}: the same without counting

A request has a "tag", which the reply repeats; one without it gets no reply.  ADDRESS may also be a network: clients
are told apart as smtpd_client_ipv4_prefix_length and smtpd_client_ipv6_prefix_length say.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable

from pillarbox.anvil.counters import KINDS, Counters, Key
from pillarbox.lib.config import Config
from pillarbox.lib.config.parameters.anvil import ANVIL_RATE_TIME_UNIT, ANVIL_STATUS_UPDATE_TIME
from pillarbox.lib.ipc import AsyncChannel, Attributes, ChannelClosed, ProtocolError
from pillarbox.lib.log import log
from pillarbox.lib.process import Program, Worker, serve_channels
from pillarbox.lib.system.confinement import Confinement

NAME_LIMIT = 256
"""Longest service name or address."""


class Channels:
    """Serves the channels of all asking processes from one set of counters."""

    def __init__(self, counters: Counters) -> None:
        self.counters = counters

    async def serve(self, channel: AsyncChannel) -> None:
        """Answer until the peer goes; then its connections count as ended."""
        mine: Counter[Key] = Counter()
        try:
            while True:
                frame = await channel.receive()
                tag = frame.integer("tag", 0)
                try:
                    reply = self.answer(frame, mine)
                except ProtocolError as error:
                    log.warning(f"bad request: {error}")
                    await channel.send({"ok": False, "why": str(error), "tag": tag})
                    return
                if tag:
                    await channel.send({**reply, "tag": tag})
        except ChannelClosed:
            pass
        finally:
            self.counters.forget_connections(mine.elements())

    def answer(self, frame: Attributes, mine: Counter[Key]) -> dict[str, object]:
        """The reply to one request; `mine` are the open connections of the peer.  Raises ProtocolError."""
        verb, service, address = frame.text("do"), frame.text("service"), frame.text("address")
        if len(service) > NAME_LIMIT or len(address) > NAME_LIMIT:
            raise ProtocolError("service or address is too long")
        key = service, address
        if verb == "connect":
            mine[key] += 1
            connections, rate = self.counters.connect(service, address)
            return {"ok": True, "connections": connections, "rate": rate}
        if verb == "disconnect":
            if mine[key] > 0:
                self.counters.disconnect(service, address)
                mine[key] -= 1
            if mine[key] <= 0:
                del mine[key]
            return {"ok": True}
        if verb in ("count", "rate"):
            kind = frame.text("kind")
            if kind not in KINDS:
                raise ProtocolError(f'unknown kind "{kind}"')
            look = self.counters.count if verb == "count" else self.counters.rate
            return {"ok": True, "rate": look(service, address, kind)}
        raise ProtocolError(f'unknown request "{verb}"')


def log_statistics(counters: Counters, local_time: Callable[[float], str]) -> None:
    """The greatest counts since the last time, in anvil(8)'s words."""
    peaks, most = counters.report()
    for peak in peaks:
        per = f"/{counters.unit:g}s" if peak.what.endswith("rate") else ""
        log.info(
            f"statistics: max {peak.what} {peak.count}{per} for ({peak.service}:{peak.address})"
            f" at {local_time(peak.when)}"
        )
    if most:
        log.info(f"statistics: max cache size {most} at {local_time(time.time())}")


def _stamp(when: float) -> str:
    return time.strftime("%b %e %H:%M:%S", time.localtime(when))


def run(worker: Worker) -> None:
    """Serve until told to stop."""
    counters = Counters(worker.config[ANVIL_RATE_TIME_UNIT], time.time)
    interval = worker.config[ANVIL_STATUS_UPDATE_TIME]

    async def start() -> None:
        loop = asyncio.get_running_loop()

        def report() -> None:
            counters.forget()
            log_statistics(counters, _stamp)
            loop.call_later(interval, report)

        if interval:
            loop.call_later(interval, report)

    serve_channels(worker, Channels(counters).serve, start)


def confinement(config: Config) -> Confinement:
    """Nothing but its socket."""
    return Confinement(unix=False, fork=False)


PROGRAM = Program(name="anvil", run=run, owner="net_owner", confinement=confinement, callers=("net_owner",))
