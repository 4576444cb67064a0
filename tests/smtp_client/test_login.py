"""Logging in at servers: whose password, by which mechanism, what a refusal means, and whose mail a login carries."""

from __future__ import annotations

import asyncio
import base64
import socket
import threading
from pathlib import Path

import pytest

from pillarbox.lib.sasl import (
    PLAIN_CHANNEL,
    Accepted,
    Channel,
    FetchScramKeys,
    Rejected,
    Send,
    TokenVerdict,
    VerifyPassword,
    VerifyToken,
    make_scram_keys,
    server_mechanism,
)
from pillarbox.lib.sasl.client import Credentials
from pillarbox.lib.sasl.server import ServerMechanism
from pillarbox.smtp_client.connection import Connection
from pillarbox.smtp_client.login import Logins
from tests.smtp_client.conftest import ClientUnderTest, MakeContext
from tests.smtp_client.fake_server import Action, FakeServer, fake_server

HOST = "127.0.0.1[127.0.0.1]"
TOKEN = "ya29." + "x" * 600

PASSWORDS = {
    "127.0.0.1": "ann:s3cret",
    "bob@b.example": "bob:pw",
    "@c.example": "carol:pw",
}


def ehlo(mechanisms: str) -> str:
    return f"250-mx.test\n250-PIPELINING\n250 AUTH {mechanisms}"


class Authority:
    """A server's side of AUTH, with our own server mechanisms: `users` has names and passwords."""

    def __init__(self, users: dict[str, str], channel: Channel = PLAIN_CHANNEL) -> None:
        self._users = users
        self._channel = channel
        self._mechanism: ServerMechanism | None = None
        self.logins: list[str] = []

    def __call__(self, number: int, argument: str) -> str:
        name, _, initial = argument.partition(" ")
        found = server_mechanism(name, self._channel)
        if found is not None:
            self._mechanism = found
            event = found.start(base64.b64decode(initial) if initial else None)
        else:
            assert self._mechanism is not None
            event = self._mechanism.receive(base64.b64decode(name))
        while True:
            assert self._mechanism is not None
            match event:
                case Send():
                    return f"334 {base64.b64encode(event.data).decode()}"
                case VerifyPassword():
                    event = self._mechanism.verified(self._users.get(event.username) == event.password)
                case VerifyToken():
                    good = self._users.get(event.username) == event.token
                    event = self._mechanism.token_verified(
                        TokenVerdict(event.username) if good else TokenVerdict(status="invalid_token")
                    )
                case FetchScramKeys():
                    event = self._mechanism.keys(make_scram_keys(self._users[event.username], b"salt" * 4, 4096))
                case Accepted():
                    self.logins.append(f"{self._mechanism.name} {event.username}")
                    return "235 2.7.0 Authentication successful"
                case Rejected():
                    return "535 5.7.8 Error: authentication failed"
                case _:
                    raise AssertionError(event)


USERS = {"ann": "s3cret", "bob": "pw", "carol": "pw", "tom": TOKEN}


@pytest.fixture
def authority() -> Authority:
    return Authority(USERS)


@pytest.fixture
def lab(client: ClientUnderTest, tmp_path: Path) -> ClientUnderTest:
    """A client whose passwords are in a table, without TLS, so mechanisms in clear text must be permitted."""
    passwords(client, tmp_path, PASSWORDS)
    client.parameters |= {"smtp_sasl_auth_enable": "yes", "smtp_sasl_security_options": "noanonymous"}
    return client


def passwords(client: ClientUnderTest, folder: Path, table: dict[str, str]) -> None:
    file = folder / "passwords"
    file.write_text("".join(f"{key} {value}\n" for key, value in table.items()))
    client.parameters["smtp_sasl_password_maps"] = f"texthash:{file}"


@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN", "SCRAM-SHA-256"])
def test_each_mechanism(lab: ClientUnderTest, authority: Authority, mechanism: str) -> None:
    with fake_server({"EHLO": ehlo(mechanism), "AUTH": authority}) as server:
        assert lab.deliver_one(server.nexthop).one.status == "sent"
        assert authority.logins == [f"{mechanism} ann"]
        assert "MAIL FROM:<a@a.test> AUTH=<>" in server.commands


def test_the_strongest_mechanism_is_used_that_the_filter_lets_through(lab: ClientUnderTest) -> None:
    for mechanism_filter, used in (("", "SCRAM-SHA-256"), ("!scram-sha-256, static:all", "PLAIN"), ("login", "LOGIN")):
        authority = Authority(USERS)
        lab.parameters["smtp_sasl_mechanism_filter"] = mechanism_filter
        with fake_server({"EHLO": ehlo("LOGIN PLAIN SCRAM-SHA-256"), "AUTH": authority}) as server:
            assert lab.deliver_one(server.nexthop).one.status == "sent"
        assert authority.logins == [f"{used} ann"]


