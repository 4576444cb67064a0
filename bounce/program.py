"""The service `bounce`."""

from __future__ import annotations

from pillarbox.bounce.logs import Logs
from pillarbox.bounce.notices import Notices
from pillarbox.bounce.service import Service
from pillarbox.lib.clients.cleanup import AsyncCleanupClient
from pillarbox.lib.config import Config
from pillarbox.lib.config.parameters.general import QUEUE_DIRECTORY
from pillarbox.lib.ipc import AsyncChannel
from pillarbox.lib.log import log
from pillarbox.lib.message.dsn import Template
from pillarbox.lib.message.dsn.configured import expanded, read_file
from pillarbox.lib.process import Program, Worker, serve_channels
from pillarbox.lib.system.confinement import Confinement


def confinement(config: Config) -> Confinement:
    """Its logs to write; messages come as open files, reports go to the socket of cleanup."""
    queue = config[QUEUE_DIRECTORY]
    return Confinement(write=(f"{queue}/defer", f"{queue}/bounce"), fork=False)


class Bounce:
    """One worker process: what `prepare` read, as the starting user, for the confined `run`."""

    def __init__(self) -> None:
        self._templates: dict[str, Template] = {}

    def prepare(self, worker: Worker) -> None:
        """Read the administrator's words, which confinement will put out of reach."""
        config = worker.config
        self._templates = expanded(config, read_file(config, log.warning), log.warning)

    def run(self, worker: Worker) -> None:
        """Serve until stopped."""
        cleanup = AsyncCleanupClient(worker.config)
        notices = Notices(worker.config, cleanup, templates=self._templates)
        service = Service(Logs(worker.config[QUEUE_DIRECTORY]), notices)

        async def handler(channel: AsyncChannel) -> None:
            await service.handle(channel)

        serve_channels(worker, handler, descriptors=True)


_bounce = Bounce()

PROGRAM = Program(
    name="bounce",
    owner="mail_owner",
    confinement=confinement,
    prepare=_bounce.prepare,
    run=_bounce.run,
    callers=("mail_owner",),
)
