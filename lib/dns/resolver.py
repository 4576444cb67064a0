"""The stub resolver: typed look-ups over several servers, remembered, with alias chains followed.

    resolver = Resolver(servers, hosts=Hosts(text))
    match await resolver.mx("example.org"):
        case Answer(records=records): ...      # an authoritative yes
        case Absent(name_exists=False): ...    # an authoritative no
        case Failed(detail=detail): ...        # try later

Equal look-ups that run at the same time are one.  Clock, randomness and servers are given, so tests need no network
beyond loopback.  It does not validate DNSSEC (`validating` does); `Answer.authenticated` is what the server says.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import time
from collections.abc import Sequence
from typing import cast

from pillarbox.lib.dns.cache import Cache, Key
from pillarbox.lib.dns.client_name import ClientName, find_client_name
from pillarbox.lib.dns.codec import Record, Response, encode_question
from pillarbox.lib.dns.endpoint import Endpoint, Unreachable
from pillarbox.lib.dns.hosts import Hosts
from pillarbox.lib.dns.names import BadName, reverse_name
from pillarbox.lib.dns.servers import Server
from pillarbox.lib.dns.types import (
    MX,
    TLSA,
    Absent,
    Answer,
    Clock,
    Failed,
    Outcome,
    RandomBits,
    RecordType,
    ResponseCode,
)

CHAIN_LIMIT = 10
"""Aliases followed for one look-up; real chains have two or three."""

_LOOPBACK: dict[int, str] = {RecordType.A: "127.0.0.1", RecordType.AAAA: "::1"}


class Resolver:
    """Asks `servers` in turn, going through the list `attempts` times, `timeout` seconds for each question."""

    _may_do_without_edns = True

    def __init__(
        self,
        servers: Sequence[Server],
        *,
        timeout: float = 5.0,
        attempts: int = 2,
        cache_size: int = 10000,
        hosts: Hosts | None = None,
        clock: Clock = time.monotonic,
        random_bits: RandomBits = secrets.randbits,
        believed: bool = True,
    ) -> None:
        """`believed`: what the servers say of DNSSEC is passed on; else no answer counts as authenticated."""
        self.hosts = hosts or Hosts()
        self.cache = Cache(cache_size, clock)
        self._endpoints = [Endpoint(server, random_bits) for server in servers]
        self._timeout = timeout
        self._attempts = attempts
        self._believed = believed
        self._running: dict[Key, list[asyncio.Future[Outcome[object]]]] = {}
        self._heirs: set[asyncio.Task[None]] = set()

    def close(self) -> None:
        """Close the sockets; look-ups that run fail."""
        for endpoint in self._endpoints:
            endpoint.close()

    # --- typed look-ups

    async def a(self, name: str) -> Outcome[str]:
        """IPv4 addresses."""
        return cast("Outcome[str]", await self.query(name, RecordType.A))

    async def aaaa(self, name: str) -> Outcome[str]:
        """IPv6 addresses."""
        return cast("Outcome[str]", await self.query(name, RecordType.AAAA))

    async def mx(self, name: str) -> Outcome[MX]:
        """Mail exchangers, in no particular order."""
        return cast("Outcome[MX]", await self.query(name, RecordType.MX))

    async def txt(self, name: str) -> Outcome[bytes]:
        """Texts, the strings of each record joined."""
        return cast("Outcome[bytes]", await self.query(name, RecordType.TXT))

    async def ptr(self, address: str) -> Outcome[str]:
        """The names of an IP address.  Raises ValueError for what is none."""
        return cast("Outcome[str]", await self.query(reverse_name(address), RecordType.PTR))

    async def tlsa(self, name: str) -> Outcome[TLSA]:
        """Certificate associations of `_PORT._tcp.HOST`."""
        return cast("Outcome[TLSA]", await self.query(name, RecordType.TLSA))

    async def addresses(self, name: str, types: Sequence[RecordType] = (RecordType.A, RecordType.AAAA)) -> Outcome[str]:
        """Addresses of several families in the order of `types`.

        A failure for one family counts only where no other gave an address; "no" needs a no from every family.
        """
        if len(types) == 1:
            return cast("Outcome[str]", await self.query(name, types[0]))
        cached = [self.cache.get((name.lower(), kind)) for kind in types]
        outcomes: list[Outcome[object]] = (
            [outcome for outcome in cached if outcome is not None]
            if None not in cached
            else await asyncio.gather(*(self.query(name, kind) for kind in types))
        )
        answers = [outcome for outcome in outcomes if isinstance(outcome, Answer)]
        if answers:
            records = tuple(str(record) for answer in answers for record in answer.records)
            return Answer(
                name,
                records,
                answers[0].canonical,
                min(answer.ttl for answer in answers),
                all(answer.authenticated for answer in answers),
            )
        for outcome in outcomes:
            if isinstance(outcome, Failed):
                return outcome
        for outcome in outcomes:
            if isinstance(outcome, Absent) and outcome.name_exists:
                return outcome
        return cast("Outcome[str]", outcomes[0])

    async def client_name(self, address: str) -> ClientName:
        """Who is calling from `address`; see `ClientName`."""
        return await find_client_name(self, address)

    # --- the look-up itself

    async def query(self, name: str, record_type: int) -> Outcome[object]:
        """A look-up of any type that has a reader; a name that can't exist is absent."""
        key = name.lower(), record_type
        outcome = self.cache.get(key)
        if outcome is not None:
            return outcome
        waiting = self._running.get(key)
        if waiting is None:
            waiting = self._running[key] = []
            return await self._look_up(key, waiting)
        future: asyncio.Future[Outcome[object]] = asyncio.get_running_loop().create_future()
        waiting.append(future)
        return await future

    async def _look_up(self, key: Key, waiting: list[asyncio.Future[Outcome[object]]]) -> Outcome[object]:
        """Done by the first who asks, in no task of its own; `waiting` are the others."""
        try:
            outcome = await self._follow(*key)
        except asyncio.CancelledError:
            if any(not future.done() for future in waiting):  # who loses patience does not end it for the others
                heir = asyncio.get_running_loop().create_task(self._inherit(key, waiting))
                self._heirs.add(heir)
                heir.add_done_callback(self._heirs.discard)
            else:
                del self._running[key]
            raise
        except Exception as error:
            del self._running[key]
            for future in waiting:
                if not future.done():
                    future.set_exception(error)
            raise
        del self._running[key]
        self.cache.put(key, outcome)
        for future in waiting:
            if not future.done():
                future.set_result(outcome)
        return outcome

    async def _inherit(self, key: Key, waiting: list[asyncio.Future[Outcome[object]]]) -> None:
        with contextlib.suppress(Exception):  # they have heard of it
            await self._look_up(key, waiting)

    async def _follow(self, name: str, record_type: int) -> Outcome[object]:
        if (name == "localhost" or name.endswith(".localhost")) and record_type in _LOOPBACK:
            return Answer(name, (_LOOPBACK[record_type],), name, 0.0)  # RFC 6761 section 6.3, rule 3
        seen: set[str] = set()
        ttl = float("inf")
        authenticated = self._believed
        current = name
        while True:
            try:
                question = encode_question(current, record_type)
            except BadName:
                return Absent(name, name_exists=False)
            try:
                response = await self.ask(question)
            except Unreachable as error:
                return Failed(name, str(error))
            authenticated = authenticated and response.authenticated
            aliases = _aliases(response.answers, record_type)
            while (alias := aliases.get(current.lower())) is not None:
                if current.lower() in seen or len(seen) >= CHAIN_LIMIT:
                    return Failed(name, f"the alias chain of {name} is too long or runs in a circle")
                seen.add(current.lower())
                current = str(alias.value)
                ttl = min(ttl, alias.ttl)
            wanted = current.lower()
            found = [
                record for record in response.answers if record.type == record_type and record.name.lower() == wanted
            ]
            if found:
                ttl = min(ttl, *(record.ttl for record in found))
                return Answer(name, tuple(record.value for record in found), current, ttl, authenticated)
            if response.rcode == ResponseCode.NXDOMAIN:
                return Absent(name, False, min(ttl, response.negative_ttl or 0), authenticated)
            if not aliases or response.negative_ttl is not None or current.lower() in seen:
                return Absent(name, True, min(ttl, response.negative_ttl or 0), authenticated)
            # An alias without its target: the server does not follow chains, so we do.

    async def _without_edns(self, endpoint: Endpoint, question: bytes) -> Response:
        """RFC 6891 section 7: it may be an old server, which is asked the old way from then on; but only if that helps.
        One that understands nobody's question, as a stranger's zone may make it say, stays what it was."""
        endpoint.edns = False
        try:
            response = await endpoint.query(question, self._timeout)
        except BaseException:
            endpoint.edns = True
            raise
        endpoint.edns = response.rcode in _NOT_UNDERSTOOD
        return response

    async def ask(self, question: bytes) -> Response:
        """What the first server says that can be reached: a yes or a no, not remembered.  Raises Unreachable."""
        reasons: list[str] = []
        for _ in range(self._attempts):
            for endpoint in self._endpoints:
                try:
                    response = await endpoint.query(question, self._timeout)
                    if response.rcode in _NOT_UNDERSTOOD and endpoint.edns and self._may_do_without_edns:
                        response = await self._without_edns(endpoint, question)
                except Unreachable as error:
                    reasons.append(f"{endpoint.server}: {error}")
                    continue
                if response.rcode in (ResponseCode.NOERROR, ResponseCode.NXDOMAIN):
                    return response
                reasons.append(f"{endpoint.server}: {_rcode_name(response.rcode)}")
        raise Unreachable("; ".join(dict.fromkeys(reasons)) or "no DNS server is configured")


_NOT_UNDERSTOOD = (ResponseCode.FORMERR, ResponseCode.NOTIMP)


def _aliases(answers: Sequence[Record], record_type: int) -> dict[str, Record]:
    if record_type == RecordType.CNAME:
        return {}
    return {record.name.lower(): record for record in answers if record.type == RecordType.CNAME}


def _rcode_name(rcode: int) -> str:
    try:
        return ResponseCode(rcode).name
    except ValueError:
        return f"response code {rcode}"
