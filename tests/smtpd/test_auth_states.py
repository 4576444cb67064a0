"""Every way out of an AUTH exchange leaves a clean session: nobody authenticated, commands understood, no challenge."""

from __future__ import annotations

import asyncio
import socket
import struct

import pytest

from pillarbox.lib.clients import ServiceUnavailable
from pillarbox.lib.clients.auth import Challenge, Failure, Step, Success
from tests.smtpd.stage import Peer, Stage, plain, run, stage
from tests.smtpd.test_authentication import SUBMISSION, _context

GOOD = plain("\0ann\0secret")
ABROAD = ("MAIL FROM:<ann@here.example>", "RCPT TO:<x@elsewhere.example>")


async def assert_clean(scene: Stage, peer: Peer) -> None:
    """The session works as if AUTH had never been tried: not authenticated, and a new AUTH succeeds."""
    assert (await peer.say(*ABROAD)).startswith("554 5.7.1 <x@elsewhere.example>: Recipient address rejected")
    assert await peer.say("RSET") == "250 2.0.0 Ok"
    assert await peer.say(f"AUTH PLAIN {GOOD}") == "235 2.7.0 Authentication successful"
    assert await peer.say(*ABROAD) == "250 2.1.5 Ok"


async def challenged(scene: Stage) -> Peer:
    """A client in the middle of an exchange."""
    peer = await scene.connect()
    await peer.say("EHLO c.test")
    assert await peer.say("AUTH TWOSTEP") == f"334 {plain('what?')}"
    return peer


@pytest.mark.parametrize(
    ("line", "reply", "asked"),
    [
        ("*", "501 5.7.0 Authentication aborted", False),
        ("", "535 5.7.8 ", True),
        ("=", "501 5.5.2 ", False),
        ("not base64", "501 5.5.2 ", False),
        ("* ", "501 5.5.2 ", False),
        ("QUIT", "535 5.7.8 ", True),
        ("STARTTLS", "535 5.7.8 ", True),
        ("RSET", "535 5.7.8 ", True),
        ("MAIL FROM:<a@b.example>", "501 5.5.2 ", False),
        (f"AUTH PLAIN {GOOD}", "501 5.5.2 ", False),
        ("A" * 12289, "500 5.5.6 Authentication exchange line is too long", False),
        ("A" * 12288, "535 5.7.8 ", True),
        ("A" * 100_000, "500 5.5.6 Authentication exchange line is too long", False),
    ],
)
def test_whatever_the_client_says_in_the_middle(line: str, reply: str, asked: bool) -> None:
    """RFC 4954 section 4: between 334 and the end every line is a response, also one that looks like a command."""

    async def scenario() -> None:
        async with stage(tls=_context(), **SUBMISSION) as scene:
            peer = await challenged(scene)
            assert (await peer.say(line)).startswith(reply)
            assert len(scene.auth.aborted) == (0 if asked else 1), "the service is told where it was not asked"
            await assert_clean(scene, peer)

    run(scenario)


def test_a_client_that_gives_up_is_no_guesser() -> None:
    async def scenario() -> None:
        async with stage(**SUBMISSION) as scene:
            peer = await challenged(scene)
            await peer.say("*")
            assert scene.lines[-1] == "warning: localhost[127.0.0.1]: SASL TWOSTEP authentication aborted"

    run(scenario)


def test_a_client_that_goes_in_the_middle() -> None:
    async def scenario() -> None:
        async with stage(**SUBMISSION) as scene:
            peer = await challenged(scene)
            peer.close()
            await scene.ended()
            assert len(scene.auth.aborted) == 1
            assert scene.logged("lost connection after AUTH from localhost[127.0.0.1]")

    run(scenario)


def test_a_client_that_goes_while_the_service_is_at_work() -> None:
    async def scenario() -> None:
        async with stage(**SUBMISSION) as scene:
            cancelled = asyncio.Event()
            begun = asyncio.Event()

            async def begin(*_: object, **__: object) -> Step:
                begun.set()
                try:
                    await asyncio.sleep(60)
                except asyncio.CancelledError:
                    cancelled.set()
                    raise
                raise AssertionError

            scene.auth.begin = begin  # type: ignore[method-assign]
            peer = await scene.connect()
            await peer.say("EHLO c.test")
            peer.send(f"AUTH PLAIN {GOOD}")
            async with asyncio.timeout(10):
                await begun.wait()
                sock = peer.writer.get_extra_info("socket")
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                peer.writer.transport.abort()  # a reset: after a mere half-close the client could still read our reply
                await cancelled.wait()
            await scene.ended()

    run(scenario)


@pytest.mark.parametrize("verb", ["begin", "continue_"])
def test_a_service_that_dies_in_the_middle_is_a_temporary_failure(verb: str) -> None:
    """454, and not a word that fail2ban would take for a wrong password."""

    async def scenario() -> None:
        async with stage(**SUBMISSION) as scene:

            async def die(*_: object, **__: object) -> Step:
                raise ServiceUnavailable("auth service: the connection was closed")

            peer = await (scene.connect() if verb == "begin" else challenged(scene))
            if verb == "begin":
                await peer.say("EHLO c.test")
            living = getattr(scene.auth, verb)
            setattr(scene.auth, verb, die)
            reply = await peer.say(f"AUTH PLAIN {GOOD}" if verb == "begin" else plain("secret"))
            assert reply == ("454 4.7.0 Temporary authentication failure: the authentication service is not available")
            assert scene.lines[-1].endswith(
                " authentication failed: Connection lost to authentication server:"
                " auth service: the connection was closed"
            )
            setattr(scene.auth, verb, living)
            await assert_clean(scene, peer)

    run(scenario)


