"""UIDONLY (RFC 9586): no message numbers, neither from the client nor to it.

What it changes stands where numbers do: `Selected` tells UIDFETCH and VANISHED, the loop and the search key for sets
refuse numbers with BAD [UIDREQUIRED].
"""

from __future__ import annotations

from collections.abc import Callable

from pillarbox.imapd.session.context import Session

CAPABILITIES = ("UIDONLY",)
ENABLES: dict[bytes, Callable[[Session], None]] = {b"UIDONLY": lambda session: None}
