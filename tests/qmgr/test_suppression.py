"""Who is not tried, and which refusals are remembered."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, cast

import pytest

from pillarbox.lib.clients.errors import ServiceUnavailable
from pillarbox.lib.clients.lookup import Route
from pillarbox.lib.clients.suppression import Reason
from pillarbox.lib.config import Config
from pillarbox.lib.delivery.result import BOUNCED, DEFERRED, Result
from pillarbox.lib.log import log
from pillarbox.lib.queue import Recipient, StoredRecipient
from pillarbox.qmgr.suppression import Suppression, hard

SAID = "550 5.1.1 <ann@far.test>: no such user"


class FakeClient:
    def __init__(self, listed: dict[str, Reason], down: bool = False) -> None:
        self.listed, self.down = listed, down
        self.asked: list[str] = []
        self.notes: list[tuple[str, str, int, int]] = []

    async def suppressed(self, addresses: Sequence[str]) -> dict[str, Reason]:
        self.asked += addresses
        if self.down:
            raise ServiceUnavailable("reputation: gone")
        return {address: self.listed[address] for address in addresses if address in self.listed}

    def refused(self, address: str, reason: str, limit: int, lifetime: int) -> None:
        self.notes.append((address, reason, limit, lifetime))

    def close(self) -> None:
        pass


def suppression(client: FakeClient, **settings: str) -> Suppression:
    values = {"suppression_enable": "yes", "myhostname": "mx.test", **settings}
    return Suppression(Config.for_tests(**values), cast(Any, client))


def routed(*addresses: str) -> list[tuple[StoredRecipient, Route]]:
    return [
        (StoredRecipient(n, Recipient(address), False), Route("smtp", "far.test", address, "default"))
        for n, address in enumerate(addresses)
    ]


def sifted(client: FakeClient, *addresses: str) -> dict[str, str]:
    """Where each address goes."""
    found = asyncio.run(suppression(client).sift(routed(*addresses)))
    assert [stored.n for stored, _ in found] == list(range(len(addresses)))
    return {stored.recipient.address: f"{route.transport}:{route.nexthop}" for stored, route in found}


class TestSifting:
    def test_the_listed_go_back_with_the_reason(self) -> None:
        client = FakeClient({"a@far.test": Reason("moved", True), "b@far.test": Reason(SAID, False)})
        found = sifted(client, "a@far.test", "b@far.test", "c@far.test")
        assert found["a@far.test"].startswith("error:5.7.1 The address gets no mail from mx.test: moved; postmaster@")
        assert found["b@far.test"].startswith("error:5.1.1 ") and SAID in found["b@far.test"]
        assert found["c@far.test"] == "smtp:far.test"

    def test_some_are_not_even_looked_for(self) -> None:
        everybody = {each: Reason("x", True) for each in ("postmaster@far.test", "double-bounce@here.test")}
        client = FakeClient(everybody)
        assert set(sifted(client, *everybody).values()) == {"smtp:far.test"}
        assert client.asked == []

    def test_without_the_service_mail_goes_on(self) -> None:
        with log.capture() as lines:
            assert sifted(FakeClient({}, down=True), "a@far.test") == {"a@far.test": "smtp:far.test"}
        assert "delivered without it: reputation: gone" in lines[0]


def refused(**change: str) -> Result:
    members = {
        "status": BOUNCED,
        "dsn": "5.1.1",
        "text": f"host mx[192.0.2.1] said: {SAID} (in reply to RCPT TO command)",
        "remote_mta": "dns; mx",
        "diagnostic": f"smtp; {SAID}",
        **change,
    }
    return Result(1, **members)


class TestLearning:
    def learnt(self, result: Result, **settings: str) -> list[tuple[str, str, int, int]]:
        client = FakeClient({})
        suppression(client, suppression_bounce_limit="3", **settings).learn(
            StoredRecipient(1, Recipient("ann@far.test"), False), result
        )
        return client.notes

    def test_a_refusal_by_the_server_of_the_address(self) -> None:
        assert self.learnt(refused()) == [("ann@far.test", SAID, 3, 90 * 86400)]

    @pytest.mark.parametrize(
        "change",
        [
            {"status": DEFERRED},
            {"dsn": "5.7.1"},
            {"dsn": "5.2.2"},
            {"remote_mta": ""},
            {"diagnostic": ""},
            {"text": f"host mx[192.0.2.1] said: {SAID} (in reply to end of DATA command)"},
            {"text": f"host mx[192.0.2.1] said: {SAID} (in reply to MAIL FROM command)"},
        ],
    )
    def test_other_failures_prove_nothing(self, change: dict[str, str]) -> None:
        assert hard(refused()) and not hard(refused(**change))
        assert self.learnt(refused(**change)) == []

    def test_nothing_is_learnt_unless_it_is_wanted(self) -> None:
        assert self.learnt(refused(), suppression_enable="no") == []
        client = FakeClient({})
        suppression(client).learn(StoredRecipient(1, Recipient("ann@far.test"), False), refused())
        assert client.notes == [], "the limit is 0 by default"
