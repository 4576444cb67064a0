"""Looks at the header fields and body lines of one message, by tables and by what is refused without any.

Promises: content comes out as it went in, but for what an action changes; memory is bounded by the limits; most content
is only searched for the literal texts of the expressions, in blocks, and no line of it is looked at by itself.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from pillarbox.cleanup.actions import Context, Outcome, act
from pillarbox.cleanup.checks import Check, Checks, may_match
from pillarbox.cleanup.reports import origin, parties
from pillarbox.lib.clients.cleanup import Rejected
from pillarbox.lib.log import log
from pillarbox.lib.mime.sections import (
    Body,
    Event,
    Fault,
    Field,
    Kind,
    Sections,
    checked_as,
    line_end,
    line_pieces,
    lines,
)
from pillarbox.lib.system.processor_time import OutOfTime, limited
from pillarbox.lib.tables.errors import LookupFailed
from pillarbox.lib.tables.lines import decode, encode
from pillarbox.lib.tables.literals import fold_for_search

if TYPE_CHECKING:
    from pillarbox.cleanup.message import NewMessage

NOT_NOW: Final = Rejected(451, "4.3.0", "Error: queue file write error")
"""What Postfix says where a table cannot be asked."""
TIME_IS_UP: Final = Rejected(451, "4.3.0", "Error: content checks take too long")

_FIELDS: Final = re.compile(rb"[^\n]*\n(?:[ \t][^\n]*\n)*")
_BLANKS_BEFORE_COLON: Final = re.compile(r"^([!-9;-~]+)[ \t]+:", re.MULTILINE)
_FAULTS: Final = {
    "nesting": "MIME nesting exceeds safety limit",
    "header": "improper use of 8-bit data in message header",
    "body": "improper use of 8-bit data in message body",
    "encoding domain": "invalid message/* or multipart/* encoding domain",
}
FAULT_TEXT_LIMIT: Final = 100
"""Characters of the content that a line about a fault shows."""


class Inspector:
    """One message: `header` once, then `body` for each piece of what follows, then `end`.  Raises Rejected where the
    message can't be judged now; a refusal by a rule is recorded in its disposition."""

    def __init__(self, message: NewMessage, checks: Checks) -> None:
        self._message = message
        self._checks = checks
        self._sections = Sections(checks.limits)
        self._budget = checks.budget()
        self._literals: dict[str, frozenset[str] | None] = {}
        self._faults: set[str] = set()
        self._asked = ""

    def header(self, block: bytes) -> bytes:
        """The message's own header block, each field with its LF, without the empty line."""
        return self._guarded(lambda: self._primary(block))

    def body(self, data: bytes) -> bytes:
        """What follows the header block, from the empty line on."""
        return self._guarded(lambda: self._events(self._sections.feed(data)))

    def end(self) -> bytes:
        """The content is complete; what was still held back of it."""
        return self._guarded(lambda: self._events(self._sections.finish()))

    def added(self, before: bytes, after: bytes) -> bytes:
        """The header block that milters have made of `before`, where milter_header_checks look at what is new in it."""
        return self._guarded(lambda: self._new_fields(before, after))

    def _guarded(self, work: Callable[[], bytes]) -> bytes:
        try:
            with limited(self._budget):
                return work()
        except LookupFailed as error:
            log.warning(
                f"{self._message.queue_id}: {self._asked} map lookup problem -- "
                f"message not accepted, try again later: {error.reason}"
            )
            raise NOT_NOW from None
        except OutOfTime:
            log.warning(
                f"{self._message.queue_id}: {self._asked} takes more than content_check_time_limit -- "
                "message not accepted, try again later"
            )
            raise TIME_IS_UP from None
        except Rejected:
            raise
        except Exception as error:  # no text and no expression may end the process, with everyone's mail in it
            log.panic(f"{self._message.queue_id}: {self._asked}: {type(error).__name__}: {error}")
            raise NOT_NOW from None

    # --- what is looked at
    def _primary(self, block: bytes) -> bytes:
        done: list[bytes] = []
        folded = fold_for_search(_BLANKS_BEFORE_COLON.sub(r"\1:", decode(block)))
        for check in (self._checks.header, self._checks.mime_header):
            if check is not None and (literals := self._ready(check)) is not None:
                # Of many texts few are anywhere in the header: only those need be looked for in each field.
                self._literals[check.title] = frozenset(literal for literal in literals if literal in folded)
        for match in _FIELDS.finditer(block):
            field = match[0]
            for fault in self._sections.note(field):
                if isinstance(fault, Fault):
                    self._fault(fault.kind, fault.text)
            done.append(self._field(field, "primary"))
        self._literals.clear()
        return b"".join(done)

    def _new_fields(self, before: bytes, after: bytes) -> bytes:
        known = Counter(match[0] for match in _FIELDS.finditer(before))
        done: list[bytes] = []
        for match in _FIELDS.finditer(after):
            field = match[0]
            known[field] -= 1
            done.append(field if known[field] >= 0 else self._judged(field, self._checks.milter, "milter header"))
        return b"".join(done)

    def _events(self, events: list[Event]) -> bytes:
        done: list[bytes] = []
        for event in events:
            if isinstance(event, Body):
                done.append(self._lines(event))
            elif isinstance(event, Field):
                done.append(self._field(event.raw, event.kind))
            else:
                self._fault(event.kind, event.text)
        return done[0] if len(done) == 1 else b"".join(done)

    def _ready(self, check: Check) -> frozenset[str] | None:
        self._asked = check.title
        if check.title not in self._literals:
            self._literals[check.title] = check.literals()
        return self._literals[check.title]

    def _check_for(self, field: bytes, kind: Kind) -> Check | None:
        checks = self._checks
        return {"header": checks.header, "mime": checks.mime_header, "nested": checks.nested_header}[
            checked_as(field, kind)
        ]

    def _field(self, field: bytes, kind: Kind) -> bytes:
        """One field, as it goes on."""
        if self._checks.strict.header_8bit and not field.isascii():
            self._fault("header", field)
        return self._judged(field, self._check_for(field, kind), "header")

    def _judged(self, field: bytes, check: Check | None, context: Context) -> bytes:
        if check is None or not self._message.disposition.inspected:
            return field
        key = _BLANKS_BEFORE_COLON.sub(r"\1:", decode(field.replace(b"\r\n", b"\n").removesuffix(b"\n")), count=1)
        if not may_match(self._ready(check), key) or (value := check.find(key)) is None:
            return field
        outcome = act(self._message, context, key, value, check.title)
        text = field if outcome.instead is None else _as_field(outcome.instead)
        return _applied(outcome, text, _as_field)

    def _lines(self, event: Body) -> bytes:
        checks, data = self._checks, event.data
        if checks.strict.body_8bit and event.encoding == b"7bit" and not data.isascii():
            self._fault("body", next(line for line in data.split(b"\n") if not line.isascii()))
        check = checks.body
        if check is None or not self._message.disposition.inspected:
            return data
        limit = checks.body_limit
        if limit and event.offset >= limit:
            return data
        looked_at = data
        if limit and event.offset + len(data) > limit:
            # Every line that begins before the limit.
            looked_at = data[: data.find(b"\n", limit - event.offset - 1) + 1 or len(data)]
        literals = self._ready(check)
        text = decode(looked_at)
        if literals is not None:
            folded = fold_for_search(text)
            literals = frozenset(literal for literal in literals if literal in folded)
            if not literals:
                return data
        done: list[bytes] = []
        for line in lines(looked_at):
            done += (self._piece(piece, check, literals) for piece in line_pieces(line, self._checks.line_limit))
        done.append(data[len(looked_at) :])
        return b"".join(done)

    def _piece(self, piece: bytes, check: Check, literals: frozenset[str] | None) -> bytes:
        if not self._message.disposition.inspected:
            return piece
        end = line_end(piece)
        key = decode(piece[: len(piece) - len(end)])
        # Nobody looks up an empty key: no rule takes away the line between header and body.
        if not key or not may_match(literals, key) or (value := check.find(key)) is None:
            return piece
        outcome = act(self._message, "body", key, value, check.title)
        text = piece if outcome.instead is None else encode(outcome.instead) + end
        return _applied(outcome, text, lambda before: encode(before) + b"\n")

    # --- what is refused without a table
    def _fault(self, kind: str, content: bytes) -> None:
        """Report the first fault of each kind; the message is refused when it is complete."""
        message, strict = self._message, self._checks.strict
        if kind in self._faults or not strict.refuses(kind):
            return
        self._faults.add(kind)
        error = _FAULTS[kind]
        text = decode(content).rstrip("\n")[:FAULT_TEXT_LIMIT]
        envelope = message.envelope
        log.info(f"{message.queue_id}: reject: mime-error {error}: {text} from {origin(envelope)}; {parties(envelope)}")
        if message.disposition.refusal is None:
            message.disposition.reject(Rejected(550, "5.6.0", error))


def _applied(outcome: Outcome, text: bytes, whole: Callable[[str], bytes]) -> bytes:
    if not outcome.kept:
        return b""
    return text if outcome.before is None else whole(outcome.before) + text


def _as_field(text: str) -> bytes:
    """A field from a table's text: further lines in it (from `$1`) become continuation lines."""
    lines = text.split("\n")
    return (
        encode("\n".join([lines[0], *(line if line[:1] in (" ", "\t") else f"\t{line}" for line in lines[1:])])) + b"\n"
    )
