"""AUTH and STARTTLS through the whole session."""

from __future__ import annotations

import datetime
import functools
import ssl
import tempfile
from pathlib import Path

import pytest

from pillarbox.lib.tls.certificate import write_certificate
from tests.smtpd.stage import HOST, ID, OPEN, plain, run, stage

GOOD = plain("\0ann\0secret")
SUBMISSION = {"smtpd_sasl_auth_enable": "yes", "smtpd_relay_restrictions": "permit_sasl_authenticated, reject"}


@functools.cache
def _context() -> ssl.SSLContext:
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with tempfile.TemporaryDirectory() as folder:
        certificate, key = Path(folder, "cert.pem"), Path(folder, "key.pem")
        write_certificate(certificate, key, HOST, now=datetime.datetime.now(datetime.UTC))
        made.load_cert_chain(certificate, key)
    return made


def test_an_authenticated_client_may_relay() -> None:
    async def scenario() -> None:
        async with stage(**SUBMISSION) as scene:
            peer = await scene.connect()
            assert "AUTH PLAIN TWOSTEP" in await peer.say("EHLO c.test")
            await peer.say("MAIL FROM:<ann@here.example>")
            assert await peer.say("RCPT TO:<user@here.example>") == (
                "554 5.7.1 <user@here.example>: Recipient address rejected: Access denied"
            )
            await peer.say("RSET")
            assert await peer.say(f"AUTH PLAIN {GOOD}") == "235 2.7.0 Authentication successful"
            assert await peer.say("MAIL FROM:<ann@here.example>", "RCPT TO:<x@o.test>") == "250 2.1.5 Ok"
            assert scene.lines[-1] == (
                f"{ID}: client=localhost[127.0.0.1], sasl_method=PLAIN, sasl_username=ann@here.example"
            )
            assert (await peer.say("DATA", "x\r\n.")).startswith("250 ")
            envelope = scene.cleanup.messages[0].envelope
            assert envelope is not None
            assert (envelope.sasl_username, envelope.protocol) == ("ann@here.example", "ESMTPA")
            assert await peer.say("AUTH PLAIN") == "503 5.5.1 Error: already authenticated"

    run(scenario)


def test_a_challenge_is_passed_on_and_answered() -> None:
    async def scenario() -> None:
        async with stage(**SUBMISSION) as scene:
            peer = await scene.connect()
            assert await peer.say("EHLO c.test", "AUTH TWOSTEP") == f"334 {plain('what?')}"
            assert await peer.say(plain("secret")) == "235 2.7.0 Authentication successful"

    run(scenario)


def test_wrong_credentials_are_refused_and_logged_for_fail2ban() -> None:
    async def scenario() -> None:
        async with stage(**SUBMISSION) as scene:
            peer = await scene.connect()
            assert await peer.say("EHLO c.test", f"AUTH PLAIN {plain('x')}") == (
                "535 5.7.8 Error: authentication failed: wrong user name or password"
            )
            assert scene.lines[-1] == (
                "warning: localhost[127.0.0.1]: SASL PLAIN authentication failed: wrong user name or password,"
                " sasl_username=ann@here.example"
            )

    run(scenario)


def test_an_exchange_that_the_client_gives_up_is_aborted() -> None:
    async def scenario() -> None:
        async with stage(**SUBMISSION) as scene:
            peer = await scene.connect()
            assert await peer.say("EHLO c.test", "AUTH TWOSTEP", "*") == "501 5.7.0 Authentication aborted"
            assert len(scene.auth.aborted) == 1
            assert (await peer.say("AUTH TWOSTEP")).startswith("334")
            peer.close()
            await scene.ended()
            assert len(scene.auth.aborted) == 2

    run(scenario)


@pytest.mark.parametrize(
    ("command", "reply"),
    [
        ("AUTH NOSUCH", "504 5.5.4 Error: authentication mechanism not supported"),
        ("AUTH PLAIN !!!", "501 5.5.2 Error: authentication failed: malformed base64 data"),
        ("AUTH", "501 5.5.4 Syntax: AUTH mechanism"),
    ],
)
def test_bad_auth_commands_are_answered(command: str, reply: str) -> None:
    async def scenario() -> None:
        async with stage(**SUBMISSION) as scene:
            peer = await scene.connect()
            assert await peer.say("EHLO c.test", command) == reply

    run(scenario)


def test_without_the_auth_service_mail_still_comes_in_and_auth_is_temporary() -> None:
    async def scenario() -> None:
        async with stage(smtpd_sasl_auth_enable="yes") as scene:
            scene.auth.down = True
            peer = await scene.connect()
            assert "AUTH" not in await peer.say("EHLO c.test")
            assert (await peer.say(f"AUTH PLAIN {GOOD}")).startswith("454 4.7.0 Temporary authentication failure")
            assert await peer.say(*OPEN) == "250 2.1.5 Ok"

    run(scenario)


