"""Telling the owner of a mailbox that its quota is nearly used up, once for each level of `quota_warnings`.

Which level was told of stands in a file of the mailbox, so that it is told of again only after the usage was below it.
The mail comes in through cleanup like any other; one that cannot be sent now is sent with the next delivery, and is
never a reason for a delivery to fail.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Final

from pillarbox.lib.address.address import quote_local
from pillarbox.lib.clients.cleanup import CleanupClient, Rejected
from pillarbox.lib.clients.errors import ServiceUnavailable
from pillarbox.lib.config import Config
from pillarbox.lib.config.parameters.general import MYHOSTNAME, RECIPIENT_DELIMITER
from pillarbox.lib.config.parameters.quota import QUOTA_WARNINGS
from pillarbox.lib.config.quota import Limits, parse_percents
from pillarbox.lib.hosted.place import UnusableAddress, split_address
from pillarbox.lib.log import log
from pillarbox.lib.message.date import format_date
from pillarbox.lib.message.header import compose
from pillarbox.lib.message.message_id import make_message_id
from pillarbox.lib.message.trace import received_by
from pillarbox.lib.queue.envelope import Envelope, Recipient
from pillarbox.lib.store import open_store
from pillarbox.lib.store.interface import StoreError
from pillarbox.lib.store.maildir.directories import make_directory
from pillarbox.lib.store.maildir.ledger import Ledger
from pillarbox.lib.store.maildir.maildirsize import Record
from pillarbox.lib.store.quota import MAILBOX_ROOT, Usage
from pillarbox.lib.system.files import open_regular
from pillarbox.virtual.filing import Letter

TOLD: Final = "quota-warned"
"""The file that holds the highest level told of, in percent."""

_WRITE: Final = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC


class Warnings:
    """The warnings of one process."""

    def __init__(self, config: Config, cleanup: CleanupClient, clock: Callable[[], float] = time.time) -> None:
        words: tuple[str, ...] = config[QUOTA_WARNINGS]
        self._levels = parse_percents(words)
        self._cleanup = cleanup
        self._clock = clock
        self._host = config[MYHOSTNAME]
        self._delimiters = config[RECIPIENT_DELIMITER]

    def delivered(self, letter: Letter) -> None:
        """A message has come into a mailbox: see whether its owner is to be told."""
        if not self._levels or not letter.quota.limits:
            return
        try:
            record = _record(letter)
            if record is None:
                return
            percent = record.usage.percent(record.limits)
            level = max((each for each in self._levels if each <= percent), default=0)
            told = _told(letter.maildir)
            if level > told:
                self._send(letter, record, percent)
            if level != told:
                _tell(letter.maildir, level)
        except (OSError, StoreError, ServiceUnavailable, Rejected, UnusableAddress) as error:
            log.warning(f"{letter.request.queue_id}: no warning about the quota of {letter.recipient.address}: {error}")

    def _send(self, letter: Letter, record: Record, percent: int) -> None:
        address, now = letter.recipient.address, self._clock()
        parts = split_address(address, self._delimiters)
        if parts.extension:
            address = f"{quote_local(parts.local)}@{parts.domain}"
        with self._cleanup.open() as new:
            new.begin(
                Envelope(
                    sender="",
                    recipients=(Recipient(address, notify=("never",)),),
                    arrival=now,
                    smtputf8=not address.isascii(),
                    origin="quota",
                )
            )
            fields = (
                (b"Date", format_date(now)),
                (b"From", f"Mail Delivery System <MAILER-DAEMON@{self._host}>"),
                (b"To", f"<{address}>"),
                (b"Subject", f"Your mailbox is {percent}% full"),
                (b"Message-ID", make_message_id(new.queue_id, self._host, now)),
                (b"Auto-Submitted", "auto-generated"),
            )
            new.write(received_by(host=self._host, queue_id=new.queue_id, when=now))
            new.write(b"".join(compose(name, value.encode("utf-8", "replace")) for name, value in fields))
            new.write(b"\n" + _text(address, record, percent).encode("utf-8", "replace"))
            receipt = new.commit()
        log.info(f"{receipt.queue_id}: quota warning for {address}: {percent}% used")


def _text(address: str, record: Record, percent: int) -> str:
    return (
        f"The mailbox {address} is {percent}% full: it holds {_amount(record.usage.size, record.usage.messages)}\n"
        f"of at most {_limits(record.limits)}.\n\n"
        "Mail that finds no room will be refused or delayed. Please delete what you do not need any more, and empty\n"
        "the trash.\n"
    )


def _amount(size: int, messages: int) -> str:
    return f"{max(1, size // 1024) if size else 0:,} KB in {messages:,} messages"


def _limits(limits: Limits) -> str:
    size = f"{limits.size // 1024:,} KB" if limits.size else ""
    messages = f"{limits.messages:,} messages" if limits.messages else ""
    return " and ".join(part for part in (size, messages) if part)


def _record(letter: Letter) -> Record | None:
    """What the mailbox holds, of how much; None where there is no quota.  Raises OSError, StoreError."""
    if not letter.location:
        return Ledger(letter.maildir, letter.quota).used()
    make_directory(letter.maildir)
    store = open_store(letter.location, letter.quota)
    try:
        root = store.quota_root(MAILBOX_ROOT)
    finally:
        store.close()
    if root is None:
        return None
    return Record(Limits(root.size_limit, root.messages_limit), Usage(root.size, root.messages), 1)


def _told(maildir: str) -> int:
    """The level that the owner was told of; 0 where there was none.  Raises OSError."""
    try:
        fd = open_regular(f"{maildir}/{TOLD}")
    except FileNotFoundError:
        return 0
    try:
        text = os.read(fd, 16).strip()
    finally:
        os.close(fd)
    return int(text) if text.isdigit() else 0


def _tell(maildir: str, level: int) -> None:
    path = f"{maildir}/{TOLD}"
    if not level:
        os.unlink(path)
        return
    fd = os.open(path, _WRITE, 0o600)
    try:
        os.write(fd, b"%d\n" % level)
    finally:
        os.close(fd)
