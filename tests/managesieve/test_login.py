"""ManageSieve over real sockets: greeting, STARTTLS, every way to log in, and the hand-over."""

from __future__ import annotations

import base64
import datetime
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest

from pillarbox.lib.config.parameters.managesieved import MANAGESIEVE_REFERRAL
from pillarbox.lib.sasl.client import Credentials, client_mechanism
from tests.managesieve.client import as_capabilities
from tests.managesieve.server import ACCOUNT, PASSWORD, Server

PLAIN = base64.b64encode(f"\0{ACCOUNT}\0{PASSWORD}".encode())
WRONG = base64.b64encode(f"\0{ACCOUNT}\0wrong".encode())


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    from pillarbox.lib.tls.certificate import write_certificate

    folder = tmp_path_factory.mktemp("tls")
    write_certificate(folder / "cert.pem", folder / "key.pem", "localhost", now=datetime.datetime.now(datetime.UTC))
    return {"smtpd_tls_cert_file": str(folder / "cert.pem"), "smtpd_tls_key_file": str(folder / "key.pem")}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with Server(tmp_path_factory.mktemp("plain")) as running:
        yield running


@pytest.fixture(scope="module")
def remote(tmp_path_factory: pytest.TempPathFactory, tls: dict[str, str]) -> Iterator[Server]:
    with Server(tmp_path_factory.mktemp("remote"), remote=True, **tls) as running:
        yield running


def trusting(tls: dict[str, str]) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=tls["smtpd_tls_cert_file"])


def test_the_greeting_is_what_capability_says(server: Server) -> None:
    with server.client() as client:
        greeting = as_capabilities(client.greeting)
        assert client.greeting.condition == "OK"
        assert greeting == client.capabilities()
        assert greeting["VERSION"] == "1.0"
        assert {"PLAIN", "SCRAM-SHA-256"} <= set(greeting["SASL"].split())
        assert {"fileinto", "vacation", "imap4flags"} <= set(greeting["SIEVE"].split())
        assert (greeting["NOTIFY"], greeting["MAXREDIRECTS"], greeting["LANGUAGE"]) == ("mailto", "4", "en")
        assert not {"OWNER", "UNAUTHENTICATE", "STARTTLS"} & set(greeting)


def test_what_needs_a_login_is_refused_before_it(server: Server) -> None:
    for command in (b"LISTSCRIPTS", b'PUTSCRIPT "a" {5+}\r\nkeep;', b"UNAUTHENTICATE"):
        with server.client() as client:
            assert client.ask(command).condition == "NO"
            assert client.ask(b'NOOP "still here"').argument == b"still here"
            assert client.ask(b"LOGOUT").condition == "OK"
            assert client.at_end()


@pytest.mark.parametrize("initial", [b'"%b"' % PLAIN, b"{%d+}\r\n%b" % (len(PLAIN), PLAIN)])
def test_a_login_with_an_initial_response(server: Server, initial: bytes) -> None:
    with server.client() as client:
        assert client.ask(b'AUTHENTICATE "plain" ' + initial).condition == "OK"
        assert client.capabilities()["OWNER"] == ACCOUNT
        assert client.ask(b'AUTHENTICATE "PLAIN" ' + initial).condition == "NO", "no second login"
        assert client.ask(b"STARTTLS").condition == "NO"
        assert client.ask(b"UNAUTHENTICATE").condition == "NO"


def test_a_login_with_a_challenge(server: Server) -> None:
    with server.client() as client:
        client.say(b'AUTHENTICATE "PLAIN"\r\n')
        assert client.line() == b'""\r\n'
        assert client.ask(b'"%b"' % PLAIN).condition == "OK"


def test_a_star_gives_an_exchange_up(server: Server) -> None:
    with server.client() as client:
        client.say(b'AUTHENTICATE "PLAIN"\r\n')
        client.line()
        assert client.ask(b'"*"').condition == "NO"
        assert client.ask(b'AUTHENTICATE "PLAIN" "%b"' % PLAIN).condition == "OK"


def test_what_is_sent_ahead_is_the_sessions(server: Server) -> None:
    with server.client() as client:
        client.say(b'AUTHENTICATE "PLAIN" "%b"\r\nNOOP "ahead"\r\nLISTSCR' % PLAIN)
        assert client.answer().condition == "OK"
        assert client.answer().argument == b"ahead"
        assert client.ask(b"IPTS").condition == "OK"


def test_wrong_passwords_end_the_connection_at_last(tmp_path: Path) -> None:
    with Server(tmp_path, login_max_failures="2") as server, server.client() as client:
        answer = client.ask(b'AUTHENTICATE "PLAIN" "%b"' % WRONG)
        assert (answer.condition, answer.code) == ("NO", "")
        assert client.ask(b'AUTHENTICATE "PLAIN" "%b"' % WRONG).condition == "BYE"
        assert client.at_end()


def test_lines_that_are_no_commands_end_the_connection_at_last(server: Server) -> None:
    with server.client() as client:
        assert [client.ask(b"GET / HTTP/1.1").condition for _ in range(3)] == ["NO", "NO", "BYE"]
        assert client.at_end()


