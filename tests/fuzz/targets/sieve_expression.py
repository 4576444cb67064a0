"""Regular expressions and wildcards of scripts: a pattern and a text, divided by a line end."""

from __future__ import annotations

from pillarbox.lib.sieve.comparators import fold_ascii
from pillarbox.lib.sieve.haystack import Haystack
from pillarbox.lib.sieve.regex import ExpressionError, compile_expression
from pillarbox.lib.sieve.wildcards import compile_wildcards


class _Steps:
    def __init__(self) -> None:
        self.count = 0

    def __call__(self, amount: int) -> None:
        self.count += amount


def fuzz(data: bytes) -> None:
    """What is found has a place and the texts that it needs; the steps are bounded; wildcards are never a fault."""
    pattern, _, text = data.decode("utf-8", "replace").partition("\n")
    wildcards = compile_wildcards(pattern[:200])
    places = wildcards.find(text, _Steps())
    if places is not None:
        assert all(0 <= start <= end <= len(text) for start, end in wildcards.spans(text, places, _Steps()))
        assert all(map(Haystack(text, many=True).has, wildcards.needles))
    for fold in (False, True):
        try:
            expression = compile_expression(pattern[:200], fold)
        except ExpressionError:
            continue
        steps = _Steps()
        found = expression.search(text, steps)
        spans = expression.groups(text, steps)
        assert found is bool(spans)
        needles, folded = expression.needles, fold_ascii(text) if fold else text
        assert not (found and needles) or any(Haystack(folded, many=True).has(needle) for needle in needles)
        assert all(-1 <= start <= end <= len(text) for start, end in spans)
        assert steps.count <= 500 * (len(text) + 1) * 20_000
