"""Policy servers: what they are told, what their actions do, and the client that asks them."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pillarbox.lib.clients.errors import ServiceUnavailable
from pillarbox.lib.clients.policy_protocol import AnswerReader, PolicyProtocolError, encode_request
from pillarbox.lib.clients.policy_service import Endpoint, Patience, PolicyServices
from pillarbox.smtpd.policy.facts import Certificate
from tests.feeding import splits
from tests.policy.world import OURS, World, world

SERVER = "inet:127.0.0.1:10023"


class TestAttributes:
    def told(self, stage: str, name: str, **facts: Any) -> dict[str, str]:
        scene = world(name, f"check_policy_service {SERVER}", policy={SERVER: "DUNNO"})
        assert scene.decide(stage, **facts) == "ok"
        (key,) = [key for key in scene.asked if key[0] == "policy"]
        attributes = key[2]
        assert isinstance(attributes, tuple)
        return dict(attributes)

    def test_in_rcpt(self) -> None:
        told = self.told(
            "RCPT",
            "recipient",
            server_address="192.0.2.25",
            server_port=25,
            instance=lambda: "1.2.3",
            size=1000,
            sasl_method="PLAIN",
            sasl_username="ann",
            sasl_sender="ann@b.test",
            encrypted=True,
            tls_protocol="TLSv1.3",
            tls_cipher="TLS_AES_256_GCM_SHA384",
            tls_bits=256,
            certificate=Certificate("ann", "Our CA", "AA", "BB", True),
        )
        assert told == {
            "request": "smtpd_access_policy",
            "protocol_state": "RCPT",
            "protocol_name": "ESMTP",
            "client_address": "192.0.2.1",
            "client_name": "mx.client.test",
            "client_port": "4711",
            "reverse_client_name": "mx.client.test",
            "server_address": "192.0.2.25",
            "server_port": "25",
            "helo_name": "mx.client.test",
            "sender": "a@b.test",
            "recipient": OURS,
            "recipient_count": "0",
            "queue_id": "",
            "instance": "1.2.3",
            "size": "1000",
            "etrn_domain": "",
            "stress": "",
            "sasl_method": "PLAIN",
            "sasl_username": "ann",
            "sasl_sender": "ann@b.test",
            "ccert_subject": "ann",
            "ccert_issuer": "Our CA",
            "ccert_fingerprint": "AA",
            "ccert_pubkey_fingerprint": "BB",
            "encryption_protocol": "TLSv1.3",
            "encryption_cipher": "TLS_AES_256_GCM_SHA384",
            "encryption_keysize": "256",
            "policy_context": "",
        }

    def test_in_data(self) -> None:
        told = self.told("DATA", "data", recipient=None, recipients=3, queue_id="4abc")
        assert (told["recipient"], told["recipient_count"], told["queue_id"]) == ("", "3", "4abc")

    def test_at_the_end(self) -> None:
        told = self.told("END-OF-MESSAGE", "end_of_data", recipients=1, size=1234)
        assert (told["protocol_state"], told["size"], told["recipient_count"]) == ("END-OF-MESSAGE", "1234", "1")

    def test_in_etrn(self) -> None:
        assert self.told("ETRN", "etrn", etrn="far.test")["etrn_domain"] == "far.test"

    def test_in_helo(self) -> None:
        parameters = {"smtpd_helo_restrictions": f"check_policy_service {SERVER}", "smtpd_delay_reject": "no"}
        scene = World(parameters, policy={SERVER: "DUNNO"})
        scene.decide("HELO", verb="EHLO")
        attributes = scene.asked[0][2]
        assert isinstance(attributes, tuple)
        assert dict(attributes)["protocol_state"] == "EHLO"

    def test_the_context_of_one_server(self) -> None:
        rule = f"check_policy_service {{ {SERVER}, policy_context = inbound }}"
        scene = world("recipient", rule, policy={f"{{ {SERVER}, policy_context = inbound }}": "DUNNO"})
        scene.rcpt()
        attributes = scene.asked[-1][2]
        assert isinstance(attributes, tuple)
        assert dict(attributes)["policy_context"] == "inbound"


@pytest.mark.parametrize(
    ("action", "expected"),
    [
        ("DUNNO", "ok"),
        ("OK", "ok"),
        ("REJECT go away", f"554 5.7.1 <{OURS}>: Recipient address rejected: go away"),
        ("DEFER_IF_PERMIT Greylisted", f"450 4.7.1 <{OURS}>: Recipient address rejected: Greylisted"),
        ("defer_if_permit 4.2.0 Greylisted", f"450 4.2.0 <{OURS}>: Recipient address rejected: Greylisted"),
        ("550 5.7.23 SPF fail", f"550 5.7.23 <{OURS}>: Recipient address rejected: SPF fail"),
        ("permit_mynetworks, defer", f"450 4.3.2 <{OURS}>: Recipient address rejected: Try again later"),
        ("", "ok"),
        ("nonsense", "451 4.3.5 Server configuration error"),
        (None, f"451 4.3.5 <{OURS}>: Recipient address rejected: Server configuration problem"),
    ],
)
def test_actions(action: str | None, expected: str) -> None:
    assert world("recipient", f"check_policy_service {SERVER}", policy={SERVER: action}).rcpt() == expected


def test_the_action_for_a_broken_server() -> None:
    parameters = {"smtpd_policy_service_default_action": "DUNNO"}
    scene = world("recipient", f"check_policy_service {SERVER}", policy={SERVER: None}, parameters=parameters)
    assert scene.rcpt() == "ok"
    rule = f"{{ {SERVER}, default_action=DEFER }}"
    scene = world("recipient", f"check_policy_service {rule}", policy={rule: None}, parameters=parameters)
    assert scene.rcpt() == f"450 4.7.1 <{OURS}>: Recipient address rejected: Access denied"
    assert scene.outcome.warnings == (f"problem talking to server {SERVER}: connection refused",)


class TestProtocol:
    def test_a_request(self) -> None:
        assert encode_request([("request", "smtpd_access_policy"), ("sender", "a@b")]) == (
            b"request=smtpd_access_policy\nsender=a@b\n\n"
        )

    def test_a_value_cannot_forge_a_line(self) -> None:
        assert encode_request([("sender", "a\nsasl_username=root\r\0")]) == b"sender=a?sasl_username=root??\n\n"

    @pytest.mark.parametrize(
        "answer", [b"action=OK\n\n", b"action=OK\r\n\r\n", b"x=y\naction=OK\n\n", b"action =  OK \n\n"]
    )
    def test_answers_however_they_are_cut(self, answer: bytes) -> None:
        for pieces in splits(answer):
            reader = AnswerReader()
            assert [found for piece in pieces if (found := reader.feed(piece)) is not None] == ["OK"]

    @pytest.mark.parametrize(
        "answer",
        [b"\n\n", b"action\n\n", b"x=y\n\n", b"action=a\naction=b\n\n", b"action=OK\n\nmore", b"a" * 20000],
    )
    def test_what_is_no_answer(self, answer: bytes) -> None:
        with pytest.raises(PolicyProtocolError):
            AnswerReader().feed(answer)

    def test_half_an_answer_is_none(self) -> None:
        reader = AnswerReader()
        assert not reader.begun
        assert reader.feed(b"action=OK\n") is None
        assert reader.begun

    @given(st.lists(st.binary(max_size=20), max_size=5))
    def test_nothing_else_is_raised(self, pieces: list[bytes]) -> None:
        reader = AnswerReader()
        with contextlib.suppress(PolicyProtocolError):
            for piece in pieces:
                if reader.feed(piece) is not None:
                    break


Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
PATIENCE = Patience(timeout=5, retry_delay=0)
REQUEST = (("request", "smtpd_access_policy"),)


class Listener:
    """A policy server; `answers` are taken one per request, "" closes the connection."""

    def __init__(self, *answers: bytes) -> None:
        self.answers = list(answers)
        self.connections = 0
        self.requests: list[bytes] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
                while True:
                    self.requests.append(await reader.readuntil(b"\n\n"))
                    answer = self.answers.pop(0) if self.answers else b"action=DUNNO\n\n"
                    if not answer:
                        break
                    writer.write(answer)
                    await writer.drain()
        finally:
            writer.close()


@contextlib.asynccontextmanager
async def listening(listener: Listener, path: Path | None = None) -> AsyncIterator[Endpoint]:
    if path is not None:
        server = await asyncio.start_unix_server(listener.serve, path)
        endpoint = Endpoint(str(path))
    else:
        server = await asyncio.start_server(listener.serve, "127.0.0.1", 0)
        endpoint = Endpoint("", "127.0.0.1", server.sockets[0].getsockname()[1])
    try:
        yield endpoint
    finally:
        server.close()


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


class TestClient:
    def test_a_connection_is_used_again(self, tmp_path: Path) -> None:
        async def scenario() -> None:
            for path in (None, tmp_path / "socket"):
                listener = Listener(b"action=OK\n\n")
                async with listening(listener, path) as endpoint:
                    services = PolicyServices()
                    assert await services.ask(endpoint, PATIENCE, REQUEST) == "OK"
                    assert await services.ask(endpoint, PATIENCE, REQUEST) == "DUNNO"
                    assert (listener.connections, len(listener.requests)) == (1, 2)
                    services.close()

        asyncio.run(scenario())

    @pytest.mark.parametrize(
        ("patience", "wait"),
        [(Patience(max_idle=10), 11), (Patience(max_ttl=10, max_idle=100), 11), (Patience(request_limit=1), 0)],
    )
    def test_a_connection_is_given_up(self, patience: Patience, wait: float) -> None:
        async def scenario() -> None:
            clock = Clock()
            listener = Listener()
            async with listening(listener) as endpoint:
                services = PolicyServices(clock=clock)
                await services.ask(endpoint, patience, REQUEST)
                clock.now += wait
                await services.ask(endpoint, patience, REQUEST)
                assert listener.connections == 2
                services.close()

        asyncio.run(scenario())

    def test_a_connection_that_was_closed_meanwhile_is_replaced(self) -> None:
        async def scenario() -> None:
            listener = Listener(b"action=OK\n\n", b"", b"action=HOLD\n\n")
            async with listening(listener) as endpoint:
                services = PolicyServices()
                once = Patience(timeout=5, try_limit=1)
                await services.ask(endpoint, once, REQUEST)
                assert await services.ask(endpoint, once, REQUEST) == "HOLD"
                assert listener.connections == 2
                services.close()

        asyncio.run(scenario())

    @pytest.mark.parametrize("answer", [b"", b"nonsense\n\n", b"action=O"])
    def test_a_broken_answer_is_tried_again_and_then_reported(self, answer: bytes) -> None:
        async def scenario() -> None:
            listener = Listener(answer, b"action=OK\n\n")
            brief = Patience(timeout=0.5, retry_delay=0)
            async with listening(listener) as endpoint:
                services = PolicyServices()
                assert await services.ask(endpoint, brief, REQUEST) == "OK"
                listener.answers = [answer] * 5
                services.close()
                with pytest.raises(ServiceUnavailable, match=f"inet:127.0.0.1:{endpoint.port}: "):
                    await services.ask(endpoint, brief, REQUEST)
                assert len(listener.requests) == 4
                services.close()

        asyncio.run(scenario())

    def test_many_requests_leave_one_timer(self, monkeypatch: pytest.MonkeyPatch) -> None:
        async def scenario() -> None:
            listener = Listener()
            async with listening(listener) as endpoint:
                services, made = PolicyServices(), []
                loop = asyncio.get_running_loop()
                later = loop.call_later

                def counting(delay: float, *rest: Any, **more: Any) -> asyncio.TimerHandle:
                    made.append(delay)
                    return later(delay, *rest, **more)

                monkeypatch.setattr(loop, "call_later", counting)
                patience = Patience(max_idle=300)
                for _ in range(10):
                    await services.ask(endpoint, patience, REQUEST)
                assert sum(delay > 200 for delay in made) == 1
                services.close()

        asyncio.run(scenario())

    def test_what_is_idle_is_closed_in_time(self) -> None:
        async def scenario() -> None:
            listener = Listener()
            async with listening(listener) as endpoint:
                services = PolicyServices()
                await services.ask(endpoint, Patience(max_idle=0.1), REQUEST)
                async with asyncio.timeout(10):
                    while services._servers[endpoint].idle:
                        await asyncio.sleep(0.01)
                assert services._servers[endpoint].timer is None

        asyncio.run(scenario())

    def test_nobody_listens(self, tmp_path: Path) -> None:
        async def scenario() -> None:
            with pytest.raises(ServiceUnavailable, match="No such file"):
                await PolicyServices().ask(Endpoint(str(tmp_path / "none")), PATIENCE, REQUEST)

        asyncio.run(scenario())

    def test_many_at_once_have_connections_of_their_own(self) -> None:
        async def scenario() -> None:
            listener = Listener()
            async with listening(listener) as endpoint:
                services = PolicyServices()
                answers = await asyncio.gather(*(services.ask(endpoint, PATIENCE, REQUEST) for _ in range(20)))
                assert answers == ["DUNNO"] * 20
                services.close()

        asyncio.run(scenario())
