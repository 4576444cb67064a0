"""What the actions of header_checks(5) do to a field or a line of a message on its way out.

Here it is too late to refuse, to hold or to redirect a message: such an action is reported in the log and does nothing,
as in Postfix.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from pillarbox.lib.log import log
from pillarbox.lib.mime.sections import line_end
from pillarbox.lib.tables.lines import encode

Where: TypeAlias = Literal["header", "body"]

_FIELD: Final = re.compile(r"[!-9;-~]+[ \t]*:")
_QUIET: Final = frozenset(("DUNNO", "OK", "IGNORE"))
_DROPS: Final = frozenset(("IGNORE", "STRIP"))
_REPORTED: Final = {"INFO": "info", "WARN": "warning", "STRIP": "strip", "REPLACE": "replace", "PREPEND": "prepend"}
_SHOWN: Final = 200
"""Characters of a field or line that the log shows."""


@dataclass(frozen=True, slots=True)
class Found:
    """The table of `title` has `value` for `key`: `raw`, a header field or a line of a body, with its end."""

    where: Where
    raw: bytes
    key: str
    value: str
    title: str

    def edited(self, queue_id: str, parties: str) -> bytes:
        """What becomes of it: `raw` itself where it stays; `parties` are for the log."""
        word, _, _ = self.value.replace("\t", " ").partition(" ")
        action, text = word.upper(), self.value[len(word) :].strip()
        if action in ("REPLACE", "PREPEND") and not text:
            log.warning(f"{action} action without text in {self.title} map")
            return self.raw
        if self.where == "header" and action in ("REPLACE", "PREPEND") and not _FIELD.match(text):
            # It would end the header: what follows would be text.
            log.warning(f'bad {action} header text "{text}" in {self.title} map -- need "headername: headervalue"')
            return self.raw
        if action in _REPORTED:
            shown = self.key.partition("\n")[0][:_SHOWN]
            reason = f": {text}" if text else ""
            log.info(f"{queue_id}: {_REPORTED[action]}: {self.where} {shown}; {parties}{reason}")
        elif action not in _QUIET:
            what = "field" if self.where == "header" else "line"
            log.warning(f'{self.title}: "{word}" cannot be done to mail on its way out; the {what} stays')
        if action in _DROPS:
            return b""
        if action == "REPLACE":
            return self._written(text, line_end(self.raw))
        return self._written(text, b"\n") + self.raw if action == "PREPEND" else self.raw

    def _written(self, text: str, end: bytes) -> bytes:
        """A table's text; further lines of a field (from `$1`) become continuation lines."""
        if self.where == "body":
            return encode(text) + end
        first, *rest = text.split("\n")
        lines = (first, *(line if line[:1] in (" ", "\t") else f"\t{line}" for line in rest))
        return encode("\n".join(lines)) + b"\n"
