"""Tables that a program other than lookup opens for itself, with those among them that only lookup can ask.

header_checks and its kin are mostly expressions, which cleanup and the SMTP client try themselves; what asks servers,
or has `proxy:` before it, is asked of lookup, a question for each key.  Look-ups wait for the answer.
"""

from __future__ import annotations

from pillarbox.lib.clients.lookup import LookupClient
from pillarbox.lib.config import Config
from pillarbox.lib.tables import STANDARD, Options, Registry, Table
from pillarbox.lib.tables.registry import Opener
from pillarbox.lib.tables.remote import REMOTE


class ThroughLookup(Table):
    """One table."""

    patterns = True  # whole keys: what the table is, lookup knows

    def __init__(self, spec: str, options: Options, client: LookupClient) -> None:
        super().__init__(spec, options)
        self._client = client

    def get(self, key: str) -> str | None:
        return self._client.in_table(self.spec, key)


def through_lookup(config: Config) -> Registry:
    """The types of tables as such a program opens them."""
    client = LookupClient(config)
    registry = STANDARD.copy()

    def opener() -> Opener:
        return lambda spec, options, registry: ThroughLookup(spec, options, client)

    for kind in REMOTE:
        registry.register(kind, opener())
    return registry
