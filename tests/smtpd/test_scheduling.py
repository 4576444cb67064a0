"""BY, HOLDFOR, HOLDUNTIL, REQUIRETLS, BODY: from MAIL into the envelope."""

from __future__ import annotations

import pytest

from pillarbox.lib.queue.envelope import Envelope
from tests.smtpd.stage import ARRIVAL, Stage, run, stage

NOW = int(ARRIVAL)
HELD = {"smtpd_future_release_limit": "1d"}


async def envelope(scene: Stage, parameters: str) -> Envelope:
    peer = await scene.connect()
    await peer.say("EHLO c", f"MAIL FROM:<a@b.example> {parameters}", "RCPT TO:<user@here.example>", "BDAT 0 LAST")
    found = scene.cleanup.messages[-1].envelope
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("parameters", "deliver_by", "release"),
    [
        ("", "", 0),
        ("BY=120;R", f"{NOW + 120};R", 0),
        ("BY=-5;NT", f"{NOW - 5};NT", 0),
        ("HOLDFOR=3600", "", NOW + 3600),
        ("HOLDFOR=3600 BY=3601;R", f"{NOW + 3601};R", NOW + 3600),
        ("HOLDFOR=3600 BY=60;N", f"{NOW + 60};N", NOW + 3600),
        ("HOLDUNTIL=2026-11-22T03:54:04Z", "", NOW + 1),
        ("HOLDUNTIL=2026-11-22T03:54:03Z", "", 0),
        ("HOLDUNTIL=2020-01-01T00:00:00Z", "", 0),
    ],
)
def test_times_become_moments(parameters: str, deliver_by: str, release: float) -> None:
    async def scenario() -> None:
        async with stage(**HELD) as scene:
            found = await envelope(scene, parameters)
            assert (found.deliver_by, found.release) == (deliver_by, release)

    run(scenario)


def test_what_cannot_be_is_refused() -> None:
    async def scenario() -> None:
        async with stage(**HELD) as scene:
            peer = await scene.connect()
            said = await peer.say("EHLO c", "MAIL FROM:<> HOLDUNTIL=2026-11-23T03:54:04Z")
            assert said == "501 5.5.4 Error: a message is held for 86400 seconds at most"
            said = await peer.say("MAIL FROM:<> HOLDFOR=120 BY=120;R")
            assert said == "501 5.5.4 Error: the time in BY is over before the message is released"
            assert await peer.say("MAIL FROM:<> HOLDUNTIL=2026-11-23T03:54:03Z") == "250 2.1.0 Ok"

    run(scenario)


def test_the_moment_until_which_mail_may_be_held_is_announced() -> None:
    async def scenario() -> None:
        async with stage(**HELD) as scene:
            peer = await scene.connect()
            assert "FUTURERELEASE 86400 2026-11-23T03:54:03Z" in await peer.say("EHLO c")

    run(scenario)


def test_announced_limits_come_from_the_configuration() -> None:
    async def scenario() -> None:
        limits = {
            "smtpd_session_message_limit": "4",
            "smtpd_recipient_domain_limit": "3",
            "smtpd_recipient_limit": "2",
            "smtpd_deliver_by_minimum": "2m",
            "smtpd_discard_ehlo_keywords": "futurerelease",
        }
        async with stage(**HELD, **limits) as scene:
            peer = await scene.connect()
            said = await peer.say("EHLO c")
            assert "LIMITS MAILMAX=4 RCPTMAX=2 RCPTDOMAINMAX=3" in said
            assert "DELIVERBY 120" in said
            assert "FUTURERELEASE" not in said
            assert (await peer.say("MAIL FROM:<> HOLDFOR=5")).startswith("555")

    run(scenario)


def test_a_binary_body_reaches_cleanup_as_it_was_sent() -> None:
    async def scenario() -> None:
        async with stage() as scene:
            peer = await scene.connect()
            await peer.say("EHLO c", "MAIL FROM:<a@b.example> BODY=BINARYMIME", "RCPT TO:<user@here.example>")
            assert (await peer.say(b"BDAT 23 LAST\r\nSubject: x\r\n\r\n\0a\r\nb\nc\rd")).startswith(
                "250 2.0.0 Ok: 21 bytes"
            )
            (message,) = scene.cleanup.messages
            assert message.content.endswith(b"Subject: x\n\n\0a\r\nb\nc\rd")
            assert message.envelope is not None
            assert message.envelope.body == "binarymime"

    run(scenario)
