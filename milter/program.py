"""The service `milter`: a channel per client session of smtpd, or per message of pickup.

{"do": "open", "milters": [...], "macros": {...}, "values": {...}, "name": "...", "family": "4", "port": N,
 "address": "..."}                                                                       first; then
{"do": "helo" | "mail" | "rcpt" | "data" | "unknown", "arguments": [...], "values": {...}}
{"do": "end", "offset": N, "length": N, "header": N, "id": "...", "binary": false, "values": {...}} + a descriptor
{"do": "abort"}                                                                          no answer

Each answer but that to abort has "steps", what any milter still wants to see, and, where there was one, the decision:
"reply", "shutdown", "discard", "hold"; that to `end` has "edits", with files beside it.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping

from pillarbox.lib.config import Config
from pillarbox.lib.config.milters import MilterSpec, parse_endpoint, parse_milters
from pillarbox.lib.config.parameters.dns import DNS_RESOLVER
from pillarbox.lib.config.parameters.general import MESSAGE_SIZE_LIMIT, MYORIGIN, QUEUE_DIRECTORY
from pillarbox.lib.dns import Resolver, choose_servers, configured_resolver
from pillarbox.lib.ipc import AsyncChannel, Attributes, ProtocolError, close_all
from pillarbox.lib.milter.configured import all_endpoints
from pillarbox.lib.milter.options import STAGES
from pillarbox.lib.milter.packets import UNKNOWN
from pillarbox.lib.process import Program, Worker, serve_channels
from pillarbox.lib.queue.edits import Edits
from pillarbox.lib.system.confinement import Confinement
from pillarbox.milter.addresses import Addresses
from pillarbox.milter.chain import FAMILIES, HEADER_LIMIT, Chain, Message
from pillarbox.milter.peer import Milter, Outcome

MILTER_LIMIT = 32
"""Milters of one session."""

_STEPS = ("helo", "mail", "rcpt", "data", "unknown")
_MACRO_STEPS = frozenset((*STAGES, UNKNOWN))


class Service:
    """What all sessions of one process share."""

    def __init__(self, config: Config, resolver: Resolver) -> None:
        self._resolver = resolver
        self._endpoints = all_endpoints(config)
        self._addresses = Addresses(config[MYORIGIN])
        self._size_limit = config[MESSAGE_SIZE_LIMIT]
        self._queue_directory = config[QUEUE_DIRECTORY]

    async def serve(self, channel: AsyncChannel) -> None:
        """One session, until the peer goes."""
        channel.on_drain = _stay
        frame = await channel.receive()
        close_all(frame.fds)
        if frame.text("do") != "open":
            raise ProtocolError("a session begins with open")
        macros = _macros(frame)
        milters = [Milter(spec, macros, self._queue_directory, lambda: channel.alive) for spec in self._specs(frame)]
        chain = Chain(milters, self._resolver, self._addresses, self._size_limit)
        try:
            chain.values.update(_values(frame))
            family, port = frame.text("family"), frame.integer("port")
            if family not in FAMILIES or not 0 <= port < 65536:
                raise ProtocolError("a client that cannot be")
            outcome = await chain.begin(frame.text("name"), family, port, frame.text("address"))
            await _answer(channel, chain, outcome)
            while True:
                await self._one(channel, chain, await channel.receive())
        finally:
            chain.close()

    def _specs(self, frame: Attributes) -> list[MilterSpec]:
        found = []
        for item in frame.groups("milters"):
            spec = MilterSpec(
                item.text("endpoint"),
                item.number("connect_timeout"),
                item.number("command_timeout"),
                item.number("content_timeout"),
                item.text("default_action"),
                item.text("protocol"),
            )
            if spec.endpoint not in self._endpoints:
                raise ProtocolError(f'"{spec.endpoint}" is no milter that the configuration names')
            try:
                parse_milters(f"{{ {spec.endpoint}, default_action={spec.default_action} }}", spec)
            except ValueError as error:
                raise ProtocolError(str(error)) from None
            found.append(spec)
        if len(found) > MILTER_LIMIT:
            raise ProtocolError(f"more than {MILTER_LIMIT} milters")
        return found

    async def _one(self, channel: AsyncChannel, chain: Chain, frame: Attributes) -> None:
        verb = frame.text("do")
        if verb != "end":
            close_all(frame.fds)
        if verb == "abort":
            chain.abort()
            return
        if verb == "end":
            await self._end(channel, chain, frame)
            return
        if verb not in _STEPS:
            raise ProtocolError(f'unknown request "{verb}"')
        chain.values.update(_values(frame))
        outcome = await chain.step(verb, _arguments(frame), refused=frame.boolean("refused", False))
        await _answer(channel, chain, outcome)

    async def _end(self, channel: AsyncChannel, chain: Chain, frame: Attributes) -> None:
        try:
            if len(frame.fds) != 1 or not stat.S_ISREG(os.fstat(frame.fds[0]).st_mode):
                raise ProtocolError("the end of a message without its content")
            offset, length, header = frame.integer("offset"), frame.integer("length"), frame.integer("header")
            if not (0 <= header <= min(HEADER_LIMIT, length) and offset >= 0):
                raise ProtocolError(f"a header of {header} bytes in a content of {length}")
            chain.values.update(_values(frame))
            queue_id, binary = frame.text("id"), frame.boolean("binary", False)
            message = Message(frame.fds[0], offset, length, header, queue_id, binary)
            outcome, edits = await chain.examine(message)
            chain.abort()  # for those who have not been asked any more
        finally:
            # Before the answer: from then on the file may go on its way, and one day be written over.
            close_all(frame.fds)
        try:
            await _answer(channel, chain, outcome, edits)
        finally:
            edits.close()


def _stay() -> None:
    """Nothing: a client's session is bound to this process, whose successor takes the next ones."""


