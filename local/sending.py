"""Sending a message on to what its recipient stands for: a new message, or a few where the list is very long.

Promises: the addresses come in batches and are not kept; nothing is published before the last of them has come, as far
as OPEN_MESSAGES allows, so that a list that breaks off in the middle is not sent to its beginning twice.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Sequence
from email.utils import formatdate
from typing import Final

from pillarbox.lib.clients.cleanup import CleanupClient, Rejected
from pillarbox.lib.clients.cleanup import Message as NewMessage
from pillarbox.lib.clients.errors import ServiceUnavailable
from pillarbox.lib.config import Config
from pillarbox.lib.config.parameters.general import MAIL_NAME, MYHOSTNAME
from pillarbox.lib.delivery import DEFERRED, Content
from pillarbox.lib.queue import Envelope, Recipient
from pillarbox.lib.queue.envelope import notify_of_members
from pillarbox.lib.sieve_box.plan import Outgoing
from pillarbox.lib.sieve_box.submission import Submission, Wishes
from pillarbox.lib.store.failure import DeliveryFailure
from pillarbox.local.steps import Message, Outcome

MEMBERS_PER_MESSAGE: Final = 50_000
"""Recipients of one message; a longer list becomes several.  Half of what cleanup takes."""
OPEN_MESSAGES: Final = 2
"""Messages that wait for the end of a list to be published together: a bound on the memory of cleanup."""
CHUNK: Final = 65536

_UNTOUCHED: Final = "no_address_mappings no_header_body_checks"
"""For a message that goes on to another agent as it is (receive_override_options in postconf(5))."""

Batches = Callable[[], tuple[Sequence[str], bool]]
"""The next addresses, and whether more will come."""


class Stale(Exception):
    """A connection broke before anything was done: a fresh process may do it."""


class Sender:
    """Makes new messages of old ones; keeps its connection to cleanup."""

    def __init__(self, config: Config, cleanup: CleanupClient) -> None:
        self._cleanup = cleanup
        self._submission = Submission(config, cleanup)
        self._host, self._mail_name = config[MYHOSTNAME], config[MAIL_NAME]

    def forward(self, message: Message, batches: Batches, *, alone: bool) -> list[Outcome]:
        """Send the message on to addresses; `alone`: one address is all that the recipient stands for.

        Raises Stale where nothing has been published and a connection is missing.
        """
        notify = _passed_on(message.notify, alone)
        original = message.original or message.recipient
        trace = f"Delivered-To: {message.recipient}\n"

        def recipients(addresses: Sequence[str]) -> tuple[Recipient, ...]:
            return tuple(Recipient(address, original, message.orcpt, notify) for address in addresses)

        with contextlib.ExitStack() as stack:
            ready: list[NewMessage] = []
            outcomes: list[Outcome] = []
            more = True
            try:
                content = message.content
                addresses, more = _next(batches)
                while addresses:
                    new = stack.enter_context(self._cleanup.open() if outcomes else self._open())
                    count = len(addresses)
                    new.begin(_envelope(message, recipients(addresses)), more=more)
                    while more and count < MEMBERS_PER_MESSAGE:
                        addresses, more = batches()
                        count += len(addresses)
                        new.recipients(recipients(addresses), more=more)
                    if more:
                        new.recipients((), more=False)
                    self._fill(new, content, trace)
                    ready.append(new)
                    addresses, more = _next(batches) if more else ((), False)
                    if addresses and len(ready) >= OPEN_MESSAGES:
                        outcomes.append(_commit(ready.pop(0)))
                return outcomes + [_commit(new) for new in ready]
            except (DeliveryFailure, ServiceUnavailable, OSError, EOFError) as error:
                while more:
                    _, more = batches()
                return [*outcomes, _failure(error)]

    def hand_over(self, message: Message, transport: str) -> list[Outcome]:
        """Give the message to another delivery agent as it is, by way of the queue: `transport:nexthop`.

        Raises Stale if that could not even be begun.
        """
        recipient = Recipient(message.recipient, message.original, message.orcpt, _passed_on(message.notify, True))
        try:
            with self._open() as new:
                new.begin(_envelope(message, (recipient,), transport))
                self._fill(new, message.content, "")
                return [_commit(new)]
        except (DeliveryFailure, ServiceUnavailable, OSError, EOFError) as error:
            return [_failure(error)]

    def mail(self, message: Message, outgoing: Outgoing, *, alone: bool) -> Outcome:
        """Send what a filter sends; `alone`: the message goes on to this address, and that is all.

        Raises Stale.
        """
        wishes = Wishes(
            original=message.original or message.recipient,
            orcpt=message.orcpt,
            notify=_passed_on(message.notify, alone),
            envid=message.envid,
            ret=message.ret,
            deliver_by=message.deliver_by,
            body=message.body,
            smtputf8=message.smtputf8,
            requiretls=message.requiretls,
            attributes=message.attributes,
        )
        try:
            queue_id = self._submission.send(outgoing, message.content, message.recipient, wishes)
        except Rejected as error:
            return Outcome.failure(DeliveryFailure(error.enhanced, error.text))
        except ServiceUnavailable as error:
            raise Stale(error.reason) from error
        except (DeliveryFailure, OSError, EOFError) as error:
            return _failure(error)
        return Outcome.sent(f"forwarded as {queue_id}")

    def connect(self) -> None:
        """Connect as often as needed, while that is possible.  Raises ServiceUnavailable."""
        with contextlib.ExitStack() as stack:
            for _ in range(OPEN_MESSAGES):
                stack.enter_context(self._cleanup.open())

    def _open(self) -> NewMessage:
        try:
            return self._cleanup.open()
        except ServiceUnavailable as error:
            raise Stale(error.reason) from error

    def _fill(self, new: NewMessage, content: Content, trace: str) -> None:
        """The content, behind our trace."""
        date = formatdate(time.time(), localtime=True)
        received = f"Received: by {self._host} ({self._mail_name})\n\tid {new.queue_id}; {date}\n{trace}"
        new.write(received.encode("utf-8", "surrogateescape"))
        for data in content.chunks(CHUNK):
            new.write(data)


def _next(batches: Batches) -> tuple[Sequence[str], bool]:
    """The next batch that has addresses, as long as there is one."""
    while True:
        addresses, more = batches()
        if addresses or not more:
            return addresses, more


def _envelope(message: Message, recipients: tuple[Recipient, ...], transport: str = "") -> Envelope:
    attributes = message.attributes
    return Envelope(
        sender=message.sender,
        recipients=recipients,
        arrival=time.time(),
        envid=message.envid,
        ret=message.ret,
        deliver_by=message.deliver_by,
        report=message.report,
        body="8bitmime" if message.body == "binarymime" else message.body,
        smtputf8=message.smtputf8,
        requiretls=message.requiretls,
        filter=transport,
        overrides=_UNTOUCHED if transport else "",
        client_name=attributes.get("client_name", ""),
        client_address=attributes.get("client_address", ""),
        client_helo=attributes.get("client_helo", ""),
        origin="local",
    )


def _commit(new: NewMessage) -> Outcome:
    """Publish.  A failure here is an outcome of its own: others may be published already."""
    try:
        return Outcome.sent(f"forwarded as {new.commit().queue_id}")
    except Rejected as error:
        return Outcome.failure(DeliveryFailure(error.enhanced, error.text))
    except ServiceUnavailable as error:
        return _failure(error)


def _failure(error: Exception) -> Outcome:
    if isinstance(error, DeliveryFailure):
        return Outcome.failure(error)
    if isinstance(error, ServiceUnavailable):
        return Outcome(DEFERRED, "4.3.0", f"cannot forward: {error.reason}")
    return Outcome(DEFERRED, "4.3.0", f"cannot read the queue file: {error}")


def _passed_on(notify: str, alone: bool) -> tuple[str, ...]:
    """NOTIFY of the addresses that one was expanded to: its success has been reported here, unless there is but one
    (RFC 3461 sections 5.2.7.1 and 5.2.7.2)."""
    values = tuple(notify.split(",")) if notify else ()
    return values if alone else notify_of_members(values)
