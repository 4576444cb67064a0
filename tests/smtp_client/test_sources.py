"""The local address and the name of connections: of the service, or of a request that names its own."""

from __future__ import annotations

import pytest

from tests.dns.name_server import name_server
from tests.smtp_client.conftest import ClientUnderTest
from tests.smtp_client.fake_server import FakeServer, fake_server

UNUSABLE = "192.0.2.1"


def peers(server: FakeServer) -> list[str]:
    return [heard.peer for heard in server.heard]


def test_the_address_and_the_name_of_the_request(client: ClientUnderTest) -> None:
    client.parameters["smtp_bind_address"] = "127.0.0.4"
    with fake_server() as server:
        outcomes = client.deliver(
            client.request(server.nexthop),
            client.request(server.nexthop, sources=("127.0.0.5",), helo="five.me.test"),
        )
        assert [outcome.one.status for outcome in outcomes] == ["sent", "sent"]
        assert peers(server) == ["127.0.0.4", "127.0.0.5"]
        assert [heard.commands[0] for heard in server.heard] == ["EHLO me.test", "EHLO five.me.test"]


def test_a_connection_is_kept_for_its_own_address(client: ClientUnderTest) -> None:
    with fake_server() as server:
        client.deliver(
            *(client.request(server.nexthop, sources=(f"127.0.0.{n}",), helo="") for n in (5, 6, 5, 6)),
            client.request(server.nexthop),
            client.request(server.nexthop, sources=("127.0.0.5",), helo="another.name.test"),
        )
        assert sorted(peers(server)) == ["127.0.0.1", "127.0.0.5", "127.0.0.5", "127.0.0.6"]


@pytest.mark.parametrize(("enforce", "status"), [("no", "sent"), ("yes", "deferred")])
def test_an_address_that_this_machine_does_not_have(client: ClientUnderTest, enforce: str, status: str) -> None:
    client.parameters |= {"smtp_bind_address": UNUSABLE, "smtp_bind_address_enforce": enforce}
    with fake_server() as server:
        outcome = client.deliver_one(server.nexthop)
        assert outcome.one.status == status
        assert f"cannot use the local address {UNUSABLE}" in outcome.log[0]


def test_the_address_of_a_request_is_never_replaced_by_another(client: ClientUnderTest) -> None:
    with fake_server() as server:
        outcome = client.deliver_one(server.nexthop, sources=(UNUSABLE,))
        assert (outcome.one.status, outcome.one.dsn) == ("deferred", "4.4.1")
        assert f"cannot use the local address {UNUSABLE}" in outcome.one.text
        assert server.heard == []


def test_a_family_without_an_address_of_the_request_is_not_used(client: ClientUnderTest) -> None:
    with fake_server() as server:
        outcome = client.deliver_one(server.nexthop, sources=("::1",))
        assert (outcome.one.status, outcome.one.text) == (
            "deferred",
            "no source address for connections to 127.0.0.1[127.0.0.1]",
        )
        zone = {"both.test.": {"MX": ["10 mx.test."]}, "mx.test.": {"A": ["127.0.0.1"], "AAAA": ["::1"]}}
        with name_server(zone) as ns:
            client.servers = [ns.server]
            client.parameters["smtp_tcp_port"] = str(server.port)
            assert client.deliver_one("both.test", sources=("127.0.0.7",)).one.status == "sent"
            assert peers(server) == ["127.0.0.7"]
