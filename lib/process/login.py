"""What the login programs of IMAP and POP3 have in common: all but the dialogue."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from functools import partial

from pillarbox.lib.config import Config
from pillarbox.lib.login import LoginFront, LoginProtocol
from pillarbox.lib.process.events import serve_with
from pillarbox.lib.process.program import Program
from pillarbox.lib.process.worker import Worker
from pillarbox.lib.system.confinement import Confinement
from pillarbox.lib.tls import ServerRole, login_role, server_context


def confinement(config: Config) -> Confinement:
    """Nothing but the interpreter; sockets to auth and to the session parts."""
    return Confinement(fork=False)


def login_program(protocol: str, dialogue: Callable[[Config], LoginProtocol]) -> Program:
    """The program `PROTOCOL-login`; `protocol` is imap or pop3, also the name in ALPN."""
    contexts: dict[
        Worker, ssl.SSLContext | None
    ] = {}  # from `prepare`, which may read the key, to `run`, which may not

    def role(config: Config) -> ServerRole | None:
        """How the service uses TLS."""
        return login_role(config, (protocol,))

    def prepare(worker: Worker) -> None:
        """Load certificates and keys while they can still be read."""
        use = role(worker.config)
        contexts[worker] = server_context(worker.config, use, worker.tickets) if use is not None else None

    return Program(
        name=f"{protocol}-login",
        owner="net_owner",
        confinement=confinement,
        prepare=prepare,
        run=partial(_run, dialogue, contexts),
        tls=role,
        retires=True,
    )


def _run(
    dialogue: Callable[[Config], LoginProtocol], contexts: dict[Worker, ssl.SSLContext | None], worker: Worker
) -> None:
    serve_with(worker, lambda: LoginFront(worker.config, dialogue(worker.config), contexts.get(worker)))
