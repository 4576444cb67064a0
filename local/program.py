"""The service `local`: a root parent that does no user's work itself (see the package's text)."""

from __future__ import annotations

from pillarbox.lib.config import Config
from pillarbox.lib.config.parameters.local import LOCAL_CONCURRENCY_LIMIT, MAILBOX_COMMAND_MAPS
from pillarbox.lib.process import Program, Worker, serve_async_agent
from pillarbox.local.mistakes import mistakes, obstacles
from pillarbox.local.parent import LocalDelivery


def run(worker: Worker) -> None:
    """Serve until stopped."""
    delivery = LocalDelivery(worker.config)
    serve_async_agent(worker, delivery.deliver, capacity=worker.config[LOCAL_CONCURRENCY_LIMIT])
    delivery.children.close()


def tables(config: Config) -> dict[str, tuple[str, ...]]:
    """What the parent reads once and keeps."""
    return {MAILBOX_COMMAND_MAPS.name: config[MAILBOX_COMMAND_MAPS]}


PROGRAM = Program(
    name="local",
    owner="",
    run=run,
    callers=("mail_owner",),
    tables=tables,
    mistakes=mistakes,
    obstacles=obstacles,
)
