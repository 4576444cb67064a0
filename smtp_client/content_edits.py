"""header_checks(5) on the way out: what tables change in the header and the body of a message for another server.

What the actions do is in `edit_rules`.  The tables are opened before the process gives up its rights, and go on in
their former content when they change, until the next reload.  Tables that ask servers hold up the message, but no other
one.  The body is gone through in pieces, once; what is to change in it is remembered, up to `CHANGES`, and the rest is
read from the queue file when it is sent.  Most of it is only searched for the texts that the expressions need.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Final

from pillarbox.lib.clients.lookup import AsyncLookupClient
from pillarbox.lib.clients.through_lookup import Answers, through_lookup
from pillarbox.lib.config import Config
from pillarbox.lib.config.parameter import Parameter
from pillarbox.lib.config.parameters import content as limits
from pillarbox.lib.config.parameters import general
from pillarbox.lib.config.parameters import rewriting as r
from pillarbox.lib.delivery import Content
from pillarbox.lib.delivery.content import Edit
from pillarbox.lib.message.header import scan
from pillarbox.lib.mime.sections import (
    Body,
    Event,
    Field,
    Kind,
    SectionLimits,
    Sections,
    checked_as,
    line_end,
    line_pieces,
    lines,
)
from pillarbox.lib.system.processor_time import Budget, OutOfTime, limited
from pillarbox.lib.tables import LookupFailed, Maps, Options
from pillarbox.lib.tables.lines import decode
from pillarbox.lib.tables.literals import fold_for_search
from pillarbox.smtp_client.edit_rules import Found, Where

TIME_LIMIT: Final = 1.0
"""Seconds of processor time that the expressions may take for one header, or one piece of a body: all deliveries of the
process stand still."""

CHANGES: Final = 4 * 1024 * 1024
"""Bytes of what is remembered of one message's edits."""

EDIT_WEIGHT: Final = 200
"""What an edit counts for beside its text."""


