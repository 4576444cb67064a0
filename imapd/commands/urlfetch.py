"""URLFETCH (RFC 4467 section 7, RFC 5524): what authorized URLs name, of whichever account.

Each URL is answered; with NIL where it is not good, whatever the reason: who asks learns of no account, mailbox or
message but those that a URL was made for.  An account is opened as its own user sees it, one at a time, and a mailbox
only once the token has been found good.  Who tries many bad ones waits longer and longer.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

from pillarbox.imapd.commands.command import ANY_STATE, Action, Command, Reply, Syntax
from pillarbox.imapd.commands.fetch import StreamBroken, send_stream
from pillarbox.imapd.commands.urlauth import (
    MECHANISM,
    is_authorized,
    is_of_this_server,
    may_use,
    must_be_on,
    same_user,
)
from pillarbox.imapd.fetch.by_url import BadUrl, Named, opened
from pillarbox.imapd.fetch.item import Stream
from pillarbox.imapd.protocol import response
from pillarbox.imapd.protocol.cursor import Cursor
from pillarbox.imapd.protocol.errors import BadSyntax
from pillarbox.imapd.protocol.urls import MessageUrl, parse_url
from pillarbox.imapd.session.context import Session
from pillarbox.lib.log import log
from pillarbox.lib.store.apart import patiently
from pillarbox.lib.store.interface import Store, StoreError, StoreUnavailable
from pillarbox.lib.store.url_keys import known_key

FREE_FAILURES = 20
"""Bad URLs of a session that cost nothing: those of a client whose messages have gone."""
DELAY_STEP, DELAY_LIMIT = 0.1, 5.0
"""Seconds that a command with a bad URL takes more for each one beyond these, and at most."""

_BODY, _BINARY, _STRUCTURE = b"BODY", b"BINARY", b"BODYPARTSTRUCTURE"
_PARAMETERS: Final = frozenset((_BODY, _BINARY, _STRUCTURE))


@dataclass(frozen=True, slots=True)
class _Wanted:
    """A URL as it came, and what is asked of it; without parameters the octets alone."""

    url: bytes
    parameters: tuple[bytes, ...] = ()


class _Accounts:
    """The stores that one command opens: that of the user that was named last stays open."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._user = ""
        self._store: Store | None = None

    async def store_of(self, user: str) -> Store:
        """All that the user may read.  Raises BadUrl, StoreError."""
        session = self._session
        if same_user(user, session.username):
            return session.store
        if user == self._user and self._store is not None:
            return self._store
        self.close()
        store = await session.open_account(user) if session.open_account is not None else None
        if store is None:
            raise BadUrl("no such account here")
        self._user, self._store = user, store
        return store

    def close(self) -> None:
        if self._store is not None:
            store, self._store = self._store, None
            store.close()


def _parse_wanted(cursor: Cursor) -> _Wanted:
    """url-full / "(" url-full *(SP url-fetch-param) ")" (RFC 5524 section 5)."""
    if not cursor.accept(b"("):
        return _Wanted(cursor.astring())
    url = cursor.astring()
    parameters: list[bytes] = []
    while not cursor.accept(b")"):
        cursor.space()
        word = cursor.word()
        if word not in _PARAMETERS or word in parameters:
            raise BadSyntax("BODY or BINARY, and BODYPARTSTRUCTURE expected, each once")
        parameters.append(word)
    if _BODY in parameters and _BINARY in parameters:
        raise BadSyntax("BODY and BINARY exclude each other")
    return _Wanted(url, tuple(parameters))


def parse(syntax: Syntax) -> Action:
    """1*(SP url-fetch-arg)."""
    cursor = syntax.cursor
    urls: list[_Wanted] = []
    while not urls or not cursor.at_end:
        cursor.space()
        urls.append(_parse_wanted(cursor))
    cursor.end()

    async def run(session: Session) -> Reply:
        must_be_on(session)
        accounts = _Accounts(session)
        failed = session.failed_urls
        try:
            for wanted in urls:
                await _answer(session, accounts, wanted)
                await session.breathe()
        finally:
            accounts.close()
        if session.failed_urls > failed:
            await asyncio.sleep(min(DELAY_LIMIT, max(0, session.failed_urls - FREE_FAILURES) * DELAY_STEP))
        return Reply("Urlfetch completed.")

    return run


async def _answer(session: Session, accounts: _Accounts, wanted: _Wanted) -> None:
    opening = b"* URLFETCH " + response.string(wanted.url)
    begun = False
    try:
        store, url = await _good(session, accounts, parse_url(wanted.url))
        async with opened(store, url) as named:
            pieces = _pieces(named, wanted.parameters)
            session.send(opening)
            begun = True
            for piece in pieces:
                if isinstance(piece, bytes):
                    session.send(piece)
                else:
                    await send_stream(session, piece, "what a URL names")
            session.send(b"\r\n")
    except (BadUrl, StoreError) as error:
        if begun:
            raise StreamBroken(str(error)) from None
        if isinstance(error, StoreUnavailable):
            log.warning(f"imap({session.username}): a URL: {error}")
        session.failed_urls += 1
        session.send(opening + b" NIL\r\n")


def _pieces(named: Named, parameters: Sequence[bytes]) -> list[bytes | Stream]:
    """What follows the URL.  Raises BadUrl, StoreError."""
    if not parameters:
        size, octets = named.octets()
        return [Stream(b" {%d}\r\n" % size, size, octets)]
    pieces: list[bytes | Stream] = []
    for parameter in parameters:
        pieces.append(b" (%b " % parameter)
        if parameter == _STRUCTURE:
            pieces.append(named.structure(decoded=_BINARY in parameters))
        elif parameter == _BODY:
            size, octets = named.octets()
            pieces.append(Stream(b"{%d}\r\n" % size, size, octets))
        elif (decoded := named.decoded()) is None:
            pieces.append(response.NIL)
        else:
            size, nul, octets = decoded
            pieces.append(Stream(b"%b{%d}\r\n" % (b"~" if nul else b"", size), size, octets, as_it_is=nul))
        pieces.append(b")")
    return pieces


async def _good(session: Session, accounts: _Accounts, url: MessageUrl | None) -> tuple[Store, MessageUrl]:
    """Where the octets of a URL lie that this session may fetch.  Raises BadUrl, StoreError."""
    authorization = url.authorization if url is not None else None
    if url is None or not url.user or authorization is None or authorization.mechanism != MECHANISM:
        raise BadUrl("not an authorized URL")
    if not is_of_this_server(session.config, url) or not may_use(session, authorization):
        raise BadUrl("not for this session")
    if authorization.expires is not None and authorization.expires < time.time():
        raise BadUrl("expired")
    key = None
    try:
        store = await accounts.store_of(url.user)
        key = await patiently(partial(known_key, store, url.mailbox))
    finally:  # without account, mailbox or key it takes as long (RFC 4467 section 6)
        good = is_authorized(key, authorization)
    if not good or key is None or url.uid_validity not in (None, key.uid_validity):
        raise BadUrl("not authorized")
    return store, replace(url, uid_validity=key.uid_validity)


COMMAND = Command("URLFETCH", ANY_STATE, parse)
