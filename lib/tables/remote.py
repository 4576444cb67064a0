"""Which tables are asked through the lookup process, because they ask others: servers, or by `proxy:`.

Only lookup may reach the servers, and only it has read their passwords.
"""

from __future__ import annotations

from pillarbox.lib.tables.names import braced, split_items

REMOTE = frozenset(
    (
        *("ldap", "memcache", "mysql", "pgsql", "redis", "socketmap", "sqlite", "tcp"),
        *("accounts", "logins", "proxy"),
    )
)
"""Types of such tables."""

_COMPOSITE = ("pipemap", "unionmap")


def remote_parts(spec: str) -> tuple[str, ...]:
    """The tables in `type:name`, itself or those that it is made of, that are asked through lookup."""
    kind, _, name = spec.partition(":")
    if kind in REMOTE:
        return (spec,)
    if kind not in _COMPOSITE:
        return ()
    try:
        items = split_items(braced(name) or "")
    except ValueError:
        return ()
    return tuple(part for item in items for part in remote_parts(item))
