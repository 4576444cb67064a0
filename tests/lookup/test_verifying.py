"""Probes of address verification may have a way of their own."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from pillarbox.lib.clients.lookup import AsyncLookupClient, Route
from pillarbox.lookup.service import Lookup
from tests.lookup.serving import configuration, served

HERE = {
    "mydestination": "own.example",
    "virtual_mailbox_domains": "hosted.example",
    "relay_domains": "behind.example",
    "transport_maps": "inline:{mapped.example=smtp:[here]}",
    "relayhost": "[out]",
}


@pytest.mark.parametrize(
    ("parameter", "value", "address", "transport", "nexthop"),
    [
        ("address_verify_local_transport", "ask:[a]", "u@own.example", "ask", "[a]"),
        ("address_verify_virtual_transport", "ask:[a]", "u@hosted.example", "ask", "[a]"),
        ("address_verify_relay_transport", "ask:[a]", "u@behind.example", "ask", "[a]"),
        ("address_verify_default_transport", "ask:[a]", "u@far.example", "ask", "[a]"),
        ("address_verify_relayhost", "", "u@far.example", "smtp", "far.example"),
        ("address_verify_transport_maps", "inline:{mapped.example=ask:[b]}", "u@mapped.example", "ask", "[b]"),
        ("address_verify_transport_maps", "", "u@mapped.example", "smtp", "[out]"),
        (
            *("address_verify_sender_dependent_relayhost_maps", "inline:{{<> = [c]}}", "u@far.example"),
            *("smtp", "[c]"),
        ),
        (
            *("address_verify_sender_dependent_default_transport_maps", "inline:{{<> = ask:[d]}}", "u@far.example"),
            *("ask", "[d]"),
        ),
    ],
)
def test_each_parameter(tmp_path: Path, parameter: str, value: str, address: str, transport: str, nexthop: str) -> None:
    lookup = Lookup(configuration(tmp_path, **HERE, **{parameter: value}))
    asked, mail = lookup.verifying.resolve(address), lookup.router.resolve(address)
    assert (asked.transport, asked.nexthop) == (transport, nexthop)
    assert mail != asked, "mail itself goes as it did"


def test_without_them_probes_go_as_mail_goes(tmp_path: Path) -> None:
    lookup = Lookup(configuration(tmp_path, **HERE))
    assert lookup.verifying is lookup.router
    assert lookup.tables.named("address_verify_transport_maps") is lookup.tables.named("transport_maps"), "opened once"


def test_the_client_asks_for_both(tmp_path: Path) -> None:
    config = configuration(tmp_path, **HERE, address_verify_default_transport="ask:[a]")

    async def both() -> tuple[Route, Route]:
        client = AsyncLookupClient(config)
        try:
            return await client.probing_route("u@far.example"), await client.resolve("u@far.example")
        finally:
            await client.close()

    with served(config):
        probe, mail = asyncio.run(both())
    assert (probe.transport, mail.transport) == ("ask", "smtp")
