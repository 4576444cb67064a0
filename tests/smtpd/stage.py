"""A session with everything around it replaced: fake lookup, cleanup, auth and anvil, a real TCP connection."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import socket
import ssl
import tempfile
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from dataclasses import asdict, astuple, dataclass, field
from typing import Any

from pillarbox.lib.clients import ServiceUnavailable
from pillarbox.lib.clients.anvil import Counts
from pillarbox.lib.clients.auth import Challenge, Failure, Step, Success
from pillarbox.lib.clients.cleanup import Receipt, Rejected
from pillarbox.lib.clients.lookup import AccessValue, LookupUnavailable, RecipientVerdict, Route
from pillarbox.lib.clients.notices import AsyncNotices
from pillarbox.lib.clients.policy_service import PolicyServices
from pillarbox.lib.clients.reputation import AccountLimits, Greylisted, GreylistPolicy, Passed, Standing
from pillarbox.lib.config import Config
from pillarbox.lib.dns import Hosts, Resolver
from pillarbox.lib.dns import Server as NameServer
from pillarbox.lib.ipc import Attributes
from pillarbox.lib.log import log
from pillarbox.lib.process.loop import new_event_loop
from pillarbox.lib.queue.edits import Edits
from pillarbox.lib.queue.envelope import Envelope
from pillarbox.reputation.database import Database
from pillarbox.reputation.service import Memory
from pillarbox.smtpd.client import ClientNames
from pillarbox.smtpd.handlers import HANDLERS
from pillarbox.smtpd.proxied import serve_proxied
from pillarbox.smtpd.screening.dnsbl import Silence
from pillarbox.smtpd.screening.results import Results
from pillarbox.smtpd.server import Server
from pillarbox.smtpd.session import Session
from pillarbox.smtpd.sweep import Sweeper
from pillarbox.smtpd.wrapper import serve_wrapped

HOST = "mx.example"
ID = "4jXFYl6dnjzKD6m"
ARRIVAL = 1795319643.0


class FakeLookup:
    """`user@here.example` exists; `known` answers come without waiting."""

    def __init__(self) -> None:
        self.known: dict[str, RecipientVerdict] = {}
        self.broken = False
        self.asked: list[str] = []
        self.aliases: dict[str, tuple[str, ...]] = {}
        self.values: dict[tuple[str, str], str] = {}
        self.tables: dict[str, dict[str, str]] = {}
        self.looked_up: list[tuple[tuple[str, ...], tuple[str, ...]]] = []

    def known_recipient(self, address: str) -> RecipientVerdict | None:
        return self.known.get(address)

    def known_route(self, recipient: str, sender: str = "") -> Route | None:
        return None

    def known_access(self, *question: object) -> AccessValue | None:
        return None

    async def resolve(self, recipient: str, sender: str = "") -> Route:
        verdict = await self.recipient(recipient)
        return Route("smtp", recipient.rpartition("@")[2], recipient, verdict.address_class)

    async def access(self, tables: Sequence[str], keys: Sequence[str], partial: Sequence[bool]) -> AccessValue | None:
        self.looked_up.append((tuple(tables), tuple(keys)))
        await asyncio.sleep(0)
        if self.broken:
            raise LookupUnavailable("the lookup service is away")
        for key in keys:
            for table in tables:
                if (value := self.tables.get(table, {}).get(key)) is not None:
                    return AccessValue(key, value)
        return None

    async def owners(self, tables: Sequence[str], address: str) -> AccessValue | None:
        return await self.access(tables, [address], [False])

    async def recipient(self, address: str) -> RecipientVerdict:
        self.asked.append(address)
        await asyncio.sleep(0)
        if self.broken:
            raise LookupUnavailable("the lookup service is away")
        local, _, domain = address.rpartition("@")
        if domain != "here.example":
            return RecipientVerdict("relay_denied", "default", "Relay access denied", 554, "5.7.1")
        if local.startswith("root"):
            return RecipientVerdict("ok", "local")
        if local.startswith("nobody"):
            return RecipientVerdict("unknown", "virtual_mailbox", "User unknown in virtual mailbox table", 550, "5.1.1")
        return RecipientVerdict("ok", "virtual_mailbox")

    async def members(self, address: str) -> tuple[str, ...]:
        if self.broken:
            raise LookupUnavailable("the lookup service is away")
        return self.aliases.get(address, ())

    async def get(self, parameter: str, key: str) -> str | None:
        if self.broken:
            raise LookupUnavailable("the lookup service is away")
        return self.values.get((parameter, key))


class FakeQmgr:
    """Knows two sites: relay.example has mail waiting, and one that nobody may ask for."""

    def __init__(self) -> None:
        self.flushed: list[str] = []
        self.down = False

    async def flush_site(self, domain: str) -> int | None:
        if self.down:
            raise ServiceUnavailable("qmgr: down")
        self.flushed.append(domain)
        return 3 if domain == "relay.example" else None


class FakeMessage:
    def __init__(self, cleanup: FakeCleanup) -> None:
        self.queue_id = ID
        self.cleanup = cleanup
        self.envelope: Envelope | None = None
        self.content = b""
        self.unsent = 0
        self.flushes = 0
        self.edits: Edits | None = None
        self.state = "open"

    def begin(self, envelope: Envelope, *, examine: bool = False) -> None:
        self.envelope = envelope

    def gather(self, content: bytes) -> bool:
        self.content += content
        self.unsent += len(content)
        return self.unsent >= 64 * 1024

    async def write(self, content: bytes) -> None:
        if self.gather(content):
            await self.flush()

    async def flush(self) -> None:
        await asyncio.sleep(0)
        if self.cleanup.broken:
            raise ServiceUnavailable("cleanup: gone")
        self.unsent = 0
        self.flushes += 1

    async def commit(self, edits: Edits | None = None) -> Receipt:
        await self.cleanup.gate.wait()
        if self.cleanup.broken:
            raise ServiceUnavailable("cleanup: gone")
        if self.cleanup.rejection:
            raise self.cleanup.rejection
        self.state = "committed"
        self.edits = edits
        return Receipt(self.queue_id, len(self.content))

    def abort(self) -> None:
        if self.state != "committed":
            self.state = "aborted"


class FakeCleanup:
    def __init__(self) -> None:
        self.messages: list[FakeMessage] = []
        self.broken = False
        self.closed = False
        self.warm = True
        self.rejection: Rejected | None = None
        self.gate = asyncio.Event()
        self.gate.set()

    def open_now(self) -> FakeMessage | None:
        if self.closed or not self.warm:
            return None
        self.messages.append(FakeMessage(self))
        return self.messages[-1]

    async def open(self) -> FakeMessage:
        await asyncio.sleep(0)
        if self.closed:
            raise ServiceUnavailable("cleanup: no queue file could be made")
        self.messages.append(FakeMessage(self))
        return self.messages[-1]


class FakeAuth:
    """PLAIN with `\\0ann\\0secret`; TWOSTEP asks once and wants `secret`."""

    def __init__(self) -> None:
        self.aborted: list[Challenge] = []
        self.down = False

    async def mechanisms(self, encrypted: bool, client_address: str = "", security: object = None) -> tuple[str, ...]:
        if self.down:
            raise ServiceUnavailable("auth: down")
        return ("PLAIN", "TWOSTEP")

    async def begin(self, service: str, mechanism: str, initial: bytes | None, **client: object) -> Step:
        if self.down:
            raise ServiceUnavailable("auth: down")
        if mechanism == "TWOSTEP":
            return Challenge(b"what?", 1)
        if mechanism != "PLAIN":
            return Failure("no such mechanism", kind="mechanism")
        return self._judge(mechanism, initial == b"\0ann\0secret")

    async def continue_(self, challenge: Challenge, response: bytes) -> Step:
        return self._judge("TWOSTEP", response == b"secret")

    def _judge(self, mechanism: str, good: bool) -> Step:
        if good:
            return Success("ann@here.example", "", mechanism)
        return Failure("wrong user name or password", username="ann@here.example")

    def abort(self, challenge: Challenge) -> None:
        self.aborted.append(challenge)


class FakeAnvil:
    def __init__(self) -> None:
        self.open = 0
        self.rates: dict[str, int] = {}
        self.clients: set[str] = set()
        self.down = False

    async def connect(self, service: str, address: str) -> Counts:
        self.clients.add(address)
        await asyncio.sleep(0)
        if self.down:
            raise ServiceUnavailable("anvil: down")
        self.open += 1
        return Counts(self.open, self.open)

    async def count(self, service: str, address: str, kind: str) -> int:
        self.clients.add(address)
        self.rates[kind] = self.rates.get(kind, 0) + 1
        return self.rates[kind]

    async def rate(self, service: str, address: str, kind: str) -> int:
        return self.rates.get(kind, 0)

    def disconnect(self, service: str, address: str) -> None:
        self.clients.add(address)
        self.open -= 1


class FakeReputation:
    """The real memory without the socket, in a directory that goes with it; `down` makes it unavailable."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._folder = tempfile.TemporaryDirectory()
        self.memory = Memory(Database(self._folder.name, 10_000_000), clock)
        self.down = False
        self.asked = 0

    def _answer(self, request: dict[str, object]) -> Attributes:
        reply = Attributes(self.memory.answer(Attributes(request)))
        assert reply.boolean("ok")
        return reply

    async def _ask(self, request: dict[str, object]) -> Attributes:
        await asyncio.sleep(0)
        self.asked += 1
        if self.down:
            raise ServiceUnavailable("reputation: down")
        return self._answer(request)

    async def client(self, address: str) -> Passed | None:
        reply = await self._ask({"do": "client", "address": address})
        return (
            Passed(reply.integer("greet"), reply.integer("dnsbl"), reply.integer("rank")) if "rank" in reply else None
        )

    def passed(self, address: str, passed: Passed) -> None:
        self._answer({"do": "passed", "address": address, **asdict(passed)})

    async def greylist(self, network: str, triplet: str, sender: str, policy: GreylistPolicy) -> Greylisted:
        request = {"do": "greylist", "network": network, "triplet": triplet, "sender": sender}
        reply = await self._ask({**request, "policy": list(astuple(policy))})
        return Greylisted(reply.integer("wait"), reply.text("why"), reply.integer("after"))

    def written(self, addresses: Sequence[str], lifetime: int) -> None:
        self._answer({"do": "written", "addresses": list(addresses), "lifetime": lifetime})

    async def submit(self, account: str, recipients: Sequence[str], limits: AccountLimits) -> Standing:
        request = {"do": "submit", "account": account, "messages": 1, "recipients": list(recipients)}
        return Standing(**self._without_ok(await self._ask({**request, "limits": list(astuple(limits))})))

    def told(self, account: str) -> None:
        self._answer({"do": "told", "account": account})

    def close(self) -> None:
        self.memory.database.close()
        self._folder.cleanup()

    @staticmethod
    def _without_ok(reply: Attributes) -> dict[str, Any]:
        return {name: value for name, value in dict.items(reply) if name != "ok"}


