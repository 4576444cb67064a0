"""Messages that were here before (RFC 7352): `duplicate`.

The test asks the memory and says what to remember when all went well; it changes nothing itself, so that asking twice
in one script gives one answer.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from pillarbox.lib.sieve.actions import Remember
from pillarbox.lib.sieve.call import Call
from pillarbox.lib.sieve.run import Run
from pillarbox.lib.sieve.signature import NUMBER, STRING, Rule, TagRule
from pillarbox.lib.sieve.text import Text, Texts

DEFAULT_SECONDS = 7 * 86400
LONGEST = 90 * 86400
"""Seconds for which something may be remembered: a longer time is cut."""


@dataclass(frozen=True, slots=True)
class Duplicate:
    """`duplicate`; an identification that is empty or missing is no duplicate of anything."""

    handle: Text
    header: Texts
    unique: Text | None
    seconds: int
    last: bool

    def holds(self, run: Run) -> bool:
        if self.unique is not None:
            value = self.unique.get(run)
        else:
            names = self.header.get(run)
            value = next(iter(run.header.values(names[0].lower())), "")
        if not value:
            return False
        parts = "\0".join((self.handle.get(run), "" if self.unique is not None else "header", value))
        identification = hashlib.sha256(parts.encode("utf-8", "surrogatepass")).hexdigest()
        seen = run.state.duplicate_seen(identification, self.seconds)
        if not seen or self.last:
            mark = Remember(identification, self.seconds)
            if mark not in run.remember and len(run.remember) < run.limits.actions:
                run.remember.append(mark)
        return seen


def _duplicate(call: Call) -> Duplicate:
    header = call.texts("header") if call.has("header") else Texts((Text("message-id"),), ("message-id",))
    return Duplicate(
        handle=call.text("handle"),
        header=header,
        unique=call.text("uniqueid") if call.has("uniqueid") else None,
        seconds=min(call.number("seconds", DEFAULT_SECONDS), LONGEST),
        last=call.has("last"),
    )


TESTS = {
    "duplicate": Rule(
        _duplicate,
        "duplicate",
        tags={
            "handle": TagRule(value=STRING),
            "header": TagRule(value=STRING, group="identification"),
            "uniqueid": TagRule(value=STRING, group="identification"),
            "seconds": TagRule(value=NUMBER),
            "last": TagRule(),
        },
    )
}
