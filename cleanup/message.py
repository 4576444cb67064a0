"""One message on its way into the queue file: envelope, header block, body, and what was decided about it.

Promises: a message for which `failure` is set at the end has not been stored and will not be; where it is None the file
is complete but for its sync and its name.  No method raises for what is wrong with the message or the disk.
"""

from __future__ import annotations

from dataclasses import replace

from pillarbox.cleanup.disposition import Disposition, redirected
from pillarbox.cleanup.expansion import expand_recipients
from pillarbox.cleanup.header import HeaderRules, fields_end, message_id
from pillarbox.cleanup.incoming import IncomingFile
from pillarbox.cleanup.reports import report
from pillarbox.lib.clients.cleanup import Rejected
from pillarbox.lib.clients.errors import ServiceUnavailable
from pillarbox.lib.clients.lookup import LookupClient
from pillarbox.lib.config import Config
from pillarbox.lib.config.parameters.general import HEADER_SIZE_LIMIT, MESSAGE_SIZE_LIMIT
from pillarbox.lib.config.parameters.lookup import VIRTUAL_ALIAS_MAPS
from pillarbox.lib.log import log
from pillarbox.lib.queue import Envelope, Recipient

WRITE_ERROR = Rejected(451, "4.3.0", "Error: queue file write error")
BAD_ENVELOPE = Rejected(554, "5.6.0", "Error: the envelope cannot be stored")
TOO_BIG = Rejected(552, "5.3.4", "Error: message file too big")
TOO_MANY_HOPS = Rejected(554, "5.4.0", "Error: too many hops")
NO_RECIPIENTS = Rejected(554, "5.5.1", "Error: no recipients")
LOOKUP_FAILURE = Rejected(451, "4.3.0", "Temporary lookup failure")
HEADER_BLOCK_LIMIT = 1024 * 1024
"""Longest header block that is gathered before it is treated; what follows is content as it is."""


class Treatment:
    """What one configuration does to every message; shared by all messages of a process."""

    def __init__(self, config: Config) -> None:
        self.size_limit = config[MESSAGE_SIZE_LIMIT]
        self.header_limit = max(config[HEADER_SIZE_LIMIT], HEADER_BLOCK_LIMIT)
        self.rules = HeaderRules(config)
        self.expands = bool(config[VIRTUAL_ALIAS_MAPS])
        self.lookup = LookupClient(config)