@dataclass
class Stage:
    """A listening server and what surrounds it."""

    server: Server
    port: int
    lines: list[str]
    cleanup: FakeCleanup
    lookup: FakeLookup
    auth: FakeAuth
    anvil: FakeAnvil
    qmgr: FakeQmgr
    reputation: FakeReputation
    released: int = 0
    peers: list[Peer] = field(default_factory=list)

    async def connect(self, greeted: bool = True, **options: Any) -> Peer:
        """A client; has read the greeting."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port, **options)
        peer = Peer(reader, writer)
        self.peers.append(peer)
        if greeted:
            peer.greeting = await peer.reply()
        return peer

    async def ended(self, sessions: int = 1) -> None:
        """Wait until so many sessions are over."""
        async with asyncio.timeout(10):
            while self.released < sessions:
                await asyncio.sleep(0.005)

    def logged(self, text: str) -> bool:
        """Whether a log line has this text in it."""
        return any(text in line for line in self.lines)


class Peer:
    """The client's side."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        self.greeting = ""

    @property
    def port(self) -> int:
        """The client's port."""
        return int(self.writer.get_extra_info("sockname")[1])

    async def reply(self) -> str:
        """One reply, its lines joined by a blank; "" at the end of the connection."""
        lines: list[str] = []
        async with asyncio.timeout(10):
            while True:
                line = (await self.reader.readline()).decode()
                lines.append(line.rstrip("\r\n"))
                if line[3:4] != "-":
                    return " ".join(lines)

    async def say(self, *commands: str | bytes) -> str:
        """Send commands one after the other; the last reply."""
        last = ""
        for command in commands:
            self.send(command)
            last = await self.reply()
        return last

    def send(self, data: str | bytes) -> None:
        """Send without waiting; a text gets a line end."""
        self.writer.write(data if isinstance(data, bytes) else f"{data}\r\n".encode())

    async def start_tls(self) -> None:
        """The client's side of the handshake."""
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        await self.writer.start_tls(context)

    def close(self) -> None:
        """Go away."""
        self.writer.close()


