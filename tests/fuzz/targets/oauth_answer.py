"""The authorization server's answer: whose a token is."""

from __future__ import annotations

from pillarbox.oauth.introspection import Rules, Unusable, judge

_RULES = (
    Rules(),
    Rules("email", frozenset(("mail",)), frozenset(("mx.example",)), "https://as.example", "https://as.example/conf"),
)
_NOW = 1_800_000_000.0


def fuzz(data: bytes) -> None:
    """A verdict names a user or says what is wrong, never both; nobody is let in by an answer that does not say so."""
    for rules in _RULES:
        try:
            answer, _ = judge(200, data, rules, _NOW)
        except Unusable:
            continue
        assert bool(answer.username) != bool(answer.status)
        if answer.username:
            assert b'"active"' in data or b"\\u" in data
            assert answer.username.isprintable()
