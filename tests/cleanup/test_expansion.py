"""What an alias does to the wishes that came with a recipient (RFC 3461 section 5.2.7)."""

from __future__ import annotations

from typing import cast

import pytest

from pillarbox.cleanup.expansion import expand_recipients
from pillarbox.lib.clients.lookup import LookupClient
from pillarbox.lib.queue import Recipient


class Aliases:
    """Answers as the look-up service does."""

    def __init__(self, **table: tuple[str, ...]) -> None:
        self._table = table

    def expand(self, address: str) -> tuple[str, ...] | None:
        return self._table.get(address.partition("@")[0])


@pytest.mark.parametrize("results", [("b@y.test",), ("b@y.test", "c@y.test")])
def test_original_recipient_and_notify_go_on_to_every_result(results: tuple[str, ...]) -> None:
    recipient = Recipient("all@y.test", orcpt="rfc822;x@z.test", notify=("success",))
    expanded = expand_recipients(cast(LookupClient, Aliases(all=results)), [recipient])
    assert expanded == tuple(Recipient(each, "all@y.test", "rfc822;x@z.test", ("success",)) for each in results)


def test_who_has_no_alias_stays_as_given() -> None:
    recipient = Recipient("a@y.test", orcpt="rfc822;x@z.test", notify=("never",))
    assert expand_recipients(cast(LookupClient, Aliases()), [recipient]) == (recipient,)
