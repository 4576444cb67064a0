"""Greylisting in RCPT: who is put off, who is not, and that senders are known again by more than their spelling."""

from __future__ import annotations

import pytest

from pillarbox.lib.clients.reputation import Passed
from pillarbox.smtpd.screening.greylisting import plain_sender, table_keys
from tests.smtpd.stage import ARRIVAL, OPEN, Stage, run, stage

ON = {"smtpd_greylisting": "yes"}
PUT_OFF = "450 4.2.0 <user@here.example>: Recipient address rejected: Greylisted, try again in 300 seconds"


def later(scene: Stage, seconds: float) -> None:
    scene.server.clock = lambda: ARRIVAL + seconds


def test_a_stranger_is_put_off_and_passes_when_it_comes_back() -> None:
    async def scenario() -> None:
        async with stage(**ON) as scene:
            peer = await scene.connect()
            assert await peer.say(*OPEN) == PUT_OFF
            assert scene.logged(
                f"NOQUEUE: reject: RCPT from localhost[127.0.0.1]: {PUT_OFF}; from=<a@b.example> to=<user"
            )
            later(scene, 120)
            assert await peer.say(OPEN[2]) == PUT_OFF.replace("300", "180")
            later(scene, 300)
            assert await peer.say(OPEN[2]) == "250 2.1.5 Ok"
            assert scene.logged("greylist: localhost[127.0.0.1] passes after 300 seconds; from=<a@b.example> to=<user@")

    run(scenario)


def test_as_a_restriction_it_concerns_whom_the_lists_want() -> None:
    async def scenario() -> None:
        lists = {
            "smtpd_restriction_classes": "grey",
            "grey": "reject_greylisted",
            "smtpd_recipient_restrictions": "check_sender_access inline:{b.example=grey}, reject_unauth_destination",
        }
        async with stage(**lists) as scene:
            scene.lookup.tables["inline:{b.example=grey}"] = {"b.example": "grey"}
            peer = await scene.connect()
            assert await peer.say(*OPEN) == PUT_OFF
            assert await peer.say("RSET", "MAIL FROM:<x@other.example>", OPEN[2]) == "250 2.1.5 Ok"
            nobody = await peer.say("RSET", OPEN[1], "RCPT TO:<x@elsewhere.example>")
            assert nobody.startswith(("454", "554")), "another refusal goes before"
            later(scene, 300)
            assert await peer.say(OPEN[2]) == "250 2.1.5 Ok"

    run(scenario)


def test_each_recipient_for_itself() -> None:
    async def scenario() -> None:
        async with stage(**ON) as scene:
            peer = await scene.connect()
            assert (await peer.say(*OPEN)).startswith("450 4.2.0")
            later(scene, 300)
            assert await peer.say(OPEN[2]) == "250 2.1.5 Ok"
            assert (await peer.say("RCPT TO:<other@here.example>")).startswith("450 4.2.0 <other@here.example>")
            assert await peer.say("DATA", ".") == "250 2.0.0 Ok: queued as 4jXFYl6dnjzKD6m"

    run(scenario)


def test_who_is_refused_anyway_is_not_put_off() -> None:
    async def scenario() -> None:
        async with stage(**ON) as scene:
            peer = await scene.connect()
            assert (await peer.say(*OPEN[:2], "RCPT TO:<nobody@here.example>")).startswith("550 5.1.1")
            assert (await peer.say("RCPT TO:<x@elsewhere.example>")).startswith(("454", "554"))
            assert scene.reputation.asked == 0

    run(scenario)


@pytest.mark.parametrize("settings", [{"mynetworks": "127.0.0.0/8"}, {"smtpd_screening": "no"}])
def test_our_own_clients_do_not_wait(settings: dict[str, str]) -> None:
    async def scenario() -> None:
        async with stage(**ON, **settings) as scene:
            peer = await scene.connect()
            assert await peer.say(*OPEN) == "250 2.1.5 Ok"

    run(scenario)


