"""The service `pickup`: looks at start, when it is woken over its public socket, and by the clock."""

from __future__ import annotations

from pillarbox.lib.clients.bounce import BounceClient
from pillarbox.lib.clients.cleanup import CleanupClient
from pillarbox.lib.config import Config
from pillarbox.lib.config.parameters.general import QUEUE_DIRECTORY
from pillarbox.lib.ipc import Channel
from pillarbox.lib.process import Program, Worker, serve_rounds
from pillarbox.lib.system.confinement import Confinement
from pillarbox.pickup.collector import Collector


class Rounds:
    """A round handler: however many wake it in one round, it looks once.

    Callers get no answer: whoever drops mail may not make this process wait.
    """

    def __init__(self, collector: Collector) -> None:
        self._collector = collector
        self._woken = True

    def wake(self) -> None:
        """Look through the directory at the end of this round."""
        self._woken = True

    def opened(self, channel: Channel) -> None:
        """Nothing to say."""

    def arrived(self, channel: Channel, state: None) -> None:
        """Whatever the frame says, it means: look."""
        while channel.next_frame() is not None:
            self._woken = True

    def closed(self, channel: Channel, state: None) -> None:
        """Nothing to keep."""

    def round_ended(self) -> None:
        """Look, if anyone asked."""
        if self._woken:
            self._woken = False
            self._collector.collect()

    def stopping(self) -> None:
        """What is not taken waits in maildrop/."""


def confinement(config: Config) -> Confinement:
    """maildrop/ and, for what is broken, corrupt/; the sockets of cleanup and bounce."""
    queue = config[QUEUE_DIRECTORY]
    return Confinement(write=(f"{queue}/maildrop", f"{queue}/corrupt"), fork=False, attributes=False, shorten=False)


def run(worker: Worker) -> None:
    """Serve until stopped."""
    config = worker.config
    rounds = Rounds(Collector(config, CleanupClient(config), BounceClient(config), tick=worker.tick))
    worker.on_wakeup = rounds.wake
    serve_rounds(worker, rounds)


PROGRAM = Program(name="pickup", owner="mail_owner", confinement=confinement, run=run)
