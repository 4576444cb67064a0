"""Limits that anvil counts for: whom they concern, and what happens without it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.lab.certificates import Authority
from tests.smtpd.stage import HOST, OPEN, run, stage


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(Path(tmp_path_factory.mktemp("authority")))


def test_a_client_with_too_many_connections_is_turned_away() -> None:
    async def scenario() -> None:
        async with stage(smtpd_client_connection_count_limit="1") as scene:
            first = await scene.connect()
            assert first.greeting.startswith("220 ")
            second = await scene.connect()
            assert second.greeting == f"421 4.7.0 {HOST} Error: too many connections from 127.0.0.1"
            await scene.ended()
            assert scene.logged("Connection concurrency limit exceeded: 2 from localhost[127.0.0.1] for service smtp")
            first.close()
            await scene.ended(2)
            assert scene.anvil.open == 0

    run(scenario)


def test_the_rate_of_connections_is_limited() -> None:
    async def scenario() -> None:
        async with stage(smtpd_client_connection_rate_limit="1", smtpd_client_connection_count_limit="0") as scene:
            await scene.connect()
            assert (await scene.connect()).greeting.startswith("421 4.7.0")
            assert scene.logged("Connection rate limit exceeded: 2 from")

    run(scenario)


def test_clients_in_mynetworks_are_not_counted() -> None:
    async def scenario() -> None:
        async with stage(mynetworks="127.0.0.0/8", smtpd_client_connection_count_limit="1") as scene:
            await scene.connect()
            assert (await scene.connect()).greeting.startswith("220 ")
            assert scene.anvil.open == 0

    run(scenario)


def test_without_anvil_nobody_is_turned_away() -> None:
    async def scenario() -> None:
        async with stage(smtpd_client_connection_count_limit="1") as scene:
            scene.anvil.down = True
            await scene.connect()
            assert (await scene.connect()).greeting.startswith("220 ")

    run(scenario)


def test_a_client_that_speaks_before_the_greeting_is_sent_away() -> None:
    async def scenario() -> None:
        async with stage() as scene:
            peer = await scene.connect(greeted=False)
            peer.send("EHLO early.example")
            # The counted greeting takes a round trip, in which the early word arrives or not; both are answered.
            assert (await peer.reply())[:3] in ("554", "220")

    run(scenario)


def test_message_and_recipient_rates() -> None:
    async def scenario() -> None:
        limits = {"smtpd_client_message_rate_limit": "1", "smtpd_client_recipient_rate_limit": "1"}
        async with stage(**limits) as scene:
            peer = await scene.connect()
            assert await peer.say(*OPEN) == "250 2.1.5 Ok"
            assert await peer.say(OPEN[2]) == "450 4.7.1 Error: too many recipients from 127.0.0.1"
            assert await peer.say("RSET", OPEN[1]) == "450 4.7.1 Error: too much mail from 127.0.0.1"

    run(scenario)


def test_auth_rate() -> None:
    async def scenario() -> None:
        async with stage(smtpd_sasl_auth_enable="yes", smtpd_client_auth_rate_limit="1") as scene:
            peer = await scene.connect()
            await peer.say("EHLO c", "AUTH PLAIN eA==")
            assert await peer.say("AUTH PLAIN eA==") == "450 4.7.1 Error: too many AUTH commands from 127.0.0.1"

    run(scenario)


def test_new_tls_sessions_are_limited(authority: Authority) -> None:
    async def scenario() -> None:
        tls = authority.issue("mx.example").server_context
        async with stage(tls=tls, smtpd_client_new_tls_session_rate_limit="1") as scene:
            first = await scene.connect()
            await first.say("EHLO c", "STARTTLS")
            await first.start_tls()
            assert (await first.say("EHLO c")).startswith("250-")
            second = await scene.connect()
            await second.say("EHLO c", "STARTTLS")
            await second.start_tls()
            assert await second.reply() == f"421 4.7.0 {HOST} Error: too many new TLS sessions from 127.0.0.1"
            assert scene.logged("New TLS session rate limit exceeded: 2 from localhost[127.0.0.1] for service smtp")
            third = await scene.connect()
            refused = "454 4.7.0 Error: too many new TLS sessions from 127.0.0.1"
            assert await third.say("EHLO c", "STARTTLS") == refused
            assert scene.logged("Refusing STARTTLS request from localhost[127.0.0.1] for service smtp")
            assert await third.say("NOOP") == "250 2.0.0 Ok", "the session goes on in clear text"

    run(scenario)


def test_new_tls_sessions_are_limited_where_tls_comes_first(authority: Authority) -> None:
    async def scenario() -> None:
        options = {"smtpd_tls_wrappermode": "yes", "smtpd_client_new_tls_session_rate_limit": "1"}
        async with stage(tls=authority.issue("mx.example").server_context, **options) as scene:
            assert (await scene.connect(ssl=authority.client_context, server_hostname="mx.example")).greeting[
                :3
            ] == "220"
            assert (await scene.connect(ssl=authority.client_context, server_hostname="mx.example")).greeting[
                :3
            ] == "421"

    run(scenario)


def test_clients_are_counted_by_network() -> None:
    async def scenario() -> None:
        async with stage(smtpd_client_ipv4_prefix_length="24", smtpd_client_message_rate_limit="5") as scene:
            peer = await scene.connect()
            await peer.say(*OPEN)
            assert scene.anvil.clients == {"127.0.0.0/24"}
            peer.close()
            await scene.ended()
            assert scene.anvil.open == 0
            assert scene.anvil.clients == {"127.0.0.0/24"}

    run(scenario)