def test_an_authenticated_client_does_not_wait() -> None:
    async def scenario() -> None:
        async with stage(smtpd_sasl_auth_enable="yes", **ON) as scene:
            peer = await scene.connect()
            await peer.say("EHLO c", "AUTH PLAIN AGFubgBzZWNyZXQ=")
            assert await peer.say(*OPEN[1:]) == "250 2.1.5 Ok"

    run(scenario)


def test_a_client_on_a_list_of_good_ones_does_not_wait() -> None:
    async def scenario() -> None:
        async with stage(smtpd_dnsbl_sites="wl.example*-1", **ON) as scene:
            scene.reputation.passed("127.0.0.1", Passed(0, int(ARRIVAL) + 1000, -1))
            peer = await scene.connect()
            assert await peer.say(*OPEN) == "250 2.1.5 Ok"
            scene.server.results._known.clear()
            scene.reputation.passed("127.0.0.1", Passed(0, int(ARRIVAL) + 1000, 0))
            peer = await scene.connect()
            assert (await peer.say(*OPEN)).startswith("450")

    run(scenario)


def test_a_network_that_comes_back_as_a_rule_is_not_asked_about() -> None:
    async def scenario() -> None:
        async with stage(smtpd_greylist_client_threshold="2", **ON) as scene:
            peer = await scene.connect()
            await peer.say(*OPEN[:2])
            for name in ("a", "b"):
                assert (await peer.say(f"RCPT TO:<{name}@here.example>")).startswith("450")
            later(scene, 300)
            for name in ("a", "b"):
                assert (await peer.say(f"RCPT TO:<{name}@here.example>")).startswith("250")
            assert (await peer.say("RCPT TO:<c@here.example>")).startswith("250")
            asked = scene.reputation.asked
            assert (await peer.say("RCPT TO:<d@here.example>")).startswith("250")
            assert scene.reputation.asked == asked

    run(scenario)


def test_an_answer_to_a_local_user_does_not_wait() -> None:
    async def scenario() -> None:
        async with stage(
            smtpd_sasl_auth_enable="yes",
            smtpd_relay_restrictions="permit_sasl_authenticated, reject_unauth_destination",
            **ON,
        ) as scene:
            user = await scene.connect()
            await user.say("EHLO c", "AUTH PLAIN AGFubgBzZWNyZXQ=", "MAIL FROM:<ann@here.example>")
            await user.say("RCPT TO:<friend@far.example>", "RCPT TO:<user@here.example>", "DATA", ".")
            peer = await scene.connect()
            await peer.say("EHLO c", "MAIL FROM:<Friend@FAR.example>")
            assert await peer.say(OPEN[2]) == "250 2.1.5 Ok"
            await peer.say("RSET", "MAIL FROM:<user@here.example>")
            assert (await peer.say(OPEN[2])).startswith("450"), "a forged local sender is not spared"

    run(scenario)


def test_a_client_of_mynetworks_teaches_too() -> None:
    async def scenario() -> None:
        async with stage(mynetworks="127.0.0.0/8", **ON) as scene:
            user = await scene.connect()
            await user.say("EHLO c", "MAIL FROM:<ann@here.example>", "RCPT TO:<friend@far.example>", "DATA", ".")
            assert scene.reputation.memory.database.row("SELECT count(*) FROM correspondents") == (1,)

    run(scenario)


@pytest.mark.parametrize(
    ("table", "key"),
    [
        ("client", "127.0.0.1"),
        ("sender", "a@b.example"),
        ("sender", "b.example"),
        ("sender", ".example"),
        ("recipient", "user@here.example"),
        ("recipient", "here.example"),
    ],
)
def test_exceptions(table: str, key: str) -> None:
    async def scenario() -> None:
        name = f"smtpd_greylist_{table}_exceptions"
        async with stage(**{name: "inline:{}"}, **ON) as scene:
            peer = await scene.connect()
            assert (await peer.say(*OPEN)).startswith("450")
            scene.lookup.values[name, key] = "OK"
            assert await peer.say(OPEN[2]) == "250 2.1.5 Ok"

    run(scenario)


