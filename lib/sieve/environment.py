"""What the message and its way are not (RFC 5183, 5235): `environment`, `spamtest`, `virustest`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pillarbox.lib.sieve.match import TAGS as MATCH_TAGS
from pillarbox.lib.sieve.match import Count, Matcher, comparison, matcher
from pillarbox.lib.sieve.run import Run
from pillarbox.lib.sieve.signature import STRING, STRINGS, Positional, Rule, TagRule
from pillarbox.lib.sieve.text import Text

VIRUS_MOST = 5
"""The greatest answer of `virustest`: a virus that could not be removed."""


@dataclass(frozen=True, slots=True)
class Item:
    """`environment`; an item that is not known never fits."""

    item: Text

    def of(self, run: Run) -> Sequence[str] | None:
        value = run.state.environment.get(self.item.get(run).lower())
        return None if value is None else (value,)


@dataclass(frozen=True, slots=True)
class SpamTest:
    """`spamtest`: 0 not tested, 1 clean to 10 spam; with `:percent` 0 clean to 100 spam, which counts where tested."""

    percent: bool
    matcher: Matcher

    def holds(self, run: Run) -> bool:
        score = run.state.spam_score()
        tested = score is not None
        score = min(100.0, max(0.0, score or 0.0))
        value = int(score) if self.percent else (1 + round(score * 9 / 100) if tested else 0)
        return self.matcher.match(run, () if isinstance(self.matcher, Count) and not tested else (str(value),))


@dataclass(frozen=True, slots=True)
class VirusScore:
    """`virustest`: 0 not tested, 1 clean to 5 infected."""

    def of(self, run: Run) -> Sequence[str]:
        return (str(min(VIRUS_MOST, max(0, run.state.virus_score()))),)


_KEYS, _SCORE = Positional("keys", STRINGS), (Positional("score", STRING),)

TESTS = {
    "environment": Rule(
        lambda call: comparison(call, Item(call.text("item"))),
        "environment",
        (Positional("item", STRING), _KEYS),
        MATCH_TAGS,
    ),
    "spamtest": Rule(
        lambda call: SpamTest(call.has("percent"), matcher(call, "score")),
        "spamtest spamtestplus",
        _SCORE,
        MATCH_TAGS | {"percent": TagRule("spamtestplus")},
    ),
    "virustest": Rule(lambda call: comparison(call, VirusScore(), "score"), "virustest", _SCORE, MATCH_TAGS),
}
