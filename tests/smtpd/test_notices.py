"""Transcripts of sessions for the postmaster: by class, to the right address, not too many."""

from __future__ import annotations

import asyncio

import pytest

from pillarbox.lib.clients.cleanup import Rejected
from tests.smtpd.stage import Stage, stage


async def refused_session(scene: Stage) -> None:
    peer = await scene.connect()
    await peer.say("EHLO client.example", "MAIL FROM:<a@b.example>", "RCPT TO:<x@elsewhere.example>", "QUIT")
    peer.close()


async def notices(scene: Stage, count: int) -> list[str]:
    async with asyncio.timeout(10):
        while len([one for one in scene.cleanup.messages if one.state == "committed"]) < count:
            await asyncio.sleep(0.005)
    return [one.content.decode() for one in scene.cleanup.messages if one.state == "committed"]


def test_a_refusal_by_policy_is_told_where_asked() -> None:
    async def run() -> None:
        async with stage(notify_classes="policy", error_notice_recipient="watch@x.test") as scene:
            await refused_session(scene)
            (text,) = await notices(scene, 1)
            assert "Subject: Pillarbox SMTP server: errors from localhost[127.0.0.1]" in text
            assert "To: Postmaster <watch@x.test>" in text
            assert "Auto-Submitted: auto-generated" in text
            assert " In:  RCPT TO:<x@elsewhere.example>" in text
            assert " Out: 554 5.7.1 <x@elsewhere.example>: " in text
            envelope = scene.cleanup.messages[-1].envelope
            assert envelope is not None
            assert envelope.sender == "double-bounce@mx.example"
            assert [(one.address, one.notify) for one in envelope.recipients] == [("watch@x.test", ("never",))]

    asyncio.run(run())


@pytest.mark.parametrize("classes", ["", "resource, software", "protocol", "data", "bounce, 2bounce, delay"])
def test_other_classes_tell_nothing_of_it(classes: str) -> None:
    async def run() -> None:
        async with stage(notify_classes=classes) as scene:
            await refused_session(scene)
            await scene.ended()
            await asyncio.sleep(0.05)
            assert scene.cleanup.messages == []

    asyncio.run(run())


@pytest.mark.parametrize("classes", ["", "2bounce", "delay", "2bounce, delay"])
def test_where_no_class_of_sessions_is_asked_for_nothing_is_kept(classes: str) -> None:
    async def run() -> None:
        async with stage(notify_classes=classes) as scene:
            await scene.connect()
            (session,) = scene.server.sessions
            assert session.core.conversation is None

    asyncio.run(run())


def test_an_unknown_recipient_is_for_who_gets_bounces() -> None:
    async def run() -> None:
        async with stage(notify_classes="bounce", bounce_notice_recipient="b@x.test") as scene:
            peer = await scene.connect()
            await peer.say("EHLO c.example", "MAIL FROM:<a@b.example>", "RCPT TO:<nobody@here.example>", "QUIT")
            (text,) = await notices(scene, 1)
            assert "To: Postmaster <b@x.test>" in text

    asyncio.run(run())


def test_an_attack_does_not_flood_the_postmaster() -> None:
    async def run() -> None:
        async with stage(notify_classes="policy", error_notice_limit="3") as scene:
            for _ in range(10):
                await refused_session(scene)
            await scene.ended(10)
            assert len(await notices(scene, 3)) == 3
            scene.server.notices._limit._times.clear()  # an hour has passed
            await refused_session(scene)
            assert "7 such reports were left out since the last one" in (await notices(scene, 4))[-1]

    asyncio.run(run())


def test_a_notice_that_cannot_be_queued_is_tried_again() -> None:
    async def run() -> None:
        async with stage(notify_classes="policy") as scene:
            scene.cleanup.rejection = Rejected(451, "4.3.0", "Error: queue file write error")
            await refused_session(scene)
            async with asyncio.timeout(10):
                while not scene.logged("postmaster notice: 451 4.3.0"):
                    await asyncio.sleep(0.005)
            scene.cleanup.rejection = None
            assert len(await notices(scene, 1)) == 1

    asyncio.run(run())
