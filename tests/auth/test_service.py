"""The auth service through its clients: logins, tokens, look-ups, and what it refuses."""

from __future__ import annotations

import asyncio
import os
import threading
from pathlib import Path

import pytest

from pillarbox.lib.accounts import AccountDatabase
from pillarbox.lib.clients import ServiceUnavailable
from pillarbox.lib.clients.auth import Account, AsyncAuthClient, AuthClient, Challenge, Failure, Step, Success
from pillarbox.lib.ipc import AsyncChannel, ChannelClosed
from pillarbox.lib.log import log
from pillarbox.lib.sasl import client_mechanism
from pillarbox.lib.sasl.client import Credentials
from tests.auth.service import Running, configuration, with_service

REMOTE = "192.0.2.7"


async def converse(
    auth: AsyncAuthClient,
    mechanism: str,
    username: str = "ann@example.com",
    password: str = "secret",
    *,
    service: str = "imap",
    authzid: str = "",
    address: str = REMOTE,
    encrypted: bool = True,
) -> Step:
    """A whole exchange by our own client mechanism."""
    client = client_mechanism(mechanism, Credentials(username, password, authzid))
    assert client is not None
    step = await auth.begin(service, mechanism, client.initial(), client_address=address, encrypted=encrypted)
    while isinstance(step, Challenge):
        step = await auth.continue_(step, client.respond(step.data))
    if isinstance(step, Success):
        client.finish()
    return step


@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN", "SCRAM-SHA-256"])
def test_a_right_password_logs_in(tmp_path: Path, mechanism: str) -> None:
    async def test(running: Running) -> None:
        step = await converse(running.client, mechanism, "Ann@EXAMPLE.com")
        assert isinstance(step, Success)
        assert (step.username, step.mechanism) == ("ann@example.com", mechanism)

    with_service(tmp_path, test)


@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN", "SCRAM-SHA-256"])
@pytest.mark.parametrize("username", ["ann@example.com", "nobody@example.com", "nonsense"])
def test_wrong_password_and_unknown_user_look_the_same(tmp_path: Path, mechanism: str, username: str) -> None:
    async def test(running: Running) -> None:
        step = await converse(running.client, mechanism, username, "wrong")
        assert step == Failure("authentication failed", username=username)

    with_service(tmp_path, test)


def test_scram_shows_an_unknown_user_the_same_salt_each_time(tmp_path: Path) -> None:
    async def test(running: Running) -> None:
        salts = set()
        for _ in range(3):
            step = await running.client.begin(
                "smtp", "SCRAM-SHA-256", b"n,,n=nobody@example.com,r=abc", client_address=REMOTE, encrypted=True
            )
            assert isinstance(step, Challenge)
            salts.add(step.data.split(b",")[1])
        assert len(salts) == 1

    with_service(tmp_path, test)


def test_a_token_is_redeemed_once_for_its_service(tmp_path: Path) -> None:
    async def test(running: Running) -> None:
        step = await converse(running.client, "PLAIN", service="pop3")
        assert isinstance(step, Success)
        assert len(step.token) == 32
        home = f"{tmp_path}/mail/example.com/ann"
        account = Account("ann@example.com", None, None, home, f"maildir:{home}", False)
        assert await running.client.redeem(step.token, "pop3") == account
        assert await running.client.redeem(step.token, "pop3") is None

    with_service(tmp_path, test)


def test_a_token_is_worth_nothing_elsewhere_or_later(tmp_path: Path) -> None:
    async def test(running: Running) -> None:
        step = await converse(running.client, "PLAIN", service="pop3")
        assert isinstance(step, Success)
        assert await running.client.redeem(step.token, "imap") is None
        step = await converse(running.client, "PLAIN", service="pop3")
        assert isinstance(step, Success)
        running.clock.now += 31
        assert await running.client.redeem(step.token, "pop3") is None
        assert await running.client.redeem("", "pop3") is None

    with_service(tmp_path, test)


def test_smtp_gets_no_token(tmp_path: Path) -> None:
    async def test(running: Running) -> None:
        assert await converse(running.client, "PLAIN", service="smtp") == Success("ann@example.com", "", "PLAIN")

    with_service(tmp_path, test)


def test_login_parts_may_not_redeem(tmp_path: Path) -> None:
    async def test(running: Running) -> None:
        step = await converse(running.client, "PLAIN")
        assert isinstance(step, Success)
        with log.capture() as lines, pytest.raises(ServiceUnavailable, match="not permitted"):
            await running.client.redeem(step.token, "imap")
        assert "redeem refused" in lines[0]

    with_service(tmp_path, test, refused_uid=os.geteuid())


