"""LMTP (RFC 2033): over TCP and UNIX sockets, a verdict for each recipient."""

from __future__ import annotations

from pathlib import Path

from tests.smtp_client.conftest import ClientUnderTest
from tests.smtp_client.fake_server import DROP, fake_server


def test_over_a_unix_socket(client: ClientUnderTest, tmp_path: Path) -> None:
    client.service = "lmtp"
    path = str(tmp_path / "lmtp")
    with fake_server(path=path, lmtp=True) as server:
        outcomes = client.deliver(*(client.request(f"unix:{path}", ["b@b.test", "c@b.test"]) for _ in range(2)))
        for outcome in outcomes:
            assert {result.status for result in outcome.results.values()} == {"sent"}
        assert outcomes[0]["b@b.test"].relay == f"me.test[{path}]"
        assert server.commands[0] == "LHLO me.test"
        assert len(server.heard) == 1


def test_each_recipient_has_its_own_final_verdict(client: ClientUnderTest) -> None:
    client.parameters["smtp_client_protocol"] = "lmtp"
    verdicts = ["250 2.0.0 kept", "552 5.2.2 over quota", "451 4.2.0 locked"]
    script = {
        "content": lambda number, argument: verdicts[number - 1],
        "RCPT": lambda number, argument: "550 5.1.1 unknown" if number == 2 else "250 ok",
    }
    with fake_server(script, lmtp=True) as server:
        outcome = client.deliver_one(server.nexthop, ["a@b.test", "b@b.test", "c@b.test", "d@b.test"])
        assert {address: (result.status, result.dsn) for address, result in outcome.results.items()} == {
            "a@b.test": ("sent", "2.0.0"),
            "b@b.test": ("bounced", "5.1.1"),
            "c@b.test": ("bounced", "5.2.2"),
            "d@b.test": ("deferred", "4.2.0"),
        }


def test_verdicts_that_came_before_a_loss_hold(client: ClientUnderTest) -> None:
    client.service = "lmtp"
    with fake_server({"content": lambda number, argument: "250 ok" if number == 1 else DROP}, lmtp=True) as server:
        outcome = client.deliver_one(server.nexthop, ["a@b.test", "b@b.test"])
        assert outcome["a@b.test"].status == "sent"
        assert outcome["b@b.test"].status == "deferred"
        assert "message may be sent more than once" in outcome["b@b.test"].text


def test_no_socket_there(client: ClientUnderTest) -> None:
    client.service = "lmtp"
    outcome = client.deliver_one("unix:/nonexistent/lmtp")
    assert outcome.one.text == "connect to me.test[/nonexistent/lmtp]: No such file or directory"
    assert (outcome.one.status, outcome.one.dsn) == ("deferred", "4.4.1")
    assert outcome.site == outcome.one.text


def test_a_domain_is_a_host_for_lmtp(client: ClientUnderTest) -> None:
    client.service = "lmtp"
    with fake_server(lmtp=True) as server:
        client.parameters |= {"lmtp_tcp_port": str(server.port), "inet_protocols": "ipv4"}
        assert client.deliver_one("localhost").one.status == "sent"


def test_what_is_set_for_lmtp_holds_for_lmtp(client: ClientUnderTest) -> None:
    client.parameters |= {"smtp_helo_name": "smtp.me.test", "lmtp_helo_name": "lmtp.me.test"}
    for service, lmtp, word in (("lmtp", True, "LHLO lmtp.me.test"), ("smtp", False, "EHLO smtp.me.test")):
        client.service = service
        with fake_server(lmtp=lmtp) as server:
            assert client.deliver_one(server.nexthop).one.status == "sent"
            assert server.commands[0] == word


def test_a_verdict_before_its_time_is_about_one_recipient_only(client: ClientUnderTest) -> None:
    client.service = "lmtp"
    for recipients, status in ((["a@b.test", "b@b.test"], "deferred"), (["a@b.test"], "bounced")):
        with fake_server({"DATA": "354 go\n550 5.2.2 full"}, lmtp=True) as server:
            outcome = client.deliver_one(server.nexthop, recipients)
            assert {result.status for result in outcome.results.values()} == {status}
            assert "550 5.2.2 full" in outcome[recipients[0]].text
