"""The program of pipe services: `pipe_command` in the service's options says what runs, its user as whom."""

from __future__ import annotations

import os

from pillarbox.lib.config.parameters.pipe import PIPE_COMMAND
from pillarbox.lib.process import Program, Worker, serve_agent
from pillarbox.lib.system.privileges import PrivilegeError, drop_privileges, resolve_identity
from pillarbox.pipe.command import parse_pipe_command
from pillarbox.pipe.delivery import PipeDelivery


def prepare(worker: Worker) -> None:
    """Become the user of the service, else the one that `user=` names, and that without the suite's group: a command
    must not reach the suite's private sockets.  Raises PrivilegeError.
    """
    command = parse_pipe_command(worker.config[PIPE_COMMAND])
    if os.geteuid() != 0:
        return
    user = worker.service.user or command.user
    if not user:
        raise PrivilegeError(f"service {worker.service.name}: give it a user; pipe runs no command as root")
    identity = resolve_identity(user)
    if identity.uid == 0:
        raise PrivilegeError(f"service {worker.service.name}: user {user}: pipe runs no command as root")
    drop_privileges(identity.uid, identity.gid)


def run(worker: Worker) -> None:
    """Serve until stopped."""
    if os.geteuid() == 0:
        raise PrivilegeError(f"service {worker.service.name}: pipe runs no command as root; give it a user")
    command = parse_pipe_command(worker.config[PIPE_COMMAND])
    delivery = PipeDelivery(worker.config, worker.service.name, command, worker.tick)
    serve_agent(worker, delivery.deliver, capacity=1)


# Without confinement: what the command may need is the administrator's to say, by the user that it runs as.
PROGRAM = Program(name="pipe", owner="", prepare=prepare, run=run, callers=("mail_owner",))
