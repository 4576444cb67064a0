"""VRFY, EXPN and ETRN, with lookup and queue manager replaced."""

from __future__ import annotations

from tests.smtpd.stage import run, stage

HERE = {"smtpd_expn_networks": "127.0.0.0/8"}


def test_expn_shows_one_step_of_an_alias() -> None:
    async def scenario() -> None:
        async with stage(**HERE) as scene:
            scene.lookup.aliases["list@mx.example"] = ("ann@here.example", "bob@else.example")
            scene.lookup.aliases["root@here.example"] = ("ann",)
            peer = await scene.connect()
            said = await peer.say("EHLO c", "EXPN list")
            assert said == "250-2.0.0 <ann@here.example> 250 2.0.0 <bob@else.example>"
            assert await peer.say("EXPN <list@mx.example>") == said
            assert await peer.say("EXPN root@here.example") == "250 2.0.0 <ann@mx.example>"

    run(scenario)


def test_expn_of_what_is_no_alias() -> None:
    async def scenario() -> None:
        async with stage(**HERE) as scene:
            peer = await scene.connect()
            assert await peer.say("EXPN user@here.example") == "550 5.1.1 <user@here.example>: not an alias"
            assert (await peer.say("EXPN nobody@here.example")).startswith("550 5.1.1")
            assert (await peer.say("EXPN a@@b")).startswith("501 5.1.3")
            assert scene.logged("reject: EXPN from localhost[127.0.0.1]: 550 5.1.1")

    run(scenario)


def test_expn_defers_while_tables_cannot_be_asked() -> None:
    async def scenario() -> None:
        async with stage(**HERE) as scene:
            peer = await scene.connect()
            scene.lookup.broken = True
            assert (await peer.say("EXPN list")).startswith("451 4.3.0")

    run(scenario)


def test_expn_is_not_there_for_strangers() -> None:
    async def scenario() -> None:
        async with stage(smtpd_expn_networks="192.0.2.0/24") as scene:
            peer = await scene.connect()
            assert "EXPN" not in await peer.say("EHLO c")
            assert (await peer.say("EXPN list")).startswith("502 5.5.1")

    run(scenario)


def test_etrn_has_the_queue_run_for_a_site() -> None:
    async def scenario() -> None:
        async with stage() as scene:
            peer = await scene.connect()
            assert " 250-ETRN" in await peer.say("EHLO c") or "ETRN" in await peer.say("EHLO c")
            assert await peer.say("ETRN Relay.Example") == "250 2.0.0 Queuing started"
            assert scene.qmgr.flushed == ["relay.example"]
            assert scene.logged("ETRN relay.example from localhost[127.0.0.1]: 3 messages")

    run(scenario)


def test_etrn_for_another_site_is_refused() -> None:
    async def scenario() -> None:
        async with stage() as scene:
            peer = await scene.connect()
            assert await peer.say("ETRN other.example") == "459 4.7.0 <other.example>: service unavailable"
            assert scene.logged("reject: ETRN from localhost[127.0.0.1]: 459 4.7.0")

    run(scenario)


def test_etrn_while_the_queue_manager_is_away() -> None:
    async def scenario() -> None:
        async with stage() as scene:
            scene.qmgr.down = True
            peer = await scene.connect()
            assert await peer.say("ETRN relay.example") == "458 4.3.0 Unable to queue messages"
            assert await peer.say("NOOP") == "250 2.0.0 Ok"

    run(scenario)
