"""The user's Sieve scripts, run as the user.

What they store is stored here.  What they send goes back in the report: addresses to send the message on to, and mail
that only the expander may hand to cleanup.  Where the message is both stored and sent on, it is remembered that it is
stored before the report goes out, so that an attempt that is repeated stores nothing twice.
"""

from __future__ import annotations

import time
from dataclasses import replace
from functools import lru_cache
from typing import Final

from pillarbox.lib.config import Config
from pillarbox.lib.config.parameters.auth import AUTH_SYSTEM_MAIL
from pillarbox.lib.delivery import BOUNCED
from pillarbox.lib.sieve_box.content import with_header
from pillarbox.lib.sieve_box.filter import Filter
from pillarbox.lib.sieve_box.folders import Folders, MaildirFolders, StoreFolders
from pillarbox.lib.sieve_box.plan import INBOX, Outgoing, Plan, Put
from pillarbox.lib.sieve_box.running import Incoming, Owner
from pillarbox.lib.store import open_store
from pillarbox.lib.store.failure import DeliveryFailure
from pillarbox.lib.store.maildir.store import MaildirStore
from pillarbox.lib.store.mbox.store import MboxStore
from pillarbox.local.destinations import Destinations
from pillarbox.local.steps import Message, Outcome, Report

_LOADED: Final = (MaildirStore, MboxStore)
"""What `open_store` needs must be there before the process becomes the user, who may not be able to read our code."""
time.strptime("0", "%S")  # loads its module

_filter = lru_cache(1)(Filter)
"""One for the configuration of the process."""


def sieve(destinations: Destinations, message: Message, report: Report) -> bool:
    """Whether the user has a script, which then has taken the message.  See `filters`."""
    if message.report:
        return False
    user = destinations.user
    filter_ = _filter(destinations.config)
    owner = Owner(user.home, user.name, message.domain)
    if not filter_.wanted(owner):
        return False
    destinations.settle()
    folders, location = _mailboxes(destinations)
    incoming = Incoming(
        message.queue_id,
        message.sender,
        message.recipient,
        message.content,
        message.original,
        "",
        message.attributes,
    )
    plan = filter_.plan(owner, incoming, folders)
    if plan is None:
        return False
    report.warnings += plan.warnings
    stored: list[Put] = []
    for put in plan.puts:
        try:
            _put(destinations, message, put, location)
        except (DeliveryFailure, OSError, EOFError):
            filter_.undone(owner, incoming, stored, [])
            raise
        stored.append(put)
    if stored and plan.redirects:
        filter_.undone(owner, incoming, stored, [])
    for outgoing, memory in plan.replies:
        if trouble := filter_.note(owner, memory):
            report.warnings.append(f"{message.queue_id}: sieve: no reply that cannot be remembered: {trouble}")
        else:
            report.outgoing.append(outgoing)
    others: dict[tuple[str, bytes | None], Outgoing] = {}
    for outgoing in plan.redirects:
        if outgoing.head is None and outgoing.sender == message.sender:
            report.forward += outgoing.recipients
        else:
            # What is alike is one mail: it is sent to all or to none, who then get it once.
            key = (outgoing.sender, outgoing.head)
            former = others[key].recipients if key in others else ()
            others[key] = replace(outgoing, recipients=(*former, *outgoing.recipients))
    report.outgoing += others.values()
    filter_.done(owner, plan, incoming if plan.redirects else None)
    if plan.rejection is not None:
        report.outcomes.append(Outcome(BOUNCED, "5.7.1", plan.rejection))
    elif stored or not plan.redirects:
        report.outcomes.append(Outcome.sent(Plan(puts=stored).summary))
    return True


def _mailboxes(destinations: Destinations) -> tuple[Folders, str]:
    """The user's folders, and the location of the store to put messages into where they are not those of a Maildir."""
    inbox = destinations.inbox
    location = _location(destinations.config, destinations, inbox)
    if location is None:
        return MaildirFolders(inbox.rstrip("/")), ""
    return StoreFolders(open_store(location)), location


def _location(config: Config, destinations: Destinations, inbox: str) -> str | None:
    """The location of folders, as auth gives it to IMAP; None for a Maildir with its folders inside."""
    user = destinations.user
    if location := config[AUTH_SYSTEM_MAIL]:
        return location.replace("%u", user.name).replace("%h", user.home)
    return None if inbox.endswith("/") else f"mbox:{user.home}/mail:INBOX={inbox}"


def _put(destinations: Destinations, message: Message, put: Put, location: str) -> None:
    """Raises DeliveryFailure, OSError, EOFError."""
    content = message.content
    header = put.header
    chunks = None if header is None else lambda: with_header(content, header)
    if put.folder == INBOX or not location:
        destinations.put(message, destinations.inbox, chunks, put.folder, put.flags, create=put.create)
        return

    destinations.put_in_store(message, chunks, put.folder, put.flags, create=put.create, location=location)
