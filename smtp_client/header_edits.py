"""header_checks(5) on the way out: what tables change in the header of a message that is sent to another server.

Here it is too late to refuse, to hold or to redirect a message: such an action is reported in the log and does nothing,
as in Postfix.  The tables are opened before the process gives up its rights, and go on in their former content when
they change, until the next reload.  Tables that ask servers hold up the message, but no other one.
"""

from __future__ import annotations

import re
from functools import partial

from pillarbox.lib.clients.lookup import AsyncLookupClient
from pillarbox.lib.clients.through_lookup import Answers, through_lookup
from pillarbox.lib.config import Config
from pillarbox.lib.config.parameter import Parameter
from pillarbox.lib.config.parameters.rewriting import SMTP_HEADER_CHECKS, SMTP_MIME_HEADER_CHECKS
from pillarbox.lib.log import log
from pillarbox.lib.message.header import scan
from pillarbox.lib.system.processor_time import Budget, OutOfTime, limited
from pillarbox.lib.tables import LookupFailed, Maps, Options
from pillarbox.lib.tables.lines import decode, encode

_MIME_FIELDS = frozenset(
    (
        *(b"content-description", b"content-disposition", b"content-id", b"content-transfer-encoding"),
        *(b"content-type", b"mime-version"),
    )
)
_FIELD = re.compile(r"[!-9;-~]+[ \t]*:")
_QUIET = frozenset(("DUNNO", "OK", "IGNORE"))
_DROPS = frozenset(("IGNORE", "STRIP"))
_REPORTED = {"INFO": "info", "WARN": "warning", "STRIP": "strip", "REPLACE": "replace", "PREPEND": "prepend"}


TIME_LIMIT = 1.0
"""Seconds of processor time that the expressions may take for one header: all deliveries of the process stand still."""


class HeaderEdits:
    """The tables of one service.  Raises TableError."""

    def __init__(self, config: Config, lookup: AsyncLookupClient) -> None:
        self._lookup = lookup
        self._answers = Answers()
        options, registry = Options(keep=True), through_lookup(config, self._answers)

        def opened(parameter: Parameter[tuple[str, ...]]) -> Maps:
            specs: tuple[str, ...] = config[parameter]
            return Maps.open(parameter.name, specs, options, registry)

        self._header = opened(SMTP_HEADER_CHECKS)
        self._mime = opened(SMTP_MIME_HEADER_CHECKS)
        for maps in (self._header, self._mime):
            maps.preload()

    def __bool__(self) -> bool:
        return bool(self._header) or bool(self._mime)

    async def apply(self, header: bytes, queue_id: str, parties: str) -> bytes:
        """The header block as it is sent; `parties` are for the log.  Raises LookupFailed: the message waits."""
        budget = Budget(TIME_LIMIT)
        pieces: list[bytes] = []
        done = 0
        for field in scan(header):
            maps = self._mime if field.name.lower() in _MIME_FIELDS else self._header
            if not maps:
                continue
            raw = header[field.start : field.end]
            key = decode(raw.replace(b"\r\n", b"\n").removesuffix(b"\n"))
            value = await self._find(maps, key, budget)
            if value is None:
                continue
            new = _edited(raw, key, value, maps.title, queue_id, parties)
            if new is not raw:
                pieces += (header[done : field.start], new)
                done = field.end
        return b"".join((*pieces, header[done:])) if pieces else header

    async def _find(self, maps: Maps, key: str, budget: Budget) -> str | None:
        try:
            return await self._answers.find(maps, key, self._lookup, partial(limited, budget))
        except OutOfTime:
            field = key.partition(":")[0][:100]
            raise LookupFailed(
                f"{maps.title}: {TIME_LIMIT:g} s of processor time were used up at the header field {field}; "
                "expressions that decide faster were expected"
            ) from None


def _edited(raw: bytes, key: str, value: str, title: str, queue_id: str, parties: str) -> bytes:
    """What becomes of a field for which a table has a value."""
    word, _, text = value.replace("\t", " ").partition(" ")
    action, text = word.upper(), value[len(word) :].strip()
    if action in ("REPLACE", "PREPEND") and not text:
        log.warning(f"{action} action without text in {title} map")
        return raw
    if action in ("REPLACE", "PREPEND") and not _FIELD.match(text):
        # It would end the header: what follows would be text.
        log.warning(f'bad {action} header text "{text}" in {title} map -- need "headername: headervalue"')
        return raw
    if action in _REPORTED:
        log.info(
            f"{queue_id}: {_REPORTED[action]}: header {key.splitlines()[0]}; {parties}{': ' if text else ''}{text}"
        )
    elif action not in _QUIET:
        log.warning(f'{title}: "{word}" cannot be done to mail on its way out; the field stays')
    if action in _DROPS:
        return b""
    if action == "REPLACE":
        return _as_field(text)
    return _as_field(text) + raw if action == "PREPEND" else raw


def _as_field(text: str) -> bytes:
    """A field from a table's text: further lines in it (from `$1`) become continuation lines."""
    first, *rest = text.split("\n")
    return encode("\n".join([first, *(line if line[:1] in (" ", "\t") else f"\t{line}" for line in rest)])) + b"\n"