def test_a_no_in_a_table_of_exceptions_stands_against_what_is_less_special() -> None:
    async def scenario() -> None:
        name = "smtpd_greylist_sender_exceptions"
        async with stage(**{name: "inline:{}"}, **ON) as scene:
            scene.lookup.values[name, "b.example"] = "OK"
            scene.lookup.values[name, "a@b.example"] = "no"
            peer = await scene.connect()
            assert (await peer.say(*OPEN)).startswith("450")
            assert (await peer.say("RSET", "MAIL FROM:<c@b.example>", OPEN[2])).startswith("250")

    run(scenario)


def test_tables_that_cannot_be_asked_make_no_exception() -> None:
    async def scenario() -> None:
        async with stage(smtpd_greylist_sender_exceptions="inline:{}", **ON) as scene:
            peer = await scene.connect()
            await peer.say(*OPEN[:2])
            await scene.lookup.recipient("user@here.example")
            scene.lookup.known["user@here.example"] = await scene.lookup.recipient("user@here.example")
            scene.lookup.broken = True
            assert (await peer.say(OPEN[2])).startswith("450 4.2.0")

    run(scenario)


def test_without_reputation_mail_passes() -> None:
    async def scenario() -> None:
        async with stage(**ON) as scene:
            scene.reputation.down = True
            peer = await scene.connect()
            assert await peer.say(*OPEN) == "250 2.1.5 Ok"
            assert scene.logged("warning: not greylisted: reputation: down")

    run(scenario)


def test_the_null_sender_waits_too() -> None:
    async def scenario() -> None:
        async with stage(**ON) as scene:
            peer = await scene.connect()
            assert (await peer.say("EHLO c", "MAIL FROM:<>", OPEN[2])).startswith("450 4.2.0")
            later(scene, 300)
            assert (await peer.say(OPEN[2])).startswith("250")

    run(scenario)


def test_nothing_is_asked_where_greylisting_is_off() -> None:
    async def scenario() -> None:
        async with stage() as scene:
            peer = await scene.connect()
            assert await peer.say(*OPEN) == "250 2.1.5 Ok"
            assert scene.reputation.asked == 0
            assert not scene.server.checks["CONNECT"][1:]

    run(scenario)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("list-return-1234-ann=example.com@l.example", "list-return-99-ann=example.com@l.example"),
        ("SRS0=abcd=TT=origin.example=user@fwd.example", "SRS0=zz9x=UV=origin.example=user@fwd.example"),
        ("SRS0+abcd=TT=origin.example=user@fwd.example", "srs0-q=UV=origin.example=user@fwd.example"),
        ("SRS1=aa=h.example==bb=TT=o.example=user@f.example", "SRS1=cc=h.example==dd=UU=o.example=user@f.example"),
        ("prvs=123456abcd=ann@x.example", "prvs=7890123456=ann@x.example"),
        ("bounce-5f3a9c2b1d@m.example", "bounce-0a1b2c3d4e5f@m.example"),
        ("Ann@X.example", "ann@x.example"),
    ],
)
def test_senders_that_are_the_same(first: str, second: str) -> None:
    assert plain_sender(first) == plain_sender(second)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("ann@x.example", "bob@x.example"),
        ("ann@x.example", "ann@y.example"),
        ("SRS0=abcd=TT=origin.example=ann@fwd.example", "SRS0=abcd=TT=origin.example=bob@fwd.example"),
        ("prvs=123456abcd=ann@x.example", "prvs=123456abcd=bob@x.example"),
        ("ann@x1.example", "ann@x2.example"),
    ],
)
def test_senders_that_differ(first: str, second: str) -> None:
    assert plain_sender(first) != plain_sender(second)


def test_keys_of_an_address() -> None:
    assert table_keys("Ann@Mail.Example.com") == [
        "ann@mail.example.com",
        "mail.example.com",
        ".example.com",
        ".com",
        "ann@",
    ]
    assert table_keys("") == ["<>"]
