"""The brake on stolen accounts: over the limit mail is taken and held, and people are told once."""

from __future__ import annotations

import asyncio
from email import message_from_bytes
from email.policy import default

from pillarbox.lib.smtp.events import Data, Mail
from pillarbox.smtpd.transaction import Transaction
from tests.smtpd.stage import ID, Peer, Stage, run, stage

LIMITS = {
    "smtpd_sasl_auth_enable": "yes",
    "smtpd_relay_restrictions": "permit_sasl_authenticated, reject_unauth_destination",
    "smtpd_account_message_limit": "2",
}
QUEUED = f"250 2.0.0 Ok: queued as {ID}"


async def login(scene: Stage) -> Peer:
    peer = await scene.connect()
    await peer.say("EHLO c", "AUTH PLAIN AGFubgBzZWNyZXQ=")
    return peer


async def send(peer: Peer, *recipients: str) -> str:
    await peer.say("MAIL FROM:<ann@here.example>")
    for recipient in recipients or ("friend@far.example",):
        await peer.say(f"RCPT TO:<{recipient}>")
    return await peer.say("DATA", ".")


def holds(scene: Stage) -> list[str]:
    """The reason of each message that a client has sent; "" where it is not held."""
    return [message.envelope.hold for message in scene.cleanup.messages if message.envelope and message.envelope.sender]


async def told(scene: Stage) -> None:
    async with asyncio.timeout(10):
        while not scene.logged("account notice"):
            await asyncio.sleep(0.005)


def test_mail_beyond_the_limit_is_taken_and_held() -> None:
    async def scenario() -> None:
        async with stage(**LIMITS) as scene:
            peer = await login(scene)
            for _ in range(4):
                assert await send(peer) == QUEUED
            reason = "account ann@here.example: 3 messages within 1 day, 2 are allowed"
            assert holds(scene) == ["", "", reason, reason]
            assert scene.logged(f"warning: {ID}: hold: mail of ann@here.example from localhost[127.0.0.1]: 3 messages")

    run(scenario)


def test_owner_and_postmaster_are_told_once_in_plain_words() -> None:
    async def scenario() -> None:
        async with stage(**LIMITS) as scene:
            peer = await login(scene)
            for _ in range(3):
                await send(peer)
            await told(scene)
            for _ in range(3):
                await send(peer)
            (notice,) = [each for each in scene.cleanup.messages if each.envelope and not each.envelope.sender]
            assert notice.envelope is not None
            addresses = [recipient.address for recipient in notice.envelope.recipients]
            assert addresses == ["ann@here.example", "postmaster@mx.example"]
            assert notice.envelope.hold == ""
            assert notice.state == "committed"
            message = message_from_bytes(notice.content, policy=default)
            assert message["Auto-Submitted"] == "auto-generated"
            assert message["Subject"] == "The mail of ann@here.example is being held"
            assert not message.defects
            text = message.get_content()
            assert "is being\nheld: 3 messages within 1 day, 2 are allowed." in text
            assert "pillarbox account release ann@here.example" in text
            assert max(len(line) for line in notice.content.decode().splitlines()) <= 78

    run(scenario)


def test_other_accounts_and_other_sessions() -> None:
    async def scenario() -> None:
        async with stage(**LIMITS) as scene:
            for _ in range(3):
                await send(await login(scene))
            assert [bool(reason) for reason in holds(scene)] == [False, False, True], "counted over sessions"
            stranger = await scene.connect()
            await stranger.say("EHLO c", "MAIL FROM:<x@far.example>", "RCPT TO:<user@here.example>")
            assert await stranger.say("DATA", ".") == QUEUED
            assert holds(scene)[-1] == ""

    run(scenario)


