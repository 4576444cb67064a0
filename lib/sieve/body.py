"""The `body` test (RFC 5173): `:raw` octets, `:content` of parts by type, `:text` for people.

The wildcards of a body test leave the match values alone (RFC 5173 section 6).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pillarbox.lib.sieve.call import Call
from pillarbox.lib.sieve.limits import PART
from pillarbox.lib.sieve.match import TAGS as MATCH_TAGS
from pillarbox.lib.sieve.match import Matcher, matcher
from pillarbox.lib.sieve.parts import Entity
from pillarbox.lib.sieve.run import Run
from pillarbox.lib.sieve.signature import STRINGS, Positional, Rule, TagRule
from pillarbox.lib.sieve.text import Texts


@dataclass(frozen=True, slots=True)
class BodyTest:
    """`body`; `types` None: `:text`, or `:raw`."""

    raw: bool
    types: Texts | None
    matcher: Matcher

    def holds(self, run: Run) -> bool:
        before = run.match_values
        held = self.matcher.match(run, self._values(run))
        run.match_values = before
        return held

    def _values(self, run: Run) -> Sequence[str]:
        content = run.content
        if not content.has_body:
            return ()
        if self.raw:
            return (content.text,)
        if self.types is None:
            run.spend(PART * len(content.parts))
            return content.readable
        wanted = [written.lower() for written in self.types.get(run)]
        run.spend(PART * len(wanted) * len(content.parts))
        return [text for part in content.parts if any(_is_of(part, each) for each in wanted) for text in part.own()]


def _is_of(part: Entity, wanted: str) -> bool:
    """Whether a part is of a type; what is neither type nor type/subtype fits nothing (RFC 5173 section 5.2)."""
    if not wanted:
        return True
    kind, subtype = part.part.type.decode("latin-1"), part.part.subtype.decode("latin-1")
    return wanted == (f"{kind}/{subtype}" if "/" in wanted else kind)


def _body(call: Call) -> BodyTest:
    call.scope.inclusions.body_keys += len(call.texts("keys").items)
    types = call.texts("content") if call.has("content") else None
    return BodyTest(call.has("raw"), types, matcher(call, "keys"))


TESTS = {
    "body": Rule(
        _body,
        "body",
        (Positional("keys", STRINGS),),
        MATCH_TAGS
        | {
            "raw": TagRule(group="transform"),
            "text": TagRule(group="transform"),
            "content": TagRule(value=STRINGS, group="transform"),
        },
    )
}
