"""The tests of a client before the greeting, all at the same time (postscreen(8), whose words the log has).

In CONNECT: who is on the access list is through, or out.  Who has passed before, here or in another process, is through
without waiting.  For all others the DNS lists are asked while the client waits for the greeting, of which it has seen a
first, incomplete line; the client's name is looked for meanwhile.  A test that is failed is ignored, enforced (the
session goes on, and every recipient is refused) or answered by hanging up; only who fails none is remembered.
"""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from pillarbox.lib.clients.lookup import LookupUnavailable
from pillarbox.lib.clients.reputation import Passed
from pillarbox.lib.config.parameters.smtpd_screening import SMTPD_DNSBL_REPLY_MAP, SMTPD_SCREENING_ACCESS_LIST
from pillarbox.lib.log import log
from pillarbox.lib.smtp import replies
from pillarbox.lib.smtp.events import Rcpt
from pillarbox.lib.smtp.reply import Reply
from pillarbox.smtpd.screening.dnsbl import Ranking
from pillarbox.smtpd.screening.results import NOTHING
from pillarbox.smtpd.screening.settings import Settings

if TYPE_CHECKING:
    from pillarbox.smtpd.checks import Checks, Verdict
    from pillarbox.smtpd.server import Server
    from pillarbox.smtpd.session import Session

GRACE: Final = 1.0
"""Seconds that the lists have to complete the rank of a client of which they say already that it is bad."""

PREGREET_SHOWN: Final = 100
"""Octets of what a client has said too early that the log shows."""


@dataclass(frozen=True, slots=True)
class Screened:
    """What became of a client: its rank in the DNS lists; `refusal` is what its recipients get."""

    rank: int = 0
    refusal: Reply | None = None


UNSCREENED: Final = Screened()


def checks(server: Server) -> Checks:
    """The checks that the service's configuration asks for."""
    settings = server.screening
    if not settings.tests:
        return {}
    enforced = "enforce" in (settings.greeting.action, settings.lists.action, settings.access_list.action)
    return {"CONNECT": (screen,), "RCPT": (refused,) if enforced else ()}


def refused(session: Session, event: Rcpt) -> Verdict:
    """Whoever failed a test that is enforced; not who has shown since that it is one of us."""
    return None if session.core.authenticated else session.screened.refusal


def screen(session: Session, event: Any) -> Any:
    """Let through who is known, test the others."""
    settings, address = session.server.screening, session.client.address
    session.screened = UNSCREENED
    trusted = session.trusted and settings.access_list.mynetworks is not None
    if trusted and (settings.access_list.mynetworks == "first" or not settings.access_list.tables):
        return None
    if not settings.access_list.tables:
        known = session.server.results.known(address)
        if known is not None and _through(session, known):
            return None
    return _screen(session)


def _tag(session: Session) -> str:
    return f"[{session.client.address}]:{session.client.port}"


def _through(session: Session, passed: Passed) -> bool:
    """Whether nothing is left to test."""
    settings, now = session.server.screening, session.server.clock()
    lists = settings.lists
    if lists.sites and passed.dnsbl <= now:
        return False
    good = bool(lists.sites) and lists.good(passed.rank)
    if settings.greeting.wait and passed.greet <= now and not good and not session.core.greeted:
        return False
    session.screened = Screened(passed.rank if lists.sites else 0)
    log.info(f"PASS OLD {_tag(session)}")
    return True


async def _screen(session: Session) -> Verdict:
    settings, address = session.server.screening, session.client.address
    if settings.access_list.tables:
        listed = await _listed(session)
        if listed == "permit" or (listed == "" and session.trusted and settings.access_list.mynetworks is not None):
            log.info(f"ALLOWLISTED {_tag(session)}")
            return None
        if listed == "reject":
            log.info(f"DENYLISTED {_tag(session)}")
            action = settings.access_list.action
            if action != "ignore":
                return _fail(session, action, replies.SERVICE_UNAVAILABLE, replies.SERVICE_UNAVAILABLE_DROP, 0)
    known = session.server.results.known(address)
    if known is None or not _current(session, known):
        known = await session.server.results.find(address)
    if known is not None and _through(session, known):
        return None
    return await Test(session, known).run()


def _current(session: Session, passed: Passed) -> bool:
    """Whether all that was passed still holds; else another process may know better."""
    settings, now = session.server.screening, session.server.clock()
    return (not settings.lists.sites or passed.dnsbl > now) and (not settings.greeting.wait or passed.greet > now)


async def _listed(session: Session) -> str:
    """permit, reject or "": what the tables say about the client; "" also where they cannot say."""
    try:
        value = await session.server.lookup.get(SMTPD_SCREENING_ACCESS_LIST.name, session.client.address)
    except LookupUnavailable as error:
        log.warning(f"{SMTPD_SCREENING_ACCESS_LIST.name}: {error.reason}")
        return ""
    word = (value or "").strip().lower()
    if word not in ("permit", "reject", "dunno", ""):
        log.warning(f'{SMTPD_SCREENING_ACCESS_LIST.name}: permit, reject or dunno was expected, not "{value}"')
    return word if word in ("permit", "reject") else ""


def _fail(session: Session, action: str, enforced: Reply, dropped: Reply, rank: int) -> Verdict:
    """Carry out an action; the reply with which to hang up, if that is it."""
    if action == "drop":
        session.log_rejection("CONNECT", str(dropped))
        return dropped
    if action == "enforce" and session.screened.refusal is None:
        session.screened = Screened(rank, enforced)
    return None