@pytest.mark.parametrize(
    ("address", "encrypted", "offered"),
    [
        (REMOTE, True, ("SCRAM-SHA-256", "PLAIN", "LOGIN")),
        (REMOTE, False, ("SCRAM-SHA-256",)),
        ("127.0.0.1", False, ("SCRAM-SHA-256", "PLAIN", "LOGIN")),
        ("::1", False, ("SCRAM-SHA-256", "PLAIN", "LOGIN")),
        ("::ffff:127.0.0.1", False, ("SCRAM-SHA-256", "PLAIN", "LOGIN")),
        ("nonsense", False, ("SCRAM-SHA-256",)),
    ],
)
def test_clear_text_mechanisms_are_offered_where_the_password_is_safe(
    tmp_path: Path, address: str, encrypted: bool, offered: tuple[str, ...]
) -> None:
    async def test(running: Running) -> None:
        assert await running.client.mechanisms(encrypted, address) == offered
        if "PLAIN" not in offered:
            step = await converse(running.client, "PLAIN", address=address, encrypted=encrypted)
            assert isinstance(step, Failure)
            assert step.kind == "privacy"

    with_service(tmp_path, test)


def test_clear_text_everywhere_must_be_configured(tmp_path: Path) -> None:
    async def test(running: Running) -> None:
        assert isinstance(await converse(running.client, "PLAIN", encrypted=False), Success)

    with_service(tmp_path, test, auth_allow_cleartext="yes")


def test_only_configured_mechanisms_are_offered_and_taken(tmp_path: Path) -> None:
    async def test(running: Running) -> None:
        assert await running.client.mechanisms(True, REMOTE) == ("PLAIN",)
        for mechanism in ("LOGIN", "CRAM-MD5", ""):
            step = await running.client.begin("smtp", mechanism, None, client_address=REMOTE, encrypted=True)
            assert isinstance(step, Failure)
            assert step.kind == "mechanism"

    with log.capture() as lines:
        with_service(tmp_path, test, auth_mechanisms="plain, cram-md5")
    assert 'there is no mechanism "CRAM-MD5"' in lines[0]


def test_a_malformed_message_is_told_from_a_wrong_password(tmp_path: Path) -> None:
    async def test(running: Running) -> None:
        step = await running.client.begin("smtp", "PLAIN", b"garbage", client_address=REMOTE, encrypted=True)
        assert isinstance(step, Failure)
        assert step.kind == "malformed"

    with_service(tmp_path, test)


@pytest.mark.parametrize(
    ("authzid", "succeeds"), [("", True), ("ANN@example.com", True), ("bob@example.com", False), ("x", False)]
)
def test_nobody_acts_for_somebody_else(tmp_path: Path, authzid: str, succeeds: bool) -> None:
    async def test(running: Running) -> None:
        running.database.add("bob@example.com", "pw")
        step = await converse(running.client, "PLAIN", authzid=authzid)
        assert isinstance(step, Success) is succeeds

    with_service(tmp_path, test)


def test_login_checks_a_plain_password(tmp_path: Path) -> None:
    async def test(running: Running) -> None:
        for username, password, kind in (
            ("ann@example.com", "secret", Success),
            ("ann@example.com", "other", Failure),
            ("ann@example.com", "", Failure),
            ("", "secret", Failure),
            ("ann@example.com", "sec\0ret", Failure),
        ):
            step = await running.client.login("pop3", username, password, client_address=REMOTE, encrypted=True)
            assert isinstance(step, kind), (username, password)

    with_service(tmp_path, test)


def test_a_changed_password_counts_at_once(tmp_path: Path) -> None:
    async def test(running: Running) -> None:
        assert isinstance(await converse(running.client, "PLAIN"), Success)
        with AccountDatabase.open(str(running.config.raw("auth_database"))) as other:
            other.set_password("ann@example.com", "changed")
        assert isinstance(await converse(running.client, "PLAIN"), Failure)
        assert isinstance(await converse(running.client, "PLAIN", password="changed"), Success)

    with_service(tmp_path, test)


def test_a_name_without_domain_is_completed(tmp_path: Path) -> None:
    async def test(running: Running) -> None:
        step = await converse(running.client, "PLAIN", "ann")
        assert isinstance(step, Success)
        assert step.username == "ann@example.com"

    with_service(tmp_path, test, auth_default_domain="example.com")


def test_accounts_and_domains_are_told_without_secrets(tmp_path: Path) -> None:
    async def test(running: Running) -> None:
        account = await running.client.account("Ann@example.com")
        assert account is not None
        assert (account.address, account.system) == ("ann@example.com", False)
        assert await running.client.account("bob@example.com") is None
        assert await running.client.account("no address") is None
        assert await running.client.domain("EXAMPLE.com")
        assert not await running.client.domain("example.org")
        channel = await AsyncChannel.connect(running.config.socket_path("auth"))
        reply = await channel.call({"do": "account", "address": "ann@example.com", "tag": 1})
        assert "argon2" not in str(reply)
        channel.close()

    with_service(tmp_path, test)


