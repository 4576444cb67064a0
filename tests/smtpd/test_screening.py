"""Tests before the greeting: who waits, who is refused and how, who has to take none again."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from pillarbox.lib.clients.reputation import Passed
from pillarbox.lib.dns import Server as NameServer
from pillarbox.smtpd.screening import screen as module
from pillarbox.smtpd.screening.dnsbl import SILENT_FOR, Silence, question
from tests.lab.dns import DnsServer
from tests.smtpd.stage import ARRIVAL, OPEN, Stage, run, stage

BAD = "1.0.0.127.bl.example"
ZONE = f"""
{BAD}. A 127.0.0.2
1.0.0.127.bl2.example. A 127.0.0.10
1.0.0.127.wl.example. A 127.0.5.1
"""
WAIT = {"smtpd_greet_wait": "0.05s"}
LONG = {"smtpd_greet_wait": "600s"}
"""Longer than any test lives: whoever is greeted has not waited."""


@pytest.fixture(scope="module")
def dns() -> Iterator[DnsServer]:
    with DnsServer(ZONE) as server:
        yield server


def at(dns: DnsServer) -> NameServer:
    return NameServer(dns.address, dns.port)


# --- the greet delay


def test_a_patient_client_sees_a_teaser_and_passes() -> None:
    async def scenario() -> None:
        async with stage(smtpd_greet_banner="wait a moment", **WAIT) as scene:
            peer = await scene.connect()
            assert peer.greeting == "220-wait a moment 220 mx.example ESMTP Pillarbox"
            assert scene.logged("PASS NEW [127.0.0.1]:")
            assert await peer.say(*OPEN) == "250 2.1.5 Ok"

    run(scenario)


def test_who_has_waited_waits_no_more() -> None:
    async def scenario() -> None:
        async with stage(smtpd_greet_banner="", **WAIT) as scene:
            await scene.connect()
            asked = scene.reputation.asked
            scene.server.screening = stage_settings(scene, **LONG)
            await scene.connect()
            assert scene.logged("PASS OLD [127.0.0.1]:")
            assert scene.reputation.asked == asked, "known in this process: nobody is asked"
            scene.server.results._known.clear()  # another process, or after a restart
            await scene.connect()
            assert scene.reputation.asked == asked + 1

    run(scenario)


def stage_settings(scene: Stage, **values: str) -> object:
    from pillarbox.lib.config import Config
    from pillarbox.smtpd.screening.settings import configured_screening

    return configured_screening(Config({**scene.server.config.values, **values}))


def test_after_a_day_it_is_tested_again() -> None:
    async def scenario() -> None:
        async with stage(**WAIT) as scene:
            await scene.connect()
            scene.server.clock = lambda: ARRIVAL + 86401
            await scene.connect()
            assert sum("PASS NEW" in line for line in scene.lines) == 2

    run(scenario)


@pytest.mark.parametrize("wait", [WAIT, LONG])
def test_an_early_talker_is_dropped(wait: dict[str, str]) -> None:
    async def scenario() -> None:
        async with stage(smtpd_greet_action="drop", smtpd_greet_banner="", **wait) as scene:
            peer = await scene.connect(greeted=False)
            peer.send("EHLO early.example")
            assert await peer.reply() == "521 5.5.1 Protocol error"
            assert await peer.reply() == ""
            await scene.ended()
            assert scene.logged("PREGREET 20 after 0")
            assert scene.logged(r" from [127.0.0.1]:" + str(peer.port) + r": EHLO early.example\r\n")
            assert scene.logged("NOQUEUE: reject: CONNECT from localhost[127.0.0.1]: 521 5.5.1 Protocol error;")
            assert not scene.logged("PASS")
            assert await scene.reputation.client("127.0.0.1") is None, "who fails is not remembered"

    run(scenario)


def test_an_early_talker_may_be_refused_later() -> None:
    async def scenario() -> None:
        async with stage(smtpd_greet_action="enforce", smtpd_greet_banner="", **LONG) as scene:
            peer = await scene.connect(greeted=False)
            peer.send("EHLO early.example")
            assert (await peer.reply()).startswith("220 ")
            assert (await peer.reply()).startswith("250-mx.example")
            assert await peer.say(OPEN[1], OPEN[2]) == "550 5.5.1 Protocol error"
            assert scene.logged("NOQUEUE: reject: RCPT from localhost[127.0.0.1]: 550 5.5.1 Protocol error; from=<a@b.")
            assert await peer.say("RSET", OPEN[1], OPEN[2]) == "550 5.5.1 Protocol error"
            assert not scene.logged("PASS")

    run(scenario)


def test_ignoring_an_early_talker_leaves_it_to_the_rules_of_pipelining() -> None:
    async def scenario() -> None:
        for forbid, expected in (("yes", "554 5.5.0"), ("no", "220 ")):
            options = {"smtpd_forbid_unauth_pipelining": forbid, "smtpd_greet_banner": ""}
            async with stage(**options, **LONG) as scene:
                peer = await scene.connect(greeted=False)
                peer.send("EHLO early.example")
                assert (await peer.reply()).startswith(expected)
                assert scene.logged("PREGREET 20 after")

    run(scenario)


def test_octets_in_an_early_word_are_shown_harmlessly() -> None:
    async def scenario() -> None:
        async with stage(smtpd_greet_action="drop", smtpd_greet_banner="", **LONG) as scene:
            peer = await scene.connect(greeted=False)
            peer.send(b"\x16\x03\x01\xff\n" + b"x" * 500)
            assert (await peer.reply()).startswith("521")
            assert scene.logged(r": \x16\x03\x01\xff\nxxx")
            assert all(line.isprintable() and len(line) < 400 for line in scene.lines)

    run(scenario)


def test_a_client_that_hangs_up_ends_the_wait() -> None:
    async def scenario() -> None:
        async with stage(**LONG) as scene:
            peer = await scene.connect(greeted=False)
            await peer.reader.readline()
            peer.close()
            await scene.ended()
            assert scene.logged("HANGUP after 0")
            assert scene.logged("in tests before SMTP handshake")
            assert scene.anvil.open == 0
            assert await scene.reputation.client("127.0.0.1") is None

    run(scenario)


def test_a_stopping_service_waits_for_nobody() -> None:
    async def scenario() -> None:
        async with stage(smtpd_greet_banner="", **LONG) as scene:
            peer = await scene.connect(greeted=False)
            while not any(session.on_stir for session in scene.server.sessions):
                await asyncio.sleep(0.001)
            scene.server.stop()
            assert (await peer.reply()).startswith("421 ")

    run(scenario)


def test_clients_of_ours_and_services_for_users_are_not_tested() -> None:
    async def scenario() -> None:
        for settings in ({"mynetworks": "127.0.0.0/8"}, {"smtpd_screening": "no"}):
            async with stage(**settings, **LONG) as scene:
                assert (await scene.connect()).greeting == "220 mx.example ESMTP Pillarbox"
                assert not scene.logged("PASS")
                assert scene.reputation.asked == 0

    run(scenario)


def test_without_permit_mynetworks_our_own_are_tested_too() -> None:
    async def scenario() -> None:
        settings = {"mynetworks": "127.0.0.0/8", "smtpd_screening_access_list": ""}
        async with stage(**settings, **WAIT) as scene:
            await scene.connect()
            assert scene.logged("PASS NEW")

    run(scenario)


def test_without_reputation_everybody_is_tested_and_nobody_refused() -> None:
    async def scenario() -> None:
        async with stage(**WAIT) as scene:
            scene.reputation.down = True
            peer = await scene.connect()
            assert await peer.say(*OPEN) == "250 2.1.5 Ok"
            assert scene.logged("reputation: down")

    run(scenario)


# --- the access list


@pytest.mark.parametrize(
    ("action", "expected"),
    [("drop", "521 5.3.2 Service currently unavailable"), ("enforce", "220"), ("ignore", "220")],
)
def test_a_client_on_the_list_is_refused(action: str, expected: str) -> None:
    async def scenario() -> None:
        settings = {
            "smtpd_screening_access_list": "permit_mynetworks, cidr:/etc/clients",
            "smtpd_screening_denylist_action": action,
        }
        async with stage(**settings) as scene:
            scene.lookup.values["smtpd_screening_access_list", "127.0.0.1"] = "reject"
            peer = await scene.connect()
            assert peer.greeting.startswith(expected)
            assert scene.logged("DENYLISTED [127.0.0.1]:")
            if action != "drop":
                reply = await peer.say(*OPEN)
                refusal = "550 5.3.2 Service currently unavailable"
                assert reply == (refusal if action == "enforce" else "250 2.1.5 Ok")

    run(scenario)


def test_a_client_on_the_list_is_spared_all_tests() -> None:
    async def scenario() -> None:
        async with stage(smtpd_screening_access_list="cidr:/etc/clients", **LONG) as scene:
            scene.lookup.values["smtpd_screening_access_list", "127.0.0.1"] = "permit"
            assert (await scene.connect()).greeting.startswith("220 ")
            assert scene.logged("ALLOWLISTED [127.0.0.1]:")

    run(scenario)


def test_a_list_that_cannot_be_asked_refuses_nobody() -> None:
    async def scenario() -> None:
        settings = {"smtpd_screening_access_list": "cidr:/etc/clients", "smtpd_screening_denylist_action": "drop"}
        async with stage(**settings) as scene:
            scene.lookup.broken = True
            assert (await scene.connect()).greeting.startswith("220 ")

    run(scenario)


# --- lists in the DNS


def test_names_to_ask_for() -> None:
    assert question("192.0.2.1", "bl.example") == "1.2.0.192.bl.example"
    assert question("2001:db8::1", "bl.example") == "1." + "0." * 23 + "8.b.d.0.1.0.0.2.bl.example"


@pytest.mark.parametrize(
    ("sites", "threshold", "rank"),
    [
        ("bl.example", "1", 1),
        ("bl.example*3", "3", 3),
        ("bl.example, bl2.example*2", "3", 3),
        ("bl.example=127.0.0.[2..4]*2, bl.example=127.0.0.9*7", "2", 2),
        ("bl.example*3, wl.example*-1", "2", 2),
        ("none.example*9, bl.example", "1", 1),
    ],
)
def test_a_bad_client_is_dropped(dns: DnsServer, sites: str, threshold: str, rank: int) -> None:
    async def scenario() -> None:
        settings = {"smtpd_dnsbl_sites": sites, "smtpd_dnsbl_threshold": threshold, "smtpd_dnsbl_action": "drop"}
        async with stage(dns=at(dns), **settings) as scene:
            peer = await scene.connect()
            assert peer.greeting.startswith("521 5.7.1 Service unavailable; client [127.0.0.1] blocked using bl")
            assert scene.logged(f"DNSBL rank {rank} for [127.0.0.1]:{peer.port}")
            assert scene.logged("addr 127.0.0.1 listed by domain bl.example as 127.0.0.2")
            assert await peer.reply() == ""

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("sites", "threshold"),
    [
        ("bl.example", "2"),
        ("bl.example=127.0.0.[3;4]", "1"),
        ("bl.example*2, wl.example*-2", "1"),
        ("none.example*9", "1"),
    ],
)
def test_a_client_below_the_threshold_passes(dns: DnsServer, sites: str, threshold: str) -> None:
    async def scenario() -> None:
        settings = {"smtpd_dnsbl_sites": sites, "smtpd_dnsbl_threshold": threshold, "smtpd_dnsbl_action": "drop"}
        async with stage(dns=at(dns), **settings) as scene:
            peer = await scene.connect()
            assert peer.greeting.startswith("220 ")
            assert not scene.logged("DNSBL rank")
            assert scene.logged("PASS NEW")
            await scene.connect()
            assert scene.logged("PASS OLD")

    asyncio.run(scenario())


def test_the_one_who_adds_most_is_named_by_its_public_name(dns: DnsServer) -> None:
    async def scenario() -> None:
        settings = {
            "smtpd_dnsbl_sites": "bl.example, bl2.example*5",
            "smtpd_dnsbl_action": "enforce",
            "smtpd_dnsbl_reply_map": "inline:{}",
        }
        async with stage(dns=at(dns), **settings) as scene:
            scene.lookup.values["smtpd_dnsbl_reply_map", "bl2.example"] = "the good people"
            peer = await scene.connect()
            refusal = "550 5.7.1 Service unavailable; client [127.0.0.1] blocked using the good people"
            assert await peer.say(*OPEN) == refusal
            assert scene.logged("DNSBL rank 6 for")

    asyncio.run(scenario())


def test_an_authenticated_client_is_not_refused_for_its_address(dns: DnsServer) -> None:
    async def scenario() -> None:
        settings = {"smtpd_dnsbl_sites": "bl.example", "smtpd_dnsbl_action": "enforce", "smtpd_sasl_auth_enable": "yes"}
        async with stage(dns=at(dns), **settings) as scene:
            peer = await scene.connect()
            await peer.say("EHLO c", "AUTH PLAIN AGFubgBzZWNyZXQ=")
            assert await peer.say(OPEN[1], OPEN[2]) == "250 2.1.5 Ok"

    asyncio.run(scenario())


def test_a_good_client_is_spared_the_delay(dns: DnsServer) -> None:
    async def scenario() -> None:
        settings = {"smtpd_dnsbl_sites": "wl.example*-2", "smtpd_dnsbl_allowlist_threshold": "-2"}
        async with stage(dns=at(dns), smtpd_greet_banner="", **settings, **LONG) as scene:
            assert (await scene.connect()).greeting.startswith("220 ")
            assert (await scene.connect()).greeting.startswith("220 ")
            assert scene.logged("PASS OLD")
            passed = await scene.reputation.client("127.0.0.1")
            assert passed is not None and (passed.greet, passed.rank) == (0, -2)

    asyncio.run(scenario())


def test_lists_are_asked_while_the_client_waits(dns: DnsServer) -> None:
    async def scenario() -> None:
        async with stage(dns=at(dns), smtpd_dnsbl_sites="bl2.example*-1", smtpd_dnsbl_timeout="20s", **LONG) as scene:
            peer = await scene.connect(greeted=False)
            assert (await peer.reader.readline()).startswith(b"220-")
            while not scene.logged("listed by domain bl2.example"):
                await asyncio.sleep(0.005)

    asyncio.run(scenario())


def test_a_list_that_fails_refuses_nobody_and_is_asked_again_soon() -> None:
    async def scenario() -> None:
        with DnsServer("x.example. A 127.0.0.1") as dns:
            dns.fail("bl.example", "servfail")
            settings = {"smtpd_dnsbl_sites": "bl.example", "smtpd_dnsbl_action": "drop", "smtpd_dnsbl_min_ttl": "60s"}
            async with stage(dns=at(dns), **settings) as scene:
                assert (await scene.connect()).greeting.startswith("220 ")
                assert scene.logged(f"warning: {BAD}: DNSBL lookup error:")
                assert scene.server.results.known("127.0.0.1") == Passed(0, int(ARRIVAL + 60), 0)

    asyncio.run(scenario())


def test_a_slow_list_that_cannot_change_anything_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "GRACE", 0.01)

    async def scenario() -> None:
        with DnsServer(ZONE) as dns:
            dns.fail("slow.example", "timeout")
            for sites, threshold, greeting in (
                ("bl.example*5, slow.example*1", "3", "521 "),  # bad already
                ("none.example*5, slow.example*1", "3", "220 "),  # never bad
            ):
                settings = {
                    "smtpd_dnsbl_sites": sites,
                    "smtpd_dnsbl_threshold": threshold,
                    "smtpd_dnsbl_action": "drop",
                }
                async with stage(dns=at(dns), smtpd_dnsbl_timeout="600s", **settings) as scene:
                    scene.server.resolver._timeout = 600.0
                    assert (await scene.connect()).greeting.startswith(greeting)

    asyncio.run(scenario())


def test_a_silent_list_is_not_waited_for_by_everybody() -> None:
    async def scenario() -> None:
        with DnsServer(ZONE) as dns:
            dns.fail("slow.example", "timeout")
            settings = {
                "smtpd_dnsbl_sites": "slow.example*5",
                "smtpd_dnsbl_timeout": "0.05s",
                "smtpd_dnsbl_min_ttl": "0s",
            }
            async with stage(dns=at(dns), **settings) as scene:
                scene.server.resolver._timeout = 600.0
                for _ in range(3):
                    assert (await scene.connect()).greeting.startswith("220 ")
                assert len(dns.asked("1.0.0.127.slow.example", "A")) == 1
                assert sum("DNS list slow.example is silent" in line for line in scene.lines) == 1

    asyncio.run(scenario())


def test_a_silent_list_is_tried_by_one_client_now_and_then() -> None:
    now = 0.0
    silence = Silence(lambda: now, 10.0)
    assert [silence.asks("a") for _ in range(3)] == [True] * 3
    assert silence.silent("a") and not silence.silent("a")
    assert [silence.asks("a"), silence.asks("b")] == [False, True]
    now = SILENT_FOR
    assert [silence.asks("a") for _ in range(3)] == [True, False, False], "one of those that come"
    assert not silence.silent("a")
    now += SILENT_FOR
    assert silence.asks("a")
    assert silence.answered("a") and not silence.answered("a")
    assert [silence.asks("a") for _ in range(3)] == [True] * 3


def test_each_domain_is_asked_once(dns: DnsServer) -> None:
    async def scenario() -> None:
        before = len(dns.asked("1.0.0.127.none.example", "A"))
        sites = "none.example=127.0.0.2, none.example=127.0.0.3*2, none.example*-1"
        async with stage(dns=at(dns), smtpd_dnsbl_sites=sites) as scene:
            await scene.connect()
            await scene.connect()
            assert len(dns.asked("1.0.0.127.none.example", "A")) == before + 1

    asyncio.run(scenario())