@pytest.mark.parametrize("mechanism", ["OAUTHBEARER", "XOAUTH2"])
def test_a_token_from_the_table(client: ClientUnderTest, tmp_path: Path, mechanism: str) -> None:
    """A long one: it does not stand in the command (RFC 4954 section 4)."""
    passwords(client, tmp_path, {"127.0.0.1": f"tom:Bearer {TOKEN}"})
    client.parameters |= {"smtp_sasl_auth_enable": "yes", "smtp_sasl_security_options": ""}
    authority = Authority(USERS)
    with fake_server({"EHLO": ehlo(f"PLAIN {mechanism}"), "AUTH": authority}) as server:
        assert client.deliver_one(server.nexthop).one.status == "sent"
        assert authority.logins == [f"{mechanism} tom"]
        assert f"AUTH {mechanism}" in server.commands


def test_no_password_without_tls_unless_it_is_asked_for(lab: ClientUnderTest, authority: Authority) -> None:
    del lab.parameters["smtp_sasl_security_options"]
    with fake_server({"EHLO": ehlo("PLAIN LOGIN"), "AUTH": authority}) as server:
        result = lab.deliver_one(server.nexthop).one
        assert (result.status, result.dsn) == ("deferred", "4.7.0")
        assert result.text == (
            f"SASL authentication failed: server {HOST} offered no compatible authentication mechanisms for this type "
            "of connection security"
        )
        assert not any(command.startswith("AUTH") for command in server.commands)


def test_under_tls_a_password_may_be_sent(
    lab: ClientUnderTest, authority: Authority, make_context: MakeContext
) -> None:
    del lab.parameters["smtp_sasl_security_options"]
    lab.parameters["smtp_tls_security_level"] = "encrypt"
    script: dict[str, Action] = {"EHLO": ehlo("PLAIN") + "\n250 STARTTLS", "AUTH": authority}
    script["EHLO"] = "250-mx.test\n250-STARTTLS\n250 AUTH PLAIN"
    with fake_server(script, context=make_context()) as server:
        assert lab.deliver_one(server.nexthop).one.status == "sent"
        assert server.heard[0].commands[:4] == ["EHLO me.test", "STARTTLS", "EHLO me.test", server.commands[3]]
        assert server.commands[3].startswith("AUTH PLAIN ")


@pytest.mark.parametrize(("soft", "status", "dsn"), [("yes", "deferred", "4.7.8"), ("no", "bounced", "5.7.8")])
def test_a_refused_login(lab: ClientUnderTest, soft: str, status: str, dsn: str) -> None:
    lab.parameters["smtp_sasl_auth_soft_bounce"] = soft
    with fake_server({"EHLO": ehlo("PLAIN"), "AUTH": Authority({})}) as server:
        result = lab.deliver_one(server.nexthop).one
        assert (result.status, result.dsn) == (status, dsn)
        assert result.text == (
            f"SASL authentication failed; server {HOST} said: 535 5.7.8 Error: authentication failed"
        )
        assert (result.remote_mta, result.diagnostic) == (
            "dns; 127.0.0.1",
            "smtp; 535 5.7.8 Error: authentication failed",
        )
        assert not any(command.startswith("MAIL") for command in server.commands)
        assert server.commands[-1] == "QUIT"


def test_a_refused_login_is_remembered(lab: ClientUnderTest) -> None:
    lab.parameters["smtp_sasl_auth_cache_time"] = "1h"
    with fake_server({"EHLO": ehlo("PLAIN"), "AUTH": Authority({})}) as server:
        outcomes = lab.deliver(*(lab.request(server.nexthop) for _ in range(3)))
        assert len({outcome.one.text for outcome in outcomes}) == 1
        assert sum(command.startswith("AUTH") for command in server.commands) == 1


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        ("334 !!!", "a challenge that is no base64"),
        ("334 cj1v", "SCRAM message: nonce, salt and iteration count were expected"),
        ("334", "SCRAM message: an attribute name=value was expected"),
        ("235 come in", "the server has not proved that it knows the password"),
    ],
)
def test_a_server_that_speaks_nonsense(lab: ClientUnderTest, answer: str, text: str) -> None:
    def replies(number: int, argument: str) -> str:
        return "501 5.7.0 aborted" if argument == "*" else answer

    with fake_server({"EHLO": ehlo("SCRAM-SHA-256"), "AUTH": replies}) as server:
        result = lab.deliver_one(server.nexthop).one
        assert (result.status, result.dsn) == ("deferred", "4.7.0")
        assert result.text == f"SASL authentication failed; cannot authenticate to server {HOST}: {text}"


@pytest.mark.parametrize("said", ["250 2.0.0 hello again", "421 4.3.2 bye", "no reply at all"])
def test_a_server_that_speaks_before_the_login(
    lab: ClientUnderTest, monkeypatch: pytest.MonkeyPatch, said: str
) -> None:
    spoken = threading.Event()
    log_in = Logins.log_in

    async def late(self: Logins, connection: Connection, credentials: Credentials) -> None:
        spoken.set()
        await asyncio.sleep(0.2)
        await log_in(self, connection, credentials)

    def serve(listener: socket.socket) -> None:
        with listener.accept()[0] as peer:
            peer.sendall(b"220 mx.test ESMTP\r\n")
            peer.recv(1000)
            peer.sendall(ehlo("PLAIN").replace("\n", "\r\n").encode() + b"\r\n")
            spoken.wait(20)
            peer.sendall(said.encode() + b"\r\n")
            peer.recv(1000)

    monkeypatch.setattr(Logins, "log_in", late)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, args=(listener,))
        thread.start()
        outcome = lab.deliver_one(f"[127.0.0.1]:{listener.getsockname()[1]}")
        thread.join()
    assert (outcome.one.status, outcome.one.dsn) == ("deferred", "4.4.2")
    assert said in outcome.one.text


