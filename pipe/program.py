"""The program of pipe services: `pipe_command` in the service's options says what runs, its user as whom."""

from __future__ import annotations

import os

from pillarbox.lib.config.parameters.pipe import PIPE_COMMAND
from pillarbox.lib.process import Program, Worker, serve_agent
from pillarbox.lib.system.privileges import PrivilegeError, drop_privileges, resolve_identity
from pillarbox.pipe.command import parse_pipe_command
from pillarbox.pipe.delivery import PipeDelivery


def prepare(worker: Worker) -> None:
    """Become the user that `user=` names, where the service itself names none.  Raises PrivilegeError."""
    command = parse_pipe_command(worker.config[PIPE_COMMAND])
    if os.geteuid() != 0 or worker.service.user:
        return
    if not command.user:
        raise PrivilegeError(f"service {worker.service.name}: give it a user; pipe runs no command as root")
    identity = resolve_identity(command.user)
    if identity.uid == 0:
        raise PrivilegeError(f"service {worker.service.name}: user={command.user}: pipe runs no command as root")
    drop_privileges(identity.uid, identity.gid)


def run(worker: Worker) -> None:
    """Serve until stopped."""
    if os.geteuid() == 0:
        raise PrivilegeError(f"service {worker.service.name}: pipe runs no command as root; give it a user")
    command = parse_pipe_command(worker.config[PIPE_COMMAND])
    delivery = PipeDelivery(worker.config, worker.service.name, command, worker.tick)
    serve_agent(worker, delivery.deliver, capacity=1)


# Without confinement: what the command may need is the administrator's to say, by the user that it runs as.
PROGRAM = Program(name="pipe", owner="", prepare=prepare, run=run)