def test_requests_are_answered_while_passwords_are_checked(tmp_path: Path) -> None:
    async def test(running: Running) -> None:
        order: list[str] = []

        async def login() -> None:
            await converse(running.client, "PLAIN", password="wrong")
            order.append("login")

        async def ask() -> None:
            await running.client.account("ann@example.com")
            order.append("account")

        await asyncio.gather(*(login() for _ in range(4)), ask())
        assert order[0] == "account"

    with_service(tmp_path, test)


def test_exchanges_run_beside_each_other_on_one_connection(tmp_path: Path) -> None:
    async def test(running: Running) -> None:
        steps = await asyncio.gather(*(converse(running.client, "SCRAM-SHA-256") for _ in range(20)))
        assert all(isinstance(step, Success) for step in steps)
        assert len(running.channels) == 1

    with_service(tmp_path, test)


def test_an_aborted_exchange_is_gone(tmp_path: Path) -> None:
    async def test(running: Running) -> None:
        step = await running.client.begin("smtp", "LOGIN", None, client_address=REMOTE, encrypted=True)
        assert isinstance(step, Challenge)
        running.client.abort(step)
        await running.client.domain("example.com")  # by its answer the abort has been sent
        with pytest.raises(ServiceUnavailable, match="no such exchange"):
            await running.client.continue_(step, b"ann@example.com")

    with_service(tmp_path, test)


def test_the_client_reconnects_after_the_service_restarted(tmp_path: Path) -> None:
    async def test(running: Running) -> None:
        assert await running.client.domain("example.com")
        running.channels[0].close()
        assert await running.client.domain("example.com")
        assert len(running.channels) == 2

    with_service(tmp_path, test)


def test_a_service_that_is_not_there_is_unavailable(tmp_path: Path) -> None:
    config = configuration(tmp_path)

    async def test() -> None:
        with pytest.raises(ServiceUnavailable):
            await AsyncAuthClient(config).account("ann@example.com")

    asyncio.run(test())
    with pytest.raises(ServiceUnavailable):
        AuthClient(config).account("ann@example.com")


def test_a_database_that_fails_is_a_temporary_failure(tmp_path: Path) -> None:
    async def test(running: Running) -> None:
        running.database.close()
        with log.capture() as lines:
            step = await converse(running.client, "PLAIN")
            assert step == Failure("temporary authentication failure", temporary=True, kind="temporary")
            with pytest.raises(ServiceUnavailable):
                await running.client.account("ann@example.com")
        assert "account database" in lines[0]

    with_service(tmp_path, test)


@pytest.mark.parametrize(
    "request_",
    [
        {},
        {"do": "hash", "address": "ann@example.com"},
        {"do": "begin"},
        {"do": "begin", "service": "ftp", "client_address": "", "encrypted": True, "mechanism": "PLAIN", "exchange": 1},
        {"do": "continue", "exchange": 1, "response": "no base64!"},
        {"do": "account", "address": 7},
    ],
)
def test_a_broken_request_is_answered_logged_and_ends_the_connection(
    tmp_path: Path, request_: dict[str, object]
) -> None:
    async def test(running: Running) -> None:
        channel = await AsyncChannel.connect(running.config.socket_path("auth"))
        with log.capture() as lines:
            reply = await channel.call({**request_, "tag": 9})
            assert (reply.boolean("ok"), reply.integer("tag")) == (False, 9)
            with pytest.raises(ChannelClosed):
                await channel.receive()
        assert lines
        channel.close()
        assert await running.client.domain("example.com"), "the service lives on"

    with_service(tmp_path, test)


def test_the_blocking_client_does_the_same(tmp_path: Path) -> None:
    results: list[object] = []

    async def test(running: Running) -> None:
        def work() -> None:
            auth = AuthClient(running.config)
            step = auth.login("imap", "ann@example.com", "secret", client_address=REMOTE, encrypted=True)
            results.append(step)
            assert isinstance(step, Success)
            results.append(auth.redeem(step.token, "imap"))
            results.append(auth.mechanisms(False, REMOTE))
            challenge = auth.begin("imap", "LOGIN", None, client_address=REMOTE, encrypted=True)
            assert isinstance(challenge, Challenge)
            auth.abort(challenge)
            results.append(auth.domain("example.com"))
            auth.close()
            results.append(auth.account("nobody@example.com"))
            auth.close()

        thread = threading.Thread(target=work)
        thread.start()
        while thread.is_alive():
            await asyncio.sleep(0.005)

    with_service(tmp_path, test)
    assert isinstance(results[1], Account)
    assert results[2:] == [("SCRAM-SHA-256",), True, None]
