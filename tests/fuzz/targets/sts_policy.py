"""What a domain publishes for MTA-STS: TXT records (lines of the data) and the policy file (all of it)."""

from __future__ import annotations

from pillarbox.lib.smtp.sts_policy import MAX_AGE_LIMIT, BadPolicy, parse_policy, parse_record


def fuzz(data: bytes) -> None:
    """An id is a word, or there is none; a policy is refused, or says who may have the mail and comes back the same."""
    identity = parse_record(data.split(b"\n"))
    assert identity is None or (identity.isascii() and identity.isalnum() and len(identity) <= 32)
    try:
        policy = parse_policy("example.org", identity or "", data.decode("utf-8"))
    except (BadPolicy, UnicodeDecodeError):
        return
    assert 0 <= policy.max_age <= MAX_AGE_LIMIT
    assert policy.mx or policy.mode == "none"
    for pattern in policy.mx:
        assert pattern == pattern.lower() and pattern.isascii()
        assert policy.matches(pattern.replace("*", "a"))
        assert not policy.matches(f"b.a.{pattern}") or f"*.a.{pattern}" in policy.mx
    assert parse_policy("example.org", "", "\n".join(policy.lines)).mx == policy.mx
