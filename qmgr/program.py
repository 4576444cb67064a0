"""The service `qmgr`: one process."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable

from pillarbox.lib.clients.bounce import AsyncBounceClient
from pillarbox.lib.clients.lookup import AsyncLookupClient, LookupUnavailable
from pillarbox.lib.config import Config
from pillarbox.lib.config.parameters.delivery import DELIVERY_DIRECTORY
from pillarbox.lib.config.parameters.general import MAIL_OWNER, QUEUE_DIRECTORY
from pillarbox.lib.config.parameters.lookup import FAST_FLUSH_DOMAINS
from pillarbox.lib.config.parameters.qmgr import QMGR_MESSAGE_ACTIVE_LIMIT
from pillarbox.lib.ipc import AsyncChannel, Attributes, ProtocolError
from pillarbox.lib.log import log
from pillarbox.lib.process import Program, Worker, serve_channels
from pillarbox.lib.process.own_directory import make_own_directory
from pillarbox.lib.queue import QUEUES
from pillarbox.lib.queue.directories import MAILDROP, SPARE
from pillarbox.lib.system.confinement import Confinement
from pillarbox.lib.system.limits import Limits
from pillarbox.qmgr.active import OTHER_FILES
from pillarbox.qmgr.failures import Failures
from pillarbox.qmgr.intake import IDLE, Intake
from pillarbox.qmgr.scheduler import Scheduler
from pillarbox.qmgr.timetable import Timetable


def confinement(config: Config) -> Confinement:
    """The message directories, maildrop/ for what was requeued in the middle of its delivery, and a directory of its
    own to write; the sockets of agents and services to talk to."""
    queue = config[QUEUE_DIRECTORY]
    return Confinement(
        read=(f"{queue}/private", f"{queue}/public"),
        write=(*(f"{queue}/{name}" for name in (*QUEUES, SPARE, MAILDROP)), config[DELIVERY_DIRECTORY]),
        fork=False,
        shorten=False,
        limits=Limits(open_files=config[QMGR_MESSAGE_ACTIVE_LIMIT] + OTHER_FILES),
    )


def prepare(worker: Worker) -> None:
    """Make the directory for what the delivery policy keeps, ours alone."""
    config = worker.config
    make_own_directory(config, config[DELIVERY_DIRECTORY], config[MAIL_OWNER])


REST = 4.0
"""How much longer than a look for the mail of a site the rest is before the next one."""


class QueueManager:
    """Joins intake, scheduler and the control socket."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker
        self._timetable = Timetable()
        self._intake = Intake(worker.config, self._timetable)
        self._scheduler: Scheduler
        self._pumping: asyncio.Task[None]
        self._looking: dict[str, asyncio.Task[int]] = {}
        self._one_look = asyncio.Lock()
        self._look_from = 0.0
        self._rest = asyncio.sleep

    async def start(self) -> None:
        """Recover, then begin to deliver."""
        config = self._worker.config
        failures = Failures(config, AsyncBounceClient(config))
        self._lookup = AsyncLookupClient(config)
        self._scheduler = Scheduler(config, self._lookup, failures, self._timetable.enter)
        self._scheduler.active.on_room = self._intake.look_again
        self._intake.scheduler = self._scheduler
        self._intake.recover()
        self._wanted = asyncio.Event()
        self._pumping = asyncio.get_running_loop().create_task(self._pump())
        self._worker.on_wakeup = self._wanted.set

    async def _pump(self) -> None:
        while True:
            try:
                self._scheduler.timers.run_due()
                self._scheduler.look_for_clogs()
                pause = self._intake.pump()
            except Exception as error:  # whatever one message or one directory does, the next look must come
                log.panic(f"looking for messages: {type(error).__name__}: {error}")
                pause = IDLE
            if pause < IDLE:
                await asyncio.sleep(pause)
                continue
            try:
                await asyncio.wait_for(self._wanted.wait(), pause)
            except TimeoutError:
                pass
            self._wanted.clear()

    def stop(self) -> None:
        """Begin nothing new; what agents are doing is waited for."""
        self._scheduler.stop()
        self._worker.session_started()  # holds up the end of the process until the agents have answered
        self._draining = asyncio.get_running_loop().create_task(self._drain())

    async def _drain(self) -> None:
        while not self._scheduler.idle:
            await asyncio.sleep(0.01)
        self._scheduler.close()
        self._pumping.cancel()
        self._worker.session_ended()

    async def serve(self, channel: AsyncChannel) -> None:
        """The control socket: notices of cleanup, requests of commands."""
        while True:
            frame = await channel.receive()
            reply = await self._answer(frame)
            if reply is not None:
                await channel.send(reply)

    async def _answer(self, frame: Attributes) -> dict[str, object] | None:
        verb = frame.text("do")
        if verb == "arrived":
            self._intake.arrived(frame.texts("ids"))
            return None
        if verb == "flush":
            return await self._flush(frame.text("id", ""), frame.text("site", ""))
        if verb == "changed":
            self._intake.changed(frame.texts("ids"))
            self._wanted.set()
            return {"ok": True}
        raise ProtocolError(f'unknown request "{verb}"')

    async def _site_flushed(self, site: str) -> int:
        """Who asks for a site that is being looked for gets the same answer: each look reads the whole queue.

        One look at a time, and a rest before the next: whoever may send ETRN may do so all the time, for any subdomain.
        """
        looking = self._looking.get(site)
        if looking is None:
            looking = self._looking[site] = asyncio.get_running_loop().create_task(self._look(site))
            looking.add_done_callback(lambda _: self._looking.pop(site, None))
        return await asyncio.shield(looking)

    async def _look(self, site: str) -> int:
        loop = asyncio.get_running_loop()
        async with self._one_look:
            if (pause := self._look_from - loop.time()) > 0:
                await self._rest(pause)
            began = loop.time()
            count = await self._intake.flush("", site)
            ended = loop.time()
            self._look_from = ended + (ended - began) * REST
        return count

    async def _flush(self, queue_id: str, site: str) -> dict[str, object]:
        try:
            if site and not await self._lookup.listed(FAST_FLUSH_DOMAINS.name, site):
                return {"ok": True, "denied": True}
        except LookupUnavailable as error:
            return {"ok": False, "why": error.reason}
        # One site is flushed by anybody's ETRN: what servers have asked of us is not undone by that.
        self._scheduler.revive(paces=not site and not queue_id)
        count = await self._site_flushed(site) if site else await self._intake.flush(queue_id, site)
        self._intake.look_again()
        self._wanted.set()
        return {"ok": True, "count": count}


def run(worker: Worker) -> None:
    """Serve until stopped."""
    manager = QueueManager(worker)
    worker.on_stop = manager.stop

    def serve(channel: AsyncChannel) -> Awaitable[None]:
        return manager.serve(channel)

    serve_channels(worker, serve, manager.start)


PROGRAM = Program(name="qmgr", owner="mail_owner", confinement=confinement, prepare=prepare, run=run)
