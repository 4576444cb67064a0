"""STARTTLS: used where offered, never the reason for a loss at "may", never left out above it."""

from __future__ import annotations

import errno
import socket
import ssl
from pathlib import Path

import pytest

from pillarbox.smtp_client import connector
from pillarbox.smtp_client.dialling import dial
from pillarbox.smtp_client.route import Server
from pillarbox.smtp_client.settings import Settings
from pillarbox.smtp_client.terms import Terms
from tests.smtp_client.conftest import ClientUnderTest, MakeContext
from tests.smtp_client.fake_server import DROP, Action, FakeServer, fake_server

EHLO = "250-mx.test\n250-PIPELINING\n250 STARTTLS"
HOST = "127.0.0.1[127.0.0.1]"


@pytest.mark.parametrize("maximum", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize("level", ["may", "encrypt"])
def test_the_offer_is_taken(
    client: ClientUnderTest, make_context: MakeContext, level: str, maximum: ssl.TLSVersion
) -> None:
    client.parameters |= {"smtp_tls_security_level": level, "smtp_tls_loglevel": "1"}
    with fake_server({"EHLO": EHLO}, context=make_context(maximum=maximum)) as server:
        outcome = client.deliver_one(server.nexthop)
        assert outcome.one.status == "sent"
        assert server.heard[0].encrypted
        assert server.commands.count("EHLO me.test") == 2
        assert outcome.log[0].startswith(f"Untrusted TLS connection established to {HOST}:{server.port}: TLSv1.")


def test_encrypted_connections_are_reused(client: ClientUnderTest, make_context: MakeContext) -> None:
    client.parameters["smtp_tls_security_level"] = "may"
    content = b"x\n" * 100_000
    with fake_server({"EHLO": EHLO}, context=make_context()) as server:
        client.deliver(client.request(server.nexthop), client.request(server.nexthop, content=content))
        assert len(server.heard) == 1
        assert server.messages[1] == content.replace(b"\n", b"\r\n")


def no_tls(server: FakeServer) -> bool:
    return len(server.heard[-1].messages) == 1 and not server.heard[-1].encrypted


BROKEN: dict[str, dict[str, Action]] = {
    "handshake": {"STARTTLS": "220 go\nnot a handshake"},
    "dropped": {"STARTTLS": DROP},
    "refused": {"STARTTLS": "454 not now"},
    "forbidden": {"STARTTLS": "502 what?"},
    "gone": {"STARTTLS": lambda number, argument: "220 go"},
}


@pytest.mark.parametrize("broken", BROKEN)
def test_broken_tls_does_not_stop_mail_at_may(client: ClientUnderTest, broken: str) -> None:
    client.parameters["smtp_tls_security_level"] = "may"
    with fake_server(
        {"EHLO": EHLO, **BROKEN[broken]}
    ) as server:  # without a context: the handshake meets an SMTP server
        assert client.deliver_one(server.nexthop).one.status == "sent"
        assert no_tls(server)


def test_a_server_that_comes_and_goes_is_not_asked_for_ever(
    client: ClientUnderTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    client.parameters["smtp_tls_security_level"] = "may"
    calls = []

    async def every_second_fails(server: Server, settings: Settings, terms: Terms) -> socket.socket:
        calls.append(server)
        assert len(calls) <= 4, "it goes on and on"
        if len(calls) % 2 == 0:
            raise ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused")
        return await dial(server, settings, terms)

    monkeypatch.setattr(connector, "dial", every_second_fails)
    with fake_server({"EHLO": EHLO, "STARTTLS": "220 go\nnot a handshake"}) as server:
        outcome = client.deliver_one(server.nexthop)
        assert outcome.one.status == "deferred"
        assert outcome.one.text.endswith("Connection refused")
    assert len(calls) == 2


def test_a_server_of_old_protocols_gets_clear_text_at_may(client: ClientUnderTest, make_context: MakeContext) -> None:
    client.parameters |= {"smtp_tls_security_level": "may", "smtp_tls_protocols": ">=TLSv1.3"}
    with fake_server({"EHLO": EHLO}, context=make_context(maximum=ssl.TLSVersion.TLSv1_2)) as server:
        outcome = client.deliver_one(server.nexthop)
        assert outcome.one.status == "sent"
        assert no_tls(server)
        assert any("Cannot start TLS: handshake failure" in line for line in outcome.log)


@pytest.mark.parametrize("broken", BROKEN)
def test_broken_tls_defers_at_encrypt(client: ClientUnderTest, broken: str) -> None:
    client.parameters["smtp_tls_security_level"] = "encrypt"
    with fake_server({"EHLO": EHLO, **BROKEN[broken]}) as server:
        outcome = client.deliver_one(server.nexthop)
        assert outcome.one.status == "deferred"
        assert not server.messages
        assert outcome.site


def test_no_offer_defers_at_encrypt(client: ClientUnderTest) -> None:
    client.parameters["smtp_tls_security_level"] = "encrypt"
    with fake_server() as server:
        outcome = client.deliver_one(server.nexthop)
        assert (outcome.one.status, outcome.one.dsn) == ("deferred", "4.7.4")
        assert outcome.one.text == f"TLS is required, but was not offered by host {HOST}"


@pytest.mark.parametrize(("name", "status"), [("localhost", "sent"), ("other.test", "deferred")])
def test_a_certificate_must_fit_at_verify(
    client: ClientUnderTest, make_context: MakeContext, tmp_path: Path, name: str, status: str
) -> None:
    context = make_context(name)
    client.parameters |= {
        "smtp_tls_security_level": "verify",
        "smtp_tls_CAfile": str(tmp_path / f"{name}.pem"),
        "inet_protocols": "ipv4",
    }
    with fake_server({"EHLO": EHLO}, context=context) as server:
        outcome = client.deliver_one(f"[localhost]:{server.port}")
        assert outcome.one.status == status
        if status == "deferred":
            assert outcome.one.text.startswith("Cannot start TLS: server certificate not verified")


def test_text_injected_behind_starttls_is_not_believed(client: ClientUnderTest, make_context: MakeContext) -> None:
    client.parameters["smtp_tls_security_level"] = "encrypt"
    script = {"EHLO": EHLO, "STARTTLS": "220 go\n250-mx.test\n250 AUTH PLAIN"}
    with fake_server(script, context=make_context()) as server:
        assert client.deliver_one(server.nexthop).one.status == "deferred"
        assert not server.messages