class NewMessage:
    """One message.  `begin` once, `content` for each piece, `end` once."""

    __slots__ = ("_head", "_treatment", "disposition", "envelope", "failure", "file", "queue_id")

    def __init__(self, treatment: Treatment, file: IncomingFile, queue_id: str, envelope: Envelope) -> None:
        self._treatment = treatment
        self.file = file
        self.queue_id = queue_id
        self.envelope = envelope
        self.disposition = Disposition.of(envelope)
        self.failure: Rejected | None = None
        self._head: bytes | None = b""

    # --- the envelope
    def begin(self, recipients: tuple[Recipient, ...]) -> None:
        """All recipients are known."""
        disposition = self.disposition
        self.envelope = replace(self.envelope, recipients=recipients)
        try:
            if not recipients:
                raise NO_RECIPIENTS
            if disposition.discard:
                report(self, "discard", "message", "", "")
            elif disposition.hold:
                report(self, "hold", "message", "", disposition.hold)
            if disposition.redirect:
                self._redirect()
            else:
                self.envelope = replace(self.envelope, recipients=self._expanded(recipients))
            self.file.begin(disposition.apply(self.envelope))
        except Rejected as refusal:
            self.failure = refusal
        except ValueError as error:
            self._bad_envelope(error)

    def _redirect(self) -> None:
        self.envelope = replace(
            self.envelope,
            recipients=self._expanded(redirected(self.envelope.recipients, self.disposition.redirect)),
            redirect=self.disposition.redirect,
        )

    def _expanded(self, recipients: tuple[Recipient, ...]) -> tuple[Recipient, ...]:
        if not self._treatment.expands or "no_address_mappings" in self.envelope.overrides:
            return recipients
        try:
            return expand_recipients(self._treatment.lookup, recipients)
        except ServiceUnavailable as error:
            log.warning(f"{self.queue_id}: virtual alias look-up: {error.reason}")
            raise LOOKUP_FAILURE from None

    def _bad_envelope(self, error: ValueError) -> None:
        log.warning(f"{self.queue_id}: envelope: {error}")
        self.failure = BAD_ENVELOPE

    def _amend(self) -> None:
        """Write what was decided since `begin` into the envelope."""
        disposition, envelope = self.disposition, self.envelope
        if disposition.redirect != envelope.redirect:
            self._redirect()
        elif disposition.bcc:
            further = tuple(Recipient(address, notify=("never",)) for address in disposition.bcc)
            self.envelope = replace(envelope, recipients=envelope.recipients + self._expanded(further))
        elif (disposition.hold, disposition.filter) == (envelope.hold, envelope.filter):
            return
        self.file.amend(disposition.apply(self.envelope))

    # --- the content
    def content(self, chunk: bytes) -> None:
        """Take a piece of the content."""
        if self.failure is not None:
            return
        try:
            if self._head is None:
                self._body(chunk)
            else:
                self._head += chunk
                self._header(final=False)
            self._check_size()
        except Rejected as refusal:
            self.failure = refusal
        except OSError as error:
            self.write_error(error)

    def end(self) -> None:
        """The content is complete."""
        if self.failure is None:
            try:
                if self._head is not None:
                    self._header(final=True)
                    self._check_size()
                if self.disposition.refusal is not None:
                    raise self.disposition.refusal
                if not self.disposition.discard:
                    self._amend()
                    self.file.complete()
            except Rejected as refusal:
                self.failure = refusal
            except ValueError as error:
                self._bad_envelope(error)
            except OSError as error:
                self.write_error(error)

    def write_error(self, error: OSError) -> None:
        """The disk has failed us."""
        log.warning(f"{self.queue_id}: queue file write error: {error.strerror}")
        self.failure = WRITE_ERROR

    def _check_size(self) -> None:
        limit = self._treatment.size_limit
        if limit and self.file.size + len(self._head or b"") > limit:
            log.warning(f"{self.queue_id}: queue file size limit exceeded")
            raise TOO_BIG

    def _header(self, *, final: bool) -> None:
        """Once the header block is complete: treat it and write it.  `final`: the content has ended."""
        head, treatment = self._head, self._treatment
        assert head is not None
        if head.startswith(b"\n"):
            end = 0
        else:
            end = head.find(b"\n\n") + 1
            if not end:
                if not final:
                    if len(head) >= treatment.header_limit:
                        self._endless_header(head)
                    return
                if head and not head.endswith(b"\n"):
                    head += b"\n"
                end = len(head)
        header, rest = head[:end], head[end:]
        if (fields := fields_end(header)) < end:
            # A line that is no field ends the header; the empty line that belongs there is missing.
            header, rest = head[:fields], b"\n" + head[fields:]
        self._head = None
        if treatment.rules.too_many_hops(header):
            raise TOO_MANY_HOPS
        header = treatment.rules.apply(header, self.envelope, self.queue_id)
        log.info(f"{self.queue_id}: message-id={message_id(header)}")
        self._body(header)
        if rest:
            self._body(rest)

    def _endless_header(self, head: bytes) -> None:
        """The header is longer than what is looked at: it stays as it is."""
        self._head = None
        if self._treatment.rules.too_many_hops(head):
            raise TOO_MANY_HOPS
        log.info(f"{self.queue_id}: message-id={message_id(head)}")
        self._body(head)

    def _body(self, content: bytes) -> None:
        if self.disposition.discard:
            self.file.length += len(content)
        else:
            self.file.write(content)
