"""Telling a client of events between its commands and while it is in IDLE (RFC 5465), if it has asked for them.

What the store cannot say is for the next command that asks it; a client for which there is too much is told so.
"""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any

from pillarbox.imapd.protocol import response
from pillarbox.imapd.session.context import Session
from pillarbox.imapd.session.notifier import TooMuch
from pillarbox.imapd.session.watch import Watcher
from pillarbox.lib.log import log
from pillarbox.lib.store.interface import StoreError


async def tell_events(session: Session, watcher: Watcher | None, *, idling: bool = False) -> None:
    """Tell what has happened, as far as the client wants to know.  Raises MailboxReplaced, StreamBroken."""
    if session.notify is not None:
        await _told(session, watcher, session.notify.look(idling=idling))


async def tell_own_change(session: Session, watcher: Watcher | None) -> None:
    """The session itself has changed something: the client knows."""
    if session.notify is not None:
        await _told(session, watcher, session.notify.own_change())


async def _told(session: Session, watcher: Watcher | None, look: Coroutine[Any, Any, None]) -> None:
    if watcher is not None:
        watcher.drain()
    try:
        await look
    except TooMuch:
        _overflow(session)
    except StoreError as error:
        log.warning(f"imap({session.username}): {error}")


def _overflow(session: Session) -> None:
    """RFC 5465 section 5.8: as if the client had said NOTIFY NONE."""
    if session.notify is not None:
        session.send(response.status(b"*", b"OK", "Too many mailboxes to watch.", "NOTIFICATIONOVERFLOW"))
        session.set_notifier(session.notify.silent())
