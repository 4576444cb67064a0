"""The scheduler: from a message in incoming/ or deferred/ to the calls of agents, and back.

    admission   takes a message up and reads its recipients
    sorting     asks where each goes, and makes entries of those that go together
    transport   gives each entry to an agent when its turn has come and its destination has room
    settling    records what became of each recipient; when all are done the message is removed or deferred

This module only joins them; docs/scheduler.md tells the whole.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine

from pillarbox.lib.clients.lookup import AsyncLookupClient
from pillarbox.lib.config import Config
from pillarbox.lib.config.parameters.general import QUEUE_DIRECTORY, SOFT_BOUNCE
from pillarbox.lib.config.parameters.qmgr import DEFER_TRANSPORTS
from pillarbox.lib.queue import Queue
from pillarbox.qmgr.active import ActiveQueue
from pillarbox.qmgr.admission import Admission
from pillarbox.qmgr.clogs import Clogs
from pillarbox.qmgr.failures import Failures
from pillarbox.qmgr.message import ActiveMessage
from pillarbox.qmgr.policy import DeliveryPolicy
from pillarbox.qmgr.room import RecipientRoom
from pillarbox.qmgr.settling import Settling
from pillarbox.qmgr.sorting import Sorting
from pillarbox.qmgr.spares import Spares
from pillarbox.qmgr.timers import Timers
from pillarbox.qmgr.transport import Transport


class Scheduler:
    """The queue manager's heart.  `defer(queue_id, when)` is told of each message that goes to deferred/."""

    def __init__(
        self,
        config: Config,
        lookup: AsyncLookupClient,
        failures: Failures,
        defer: Callable[[str, float], None],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._config = config
        self._clock = clock
        self._stopping = False
        self._tasks: set[asyncio.Task[None]] = set()
        self._transports: dict[str, Transport] = {}
        self._clogs = Clogs(config)
        self.timers = Timers(clock)
        self.timers.on_set_back = self._forget_times
        queue = Queue(config[QUEUE_DIRECTORY])
        self._spares = Spares(queue, clock)
        self.active = ActiveQueue(config, queue, defer)
        self.room = RecipientRoom(config)
        self.policy = DeliveryPolicy(config, queue, clock)
        self.active.on_gone = self.policy.gone
        self.settling = Settling(
            self.active, failures, self._spares, self.room, self.policy, clock, self._spawn, self._more
        )
        sorting = Sorting(
            lookup,
            self.transport,
            self.settling,
            self.policy,
            self._spawn,
            self._sorted,
            soft_bounce=config[SOFT_BOUNCE],
            put_off=config[DEFER_TRANSPORTS],
        )
        self.flushed: set[str] | None = self.active.flushed if config[DEFER_TRANSPORTS] else None
        """Messages that an administrator wants tried although their transport is in defer_transports; None: nobody
        needs to know."""
        self._admission = Admission(
            config, queue, self.active, sorting, self.settling, self.room, self.policy, clock, self.timers
        )

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _more(self, message: ActiveMessage) -> None:
        self._admission.more(message)

    def _sorted(self, message: ActiveMessage) -> None:
        self._admission.sorted(message)

    # --- what intake asks
    @property
    def full(self) -> bool:
        """Whether the active queue takes no more messages."""
        return self.active.full

    @property
    def old_may_come(self) -> bool:
        """Whether mail from deferred/ may take more room in the active queue."""
        return self.active.old_may_come

    @property
    def asking(self) -> int:
        """How many answers of `lookup` and `bounce` are awaited."""
        return len(self._tasks)

    def knows(self, queue_id: str) -> bool:
        """Whether the message is in the active queue."""
        return queue_id in self.active.messages

    def admit(self, queue_id: str, source: str) -> bool:
        """Take a message up from `source`; False where that is not possible now: the caller asks again later."""
        if self._stopping:
            self.active.refused()
            return False
        return self._admission.admit(queue_id, source)

    def look_for_clogs(self) -> None:
        """Say which destinations take up the active queue; called about once a second."""
        self._clogs.look(self._transports.values(), len(self.active.messages), self._clock())

    def trim(self) -> None:
        """Delete what is kept without need."""
        self._spares.trim()
        self.policy.trim()

    def forget(self, queue_id: str) -> None:
        """An administrator has moved a message in deferred/: what was known of it may no longer hold."""
        self.active.flushed.discard(queue_id)
        self.policy.waits.drop(queue_id)

    # --- transports
    def transport(self, name: str) -> Transport:
        """The transport of that name, whether there is such a service or not."""
        transport = self._transports.get(name)
        if transport is None:
            transport = Transport(name, self._config, self.settling, self.policy, self._clock, self.timers)
            transport.stopping = self._stopping
            self._transports[name] = transport
        return transport

    def revive(self, *, paces: bool = True) -> None:
        """Forget which transports and next hops were taken as dead, as a flush wants; with `paces` also for how long
        servers have asked us to wait."""
        if paces:
            self.policy.revive()
        for transport in self._transports.values():
            transport.revive(paces=paces)

    def _forget_times(self) -> None:
        """The clock was set back: until when something was to wait is a time in the future that means nothing."""
        for transport in self._transports.values():
            transport.forget_times()

    # --- the end
    @property
    def idle(self) -> bool:
        """Whether nothing is under way."""
        return not any(transport.busy for transport in self._transports.values()) and not self._tasks

    @property
    def stopping(self) -> bool:
        """Whether nothing new is begun."""
        return self._stopping

    def stop(self) -> None:
        """Begin nothing new; what is under way goes on."""
        self._stopping = True
        for transport in self._transports.values():
            transport.stopping = True

    def close(self) -> None:
        """End the connections to agents."""
        self.timers.close()
        self.policy.close()
        for transport in self._transports.values():
            transport.close()