@pytest.mark.parametrize(
    ("failure", "reply", "logged"),
    [
        (
            Failure("temporary authentication failure", temporary=True, kind="temporary"),
            "454 4.7.0 ",
            "authentication failed: Connection lost to authentication server: temporary authentication failure",
        ),
        (
            Failure("too many failed logins, try again later", temporary=True, kind="locked", username="ann"),
            "454 4.7.0 Temporary authentication failure: too many failed logins, try again later",
            "SASL PLAIN authentication failed: too many failed logins, try again later, sasl_username=ann",
        ),
        (Failure("account may not log in", kind="disabled", username="ann"), "535 5.7.8 ", "may not log in"),
        (Failure("PLAIN message is not UTF-8", kind="malformed"), "501 5.5.2 ", "not UTF-8"),
        (Failure("no such mechanism", kind="mechanism"), "504 5.5.4 ", "Invalid authentication mechanism"),
        (Failure("encryption required", kind="privacy"), "538 5.7.11 ", "encryption required"),
    ],
)
def test_each_kind_of_failure_has_its_reply(failure: Failure, reply: str, logged: str) -> None:
    async def scenario() -> None:
        async with stage(**SUBMISSION) as scene:

            async def fail(*_: object, **__: object) -> Step:
                return failure

            peer = await scene.connect()
            await peer.say("EHLO c.test")
            living, scene.auth.begin = scene.auth.begin, fail  # type: ignore[method-assign]
            assert (await peer.say(f"AUTH PLAIN {GOOD}")).startswith(reply)
            assert logged in scene.lines[-1]
            scene.auth.begin = living  # type: ignore[method-assign]
            await assert_clean(scene, peer)

    run(scenario)


def test_many_rounds_and_then_success() -> None:
    async def scenario() -> None:
        async with stage(**SUBMISSION) as scene:
            answers: list[bytes] = []

            async def go_on(challenge: Challenge, response: bytes) -> Step:
                answers.append(response)
                return Challenge(b"more", 1) if len(answers) < 5 else Success("ann@here.example", "", "TWOSTEP")

            scene.auth.continue_ = go_on  # type: ignore[method-assign]
            peer = await challenged(scene)
            for number in range(4):
                assert await peer.say(plain(str(number))) == f"334 {plain('more')}"
            assert (await peer.say(plain("last"))).startswith("235 ")
            assert answers == [b"0", b"1", b"2", b"3", b"last"]
            assert await peer.say(f"AUTH PLAIN {GOOD}") == "503 5.5.1 Error: already authenticated"
            assert await peer.say(*ABROAD) == "250 2.1.5 Ok"
            assert (await peer.say("AUTH TWOSTEP")).startswith("503 5.5.1 Error: "), "not within a transaction"

    run(scenario)


def test_failures_end_the_session_like_other_errors() -> None:
    async def scenario() -> None:
        async with stage(smtpd_hard_error_limit="3", smtpd_soft_error_limit="100", **SUBMISSION) as scene:
            peer = await scene.connect()
            await peer.say("EHLO c.test")
            for _ in range(2):
                assert (await peer.say(f"AUTH PLAIN {plain('x')}")).startswith("535 ")
            assert (await peer.say(f"AUTH PLAIN {plain('x')}")).startswith("535 ")
            assert (await peer.reply()).startswith("421 4.7.0 ")
            await scene.ended()

    run(scenario)


def test_starttls_forgets_who_was_authenticated() -> None:
    """RFC 3207 section 4.2."""

    async def scenario() -> None:
        async with stage(tls=_context(), **SUBMISSION) as scene:
            peer = await scene.connect()
            await peer.say("EHLO c.test", f"AUTH PLAIN {GOOD}")
            assert (await peer.say("STARTTLS")).startswith("220 ")
            await peer.start_tls()
            await peer.say("EHLO c.test")
            await assert_clean(scene, peer)

    run(scenario)


def test_what_tls_knows_reaches_the_service() -> None:
    async def scenario() -> None:
        async with stage(tls=_context(), **SUBMISSION) as scene:
            given: list[object] = []
            living = scene.auth.begin

            async def begin(service: str, mechanism: str, initial: bytes | None, **client: object) -> Step:
                given.append(client["security"])
                return await living(service, mechanism, initial, **client)

            scene.auth.begin = begin  # type: ignore[method-assign]
            peer = await scene.connect()
            await peer.say("EHLO c.test", f"AUTH PLAIN {plain('x')}", "STARTTLS")
            await peer.start_tls()
            await peer.say("EHLO c.test", f"AUTH PLAIN {GOOD}")
            before, after = given
            assert before.bindings == {} and before.certificate is None  # type: ignore[attr-defined]
            assert "tls-server-end-point" in after.bindings  # type: ignore[attr-defined]

    run(scenario)
