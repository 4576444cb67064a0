"""XCLIENT and XFORWARD in a session: who the client is taken for, by whom, and what logs and envelope say."""

from __future__ import annotations

from tests.smtpd.stage import OPEN, run, stage

PROXY = {"smtpd_authorized_xclient_hosts": "127.0.0.1"}
FILTER = {"smtpd_authorized_xforward_hosts": "127.0.0.1"}
HOSTS = "127.0.0.1 localhost\n192.0.2.9 client.example\n"
ELSEWHERE = "RCPT TO:<x@else.example>"


def test_policy_sees_the_client_that_the_proxy_names() -> None:
    async def scenario() -> None:
        async with stage(hosts=HOSTS, mynetworks="192.0.2.0/24", **PROXY) as scene:
            peer = await scene.connect()
            assert (await peer.say("EHLO p", "MAIL FROM:<>", ELSEWHERE)).startswith("554 5.7.1")
            assert (await peer.say("RSET", "XCLIENT ADDR=192.0.2.9")).startswith("220 mx.example ESMTP")
            assert (await peer.say("EHLO c", "MAIL FROM:<>", "RCPT TO:<user@here.example>")).startswith("250")
            await peer.say("BDAT 0 LAST")
            (message,) = scene.cleanup.messages
            envelope = message.envelope
            assert envelope is not None
            assert (envelope.client_address, envelope.client_name) == ("192.0.2.9", "client.example")
            assert b"Received: from c (client.example [192.0.2.9])" in message.content
            assert scene.logged("XCLIENT from localhost[127.0.0.1]: client=")
            assert scene.logged(": client=client.example[192.0.2.9]")

    run(scenario)


def test_trust_goes_with_the_address() -> None:
    async def scenario() -> None:
        async with stage(hosts=HOSTS, mynetworks="127.0.0.0/8", **PROXY) as scene:
            peer = await scene.connect()
            assert (await peer.say("XCLIENT ADDR=192.0.2.9 NAME=c.example", "EHLO c", "MAIL FROM:<>")).startswith("250")
            assert (await peer.say(ELSEWHERE)).startswith("554 5.7.1")

    run(scenario)


def test_who_is_not_listed_may_not() -> None:
    async def scenario() -> None:
        async with stage(smtpd_authorized_xclient_hosts="192.0.2.0/24") as scene:
            peer = await scene.connect()
            assert "XCLIENT" not in await peer.say("EHLO c")
            said = await peer.say("XCLIENT ADDR=192.0.2.9")
            assert said == "550 5.7.0 Error: insufficient authorization"

    run(scenario)


def test_the_right_stays_with_the_proxy() -> None:
    async def scenario() -> None:
        async with stage(hosts=HOSTS, **PROXY, smtpd_expn_networks="127.0.0.1") as scene:
            peer = await scene.connect()
            assert "EXPN" in await peer.say("EHLO p")
            said = await peer.say("XCLIENT ADDR=192.0.2.9", "EHLO c")
            assert "XCLIENT NAME" in said
            assert "EXPN" not in said
            assert (await peer.say("XCLIENT ADDR=127.0.0.1", "EHLO c")).find("EXPN") > 0

    run(scenario)


def test_names_come_from_the_proxy_or_from_the_dns() -> None:
    async def scenario() -> None:
        async with stage(hosts=HOSTS, **PROXY) as scene:
            for attributes, tag in (
                ("ADDR=192.0.2.9 NAME=other.example", "other.example[192.0.2.9]"),
                ("ADDR=192.0.2.9 NAME=[UNAVAILABLE]", "unknown[192.0.2.9]"),
                ("ADDR=192.0.2.9", "client.example[192.0.2.9]"),
                ("NAME=third.example", "third.example[127.0.0.1]"),
                ("HELO=h", "localhost[127.0.0.1]"),
                ("ADDR=[UNAVAILABLE]", "unknown[unknown]"),
                ("ADDR=IPv6:2001:db8::1 NAME=six.example", "six.example[2001:db8::1]"),
            ):
                scene.lines.clear()
                peer = await scene.connect()
                await peer.say(f"XCLIENT {attributes}", *OPEN)
                assert scene.logged(f": client={tag}"), scene.lines

    run(scenario)


def test_a_login_counts_as_authentication() -> None:
    async def scenario() -> None:
        async with stage(hosts=HOSTS, smtpd_sasl_auth_enable="yes", **PROXY) as scene:
            peer = await scene.connect()
            await peer.say("XCLIENT ADDR=192.0.2.9 LOGIN=ann+40here.example", "EHLO c", "MAIL FROM:<>")
            assert (await peer.say(ELSEWHERE)).startswith("250")
            assert scene.logged("sasl_method=XCLIENT, sasl_username=ann@here.example")
            await peer.say("RSET", "XCLIENT ADDR=192.0.2.9", "EHLO c", "MAIL FROM:<>")
            assert (await peer.say(ELSEWHERE)).startswith("554")

    run(scenario)


def test_connections_are_counted_for_the_client() -> None:
    async def scenario() -> None:
        async with stage(hosts=HOSTS, **PROXY, smtpd_client_connection_count_limit="1") as scene:
            first, second = await scene.connect(), None
            await first.say("XCLIENT ADDR=192.0.2.9")
            assert scene.anvil.open == 1
            first.close()
            await scene.ended()
            assert scene.anvil.open == 0
            scene.anvil.open = 1  # somebody else is here
            second = await scene.connect(greeted=False)
            assert (await second.reply()).startswith("421 4.7.0")

    run(scenario)


def test_xforward_names_the_first_client_in_log_and_envelope() -> None:
    async def scenario() -> None:
        async with stage(**FILTER) as scene:
            peer = await scene.connect()
            await peer.say(
                "EHLO filter",
                "XFORWARD NAME=a.example ADDR=192.0.2.9 PORT=4711 HELO=h.example PROTO=ESMTPS IDENT=4jXFYl6dnjzKD6n",
                "MAIL FROM:<a@b.example>", "RCPT TO:<user@here.example>", "BDAT 0 LAST",
            )  # fmt: skip
            (message,) = scene.cleanup.messages
            envelope = message.envelope
            assert envelope is not None
            assert (envelope.client_name, envelope.client_address) == ("a.example", "192.0.2.9")
            assert (envelope.client_port, envelope.client_helo) == ("4711", "h.example")
            assert envelope.protocol == "ESMTPS"
            assert b"Received: from filter (localhost [127.0.0.1])" in message.content
            assert scene.logged(
                "client=localhost[127.0.0.1], orig_queue_id=4jXFYl6dnjzKD6n, orig_client=a.example[192.0.2.9]"
            )
            await peer.say("MAIL FROM:<a@b.example>", "RCPT TO:<user@here.example>", "BDAT 0 LAST")
            envelope = scene.cleanup.messages[-1].envelope
            assert envelope is not None
            assert envelope.client_name == "localhost"

    run(scenario)


def test_xforward_gives_no_rights() -> None:
    async def scenario() -> None:
        async with stage(mynetworks="192.0.2.0/24", **FILTER) as scene:
            peer = await scene.connect()
            await peer.say("EHLO filter", "XFORWARD ADDR=192.0.2.9", "MAIL FROM:<a@b.example>")
            assert (await peer.say(ELSEWHERE)).startswith("554 5.7.1")

    run(scenario)