class ContentEdits:
    """The tables of one service.  Raises TableError."""

    def __init__(self, config: Config, lookup: AsyncLookupClient) -> None:
        self._lookup = lookup
        self._answers = Answers()
        options, registry = Options(keep=True, literals=True), through_lookup(config, self._answers)

        def opened(parameter: Parameter[tuple[str, ...]]) -> Maps:
            specs: tuple[str, ...] = config[parameter]
            maps = Maps.open(parameter.name, specs, options, registry)
            maps.preload()
            return maps

        self._checks = {
            "header": opened(r.SMTP_HEADER_CHECKS),
            "mime": opened(r.SMTP_MIME_HEADER_CHECKS),
            "nested": opened(r.SMTP_NESTED_HEADER_CHECKS),
        }
        self._body = opened(r.SMTP_BODY_CHECKS)
        self._limits = SectionLimits(
            config[general.HEADER_SIZE_LIMIT],
            config[general.LINE_LENGTH_LIMIT],
            config[limits.MIME_NESTING_LIMIT],
            config[limits.MIME_BOUNDARY_LENGTH_LIMIT],
        )

    def __bool__(self) -> bool:
        return any(self._checks.values()) or bool(self._body)

    async def header(self, header: bytes, queue_id: str, parties: str) -> bytes:
        """The header block as it is sent; `parties` are for the log.  Raises LookupFailed: the message waits."""
        budget = Budget(TIME_LIMIT)
        pieces: list[bytes] = []
        done = 0
        for field in scan(header):
            raw = header[field.start : field.end]
            new = await self._field(raw, "primary", budget, queue_id, parties)
            if new is not raw:
                pieces += (header[done : field.start], new)
                done = field.end
        return b"".join((*pieces, header[done:])) if pieces else header

    async def rest(self, content: Content, header: bytes, queue_id: str, parties: str) -> list[Edit]:
        """What changes behind the header block.  Raises LookupFailed: the message waits; OSError, EOFError."""
        if not (self._checks["mime"] or self._checks["nested"] or self._body):
            return []
        sections = Sections(self._limits)
        for field in scan(header):
            sections.note(header[field.start : field.end])
        edits = _Edits(len(header), content.size)
        look = partial(self._look, edits=edits, literals=self._body.literals(), queue_id=queue_id, parties=parties)
        for number, data in enumerate(content.chunks(start=len(header))):
            if number:
                await asyncio.sleep(0)  # it is others' turn
            await look(sections.feed(data))
        await look(sections.finish())
        return edits.found

    async def _look(
        self, events: list[Event], *, edits: _Edits, literals: frozenset[str] | None, queue_id: str, parties: str
    ) -> None:
        """Find what changes in these fields and lines."""
        budget = Budget(TIME_LIMIT)
        for event in events:
            if isinstance(event, Field):
                new = await self._field(event.raw, event.kind, budget, queue_id, parties)
                if new is not event.raw:
                    edits.add(event.start, event.end, new)
            elif isinstance(event, Body) and self._body and event.start >= 0:
                wanted = list(self._candidates(event, literals))
                values = await self._find(self._body, [key for _, _, key in wanted], budget, "body")
                for (start, raw, key), value in zip(wanted, values, strict=True):
                    if value is not None:
                        new = Found("body", raw, key, value, self._body.title).edited(queue_id, parties)
                        if new is not raw:
                            edits.add(start, start + len(raw), new)

    def _candidates(self, event: Body, literals: frozenset[str] | None) -> Iterator[tuple[int, bytes, str]]:
        """The pieces of lines that may have an answer: where they are, with their ends, and their keys."""
        if literals is not None:
            folded = fold_for_search(decode(event.data))
            literals = frozenset(literal for literal in literals if literal in folded)
            if not literals:
                return
        position = event.start
        for line in lines(event.data):
            at = position
            position += len(line)
            for piece in line_pieces(line, self._limits.line_length):
                key = decode(piece.removesuffix(line_end(piece)))
                # Nobody looks up an empty key, so what separates header and body stays, whatever the tables say.
                if key and (literals is None or any(literal in fold_for_search(key) for literal in literals)):
                    yield at, piece, key
                at += len(piece)

    async def _field(self, raw: bytes, kind: Kind, budget: Budget, queue_id: str, parties: str) -> bytes:
        """What becomes of a header field."""
        maps = self._checks[checked_as(raw, kind)]
        if not maps:
            return raw
        key = decode(raw.replace(b"\r\n", b"\n").removesuffix(b"\n"))
        (value,) = await self._find(maps, [key], budget, "header")
        return raw if value is None else Found("header", raw, key, value, maps.title).edited(queue_id, parties)

    async def _find(self, maps: Maps, keys: Sequence[str], budget: Budget, where: Where) -> list[str | None]:
        if not keys:
            return []
        try:
            return await self._answers.find(maps, keys, self._lookup, partial(limited, budget))
        except OutOfTime:
            place = f"header field {keys[0].partition(':')[0][:100]}" if where == "header" else "body"
            raise LookupFailed(
                f"{maps.title}: {TIME_LIMIT:g} s of processor time were used up at the {place}; "
                "expressions that decide faster were expected"
            ) from None


class _Edits:
    """Those of one message, behind its header."""

    def __init__(self, base: int, size: int) -> None:
        self._base = base
        self._size = size
        self._weight = 0
        self.found: list[Edit] = []

    def add(self, start: int, end: int, text: bytes) -> None:
        """One more, by its place behind the header.  Raises LookupFailed where they become too many."""
        start, end = self._base + start, min(self._base + end, self._size)
        if self.found and not text and self.found[-1].end == start:
            last = self.found.pop()
            start, text = last.start, last.text  # lines that go become one edit
        else:
            self._weight += EDIT_WEIGHT + len(text)
        if self._weight > CHANGES:
            raise LookupFailed(f"more than {CHANGES} bytes would have to be remembered of what changes in the message")
        self.found.append(Edit(start, end, text))