def test_auth_is_not_offered_without_tls_where_it_must_not() -> None:
    async def scenario() -> None:
        async with stage(tls=_context(), smtpd_tls_auth_only="yes", **SUBMISSION) as scene:
            peer = await scene.connect()
            greeting = await peer.say("EHLO c.test")
            assert "STARTTLS" in greeting and "AUTH" not in greeting
            assert (await peer.say(f"AUTH PLAIN {GOOD}")).startswith("538 5.7.11")
            assert await peer.say("STARTTLS") == "220 2.0.0 Ready to start TLS"
            await peer.start_tls()
            greeting = await peer.say("EHLO c.test")
            assert "STARTTLS" not in greeting and "AUTH PLAIN" in greeting
            assert (await peer.say(f"AUTH PLAIN {GOOD}")).startswith("235 ")
            assert (await peer.say(*OPEN[1:], "DATA", "x\r\n.")).startswith("250 ")
            assert scene.logged("Anonymous TLS connection established from localhost[127.0.0.1]: TLSv1.3 with cipher")
            assert b"\n\t(using TLSv1.3 with cipher " in scene.cleanup.messages[0].content
            assert b" with ESMTPSA id " in scene.cleanup.messages[0].content
            assert await peer.say("QUIT") == "221 2.0.0 Bye"

    run(scenario)


def test_what_was_pipelined_behind_starttls_is_thrown_away() -> None:
    async def scenario() -> None:
        async with stage(tls=_context()) as scene:
            peer = await scene.connect()
            await peer.say("EHLO c.test")
            assert await peer.say(b"STARTTLS\r\nMAIL FROM:<evil@x.example>\r\n") == "220 2.0.0 Ready to start TLS"
            await peer.start_tls()
            assert await peer.say("RCPT TO:<user@here.example>") == "503 5.5.1 Error: need MAIL command"

    run(scenario)


def test_a_failed_handshake_ends_the_session() -> None:
    async def scenario() -> None:
        async with stage(tls=_context()) as scene:
            peer = await scene.connect()
            await peer.say("EHLO c.test", "STARTTLS")
            peer.send(b"this is no TLS at all\r\n" * 10)
            await scene.ended()
            assert scene.logged("SSL_accept error from localhost[127.0.0.1]")
            assert scene.logged("lost connection after STARTTLS")

    run(scenario)


def test_where_tls_is_demanded_nothing_goes_without() -> None:
    async def scenario() -> None:
        async with stage(tls=_context(), smtpd_tls_security_level="encrypt") as scene:
            peer = await scene.connect()
            assert await peer.say("EHLO c.test", "MAIL FROM:<>") == "530 5.7.0 Must issue a STARTTLS command first"
            assert await peer.say("NOOP") == "250 2.0.0 Ok"

    run(scenario)


def test_wrapper_mode_speaks_tls_from_the_first_byte() -> None:
    async def scenario() -> None:
        async with stage(tls=_context(), smtpd_tls_wrappermode="yes", **SUBMISSION) as scene:
            client = ssl.create_default_context()
            client.check_hostname, client.verify_mode = False, ssl.CERT_NONE
            peer = await scene.connect(ssl=client)
            assert peer.greeting.startswith(f"220 {HOST}")
            assert "STARTTLS" not in await peer.say("EHLO c.test")
            assert await peer.say("STARTTLS") == "554 5.5.1 Error: TLS already active"
            peer.close()
            await scene.ended()

    run(scenario)


def test_a_large_message_passes_through_tls() -> None:
    async def scenario() -> None:
        async with stage(tls=_context()) as scene:
            peer = await scene.connect()
            await peer.say("EHLO c.test", "STARTTLS")
            await peer.start_tls()
            await peer.say(*OPEN, "DATA")
            assert (await peer.say(b"0123456789\r\n" * 100_000 + b".\r\n")).startswith("250 ")
            assert scene.cleanup.messages[0].content.count(b"\n") > 100_000

    run(scenario)


def test_a_failed_handshake_in_wrapper_mode_is_logged() -> None:
    async def scenario() -> None:
        async with stage(tls=_context(), smtpd_tls_wrappermode="yes") as scene:
            peer = await scene.connect(greeted=False)
            peer.send("EHLO c.test")
            await scene.ended()
            assert scene.logged("SSL_accept error from localhost[127.0.0.1]: ")
            assert scene.lines[-1] == "disconnect from localhost[127.0.0.1] commands=0/0"

    run(scenario)