def test_no_password_without_tls_from_other_machines(remote: Server, tls: dict[str, str]) -> None:
    with remote.client() as client:
        offered = as_capabilities(client.greeting)
        assert "PLAIN" not in offered["SASL"].split()
        assert "STARTTLS" in offered
        answer = client.ask(b'AUTHENTICATE "PLAIN" "%b"' % PLAIN)
        assert (answer.condition, answer.code) == ("NO", "ENCRYPT-NEEDED")
        again = client.start_tls(trusting(tls))
        assert again.condition == "OK"
        assert "PLAIN" in as_capabilities(again)["SASL"].split()
        assert "STARTTLS" not in as_capabilities(again)
        assert client.ask(b'AUTHENTICATE "PLAIN" "%b"' % PLAIN).condition == "OK"
        assert client.put("big", b"#" * 100_000 + b"\r\n").condition == "OK"
        assert len(client.ask(b'GETSCRIPT "big"').lines[0]) > 100_000
        assert client.ask(b"LOGOUT").condition == "OK"


def test_commands_injected_before_tls_are_thrown_away(remote: Server, tls: dict[str, str]) -> None:
    with remote.client() as client:
        client.say(b'STARTTLS\r\nNOOP "injected"\r\n')
        assert client.answer().condition == "OK"
        client.socket = trusting(tls).wrap_socket(client.socket, server_hostname="localhost")
        assert "VERSION" in as_capabilities(client.answer())
        assert client.ask(b'NOOP "mine"').argument == b"mine"


def test_a_session_part_that_is_away(tmp_path: Path) -> None:
    with Server(tmp_path, sessions=False) as server, server.client() as client:
        answer = client.ask(b'AUTHENTICATE "PLAIN" "%b"' % PLAIN)
        assert (answer.condition, answer.code) == ("BYE", "TRYLATER")


@pytest.mark.parametrize("name", ["SCRAM-SHA-256", "PLAIN", "LOGIN"])
@pytest.mark.parametrize("at_once", [True, False])
def test_every_mechanism(server: Server, name: str, at_once: bool) -> None:
    mechanism = client_mechanism(name, Credentials(ACCOUNT, PASSWORD))
    assert mechanism is not None
    with server.client() as client:
        initial = mechanism.initial()
        if initial is None or not at_once:
            client.say(b'AUTHENTICATE "%b"\r\n' % name.encode())
        else:
            client.say(b'AUTHENTICATE "%b" "%b"\r\n' % (name.encode(), base64.b64encode(initial)))
            initial = None
        while not (line := client.line()).startswith((b"OK", b"NO")):
            challenge = base64.b64decode(line.strip().strip(b'"'))
            response, initial = initial if initial is not None else mechanism.respond(challenge), None
            client.say(b'"%b"\r\n' % base64.b64encode(response))
        assert line.startswith(b"OK"), line
        if mechanism.mutual:
            assert line.startswith(b'OK (SASL "'), "the proof of the server comes with success"
            mechanism.respond(base64.b64decode(line.split(b'"')[1]))
        mechanism.finish()


def test_the_log_names_the_login_part_as_filters_know_it(server: Server) -> None:
    assert server.front.label == "managesieve-login"


def test_stopping_is_told_to_all(tmp_path: Path) -> None:
    with Server(tmp_path) as server, server.client() as client, server.logged_in() as reader:
        server.call(server.front.stop)
        assert client.answer().condition == "BYE"
        server.call(server.service._stop_sessions)
        assert reader.answer().condition == "BYE"


def test_a_mechanism_that_the_site_has_taken_off_is_too_weak(tmp_path: Path) -> None:
    """RFC 5804 section 1.3; one that nobody knows is only not there."""
    with Server(tmp_path, auth_mechanisms="SCRAM-SHA-256") as server, server.client() as client:
        answer = client.ask(b'AUTHENTICATE "PLAIN" "%b"' % PLAIN)
        assert (answer.condition, answer.code) == ("NO", "AUTH-TOO-WEAK")
        answer = client.ask(b'AUTHENTICATE "X-OTHER"')
        assert (answer.condition, answer.code) == ("NO", "")


@pytest.mark.parametrize(
    ("place", "parameter", "server_named"),
    [
        ("imap://mail2.example.com:1143/", "", b"sieve://mail2.example.com"),
        ("imap://[2001:db8::1]/", "", b"sieve://[2001:db8::1]"),
        ("imap://mail2.example.com", "sieve://scripts.example.com:4191", b"sieve://scripts.example.com:4191"),
    ],
)
def test_a_client_is_referred_after_login(tmp_path: Path, place: str, parameter: str, server_named: bytes) -> None:
    """Section 1.3; nobody learns of it without the password."""
    with Server(tmp_path, mail_location=place, managesieve_referral=parameter) as server, server.client() as client:
        assert client.ask(b'AUTHENTICATE "PLAIN" "%b"' % WRONG).condition == "NO"
        answer = client.ask(b'AUTHENTICATE "PLAIN" "%b"' % PLAIN)
        assert (answer.condition, answer.code, answer.argument) == ("BYE", "REFERRAL", server_named)
        assert client.at_end()


@pytest.mark.parametrize(
    "text", ["scripts.example.com", "sieve://", "sieve://a b", "sieve://host/script", "imap://host"]
)
def test_what_is_no_server_to_refer_to(text: str) -> None:
    with pytest.raises(ValueError, match="sieve://HOST"):
        MANAGESIEVE_REFERRAL.parse(text)
