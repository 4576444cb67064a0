"""The requests of the service, a function per verb, and who may wait.

Requests are answered on the event loop as long as the answer is at hand (files, memory).  A table that must ask
another process raises `WouldBlock`; the request is then answered from a thread, and others overtake it.  Expressions
that may take long are tried in the main thread all the same, where the kernel's timer bounds them (`processor_time`).
When a table has changed and only a successor of this process may read it, the connection is ended instead of an
answer: the client asks again, and the successor answers.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

from pillarbox.lib.clients.lookup import Position
from pillarbox.lib.config import Config
from pillarbox.lib.ipc import AsyncChannel, Attributes, ChannelClosed, Outbox, ProtocolError, encode_frame
from pillarbox.lib.log import log
from pillarbox.lib.system.processor_time import hand_over
from pillarbox.lib.tables import STANDARD, LookupFailed, Options, TableChanged
from pillarbox.lib.tables.blocking import WouldBlock, waiting_allowed
from pillarbox.lib.tables.table import Reach
from pillarbox.lookup.access import Access
from pillarbox.lookup.accounts import register_accounts
from pillarbox.lookup.callers import Callers
from pillarbox.lookup.classes import Classes
from pillarbox.lookup.expansion import Expansion
from pillarbox.lookup.forwarding import Forwarding
from pillarbox.lookup.mapping import Mapping
from pillarbox.lookup.members import Members
from pillarbox.lookup.outgoing import Outgoing
from pillarbox.lookup.recipients import Recipients
from pillarbox.lookup.request import Reply, request_key
from pillarbox.lookup.rewriting import Rewriting
from pillarbox.lookup.routing import Router
from pillarbox.lookup.tableset import TableSet
from pillarbox.lookup.verifying import verifying_router

THREADS = 16
"""Requests that may wait for other processes at once: more than the connections that one server is asked over, so that
a server that does not answer leaves threads for the others."""

WAITING_LIMIT = 1000
"""Requests of one connection that wait for other processes; beyond it no more are read until one is answered."""

MAIN_THREAD_WAIT = 30.0
"""Seconds for which a thread waits until the main one has tried its expressions; it waits for the event loop only."""

_POSITIONS: dict[str, Position] = {
    "envelope_sender": "envelope_sender",
    "envelope_recipient": "envelope_recipient",
    "header_sender": "header_sender",
    "header_recipient": "header_recipient",
}


class Lookup:
    """The tables of one configuration, and the answers that they give."""

    def __init__(self, config: Config, options: Options | None = None) -> None:
        registry = STANDARD.copy()
        register_accounts(registry, config)
        self.tables = TableSet(config, registry, options or Options())
        self.classes = Classes(config, self.tables)
        self.router = Router(config, self.tables, self.classes)
        self.verifying = verifying_router(config, self.tables, self.classes, self.router)
        self.forwarding = Forwarding(config, self.classes, self.router)
        self.recipients = Recipients(config, self.tables, self.classes, self.router, self.forwarding)
        mapping = Mapping(config, self.classes, self.router)
        self.expansion = Expansion(config, self.tables, mapping)
        self.rewriting = Rewriting(config, self.tables, mapping)
        self.access = Access(config, self.tables, self.classes, self.router)
        outgoing = Outgoing(self.access, mapping, self.forwarding)
        self.members = Members(self.tables, self.recipients, self.expansion)
        self._verbs: dict[str, Callable[[Attributes], Reply]] = {
            "recipient": self._recipient,
            "resolve": self._resolve,
            "expand": self._expand,
            "members": self._members,
            "canonical": self._canonical,
            "copy": self._copy,
            "generic": outgoing.generic,
            "forwarded": outgoing.forwarded,
            "returned": outgoing.returned,
            "get": self._get,
            "listed": self._listed,
            "access": self.access.find,
            "owners": self.access.owners,
        }

    def preload(self) -> None:
        """Load every table now; what is wrong is logged."""
        self.tables.preload()
        self.classes.preload()
        self.access.preload()
        self.rewriting.masquerade.preload()

    def files(self) -> tuple[str, ...]:
        """The files that the tables read."""
        others = (self.classes, self.access, self.rewriting.masquerade)
        return tuple(dict.fromkeys((*self.tables.files(), *(file for each in others for file in each.files()))))

    def reach(self) -> Reach:
        """The servers that look-ups in the tables ask."""
        return self.tables.reach() | self.classes.reach() | self.access.reach() | self.rewriting.masquerade.reach()

    def answer(self, request: Attributes) -> Reply:
        """The reply to one request.

        Raises ProtocolError for one that makes no sense, WouldBlock (see above), TableChanged where the process must be
        started anew before it can answer.
        """
        verb = request.text("do")
        function = self._verbs.get(verb)
        if function is None:
            raise ProtocolError(f'unknown verb "{verb}"')
        try:
            return function(request)
        except TableChanged:
            raise
        except LookupFailed as error:
            log.warning(f"{verb}: {error}")
            return {"ok": False, "why": error.reason}

    def _recipient(self, request: Attributes) -> Reply:
        verdict = self.recipients.verdict(request_key(request, "address"))
        return {
            "ok": True,
            "status": verdict.status,
            "class": verdict.address_class,
            "text": verdict.text,
            "code": verdict.code,
            "dsn": verdict.dsn,
            **({"quota": verdict.quota} if verdict.quota else {}),
            **({"location": verdict.location} if verdict.location else {}),
        }

    def _resolve(self, request: Attributes) -> Reply:
        router = self.verifying if request.boolean("verify", False) else self.router
        route = router.resolve(request_key(request, "address"), request_key(request, "sender", ""))
        return {
            "ok": True,
            "transport": route.transport,
            "nexthop": route.nexthop,
            "recipient": route.recipient,
            "class": route.address_class,
        }

    def _expand(self, request: Attributes) -> Reply:
        addresses = self.expansion.expand(request_key(request, "address"))
        return {"ok": True} if addresses is None else {"ok": True, "addresses": addresses}

    def _members(self, request: Attributes) -> Reply:
        return {"ok": True, "addresses": self.members.find(request_key(request, "address"))}

    def _canonical(self, request: Attributes) -> Reply:
        position = _POSITIONS.get(request.text("position"))
        if position is None:
            raise ProtocolError(f"position: one of {', '.join(_POSITIONS)} was expected")
        return _value(self.rewriting.canonical(request_key(request, "address"), position))

    def _copy(self, request: Attributes) -> Reply:
        kind = request.text("kind")
        if kind not in ("sender", "recipient"):
            raise ProtocolError('kind: "sender" or "recipient" was expected')
        return _value(self.rewriting.copy_to(request_key(request, "address"), kind))

    def _get(self, request: Attributes) -> Reply:
        name = request.text("parameter")
        maps = self.tables.named(name)
        if maps is None:
            return {"ok": False, "why": f'"{name[:100]}" is no parameter that names tables'}
        found = maps.locate(request_key(request, "key"))
        return {"ok": True} if found is None else {"ok": True, "table": found[0], "value": found[1]}

    def _listed(self, request: Attributes) -> Reply:
        listed = self.classes.listed(request.text("parameter"), request_key(request, "domain"))
        if listed is None:
            return {"ok": False, "why": "no such list of domains"}
        return {"ok": True, "listed": listed}


def _value(value: str | None) -> Reply:
    return {"ok": True} if value is None else {"ok": True, "value": value}


class Service:
    """Serves channels; belongs to one event loop.  Without `callers` everybody may ask everything."""

    def __init__(self, lookup: Lookup, callers: Callers | None = None) -> None:
        self._lookup = lookup
        self._callers = callers
        self._threads = ThreadPoolExecutor(THREADS, "lookup")
        self._loop: asyncio.AbstractEventLoop | None = None

    async def serve(self, channel: AsyncChannel) -> None:
        """Answer the requests of one connection until it ends.  Raises ChannelClosed, ProtocolError."""
        if self._loop is None:
            self._loop = asyncio.get_running_loop()
            if threading.current_thread() is threading.main_thread():
                hand_over(self._in_main_thread)
        waiting: set[asyncio.Task[None]] = set()
        refusal = self._callers.refusal if self._callers is not None else None
        uid = channel.peer_uid
        outbox = Outbox(channel, lambda error: channel.close())
        try:
            while True:
                request = await channel.receive()
                tag = request.integer("tag", 0)
                try:
                    if refusal is not None and (why := refusal(uid, request)):
                        raise ProtocolError(why)
                    reply = self._lookup.answer(request)
                except WouldBlock:
                    task = asyncio.get_running_loop().create_task(self._answer_later(channel, request, tag, outbox))
                    waiting.add(task)
                    task.add_done_callback(waiting.discard)
                    if len(waiting) >= WAITING_LIMIT:
                        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
                    if outbox.full:
                        await outbox.flushed()
                    continue
                except TableChanged as error:
                    raise ChannelClosed(str(error)) from None
                except ProtocolError as error:
                    outbox.put(encode_frame({"ok": False, "why": str(error), "tag": tag}))
                    raise
                reply["tag"] = tag
                outbox.put(encode_frame(reply))
                if outbox.full:
                    await outbox.flushed()
        finally:
            # Drained or broken off: answers under way are still sent where the connection lives.
            if waiting:
                await asyncio.gather(*waiting, return_exceptions=True)
            await outbox.flushed()

    async def _answer_later(self, channel: AsyncChannel, request: Attributes, tag: int, outbox: Outbox) -> None:
        try:
            reply = await asyncio.get_running_loop().run_in_executor(self._threads, self._answer_waiting, request)
        except TableChanged:
            channel.close()
            return
        except Exception as error:  # a fault of ours: whoever asked learns at once that there will be no answer
            log.panic(f"{request.text('do')}: {type(error).__name__}: {error}")
            channel.close()
            return
        reply["tag"] = tag
        outbox.put(encode_frame(reply))

    def _answer_waiting(self, request: Attributes) -> Reply:
        try:
            with waiting_allowed():
                return self._lookup.answer(request)
        except ProtocolError as error:
            return {"ok": False, "why": str(error)}

    def _in_main_thread(self, work: Callable[[], object]) -> object:
        """What `work` gives or raises there; called in another thread."""
        outcome: Future[object] = Future()

        def run() -> None:
            try:
                outcome.set_result(work())
            except Exception as error:
                outcome.set_exception(error)

        assert self._loop is not None
        try:
            self._loop.call_soon_threadsafe(run)
            return outcome.result(MAIN_THREAD_WAIT)
        except (TimeoutError, RuntimeError) as error:
            raise LookupFailed(f"the event loop has no time for expressions: {error}") from None

    def close(self) -> None:
        """End the threads."""
        hand_over(None)
        self._threads.shutdown(wait=False, cancel_futures=True)
