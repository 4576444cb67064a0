"""A lookup service in a thread of the test, and a stand-in for the account database."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

from pillarbox.lib.clients.auth import Account
from pillarbox.lib.clients.errors import ServiceUnavailable
from pillarbox.lib.config import Config
from pillarbox.lib.ipc import AsyncChannel, ChannelClosed, ProtocolError
from pillarbox.lib.log import log
from pillarbox.lookup.callers import Callers
from pillarbox.lookup.service import Lookup, Service


class Accounts:
    """What `accounts:` asks in these tests."""

    def __init__(self) -> None:
        self.addresses: set[str] = set()
        self.away = False
        self.asked: list[str] = []
        self.mail: dict[str, str] = {}
        self.gate: threading.Event | None = None

    def _answer(self, question: str) -> None:
        self.asked.append(question)
        if self.gate is not None:
            self.gate.wait(20)
        if self.away:
            raise ServiceUnavailable("connect to auth: Connection refused")

    def account(self, address: str) -> Account | None:
        self._answer(address)
        if address == "root@sys.example":
            return Account(address, 0, 0, "/root", "mbox:/x", True)
        mail = self.mail.get(address, "maildir:/h")
        return Account(address, None, None, "/h", mail, False) if address in self.addresses else None

    def domain(self, domain: str) -> bool:
        self._answer(domain)
        return any(address.endswith(f"@{domain}") for address in self.addresses)

    def domains(self, after: str = "") -> tuple[str, ...]:
        self._answer(f"domains after {after}")
        domains = sorted({address.partition("@")[2] for address in self.addresses})
        return tuple(domain for domain in domains if domain > after)


def configuration(folder: Path, **values: str) -> Config:
    settings = {
        "queue_directory": str(folder),
        "myhostname": "mx.own.example",
        "mydomain": "own.example",
        "inet_interfaces": "loopback-only",
        "alias_maps": "inline:{postmaster=root}",
    }
    return Config.for_tests(**(settings | values))


@contextlib.contextmanager
def served(config: Config, callers: Callers | None = None) -> Iterator[Lookup]:
    """Serve on the configuration's socket until the block ends; connections are broken off then."""
    path = Path(config.socket_path("lookup"))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    lookup = Lookup(config)
    ready, stop = threading.Event(), threading.Event()

    async def session(channel: AsyncChannel, service: Service) -> None:
        try:
            await service.serve(channel)
        except ChannelClosed:
            pass
        except ProtocolError as error:
            log.warning(f"protocol error: {error}")
        finally:
            channel.close()

    async def run() -> None:
        service = Service(lookup, callers)
        loop = asyncio.get_running_loop()
        tasks: list[asyncio.Task[None]] = []
        channels: list[AsyncChannel] = []
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(path))
            listener.listen(16)
            listener.setblocking(False)
            ready.set()
            accepting = loop.create_task(loop.sock_accept(listener))
            while not stop.is_set():
                # Not `wait_for`: a connection that comes as the time ends would be accepted, and lost.
                await asyncio.wait({accepting}, timeout=0.02)
                if not accepting.done():
                    continue
                channels.append(AsyncChannel(accepting.result()[0]))
                tasks.append(loop.create_task(session(channels[-1], service)))
                accepting = loop.create_task(loop.sock_accept(listener))
            accepting.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await accepting
        for channel in channels:
            channel.close()
        await asyncio.gather(*tasks)
        service.close()

    thread = threading.Thread(target=asyncio.run, args=(run(),))
    thread.start()
    ready.wait(20)
    try:
        yield lookup
    finally:
        stop.set()
        thread.join()
