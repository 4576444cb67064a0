"""The look-up client without a service: questions go straight to the tables."""

from __future__ import annotations

from typing import cast

from pillarbox.lib.clients.lookup import LookupClient, RecipientVerdict, Route
from pillarbox.lib.clients.lookup_answers import CopyKind, LookupUnavailable, Position
from pillarbox.lib.config import Config
from pillarbox.lib.tables import LookupFailed
from pillarbox.lookup.forwarding import SrsError
from pillarbox.lookup.service import Lookup


class Direct:
    """Answers as the service does."""

    def __init__(self, config: Config) -> None:
        self.lookup = Lookup(config)

    def recipient(self, address: str) -> RecipientVerdict:
        try:
            return self.lookup.recipients.verdict(address)
        except LookupFailed as error:
            raise LookupUnavailable(error.reason) from None

    def resolve(self, recipient: str, sender: str = "") -> Route:
        try:
            return self.lookup.router.resolve(recipient, sender)
        except LookupFailed as error:
            raise LookupUnavailable(error.reason) from None

    def expand(self, address: str) -> tuple[str, ...] | None:
        try:
            return self.lookup.expansion.expand(address)
        except LookupFailed as error:
            raise LookupUnavailable(error.reason) from None

    def canonical(self, address: str, position: Position) -> str | None:
        try:
            return self.lookup.rewriting.canonical(address, position)
        except LookupFailed as error:
            raise LookupUnavailable(error.reason) from None

    def returned(self, address: str) -> str | None:
        try:
            return self.lookup.forwarding.back(address)
        except SrsError:
            return None

    def copy_to(self, address: str, kind: CopyKind) -> str | None:
        try:
            return self.lookup.rewriting.copy_to(address, kind)
        except LookupFailed as error:
            raise LookupUnavailable(error.reason) from None


def direct(config: Config) -> LookupClient:
    """A client of that kind."""
    return cast(LookupClient, Direct(config))