async def _answer(channel: AsyncChannel, chain: Chain, outcome: Outcome, edits: Edits | None = None) -> None:
    verdict = outcome.verdict
    answer: dict[str, object] = {"steps": chain.wanted()}
    if verdict.refusal is not None:
        answer["reply"] = [verdict.refusal.code, verdict.refusal.enhanced, list(verdict.refusal.lines)]
    if verdict.shutdown:
        answer["shutdown"] = True
    if verdict.discard:
        answer["discard"] = True
    if outcome.hold:
        answer["hold"] = outcome.hold
    if edits:
        answer["edits"] = edits.members()
    await channel.send(answer, edits.descriptors if edits is not None else ())


def _values(frame: Attributes) -> dict[str, str]:
    values = frame.attributes("values")
    if not all(type(value) is str for value in values.values()):
        raise ProtocolError("the value of a macro is not a text")
    return {name: str(value) for name, value in dict.items(values)}


def _arguments(frame: Attributes) -> list[bytes]:
    return [text.encode("utf-8", "surrogateescape") for text in frame.texts("arguments")]


def _macros(frame: Attributes) -> Mapping[bytes, tuple[str, ...]]:
    group = frame.attributes("macros")
    macros = {step.encode("ascii", "replace"): group.texts(step) for step in dict.keys(group)}
    if not macros.keys() <= _MACRO_STEPS:
        raise ProtocolError("macros for a step that does not exist")
    return macros


def run(worker: Worker) -> None:
    """Serve until told to stop."""
    serve_channels(worker, _prepared[0].serve, descriptors=True)


_prepared: list[Service] = []


def prepare(worker: Worker) -> None:
    """Read resolv.conf and hosts as the starting user."""
    _prepared[:] = [Service(worker.config, configured_resolver(worker.config))]


def confinement(config: Config) -> Confinement:
    """The milters' ports and the DNS; UNIX sockets; no file, no program."""
    ports = {port for _, port in map(parse_endpoint, all_endpoints(config)) if port}
    configured = config[DNS_RESOLVER]
    dns = {server.port for server in choose_servers(configured, "")} if ports else set()
    return Confinement(connect_tcp=tuple(sorted(ports | dns)), udp=bool(ports), fork=False)


PROGRAM = Program(
    name="milter",
    run=run,
    owner="net_owner",
    confinement=confinement,
    prepare=prepare,
    callers=("net_owner", "mail_owner"),
    needed=lambda config: bool(all_endpoints(config)),
)
