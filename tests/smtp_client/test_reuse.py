"""Connections kept for the next message: reused while good, given up without harm when not."""

from __future__ import annotations

from tests.dns.name_server import name_server
from tests.smtp_client.conftest import ClientUnderTest
from tests.smtp_client.fake_server import DROP, Action, fake_server


def mail_numbered(limit: int, then: str) -> dict[str, Action]:
    return {"MAIL": lambda number, argument: "250 2.1.0 Ok" if number <= limit else then}


def test_messages_share_a_connection(client: ClientUnderTest) -> None:
    with fake_server() as server:
        outcomes = client.deliver(*(client.request(server.nexthop) for _ in range(5)))
        assert [outcome.one.status for outcome in outcomes] == ["sent"] * 5
        assert len(server.heard) == 1
        assert server.commands.count("EHLO me.test") == 1
        assert server.commands[-1] == "QUIT"
        assert "conn_use=" not in outcomes[0].log[0]
        assert ", conn_use=5, delay=" in outcomes[4].log[0]


def test_domains_on_one_server_share_a_connection(client: ClientUnderTest) -> None:
    zone = {
        "one.test.": {"MX": ["10 mx.test."]},
        "two.test.": {"MX": ["5 mx.test."]},
        "mx.test.": {"A": ["127.0.0.1"]},
    }
    with name_server(zone) as ns, fake_server() as server:
        client.servers = [ns.server]
        client.parameters["smtp_tcp_port"] = str(server.port)
        client.deliver(client.request("one.test"), client.request("two.test"))
        assert len(server.heard) == 1


def test_at_the_same_time_there_are_several(client: ClientUnderTest) -> None:
    with fake_server() as server:
        outcomes = client.deliver(*(client.request(server.nexthop) for _ in range(4)), together=True)
        assert all(outcome.one.status == "sent" for outcome in outcomes)
        assert len(server.heard) == 4


def test_the_cache_can_be_off(client: ClientUnderTest) -> None:
    client.parameters["smtp_connection_cache_on_demand"] = "no"
    with fake_server() as server:
        client.deliver(client.request(server.nexthop), client.request(server.nexthop))
        assert len(server.heard) == 2


def test_uses_are_limited(client: ClientUnderTest) -> None:
    client.parameters["smtp_connection_reuse_count_limit"] = "2"
    with fake_server() as server:
        client.deliver(*(client.request(server.nexthop) for _ in range(4)))
        assert len(server.heard) == 2


def test_time_of_use_is_limited(client: ClientUnderTest) -> None:
    client.parameters["smtp_connection_reuse_time_limit"] = "0s"
    with fake_server() as server:
        client.deliver(*(client.request(server.nexthop) for _ in range(2)))
        assert len(server.heard) == 2


def test_an_idle_connection_is_left_with_quit(client: ClientUnderTest) -> None:
    client.parameters["smtp_connection_cache_time_limit"] = "0.05s"
    with fake_server() as server:
        client.linger_until = server.ended.is_set
        assert client.deliver_one(server.nexthop).one.status == "sent"
        assert server.commands[-1] == "QUIT"


def test_a_dead_kept_connection_harms_no_message(client: ClientUnderTest) -> None:
    for then in (DROP, "421 4.4.2 idle for too long"):
        with fake_server(mail_numbered(1, then)) as server:
            outcomes = client.deliver(*(client.request(server.nexthop) for _ in range(3)))
            assert [outcome.one.status for outcome in outcomes] == ["sent"] * 3
            assert len(server.messages) == 3
            assert all(len(heard.messages) == 1 for heard in server.heard)


def test_a_connection_that_the_server_closed_is_not_used(client: ClientUnderTest) -> None:
    with fake_server({"content": "250 ok\n421 goodbye"}) as server:
        outcomes = client.deliver(*(client.request(server.nexthop) for _ in range(2)))
        assert [outcome.one.status for outcome in outcomes] == ["sent"] * 2


def test_a_message_is_not_sent_twice_when_its_verdict_is_lost(client: ClientUnderTest) -> None:
    with fake_server({"content": lambda number, argument: "250 ok" if number == 1 else DROP}) as server:
        outcomes = client.deliver(*(client.request(server.nexthop) for _ in range(2)))
        assert [outcome.one.status for outcome in outcomes] == ["sent", "deferred"]
        assert "message may be sent more than once" in outcomes[1].one.text
        assert len(server.messages) == 2


def test_a_refused_message_does_not_spoil_the_next(client: ClientUnderTest) -> None:
    with fake_server(
        {
            "RCPT": lambda number, argument: "550 no" if number == 1 else "250 ok",
            "DATA": lambda number, argument: "554 no" if number == 1 else "354 go",
        }
    ) as server:
        outcomes = client.deliver(*(client.request(server.nexthop) for _ in range(2)))
        assert [outcome.one.status for outcome in outcomes] == ["bounced", "sent"]
        assert len(server.heard) == 1
        assert "RSET" in server.commands


def test_a_temporary_refusal_on_a_kept_connection_is_not_tried_again_there(client: ClientUnderTest) -> None:
    with fake_server(mail_numbered(1, "451 later")) as server:
        outcomes = client.deliver(*(client.request(server.nexthop) for _ in range(2)))
        assert [outcome.one.status for outcome in outcomes] == ["sent", "deferred"]
        assert len(server.heard) == 1