def test_recipients_and_strangers_are_counted() -> None:
    async def scenario() -> None:
        for limit, reason in (
            ("smtpd_account_recipient_limit", "3 recipients within 1 day, 2 are allowed"),
            (
                "smtpd_account_new_recipient_limit",
                "3 recipients that it had never written to before within 1 day",
            ),
        ):
            settings = {**LIMITS, "smtpd_account_message_limit": "0", limit: "2"}
            async with stage(**settings) as scene:
                peer = await login(scene)
                await send(peer, "a@far.example", "b@far.example")
                await send(peer, "c@far.example")
                assert [bool(each) for each in holds(scene)] == [False, True]
                assert reason in holds(scene)[1]

    run(scenario)


def test_a_chunked_message_counts_too() -> None:
    async def scenario() -> None:
        async with stage(**{**LIMITS, "smtpd_account_message_limit": "1"}) as scene:
            peer = await login(scene)
            for _ in range(2):
                await peer.say("MAIL FROM:<ann@here.example>", "RCPT TO:<friend@far.example>")
                assert (await peer.say(b"BDAT 2 LAST\r\nx\n")).startswith("250 2.0.0")
            assert [bool(reason) for reason in holds(scene)] == [False, True]

    run(scenario)


def test_without_reputation_nothing_is_held_but_what_is_known_to_be_braked() -> None:
    async def scenario() -> None:
        async with stage(**LIMITS) as scene:
            scene.reputation.down = True
            peer = await login(scene)
            for _ in range(3):
                assert await send(peer) == QUEUED
            assert holds(scene) == ["", "", ""]
            assert scene.logged("warning: mail of ann@here.example is not counted: reputation: down")
            scene.reputation.down = False
            for _ in range(3):
                await send(peer)
            scene.reputation.down = True
            await send(peer)
            assert [bool(reason) for reason in holds(scene)[3:]] == [False, False, True, True]

    run(scenario)


def test_a_notice_that_cannot_be_sent_is_tried_again() -> None:
    async def scenario() -> None:
        async with stage(**LIMITS) as scene:
            peer = await login(scene)
            for _ in range(2):
                await send(peer)
            await peer.say("MAIL FROM:<ann@here.example>", "RCPT TO:<friend@far.example>")
            scene.cleanup.closed = True
            await peer.say("DATA")
            async with asyncio.timeout(10):
                while not scene.logged("nobody could be told that mail of ann@here.example is held"):
                    await asyncio.sleep(0.005)
            scene.cleanup.closed = False
            assert await peer.say(".") == QUEUED
            now = scene.server.clock()
            scene.server.clock = lambda: now + 61
            await send(peer)
            await told(scene)

    run(scenario)


def test_the_brake_holds_until_it_is_released() -> None:
    async def scenario() -> None:
        async with stage(**LIMITS) as scene:
            peer = await login(scene)
            for _ in range(3):
                await send(peer)
            now = scene.server.clock()
            scene.server.clock = lambda: now + 30 * 86400
            await send(peer)
            scene.reputation.memory.accounts.release("ann@here.example")
            await send(peer)
            assert [bool(reason) for reason in holds(scene)] == [False, False, True, True, False]

    run(scenario)


def test_with_a_filter_before_the_queue_mail_is_put_off_instead() -> None:
    async def scenario() -> None:
        async with stage(**LIMITS, smtpd_proxy_filter="127.0.0.1:1") as scene:
            now = scene.server.clock()
            for _ in range(3):
                await scene.reputation.submit("ann@here.example", [], scene.server.screening.accounts)
            brake = next(check for check in scene.server.checks["DATA"] if type(check).__name__ == "Brake")
            peer = await login(scene)
            (session,) = scene.server.sessions
            session.transaction = Transaction(Mail("ann@here.example"), "ann@here.example", now)
            verdict = await brake(session, Data(False))
            assert str(verdict) == "450 4.7.1 Error: too much mail from ann@here.example"
            session.transaction = None
            peer.close()

    run(scenario)


def test_limits_of_zero_ask_nobody() -> None:
    async def scenario() -> None:
        zero = dict.fromkeys((f"smtpd_account_{what}_limit" for what in ("message", "recipient", "new_recipient")), "0")
        async with stage(**{**LIMITS, **zero}) as scene:
            peer = await login(scene)
            await send(peer)
            assert scene.reputation.asked == 0

    run(scenario)