def test_a_server_that_asks_for_ever(lab: ClientUnderTest) -> None:
    def replies(number: int, argument: str) -> str:
        return "501 5.7.0 aborted" if argument == "*" else "334 "

    with fake_server({"EHLO": ehlo("PLAIN"), "AUTH": replies}) as server:
        assert lab.deliver_one(server.nexthop).one.status == "deferred"
        assert len(server.commands) < 20


def test_a_mechanism_that_is_offered_in_vain(lab: ClientUnderTest, authority: Authority) -> None:
    def only_login(number: int, argument: str) -> str:
        return authority(number, argument) if not argument.startswith("PLAIN") else "504 5.5.4 not that one"

    with fake_server({"EHLO": ehlo("PLAIN LOGIN"), "AUTH": only_login}) as server:
        assert lab.deliver_one(server.nexthop).one.status == "sent"
        assert authority.logins == ["LOGIN ann"]


def test_a_server_without_auth_is_talked_to_as_by_a_stranger(lab: ClientUnderTest) -> None:
    with fake_server() as server:
        assert lab.deliver_one(server.nexthop).one.status == "sent"
        assert "MAIL FROM:<a@a.test> SIZE=26" in server.commands


@pytest.mark.parametrize(
    ("table", "why"),
    [
        ("texthash:{folder}/away", "open {folder}/away: No such file or directory"),
        ("hash:{folder}/broken", "{folder}/broken.cdb is corrupt: "),
        ("fail:always", "query error"),
        ("inline:{{a=b}}, fail:always", "query error"),
        ("regexp:{folder}/rules", 'line 1: no closing regexp delimiter "/"'),
    ],
)
def test_mail_waits_where_nobody_knows_the_password(lab: ClientUnderTest, tmp_path: Path, table: str, why: str) -> None:
    """It does not go out without a login, though the server would take it."""
    (tmp_path / "broken.cdb").write_bytes(b"half a table")
    (tmp_path / "rules").write_text("/never\n/127/ ann:s3cret\n")
    lab.parameters["smtp_sasl_password_maps"] = table.format(folder=tmp_path)
    with fake_server({"EHLO": ehlo("PLAIN")}) as server:
        outcome = lab.deliver_one(server.nexthop)
        assert (outcome.one.status, outcome.one.dsn) == ("deferred", "4.3.0")
        assert outcome.one.text.startswith("Temporary lookup failure: ")
        assert why.format(folder=tmp_path) in outcome.one.text
        assert outcome.site == ""
        assert server.messages == []


class TestWhoseMailALoginCarries:
    def logins_of(self, server: FakeServer) -> list[str]:
        """For each connection its login, and the senders of its messages."""
        found = []
        for heard in server.heard:
            auth = next((command for command in heard.commands if command.startswith("AUTH ")), "AUTH PLAIN -")
            response = auth.split(" ")[2]
            name = "nobody" if response == "-" else base64.b64decode(response).split(b"\0")[1].decode()
            senders = [command.split("<")[1].split(">")[0] for command in heard.commands if command[:4] == "MAIL"]
            found.append(f"{name}: {' '.join(senders)}")
        return sorted(found)

    def test_each_login_has_a_connection_of_its_own(self, lab: ClientUnderTest) -> None:
        lab.parameters["smtp_sender_dependent_authentication"] = "yes"
        senders = ["bob@b.example", "x@c.example", "y@c.example", "a@a.example", "bob@b.example", "", "x@c.example"]
        with fake_server({"EHLO": ehlo("PLAIN"), "AUTH": Authority(USERS)}) as server:
            lab.deliver(*(lab.request(server.nexthop, sender=sender) for sender in senders))
            assert self.logins_of(server) == [
                "ann: a@a.example ",
                "bob: bob@b.example bob@b.example",
                "carol: x@c.example y@c.example x@c.example",
            ]

    def test_a_stranger_s_mail_takes_no_connection_with_a_login(self, client: ClientUnderTest, tmp_path: Path) -> None:
        with fake_server({"EHLO": ehlo("PLAIN"), "AUTH": Authority(USERS)}) as server:
            passwords(client, tmp_path, {server.nexthop: "ann:s3cret"})
            client.parameters |= {"smtp_sasl_auth_enable": "yes", "smtp_sasl_security_options": ""}
            other = f"inet:127.0.0.1:{server.port}"
            client.deliver(*(client.request(nexthop) for nexthop in (server.nexthop, other, server.nexthop, other)))
            assert self.logins_of(server) == ["ann: a@a.test a@a.test", "nobody: a@a.test a@a.test"]
