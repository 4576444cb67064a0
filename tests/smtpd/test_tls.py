"""TLS through the whole session: what is logged and written into the message, certificates, and injected plaintext."""

from __future__ import annotations

import asyncio
import socket
import ssl
import struct
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pillarbox.lib.config import Config
from pillarbox.lib.tls import server_context, smtp_role
from pillarbox.smtpd.session import Session
from tests.smtpd.stage import HOST, OPEN, run, stage
from tests.tls.authority import Authority, Issued

KEY_EXCHANGE = "key-exchange X25519 server-signature ECDSA (P-256) server-digest SHA256"


class Site:
    """An authority, our certificate, and contexts for both ends."""

    def __init__(self, folder: Path) -> None:
        self.authority = Authority(folder)
        self.own = self.authority.issue(HOST, hosts=(HOST,))
        self.other = self.authority.issue("mail.example.org", hosts=("mail.example.org",))

    def server(self, **values: str) -> ssl.SSLContext:
        config = Config.for_tests(
            smtpd_tls_chain_files=self.own.chain_file,
            smtpd_tls_CAfile=str(self.authority.file),
            tls_server_sni_maps=f"inline:{{mail.example.org={self.other.chain_file}}}",
            **values,
        )
        role = smtp_role(config)
        assert role is not None
        context = server_context(config, role)
        assert context is not None
        return context

    def client(self, shown: Issued | None = None) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=str(self.authority.file))
        if shown is not None:
            context.load_cert_chain(shown.cert_file, shown.key_file)
        return context


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    with tempfile.TemporaryDirectory() as folder:
        yield Site(Path(folder))


def test_the_log_says_how_and_for_which_name(site: Site) -> None:
    async def scenario() -> None:
        async with stage(tls=site.server()) as scene:
            for name, to in ((HOST, ""), ("mail.example.org", " to mail.example.org")):
                peer = await scene.connect()
                await peer.say("EHLO c.test", "STARTTLS")
                await peer.writer.start_tls(site.client(), server_hostname=name)
                await peer.say("EHLO c.test")
                assert scene.logged(
                    f"Anonymous TLS connection established from localhost[127.0.0.1]{to}: "
                    f"TLSv1.3 with cipher TLS_AES_256_GCM_SHA384 (256/256 bits) {KEY_EXCHANGE}"
                )

    run(scenario)


@pytest.mark.parametrize("wrapped", ["no", "yes"])
def test_the_clients_certificate_is_known_to_policy_log_and_message(site: Site, wrapped: str) -> None:
    good = site.authority.issue("client.example", client=True)
    liar = site.authority.issue("liar (with) (a name", client=True, own=True)
    settings = {"smtpd_tls_ask_ccert": "yes", "smtpd_tls_wrappermode": wrapped}

    async def scenario() -> None:
        async with stage(tls=site.server(**settings), **settings) as scene:
            for shown in (good, liar, None):
                peer = await scene.connect(
                    **({"ssl": site.client(shown), "server_hostname": HOST} if wrapped == "yes" else {})
                )
                if wrapped == "no":
                    await peer.say("EHLO c.test", "STARTTLS")
                    await peer.writer.start_tls(site.client(shown), server_hostname=HOST)
                assert (await peer.say(*OPEN, "DATA", "x\r\n.")).startswith("250 ")
                (session,) = scene.server.sessions
                said = (session.ccert_subject, session.ccert_issuer, session.ccert_trusted)
                content = scene.cleanup.messages[-1].content
                if shown is good:
                    assert said == ("client.example", "Test Authority", True)
                    assert session.ccert_fingerprint.count(":") == 31
                    assert session.ccert_pubkey_fingerprint != session.ccert_fingerprint
                    assert b'\n\t(Client CN "client.example", Issuer "Test Authority" (verified OK))\n' in content
                    assert scene.logged("Trusted TLS connection established from localhost[127.0.0.1]: ")
                elif shown is liar:
                    assert said == ("liar (with) (a name", "liar (with) (a name", False)
                    assert (
                        b'\n\t(Client CN "liar ?with? ?a name", Issuer "liar ?with? ?a name" ?not verified?)\n'
                        in content
                    )
                    assert scene.logged("Untrusted TLS connection established from localhost[127.0.0.1]: ")
                    assert scene.logged(
                        "client certificate verification failed for localhost[127.0.0.1]: self-signed certificate"
                    )
                else:
                    assert said == ("", "", False)
                    assert b"\n\t(Client did not present a certificate)\n" in content
                peer.close()
                await scene.ended(len(scene.cleanup.messages))

    run(scenario)


