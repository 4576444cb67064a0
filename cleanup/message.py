"""One message on its way into the queue file: envelope, header block, body, and what was decided about it.

Promises: a message for which `failure` is set at the end has not been stored and will not be; where it is None the file
is complete but for its sync and its name.  No method raises for what is wrong with the message or the disk.
"""

from __future__ import annotations

from dataclasses import replace

from pillarbox.cleanup.address_fields import AddressFields
from pillarbox.cleanup.checks import EXTERNAL, Checks
from pillarbox.cleanup.disposition import Disposition, redirected
from pillarbox.cleanup.edits import edited_envelope, new_header
from pillarbox.cleanup.head import Head, HeaderTooLarge
from pillarbox.cleanup.header import HeaderRules, count_fields, cut_fields, message_id
from pillarbox.cleanup.incoming import IncomingFile
from pillarbox.cleanup.inspector import Inspector
from pillarbox.cleanup.reports import report
from pillarbox.cleanup.submission import SubmissionRules
from pillarbox.lib.clients.addressing import Addressing
from pillarbox.lib.clients.cleanup import Examined, Rejected
from pillarbox.lib.clients.errors import ServiceUnavailable
from pillarbox.lib.clients.lookup import LookupClient
from pillarbox.lib.config import Config
from pillarbox.lib.config.parameters.content import (
    CLEANUP_REPLACE_STRAY_CR_LF,
    HEADER_BLOCK_SIZE_LIMIT,
    HEADER_COUNT_LIMIT,
)
from pillarbox.lib.config.parameters.general import HEADER_SIZE_LIMIT, MESSAGE_SIZE_LIMIT
from pillarbox.lib.log import log
from pillarbox.lib.queue import Envelope, Recipient
from pillarbox.lib.queue.edits import Edits

WRITE_ERROR = Rejected(451, "4.3.0", "Error: queue file write error")
BAD_ENVELOPE = Rejected(554, "5.6.0", "Error: the envelope cannot be stored")
TOO_BIG = Rejected(552, "5.3.4", "Error: message file too big")
TOO_MANY_HOPS = Rejected(554, "5.4.0", "Error: too many hops")
NO_RECIPIENTS = Rejected(554, "5.5.1", "Error: no recipients")
LOOKUP_FAILURE = Rejected(451, "4.3.0", "Temporary lookup failure")
HEADER_TOO_LARGE = Rejected(552, "5.3.4", "Error: message header too large")
TOO_MANY_FIELDS = Rejected(554, "5.6.0", "Error: too many header fields")


class Treatment:
    """What one configuration does to every message; shared by all messages of a process."""

    def __init__(self, config: Config, checks: Checks | None = None) -> None:
        self.size_limit = config[MESSAGE_SIZE_LIMIT]
        self.header_limit = config[HEADER_BLOCK_SIZE_LIMIT]
        self.field_limit = config[HEADER_SIZE_LIMIT]
        self.count_limit = config[HEADER_COUNT_LIMIT]
        self.replaces_cr = config[CLEANUP_REPLACE_STRAY_CR_LF]
        self.rules = HeaderRules(config)
        self.submission = SubmissionRules(config)
        self.address_fields = AddressFields(config)
        self.lookup = LookupClient(config)
        self.addressing = Addressing(config, self.lookup)
        checks = checks or Checks(config)
        self.checks = checks if checks.anything else None

    def owners(self, address: str) -> frozenset[str]:
        """The login names that own an address, in lower case.  Raises ServiceUnavailable."""
        found = self.lookup.owners(self.submission.login_maps, address) if self.submission.login_maps else None
        return frozenset(found.value.replace(",", " ").casefold().split()) if found is not None else frozenset()