@contextlib.asynccontextmanager
async def stage(
    *,
    tls: ssl.SSLContext | None = None,
    hosts: str = "127.0.0.1 localhost",
    sweep: float = 0.01,
    dns: NameServer | None = None,
    **settings: str,
) -> AsyncIterator[Stage]:
    """A server on a free port.  By default the client is a stranger: mynetworks is empty."""
    values = {"myhostname": HOST, "myorigin": HOST, "mynetworks": "", "mail_name": "Pillarbox", **settings}
    config = Config.for_tests(**values)
    with log.capture() as lines:
        resolver = Resolver((dns,) if dns else (), timeout=1.0, hosts=Hosts(hosts))
        server = Server(config, "smtp", tls=tls, resolver=resolver, clock=lambda: ARRIVAL)
        cleanup, lookup, auth, anvil = FakeCleanup(), FakeLookup(), FakeAuth(), FakeAnvil()
        loop = asyncio.get_running_loop()
        server.names = ClientNames(server.resolver, loop.time)
        server.cleanup, server.lookup = cleanup, lookup  # type: ignore[assignment]
        server.notices = AsyncNotices(config, cleanup, pauses=(0.0, *(0.05,) * 20))  # type: ignore[arg-type]
        server.auth, server.anvil = auth, anvil  # type: ignore[assignment]
        server.qmgr = qmgr = FakeQmgr()  # type: ignore[assignment]
        server.policy_services = PolicyServices()
        reputation = FakeReputation(lambda: server.clock())
        server.reputation = reputation  # type: ignore[assignment]
        silence = Silence(loop.time, server.screening.lists.timeout)
        server.results = Results(reputation, silence)  # type: ignore[arg-type]
        server.sweeper = Sweeper(server.sessions, sweep)
        server.sweeper.start()

        def released() -> None:
            scene.released += 1

        listener = socket.create_server(("127.0.0.1", 0))
        listener.setblocking(False)
        scene = Stage(server, listener.getsockname()[1], lines, cleanup, lookup, auth, anvil, qmgr, reputation)

        async def serve(connection: socket.socket) -> None:
            if server.proxies is not None:
                await serve_proxied(server, HANDLERS, connection)
                connection.close()
                released()
            elif server.wrapper:
                await serve_wrapped(server, HANDLERS, connection)
                released()
            else:
                await loop.connect_accepted_socket(lambda: Session(server, HANDLERS, released), connection)

        async def accept() -> None:
            tasks = set()
            while True:
                connection, _ = await loop.sock_accept(listener)
                connection.setblocking(False)
                tasks.add(loop.create_task(serve(connection)))

        accepting = loop.create_task(accept())
        try:
            yield scene
        finally:
            server.sweeper.stop()
            for peer in scene.peers:
                with contextlib.suppress(Exception):
                    peer.close()
            accepting.cancel()
            await asyncio.sleep(0)
            listener.close()
            reputation.close()
            resolver.close()


def run(scenario: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run a scenario on a fresh loop of each kind that the suite may run on."""
    for factory in (asyncio.new_event_loop, new_event_loop):
        with asyncio.Runner(loop_factory=factory) as runner:
            runner.run(scenario())


def plain(text: str) -> str:
    """Base64."""
    return base64.b64encode(text.encode()).decode()


OPEN = ("EHLO client.example", "MAIL FROM:<a@b.example>", "RCPT TO:<user@here.example>")
