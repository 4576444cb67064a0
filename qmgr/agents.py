"""Connections to delivery agents: one per agent process, kept open, with several requests under way on each.

The agent greets with the number of requests that it works on at once (`capacity`), and how many more it lets wait for
remote hosts (`waiting`; see `occupancy.py`).  Requests that are handed over within one turn of the event loop go out in
one system call.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable

from pillarbox.lib.config import Config
from pillarbox.lib.config.parameters.qmgr import QMGR_IPC_TIMEOUT
from pillarbox.lib.delivery.result import Result, parse_result
from pillarbox.lib.ipc import AsyncChannel, Attributes, ChannelClosed, ProtocolError, encode_frame
from pillarbox.lib.ipc.blocking import MAX_FDS
from pillarbox.lib.log import log
from pillarbox.qmgr.job import Entry
from pillarbox.qmgr.occupancy import Occupancy
from pillarbox.qmgr.requests import compose_request

Finished = Callable[[Entry, list[Result], str], None]
Lost = Callable[[Entry, str], None]
Told = Callable[[str, float], None]
"""The site of a next hop, or "", and for how many seconds that holds."""

NO_DESCRIPTOR, REST = -2, -1
"""What stands in place of the descriptor of a frame that has none, and of one whose descriptor is over already."""


class Agent:
    """One connection."""

    def __init__(self, pool: AgentPool, channel: AsyncChannel, occupancy: Occupancy) -> None:
        self._pool = pool
        self._channel = channel
        self._loop = asyncio.get_running_loop()
        self._occupancy = occupancy
        self.under_way: dict[int, Entry] = {}
        self._questions: dict[int, Told] = {}
        self._tag = 0
        self._outgoing: list[tuple[bytes, int]] = []
        self._flush_asked = False
        self._more = False
        self._saying_goodbye = False
        self._loop.add_reader(channel.socket.fileno(), self._readable)
        self._loop.call_soon(self._take_answers)  # what came right behind the greeting

    @property
    def leaving(self) -> bool:
        """Whether it takes no further request."""
        return self._saying_goodbye

    def free(self, known: bool, now: float) -> int:
        """How many more requests to known destinations, or to others, it takes now."""
        if self._saying_goodbye:
            return 0
        free = self._occupancy.free(known)
        if free <= 0:
            for tag in self._occupancy.age(now):
                destination = self.under_way[tag].destination
                if destination is not None:
                    destination.swift = False
            free = self._occupancy.free(known)
        return free

    @property
    def full(self) -> bool:
        """Whether it takes no further request now."""
        return self._saying_goodbye or max(self._occupancy.free(True), self._occupancy.free(False)) <= 0

    def next_room(self) -> float | None:
        """When it takes more although it has answered nothing, in seconds of the clock of `free`; None: it will not."""
        return self._occupancy.next_change()

    def deliver(self, entry: Entry, known: bool, now: float) -> None:
        """Hand an entry over.  Raises ProtocolError where it does not fit into a request."""
        tag = self._tag + 1
        frame = compose_request(tag, entry)
        self._tag = tag
        self.under_way[tag] = entry
        self._occupancy.begin(tag, known, now)
        self._send(frame, entry.job.message.file.descriptor)

    def ask_site(self, nexthop: str, told: Told) -> None:
        """Ask which site a next hop belongs to; `told` gets ("", 0.0) where the agent dies instead of answering."""
        self._tag += 1
        self._questions[self._tag] = told
        self._send(encode_frame({"do": "site", "tag": self._tag, "nexthop": nexthop}), NO_DESCRIPTOR)

    def _send(self, frame: bytes, descriptor: int) -> None:
        self._outgoing.append((frame, descriptor))
        if not self._flush_asked:
            self._flush_asked = True
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        self._flush_asked = False
        while self._outgoing and self._outgoing[0][1] != REST and not self._channel.closed:
            part = self._outgoing[:MAX_FDS]
            data = b"".join([frame for frame, _ in part])
            descriptors = [descriptor for _, descriptor in part if descriptor != NO_DESCRIPTOR]
            try:
                sent = socket.send_fds(self._channel.socket, [data], descriptors)
            except BlockingIOError:
                self._loop.add_writer(self._channel.socket.fileno(), self._writable)
                return
            except OSError as error:
                self._unreachable(error)
                return
            del self._outgoing[: len(part)]
            if sent < len(data):
                # The descriptors are over; the rest of the bytes must follow before anything else.
                self._outgoing.insert(0, (data[sent:], REST))
                self._loop.add_writer(self._channel.socket.fileno(), self._send_rest)
                return

    def _send_rest(self) -> None:
        data, _ = self._outgoing[0]
        try:
            sent = self._channel.socket.send(data)
        except BlockingIOError:
            return
        except OSError as error:
            self._unreachable(error)
            return
        if sent < len(data):
            self._outgoing[0] = (data[sent:], REST)
            return
        del self._outgoing[0]
        self._writable()

    def _writable(self) -> None:
        self._loop.remove_writer(self._channel.socket.fileno())
        self._flush()

    def _unreachable(self, error: OSError) -> None:
        """The agent takes nothing more; what it had answered before must not be lost, or it is delivered twice."""
        while not self._channel.closed:
            self._readable()
            if not self._more:
                break
        self._broken(error.strerror or str(error))

    def _readable(self) -> None:
        self._more = False
        try:
            self._more = self._channel.fill()
        except ChannelClosed as error:
            self._broken(str(error))
            return
        self._take_answers()
        if not self._channel.closed and self._channel.failed():
            self._unreachable(OSError("the connection was reset"))

    def _take_answers(self) -> None:
        try:
            while not self._channel.closed and (frame := self._channel.next_frame()) is not None:
                self._answer(frame)
        except ProtocolError as error:
            self._broken(str(error))

    def _answer(self, frame: Attributes) -> None:
        if frame.boolean("bye", False):
            self._saying_goodbye = True
            self._close_when_idle()
            return
        tag, site = frame.integer("tag"), frame.text("site", "")
        if self._questions and (told := self._questions.pop(tag, None)) is not None:
            told(site, frame.number("ttl", 0.0))
            return
        results = [parse_result(item) for item in frame.groups("results")]
        entry = self.under_way.pop(tag, None)
        if entry is None:
            raise ProtocolError("an answer to no request")
        self._occupancy.end(tag)
        self._pool.finished(entry, results, site)
        if self._saying_goodbye:
            self._close_when_idle()

    def _close_when_idle(self) -> None:
        """Close our sending side: the agent then knows that no request is on its way to it."""
        if not self.under_way and not self._outgoing:
            self._broken("")

    def _broken(self, reason: str) -> None:
        if self._channel.closed:
            return
        self._loop.remove_reader(self._channel.socket.fileno())
        self._loop.remove_writer(self._channel.socket.fileno())
        self._channel.close()
        self._saying_goodbye = True
        self._outgoing.clear()
        lost, self.under_way = list(self.under_way.values()), {}
        questions, self._questions = list(self._questions.values()), {}
        self._pool.gone(self, lost, reason)
        for told in questions:
            told("", 0.0)

    def close(self) -> None:
        """End the connection."""
        self._broken("")


class AgentPool:
    """The agents of one transport."""

    def __init__(
        self,
        config: Config,
        transport: str,
        *,
        finished: Finished,
        lost: Lost,
        room: Callable[[], None],
        unavailable: Callable[[str], None],
    ) -> None:
        self.transport = transport
        self._path = config.socket_path(transport)
        self._limit = config.services[transport].processes
        self._greeting_timeout = config[QMGR_IPC_TIMEOUT]
        self._agents: list[Agent] = []
        self._turn = 0
        self._connecting: set[asyncio.Task[None]] = set()
        self.sites: bool | None = None
        """Whether the agents tell sites; None as long as there was none."""
        self.finished = finished
        self._lost = lost
        self._room = room
        self._unavailable = unavailable

    def free_agent(self, known: bool, now: float, preferred: Agent | None = None) -> Agent | None:
        """The agent with the most room for what is to known destinations, or to others; `preferred` if it has any.

        None where there is none; then another is on its way, as far as the service allows.
        """
        if preferred is not None and preferred.free(known, now) > 0:
            return preferred
        best = None
        most = 0
        for agent in self._agents:
            free = agent.free(known, now)
            if free > most:
                best, most = agent, free
        if best is None and not self._connecting:
            staying = sum(not agent.leaving for agent in self._agents)
            if staying < self._limit:
                task = asyncio.get_running_loop().create_task(self._connect())
                self._connecting.add(task)
                task.add_done_callback(self._connecting.discard)
        return best

    def any_agent(self) -> Agent | None:
        """An agent that may be busy but is not about to leave, each in its turn, or None."""
        for _ in self._agents:
            self._turn = (self._turn + 1) % len(self._agents)
            if not self._agents[self._turn].leaving:
                return self._agents[self._turn]
        return None

    def next_room(self) -> float | None:
        """When there is more room although nothing was answered; None: never.  Call it after `free_agent`."""
        return min((when for agent in self._agents if (when := agent.next_room()) is not None), default=None)

    async def _connect(self) -> None:
        try:
            channel = await AsyncChannel.connect(self._path, self._greeting_timeout)
            try:
                hello = await channel.receive(self._greeting_timeout)
                occupancy = Occupancy(max(1, hello.integer("capacity")), max(0, hello.integer("waiting", 0)))
                sites = hello.boolean("sites", False)
            except (ChannelClosed, ProtocolError):
                channel.close()
                raise
        except (ChannelClosed, ProtocolError) as error:
            if not self._agents:
                self._unavailable(str(error))
            return
        except OSError as error:
            self._unavailable(error.strerror or str(error))
            return
        self.sites = sites
        self._agents.append(Agent(self, channel, occupancy))
        self._connecting.clear()  # should this agent be gone at once, the next connection is made at once
        self._room()

    def gone(self, agent: Agent, lost: list[Entry], reason: str) -> None:
        """For `Agent`: its connection has ended with deliveries under way."""
        if agent in self._agents:
            self._agents.remove(agent)
        if lost:
            log.warning(f"delivery agent {self.transport} broke off {len(lost)} deliveries: {reason}")
        for entry in lost:
            self._lost(entry, reason)
        self._room()

    @property
    def full(self) -> bool:
        """Whether no agent takes a further request."""
        return all(agent.full for agent in self._agents)

    @property
    def busy(self) -> int:
        """Deliveries under way."""
        return sum(len(agent.under_way) for agent in self._agents)

    def close(self) -> None:
        """End all connections."""
        for agent in list(self._agents):
            agent.close()