class NewMessage:
    """One message.  `begin` once, `content` for each piece, `end` once; then `finish`, with the edits that were made to
    it meanwhile by whoever has examined it."""

    __slots__ = (
        *("_characters", "_clean_cr", "_head", "_header_length", "_inspector", "_treatment"),
        *("disposition", "envelope", "failure", "file", "queue_id"),
    )

    def __init__(self, treatment: Treatment, file: IncomingFile, queue_id: str, envelope: Envelope) -> None:
        self._treatment = treatment
        self.file = file
        self.queue_id = queue_id
        self.envelope = envelope
        self.disposition = Disposition.of(envelope)
        self.failure: Rejected | None = None
        self._head: Head | None = Head(treatment.header_limit)
        # With BINARYMIME a CR is an octet like any other (RFC 3030).
        self._clean_cr = treatment.replaces_cr and envelope.body != "binarymime"
        self._characters = self._inspector = None
        checks = treatment.checks
        if checks is not None and checks.concern(envelope):
            self._characters = checks.characters
            self._inspector = Inspector(self, checks) if checks.active else None
        self._header_length = 0

    # --- the envelope
    def begin(self, recipients: tuple[Recipient, ...]) -> None:
        """All recipients are known."""
        disposition = self.disposition
        if recipients is not self.envelope.recipients:
            self.envelope = replace(self.envelope, recipients=recipients)
        try:
            if not recipients:
                raise NO_RECIPIENTS
            if (sender := self._rewritten(self.envelope.sender)) != self.envelope.sender:
                self.envelope = replace(self.envelope, sender=sender)
            if disposition.discard:
                report(self, "discard", "message", "", "")
            elif disposition.hold:
                report(self, "hold", "message", "", disposition.hold)
            if disposition.redirect:
                self._redirect()
            elif (addressed := self._addressed(recipients, copies=True)) is not recipients:
                self.envelope = replace(self.envelope, recipients=addressed)
            self.file.begin(disposition.apply(self.envelope))
        except Rejected as refusal:
            self.failure = refusal
        except ValueError as error:
            self._bad_envelope(error)

    def _redirect(self) -> None:
        self.envelope = replace(
            self.envelope,
            recipients=self._addressed(redirected(self.envelope.recipients, self.disposition.redirect)),
            redirect=self.disposition.redirect,
        )

    @property
    def _mapped(self) -> bool:
        return "no_address_mappings" not in self.envelope.overrides

    def _rewritten(self, sender: str) -> str:
        try:
            return self._treatment.addressing.sender(sender, mapped=self._mapped)
        except ServiceUnavailable as error:
            log.warning(f"{self.queue_id}: rewriting of the sender: {error.reason}")
            raise LOOKUP_FAILURE from None

    def _addressed(self, recipients: tuple[Recipient, ...], *, copies: bool = False) -> tuple[Recipient, ...]:
        """The recipients after rewriting and virtual aliases, with those of blind copies if the message is new."""
        envelope = self.envelope
        copies = copies and envelope.origin in EXTERNAL and "requeued" not in envelope.attributes
        try:
            return self._treatment.addressing.recipients(
                recipients, envelope.sender, mapped=self._mapped, copies=copies
            )
        except ServiceUnavailable as error:
            log.warning(f"{self.queue_id}: virtual alias look-up: {error.reason}")
            raise LOOKUP_FAILURE from None

    def _bad_envelope(self, error: ValueError) -> None:
        log.warning(f"{self.queue_id}: envelope: {error}")
        self.failure = BAD_ENVELOPE

    def _amend(self, changed: bool) -> None:
        """Write what was decided since `begin` into the envelope; `changed`: it has changed in any case."""
        disposition, envelope = self.disposition, self.envelope
        if disposition.redirect != envelope.redirect:
            self._redirect()
        elif disposition.bcc:
            further = tuple(Recipient(address, notify=("never",)) for address in disposition.bcc)
            self.envelope = replace(envelope, recipients=envelope.recipients + self._addressed(further))
        elif not changed and (disposition.hold, disposition.filter) == (envelope.hold, envelope.filter):
            return
        self.file.amend(disposition.apply(self.envelope))

    # --- the content
    def content(self, chunk: bytes) -> None:
        """Take a piece of the content."""
        if self.failure is not None or self.disposition.refusal is not None:
            return
        try:
            if self._characters is not None:
                chunk = self._characters.clean(self, chunk)
            if self._clean_cr and b"\r" in chunk:
                chunk = chunk.replace(b"\r", b" ")
            if self._head is None:
                self._follow(chunk)
            elif (found := self._head.feed(chunk)) is not None:
                self._header(*found)
            self._check_size()
        except HeaderTooLarge:
            self.failure = HEADER_TOO_LARGE
        except Rejected as refusal:
            self.failure = refusal
        except OSError as error:
            self.write_error(error)

    def end(self) -> None:
        """The content is complete."""
        if self.failure is None:
            try:
                self._end()
            except HeaderTooLarge:
                self.failure = HEADER_TOO_LARGE
            except Rejected as refusal:
                self.failure = refusal
            except OSError as error:
                self.write_error(error)

    def examine(self) -> Examined | None:
        """The content, for others to look at, after `end`; None where there is nothing to look at or no use in it."""
        if self.failure is not None or self.disposition.discard or not self.disposition.inspected:
            return None
        try:
            descriptor, offset = self.file.reveal()
        except OSError as error:
            self.write_error(error)
            return None
        return Examined(descriptor, offset, self.file.length, self._header_length)

    def finish(self, edits: Edits) -> None:
        """Everybody has seen the message: edit it, and complete the file."""
        if self.failure is None and not self.disposition.discard:
            try:
                changed = bool(edits) and self._edit(edits)
                if self.disposition.refusal is not None:
                    raise self.disposition.refusal
                if not self.disposition.discard:
                    self._amend(changed)
                    self.file.complete()
            except Rejected as refusal:
                self.failure = refusal
            except ValueError as error:
                self._bad_envelope(error)
            except OSError as error:
                self.write_error(error)

    def _end(self) -> None:
        if self.disposition.refusal is None:
            if self._head is not None:
                self._header(*self._head.finish())
            if self._inspector is not None:
                self._write(self._inspector.end())
            self._check_size()
        if self.disposition.refusal is not None:
            raise self.disposition.refusal

    def _edit(self, edits: Edits) -> bool:
        """Make the edits; whether the envelope has changed."""
        if edits.discard:
            self.disposition.discard = True
            return False
        if edits.header >= 0 or edits.body >= 0:
            header = new_header(edits.header, self._treatment.header_limit) if edits.header >= 0 else None
            checks = self._treatment.checks
            if header is not None and checks is not None and checks.milter is not None:
                header = Inspector(self, checks).added(self.file.beginning(self._header_length), header)
            self.file.replace_content(self._header_length, header, edits.body)
        if edits.hold and not self.disposition.hold:
            self.disposition.hold = edits.hold
        if edits.filter:
            self.disposition.filter = edits.filter
        if edits.sender:
            edits = replace(edits, sender=self._rewritten(edits.sender))
        envelope = edited_envelope(self.envelope, edits, self._addressed)
        if not envelope.recipients:
            log.info(f"{self.queue_id}: milters have deleted all recipients: discarded")
            self.disposition.discard = True
            return False
        self.envelope, before = envelope, self.envelope
        return envelope != before

    def write_error(self, error: OSError) -> None:
        """The disk has failed us."""
        log.warning(f"{self.queue_id}: queue file write error: {error.strerror}")
        self.failure = WRITE_ERROR

    def _check_size(self) -> None:
        limit = self._treatment.size_limit
        if limit and self.file.size + (self._head.size if self._head is not None else 0) > limit:
            log.warning(f"{self.queue_id}: queue file size limit exceeded")
            raise TOO_BIG

    def _header(self, header: bytes, rest: bytes) -> None:
        """The header block is complete; `rest` is what came behind it."""
        treatment = self._treatment
        self._head = None
        if treatment.rules.too_many_hops(header):
            log.warning(f"{self.queue_id}: message rejected: hopcount exceeded")
            raise TOO_MANY_HOPS
        if treatment.count_limit and count_fields(header) > treatment.count_limit:
            log.warning(f"{self.queue_id}: message rejected: more than {treatment.count_limit} header fields")
            raise TOO_MANY_FIELDS
        header = cut_fields(header, treatment.field_limit)
        if self._inspector is not None:
            header = self._inspector.header(header)
        if self.disposition.refusal is not None:
            return
        try:
            header = treatment.address_fields.apply(header, self.envelope, treatment.lookup)
        except ServiceUnavailable as error:
            log.warning(f"{self.queue_id}: rewriting of the header: {error.reason}")
            raise LOOKUP_FAILURE from None
        header = treatment.rules.apply(header, self.envelope, self.queue_id)
        try:
            header = treatment.submission.apply(header, self.envelope, treatment.owners)
        except ServiceUnavailable as error:
            log.warning(f"{self.queue_id}: owners of From: {error.reason}")
            raise LOOKUP_FAILURE from None
        if not self.disposition.discard:
            log.info(f"{self.queue_id}: message-id={message_id(header)}")
        self._header_length = len(header)
        self._write(header)
        if rest:
            self._follow(rest)

    def _follow(self, content: bytes) -> None:
        """What comes behind the header."""
        self._write(content if self._inspector is None else self._inspector.body(content))

    def _write(self, content: bytes) -> None:
        if self.disposition.discard:
            self.file.length += len(content)
        elif content:
            self.file.write(content)