class Test:
    """The tests of one client that has to take some."""

    def __init__(self, session: Session, known: Passed | None) -> None:
        self._session = session
        self._settings: Settings = session.server.screening
        self._known = known or NOTHING
        self._new = known is None
        self._loop = asyncio.get_running_loop()
        self._began = self._loop.time()
        self._stir = asyncio.Event()
        now = session.server.clock()
        self._waits = bool(self._settings.greeting.wait) and self._known.greet <= now and not session.core.greeted
        self._asks = bool(self._settings.lists.sites) and self._known.dnsbl <= now
        self._ranking: Ranking | None = None
        self._early = self._waited = self._late = False
        self._failed = False

    async def run(self) -> Verdict:
        """Wait for the tests' ends; a reply means to hang up."""
        session, settings = self._session, self._settings
        session.on_stir = self._stir.set
        timers = []
        if self._asks:
            resolver = session.server.resolver
            with contextlib.suppress(ValueError):  # an address that XCLIENT does not know is on no list
                self._ranking = Ranking(
                    resolver,
                    session.client.address,
                    settings.lists.sites,
                    settings.lists.timeout,
                    session.server.results.silence,
                    self._stir.set,
                )
                timers.append(self._loop.call_later(GRACE, self._grace_is_over))
        if self._waits:
            if settings.greeting.teaser:
                session.transport.write(f"220-{settings.greeting.teaser}\r\n".encode())
            timers.append(self._loop.call_later(settings.greeting.wait, self._wait_is_over))
        try:
            return await self._wait()
        finally:
            session.on_stir = None
            for timer in timers:
                timer.cancel()
            if self._ranking is not None:
                self._ranking.close()

    def _wait_is_over(self) -> None:
        self._waited = True
        self._stir.set()

    def _grace_is_over(self) -> None:
        self._late = True
        self._stir.set()

    async def _wait(self) -> Verdict:
        session = self._session
        while True:
            if self._waits and not self._early and session.core.buffered and (verdict := self._pregreet()):
                return verdict
            if session.lost or (session.silent and not session.core.buffered):
                if self._waits:
                    log.info(f"HANGUP after {self._elapsed()} from {_tag(session)} in tests before SMTP handshake")
                return None
            if self._greeting_done() and self._lists_done():
                return await self._conclude()
            await self._stir.wait()
            self._stir.clear()

    def _elapsed(self) -> str:
        return f"{self._loop.time() - self._began:.2f}".rstrip("0").rstrip(".")

    def _good(self) -> bool:
        """Whether the client is on lists of good ones, which spares it the delay."""
        lists, ranking = self._settings.lists, self._ranking
        if ranking is None:
            return bool(lists.sites) and not self._asks and lists.good(self._known.rank)
        return ranking.complete and lists.good(ranking.rank)

    def _greeting_done(self) -> bool:
        if not self._waits or self._early or self._good() or self._session.server.stopping:
            return True
        return self._waited

    def _lists_done(self) -> bool:
        ranking = self._ranking
        if ranking is None or ranking.complete or ranking.harmless(self._settings.lists.threshold):
            return True
        return self._late and ranking.hopeless(self._settings.lists.threshold)

    def _pregreet(self) -> Verdict:
        session = self._session
        said = session.core.input.rest()
        text = ascii(said[:PREGREET_SHOWN].decode("latin-1"))[1:-1]
        log.info(f"PREGREET {len(said)} after {self._elapsed()} from {_tag(session)}: {text}")
        self._early = self._failed = True
        action = self._settings.greeting.action
        return _fail(session, action, replies.PROTOCOL_ERROR, replies.PROTOCOL_ERROR_DROP, 0)

    async def _public_name(self, domain: str) -> str:
        """What replies call a list."""
        if not self._settings.lists.reply_map:
            return domain
        try:
            return await self._session.server.lookup.get(SMTPD_DNSBL_REPLY_MAP.name, domain) or domain
        except LookupUnavailable as error:
            log.warning(f"{SMTPD_DNSBL_REPLY_MAP.name}: {error.reason}")
            return "a list of bad clients"  # the domain may hold a secret

    async def _conclude(self) -> Verdict:
        session, lists, ranking = self._session, self._settings.lists, self._ranking
        rank = self._known.rank if ranking is None else ranking.rank
        if ranking is not None and rank >= lists.threshold:
            self._failed = True
            log.info(f"DNSBL rank {rank} for {_tag(session)}")
            if lists.action != "ignore":
                name = await self._public_name(ranking.worst)
                refusal, farewell = (replies.blocked(code, session.client.address, name) for code in (550, 521))
                if verdict := _fail(session, lists.action, refusal, farewell, rank):
                    return verdict
        session.screened = Screened(rank, session.screened.refusal)
        if not self._failed:
            self._remember(rank)
            log.info(f"PASS {'NEW' if self._new else 'OLD'} {_tag(session)}")
        return None

    def _remember(self, rank: int) -> None:
        session, settings, ranking = self._session, self._settings, self._ranking
        now, greet, dnsbl = session.server.clock(), self._known.greet, self._known.dnsbl
        if self._waited:
            greet = int(now + settings.greeting.ttl)
        if ranking is not None:
            ttl = ranking.ttl if ranking.complete else 0.0
            dnsbl = int(now + min(max(ttl, settings.lists.min_ttl), settings.lists.max_ttl))
        if greet != self._known.greet or dnsbl != self._known.dnsbl:
            session.server.results.keep(session.client.address, Passed(greet, dnsbl, rank))
