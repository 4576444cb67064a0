"""The service `bounce`."""

from __future__ import annotations

from pillarbox.bounce.logs import Logs
from pillarbox.bounce.notices import Notices
from pillarbox.bounce.service import Service
from pillarbox.lib.clients.cleanup import AsyncCleanupClient
from pillarbox.lib.config import Config
from pillarbox.lib.config.parameters.general import QUEUE_DIRECTORY
from pillarbox.lib.ipc import AsyncChannel
from pillarbox.lib.process import Program, Worker, serve_channels
from pillarbox.lib.system.confinement import Confinement


def confinement(config: Config) -> Confinement:
    """Its logs to write; messages come as open files, reports go to the socket of cleanup."""
    queue = config[QUEUE_DIRECTORY]
    return Confinement(write=(f"{queue}/defer", f"{queue}/bounce"), fork=False)


def run(worker: Worker) -> None:
    """Serve until stopped."""
    cleanup = AsyncCleanupClient(worker.config)
    service = Service(Logs(worker.config[QUEUE_DIRECTORY]), Notices(worker.config, cleanup))

    async def handler(channel: AsyncChannel) -> None:
        await service.handle(channel)

    serve_channels(worker, handler, descriptors=True)


PROGRAM = Program(name="bounce", owner="mail_owner", confinement=confinement, run=run, callers=("mail_owner",))