def test_received_tells_the_key_exchange_where_it_is_wanted(site: Site) -> None:
    async def scenario(wanted: str) -> bytes:
        async with stage(tls=site.server(), smtpd_tls_received_header=wanted) as scene:
            peer = await scene.connect()
            await peer.say("EHLO c.test", "STARTTLS")
            await peer.start_tls()
            await peer.say(*OPEN, "DATA", "x\r\n.")
            return scene.cleanup.messages[0].content

    told = (
        "\n\t(using TLSv1.3 with cipher TLS_AES_256_GCM_SHA384 (256/256 bits)\n"
        f"\t {KEY_EXCHANGE})\n\t(No client certificate requested)\n"
    ).encode()
    assert told in asyncio.run(scenario("yes"))
    assert b"TLSv1.3" not in asyncio.run(scenario("no"))
    assert b"certificate" not in asyncio.run(scenario("no"))


def test_no_handshake_begins_with_a_client_that_has_gone(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """The answer to STARTTLS is held back, since the client has made errors, and the client does not wait for it."""

    async def scenario() -> None:
        written, begun = asyncio.Event(), []
        late, handshake = Session._write_late, Session._handshake

        def noted(session: Session, output: bytes) -> None:
            late(session, output)
            written.set()

        async def counted(session: Session) -> None:
            begun.append(session)
            await handshake(session)

        monkeypatch.setattr(Session, "_write_late", noted)
        monkeypatch.setattr(Session, "_handshake", counted)
        async with stage(tls=site.server(), smtpd_soft_error_limit="1", smtpd_error_sleep_time="1s") as scene:
            peer = await scene.connect()
            await peer.say("EHLO c.test", "XYZZY")
            written.clear()
            peer.send("STARTTLS")
            (session,) = scene.server.sessions
            async with asyncio.timeout(10):
                while not session._tls_next:
                    await asyncio.sleep(0)
            connection = peer.writer.get_extra_info("socket")
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # RST, not FIN
            peer.close()
            await scene.ended()
            async with asyncio.timeout(10):
                await written.wait()
            await asyncio.sleep(0)
            assert begun == []

    run(scenario)


def test_the_certificate_of_a_proxy_is_not_that_of_its_client(site: Site) -> None:
    settings = {"smtpd_tls_ask_ccert": "yes", "smtpd_authorized_xclient_hosts": "127.0.0.1"}
    settings |= {"smtpd_recipient_restrictions": "permit_tls_all_clientcerts, reject", "smtpd_relay_restrictions": ""}
    shown = site.authority.issue("proxy.example", client=True)

    async def scenario() -> None:
        async with stage(tls=site.server(**settings), **settings) as scene:
            peer = await scene.connect()
            await peer.say("EHLO p.test", "STARTTLS")
            await peer.writer.start_tls(site.client(shown), server_hostname=HOST)
            assert await peer.say(*OPEN) == "250 2.1.5 Ok"
            (session,) = scene.server.sessions
            assert session.ccert_trusted and session.security.certificate is not None
            assert (await peer.say("RSET", "XCLIENT ADDR=198.51.100.9 NAME=c.example")).startswith("220 ")
            assert (await peer.say(*OPEN)).startswith("554 5.7.1 ")
            assert not session.ccert_trusted and session.ccert is None
            assert session.security.certificate is None
            assert session.tls is not None

    run(scenario)


def test_a_client_without_a_required_certificate_gets_no_session(site: Site) -> None:
    settings = {"smtpd_tls_req_ccert": "yes", "smtpd_tls_security_level": "encrypt"}

    async def scenario() -> None:
        async with stage(tls=site.server(**settings), **settings) as scene:
            peer = await scene.connect()
            await peer.say("EHLO c.test", "STARTTLS")
            with pytest.raises((OSError, ssl.SSLError)):
                await peer.writer.start_tls(site.client(), server_hostname=HOST)
                await peer.say("EHLO c.test")
                raise ConnectionResetError
            await scene.ended()
            assert scene.logged("SSL_accept error from localhost[127.0.0.1]: PEER_DID_NOT_RETURN_A_CERTIFICATE")

    run(scenario)


# --- plaintext injected before the handshake (CVE-2011-0411)
INJECTED = b"MAIL FROM:<evil@x.example>\r\nRCPT TO:<user@here.example>\r\n"


async def _nothing_was_believed(scene: Any, peer: Any) -> None:
    """After the handshake the client is a stranger who has said nothing."""
    assert await peer.say("MAIL FROM:<a@b.example>") in (
        "503 5.5.1 Error: send LHLO first",
        "250 2.1.0 Ok",
    )
    await peer.say("RSET")
    assert await peer.say("RCPT TO:<user@here.example>") == "503 5.5.1 Error: need MAIL command"
    (session,) = scene.server.sessions
    assert not scene.cleanup.messages
    assert session.core.helo_name == ""
    # Each command of ours has got one reply: nothing of the injected ones stands in between.
    assert await peer.say("NOOP") == "250 2.0.0 Ok"
    assert (await peer.say("QUIT")).startswith("221 ")


@pytest.mark.parametrize("lmtp", [False, True])
@pytest.mark.parametrize("behind", [INJECTED, INJECTED * 2000, b"NOOP", b"\x16\x03\x01"])
def test_what_comes_in_one_piece_with_starttls_is_thrown_away(site: Site, behind: bytes, lmtp: bool) -> None:
    protocol = {"smtpd_protocol": "lmtp"} if lmtp else {}

    async def scenario() -> None:
        async with stage(tls=site.server(), **protocol) as scene:
            peer = await scene.connect()
            await peer.say("LHLO c.test" if lmtp else "EHLO c.test")
            peer.send(b"STARTTLS\r\n" + behind)
            assert await peer.reply() == "220 2.0.0 Ready to start TLS"
            try:
                await peer.start_tls()
            except (OSError, ssl.SSLError):
                # More than one read takes: the rest met the handshake, which failed; nothing was believed either.
                assert len(behind) > 16384
                await scene.ended()
                assert scene.logged("SSL_accept error from")
                assert not scene.cleanup.messages
                return
            await _nothing_was_believed(scene, peer)

    run(scenario)


def test_what_comes_while_the_reply_is_held_back_is_thrown_away(site: Site) -> None:
    """A client with many errors waits for its replies: what it sends meanwhile is read, but is plaintext still."""
    patience = {"smtpd_soft_error_limit": "1", "smtpd_hard_error_limit": "100", "smtpd_error_sleep_time": "1s"}

    async def scenario() -> None:
        async with stage(tls=site.server(), smtpd_forbid_unauth_pipelining="no", **patience) as scene:
            peer = await scene.connect()
            await peer.say("EHLO c.test", "NONSENSE")
            peer.send("STARTTLS")
            (session,) = scene.server.sessions
            async with asyncio.timeout(10):
                while session.core.where != "STARTTLS":
                    await asyncio.sleep(0.001)
            peer.send(INJECTED)
            assert await peer.reply() == "220 2.0.0 Ready to start TLS"
            await peer.start_tls()
            scene.server.limits = replace(scene.server.limits, error_sleep=0.0)
            await _nothing_was_believed(scene, peer)

    run(scenario)


def test_plaintext_behind_the_reply_ends_the_handshake(site: Site) -> None:
    async def scenario() -> None:
        async with stage(tls=site.server()) as scene:
            peer = await scene.connect()
            await peer.say("EHLO c.test", "STARTTLS")
            peer.send(INJECTED)
            await scene.ended()
            assert scene.logged("SSL_accept error from")
            assert not scene.cleanup.messages
            assert b"250" not in await peer.reader.read()

    run(scenario)


def test_a_refused_starttls_leaves_the_session_as_it_was(site: Site) -> None:
    """Without a certificate STARTTLS is unknown, and what was pipelined behind it is clear text like all the rest."""

    async def scenario() -> None:
        async with stage(smtpd_forbid_unauth_pipelining="no") as scene:
            peer = await scene.connect()
            await peer.say("EHLO c.test")
            peer.send(b"STARTTLS\r\nMAIL FROM:<a@b.example>\r\n")
            assert (await peer.reply()).startswith("502 ")
            assert await peer.reply() == "250 2.1.0 Ok"
            assert scene.server.tls is None

    run(scenario)


def test_sasl_and_transaction_are_forgotten_at_starttls(site: Site) -> None:
    settings = {"smtpd_sasl_auth_enable": "yes"}

    async def scenario() -> None:
        async with stage(tls=site.server(), **settings) as scene:
            peer = await scene.connect()
            await peer.say("EHLO c.test")
            await peer.say("AUTH PLAIN AGFubgBzZWNyZXQ=")
            (session,) = scene.server.sessions
            assert session.sasl_username
            await peer.say("STARTTLS")
            await peer.start_tls()
            await peer.say("EHLO c.test")
            assert (session.sasl_username, session.core.authenticated) == ("", False)

    run(scenario)
