"""The addresses in the header of a message rewritten: put into standard form, and replaced by canonical tables.

Whose headers: local submissions and the system's own reports; of clients those in local_header_rewrite_clients (smtpd
says so by the attribute `rewrite`), and where remote_header_rewrite_domain is set all others, with that domain.
What local delivery sends on has been rewritten when it came.

Promises: fields of other names, and the order of fields, stay; a field changes only where an address in it does.
"""

from __future__ import annotations

from collections.abc import Callable

from pillarbox.lib.address.header_rewriting import complete_at_a_glance, rewrite_addresses
from pillarbox.lib.clients.lookup import LookupClient, Position
from pillarbox.lib.config import Config
from pillarbox.lib.config.address_rules import address_rules
from pillarbox.lib.config.parameters.lookup import CANONICAL_MAPS, RECIPIENT_CANONICAL_MAPS, SENDER_CANONICAL_MAPS
from pillarbox.lib.config.parameters.rewriting import (
    CANONICAL_CLASSES,
    MASQUERADE_CLASSES,
    MASQUERADE_DOMAINS,
    RECIPIENT_CANONICAL_CLASSES,
    REMOTE_HEADER_REWRITE_DOMAIN,
    SENDER_CANONICAL_CLASSES,
)
from pillarbox.lib.message.address_fields import SENDER_FIELDS, is_text, rewrite_fields
from pillarbox.lib.queue import Envelope

FROM_OUTSIDE = frozenset(("smtpd", "gateway"))
SENT_ON = "local"

Rewrite = Callable[[str], str]


class AddressFields:
    """The rules of one configuration.  A process's look-up client is given to `apply`, as it is shared."""

    def __init__(self, config: Config) -> None:
        self._local = address_rules(config)
        remote = config[REMOTE_HEADER_REWRITE_DOMAIN].strip()
        self._remote = address_rules(config, remote_domain=remote) if remote else None
        masked = config[MASQUERADE_CLASSES] if config[MASQUERADE_DOMAINS] else ()
        pairs = (
            (SENDER_CANONICAL_MAPS, SENDER_CANONICAL_CLASSES),
            (RECIPIENT_CANONICAL_MAPS, RECIPIENT_CANONICAL_CLASSES),
            (CANONICAL_MAPS, CANONICAL_CLASSES),
        )
        self._mapped = {
            position: position in masked or any(config[maps] and position in config[classes] for maps, classes in pairs)
            for position in ("header_sender", "header_recipient")
        }

    def apply(self, header: bytes, envelope: Envelope, lookup: LookupClient) -> bytes:
        """The header block (each line with its LF, without the empty line).  Raises ServiceUnavailable."""
        rules = self._local
        if not envelope.attributes.get("rewrite"):
            if envelope.origin == SENT_ON:
                return header
            if envelope.origin in FROM_OUTSIDE:
                if self._remote is None:
                    return header
                rules = self._remote
        mapped = "no_address_mappings" not in envelope.overrides
        rules_only = rules.standard
        sender = self._rewrite(rules_only, "header_sender", lookup, mapped)
        recipient = self._rewrite(rules_only, "header_recipient", lookup, mapped)

        def mended(name: bytes, value: str) -> str:
            rewrite = sender if name in SENDER_FIELDS else recipient
            if rewrite is rules_only and complete_at_a_glance(value):
                return value
            return rewrite_addresses(value, rewrite)

        return rewrite_fields(header, mended)

    def _rewrite(self, standard: Rewrite, position: Position, lookup: LookupClient, mapped: bool) -> Rewrite:
        if not mapped or not self._mapped[position]:
            return standard

        def rewritten(address: str) -> str:
            address = standard(address)
            return (lookup.canonical(address, position) if is_text(address) else None) or address

        return rewritten
