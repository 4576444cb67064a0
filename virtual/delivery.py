"""Delivering a batch of messages into hosted mailboxes.

Every recipient of every message of the batch becomes a filing (`filing`); all Maildir writes of the batch then share
their waits for the disk.  A recipient gets `sent` only after that.  Whatever is wrong with one recipient is its result
alone; a look-up that cannot be answered defers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Final, Protocol

from pillarbox.lib.clients.cleanup import CleanupClient
from pillarbox.lib.config import Config
from pillarbox.lib.config.parameters.virtual import VIRTUAL_MAILBOX_LIMIT
from pillarbox.lib.delivery import (
    DEFERRED,
    SENT,
    Content,
    DeliveryRecipient,
    DeliveryRequest,
    Result,
    log_result,
    text_content,
)
from pillarbox.lib.delivery.delivered import delivered_lines, delivered_to
from pillarbox.lib.hosted.mailboxes import Place
from pillarbox.lib.ipc import Channel
from pillarbox.lib.store.failure import DeliveryFailure, from_os_error
from pillarbox.lib.store.maildir.directories import make_directory
from pillarbox.lib.store.maildir.writer import MaildirWriter
from pillarbox.lib.store.mbox.writer import MboxOptions, deliver_to_mbox
from pillarbox.virtual.filing import RELAY, Filing, Letter, failed, plain
from pillarbox.virtual.filtering import SERVICE, Filtering
from pillarbox.virtual.warning import Warnings
from pillarbox.virtual.writing import write_all

REFILINGS: Final = 3
"""Filings that may follow each other for one recipient; a filter that wants more defers."""

Connect = Callable[[str, float], Channel]
Report = Callable[[DeliveryRequest, DeliveryRecipient, Result], None]


class Finder(Protocol):
    """Knows the mailboxes."""

    def find(self, address: str, visited: frozenset[bytes]) -> Place:
        """See `Mailboxes.find`."""


Outcome = tuple[DeliveryRequest, list[Result], str]
Waiting = tuple[list[Result], int, Letter, Filing]
"""A filing to be carried out: its result belongs at this place of the row."""


class VirtualDelivery:
    """The agent's work; one per process."""

    def __init__(
        self, config: Config, mailboxes: Finder, connect: Connect = Channel.connect, report: Report = log_result
    ) -> None:
        """`connect` is how cleanup is reached (`CleanupClient`), `report` what is told of each result."""
        self._mailboxes = mailboxes
        self._report = report
        self._mbox = MboxOptions(size_limit=config[VIRTUAL_MAILBOX_LIMIT])
        self._writer = MaildirWriter()
        self._remembering: set[str] = set()
        """The Maildirs for which a filing of the batch will remember something."""
        cleanup = CleanupClient(config, service=SERVICE, connect=connect)
        self._filtering = Filtering(config, cleanup)
        self._warnings = Warnings(config, cleanup)

    def deliver(self, batch: Sequence[DeliveryRequest]) -> Iterator[Outcome]:
        """Deliver; yields each request with a result for each of its recipients, reported."""
        rows: list[list[Result]] = []
        waiting: list[Waiting] = []
        self._remembering.clear()
        for request in batch:
            row: list[Result] = []
            rows.append(row)
            try:
                content = text_content(request.content, request.body)
                visited = delivered_to(content.header())
            except DeliveryFailure as failure:
                row.extend(failed(recipient, failure) for recipient in request.recipients)
                continue
            except (OSError, EOFError) as error:
                row.extend(
                    _deferred(recipient, f"cannot read the queue file: {error}") for recipient in request.recipients
                )
                continue
            for recipient in request.recipients:
                try:
                    row.append(self._recipient(request, recipient, content, visited, row, waiting))
                except DeliveryFailure as failure:
                    row.append(failed(recipient, failure))
        for _ in range(REFILINGS * len(waiting)):
            if waiting:
                waiting = self._carry_out(waiting)
        for row, position, letter, _ in waiting:
            row[position] = _deferred(letter.recipient, "the filter does not come to an end")
        for request, row in zip(batch, rows, strict=True):
            for recipient, result in zip(request.recipients, row, strict=True):
                self._report(request, recipient, result)
            yield request, row, ""

    def _recipient(
        self,
        request: DeliveryRequest,
        recipient: DeliveryRecipient,
        content: Content,
        visited: frozenset[bytes],
        row: list[Result],
        waiting: list[Waiting],
    ) -> Result:
        """The result, or where there are writes to be done, a place for it.  Raises DeliveryFailure."""
        place = self._mailboxes.find(recipient.address, visited)
        if request.probe:
            text = "delivers to maildir" if place.is_maildir and not place.location else "delivers to mailbox"
            return Result(recipient.n, SENT, "2.0.0", text, RELAY)
        if not place.is_maildir:
            return self._to_mbox(request, content, recipient, place.path)
        letter = Letter(request, recipient, content, place.path, place.folder, place.quota, place.location)
        waiting.append((row, len(row), letter, self._filing(letter)))
        return letter.sent()

    def _filing(self, letter: Letter) -> Filing:
        """What to do with the message.  Raises DeliveryFailure.

        Where an earlier message of the batch will leave something in the memory of the user's filter, it waits for
        that: two copies that come together are duplicates too, and one sender is answered once.
        """
        if letter.maildir in self._remembering:
            return Filing((), lambda _: self._filing(letter))
        filing = self._filtering.filing(letter) or plain(letter)
        if filing.remembers:
            self._remembering.add(letter.maildir)
        return filing

    def _carry_out(self, waiting: list[Waiting]) -> list[Waiting]:
        """Do the writes and conclude; gives the filings that come of it."""
        outcomes = iter(write_all(self._writer, [write for *_, filing in waiting for write in filing.writes]))
        again: list[Waiting] = []
        came: dict[str, Letter] = {}
        self._remembering.clear()
        for row, position, letter, filing in waiting:
            own = [next(outcomes) for _ in filing.writes]
            try:
                concluded = filing.conclude(own)
            except DeliveryFailure as failure:
                concluded = failed(letter.recipient, failure)
            if isinstance(concluded, Filing):
                again.append((row, position, letter, concluded))
                if concluded.remembers:
                    self._remembering.add(letter.maildir)
            else:
                row[position] = concluded
                if letter.quota.limits and concluded.status == SENT:
                    came[letter.maildir] = letter
        for letter in came.values():
            self._warnings.delivered(letter)
        return again

    def _to_mbox(self, request: DeliveryRequest, content: Content, recipient: DeliveryRecipient, path: str) -> Result:
        try:
            make_directory(path.rpartition("/")[0])
        except OSError as error:
            raise from_os_error(error, f"cannot make the directory of {path}") from error
        header = delivered_lines(request.sender, recipient.original, recipient.address)
        deliver_to_mbox(path, request.sender, request.arrival, header, content.chunks(), self._mbox)
        return Result(recipient.n, SENT, "2.0.0", "delivered to mailbox", RELAY)


def _deferred(recipient: DeliveryRecipient, text: str) -> Result:
    return Result(recipient.n, DEFERRED, "4.3.0", text, RELAY)
