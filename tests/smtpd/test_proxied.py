"""PROXY headers in front of sessions: believed from listed peers, demanded of them, ignored from all others."""

from __future__ import annotations

import asyncio

import pytest

from pillarbox.lib.smtp.proxy_protocol import SIGNATURE
from tests.smtpd.stage import OPEN, Stage, run, stage
from tests.smtpd.test_authentication import _context

LISTED = {"smtpd_upstream_proxy_protocol": "haproxy", "smtpd_upstream_proxy_hosts": "127.0.0.0/8"}
HOSTS = "127.0.0.1 localhost\n192.0.2.9 client.example\n"
V1 = b"PROXY TCP4 192.0.2.9 192.0.2.25 4711 25\r\n"
V2 = SIGNATURE + b"\x21\x11\0\x0c" + bytes((192, 0, 2, 9, 192, 0, 2, 25)) + b"\x12\x67\0\x19"


async def greeted(scene: Stage, header: bytes) -> str:
    """The first reply after the header; "" where the connection is cut."""
    peer = await scene.connect(greeted=False)
    peer.send(header)
    try:
        return await peer.reply()
    except ConnectionResetError:  # as what was sent is never read
        return ""


@pytest.mark.parametrize("header", [V1, V2])
def test_the_client_is_who_the_header_says(header: bytes) -> None:
    async def scenario() -> None:
        async with stage(hosts=HOSTS, mynetworks="192.0.2.9", **LISTED) as scene:
            for pieces in ([header], [header[i : i + 1] for i in range(len(header))]):
                peer = await scene.connect(greeted=False)
                for piece in pieces:
                    peer.send(piece)
                    await asyncio.sleep(0)
                assert (await peer.reply()).startswith("220 ")
                assert (await peer.say(*OPEN, "RCPT TO:<x@else.example>")).startswith("250")
                await peer.say("BDAT 0 LAST")
                envelope = scene.cleanup.messages[-1].envelope
                assert envelope is not None
                assert (envelope.client_address, envelope.client_port) == ("192.0.2.9", "4711")
                assert envelope.client_name == "client.example"
            assert scene.logged("connect from client.example[192.0.2.9]")
            (session,) = [each for each in scene.server.sessions if each.core.helo_name][:1]
            assert session.local_address == "192.0.2.25"

    run(scenario)


@pytest.mark.parametrize("header", [b"PROXY UNKNOWN\r\n", SIGNATURE + b"\x20\0\0\0"])
def test_a_proxy_that_speaks_for_itself_is_the_client(header: bytes) -> None:
    async def scenario() -> None:
        async with stage(**LISTED) as scene:
            assert (await greeted(scene, header)).startswith("220 ")
            assert scene.logged("connect from localhost[127.0.0.1]")

    run(scenario)


@pytest.mark.parametrize(
    ("sent", "why"),
    [
        (b"EHLO client.example\r\n", "no PROXY header"),
        (b"PROXY TCP4 192.0.2.256 192.0.2.25 1 2\r\n", "an address in the PROXY header is none"),
        (V2[:12] + b"\x31" + V2[13:], "unknown version"),
    ],
)
def test_a_listed_peer_without_a_good_header_is_cut_off(sent: bytes, why: str) -> None:
    async def scenario() -> None:
        async with stage(**LISTED) as scene:
            assert await greeted(scene, sent) == ""
            await scene.ended()
            assert scene.logged("haproxy read from [127.0.0.1]:")
            assert scene.logged(why)
            assert not scene.logged("connect from")

    run(scenario)


def test_a_listed_peer_that_goes_before_its_header_leaves_nothing() -> None:
    async def scenario() -> None:
        async with stage(**LISTED) as scene:
            peer = await scene.connect(greeted=False)
            peer.send(V1[:9])
            peer.close()
            await scene.ended()
            assert scene.logged("the connection ended before the PROXY header")

    run(scenario)


def test_a_listed_peer_has_only_so_long() -> None:
    async def scenario() -> None:
        async with stage(smtpd_upstream_proxy_timeout="0.05s", **LISTED) as scene:
            assert await greeted(scene, V1[:9]) == ""
            assert scene.logged("timeout error")

    run(scenario)


@pytest.mark.parametrize("header", [V1, V2])
def test_a_header_of_an_unlisted_peer_is_not_believed(header: bytes) -> None:
    async def scenario() -> None:
        unlisted = {**LISTED, "smtpd_upstream_proxy_hosts": "192.0.2.0/24"}
        async with stage(hosts=HOSTS, mynetworks="192.0.2.0/24", **unlisted) as scene:
            peer = await scene.connect()
            peer.send(header)
            assert not (await peer.reply()).startswith("250")
            assert not scene.logged("192.0.2.9]")
            assert scene.logged("connect from localhost[127.0.0.1]")

    run(scenario)


def test_an_unlisted_peer_needs_none() -> None:
    async def scenario() -> None:
        async with stage(**{**LISTED, "smtpd_upstream_proxy_hosts": "192.0.2.0/24"}) as scene:
            peer = await scene.connect()
            assert (await peer.say(*OPEN)).startswith("250")

    run(scenario)


@pytest.mark.parametrize("header", [V1, V2])
def test_tls_from_the_first_byte_comes_after_the_header(header: bytes) -> None:
    async def scenario() -> None:
        async with stage(tls=_context(), hosts=HOSTS, smtpd_tls_wrappermode="yes", **LISTED) as scene:
            peer = await scene.connect(greeted=False)
            peer.send(header)
            await peer.start_tls()
            assert (await peer.reply()).startswith("220 ")
            assert (await peer.say(*OPEN)).startswith("250")
            assert scene.logged("client=client.example[192.0.2.9]")

    run(scenario)


def test_a_handshake_that_fails_is_the_clients() -> None:
    async def scenario() -> None:
        async with stage(tls=_context(), hosts=HOSTS, smtpd_tls_wrappermode="yes", **LISTED) as scene:
            peer = await scene.connect(greeted=False)
            peer.send(V1 + b"EHLO c\r\n")
            await scene.ended()
            assert scene.logged("SSL_accept error from client.example[192.0.2.9]")

    run(scenario)


def test_what_is_sent_right_behind_the_header_did_not_wait_for_the_greeting() -> None:
    async def scenario() -> None:
        async with stage(**LISTED) as scene:
            assert (await greeted(scene, V1 + b"EHLO c\r\n")).startswith("554 5.5.0")

    run(scenario)


def test_a_protocol_without_proxies_is_a_mistake() -> None:
    async def scenario() -> None:
        with pytest.raises(ValueError, match="names no proxy"):
            async with stage(smtpd_upstream_proxy_protocol="haproxy"):
                pass

    run(scenario)


def test_xclient_is_for_the_address_in_the_header() -> None:
    async def scenario() -> None:
        async with stage(hosts=HOSTS, smtpd_authorized_xclient_hosts="127.0.0.1", **LISTED) as scene:
            peer = await scene.connect(greeted=False)
            peer.send(V1)
            await peer.reply()
            assert (await peer.say("XCLIENT ADDR=127.0.0.1")).startswith("550 5.7.0")

    run(scenario)
