"""Credentials beyond the password, through the service: app passwords, certificates, bound channels; and lock-outs."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
import scramp

from pillarbox.lib.accounts import AccountDatabase
from pillarbox.lib.clients import ServiceUnavailable
from pillarbox.lib.clients.auth import (
    NO_SECURITY,
    AsyncAuthClient,
    Challenge,
    ClientCertificate,
    Failure,
    Security,
    Step,
    Success,
)
from pillarbox.lib.log import log
from pillarbox.lib.sasl import client_mechanism
from pillarbox.lib.sasl.client import Credentials
from tests.auth.service import Running, with_service

ANN, BOB = "ann@example.com", "bob@example.com"
REMOTE = "192.0.2.7"
PRINT, KEY_PRINT = "0f" * 32, "1e" * 32


async def converse(
    auth: AsyncAuthClient,
    mechanism: str,
    password: str,
    username: str = ANN,
    *,
    service: str = "imap",
    address: str = REMOTE,
) -> Step:
    client = client_mechanism(mechanism, Credentials(username, password))
    assert client is not None
    step = await auth.begin(service, mechanism, client.initial(), client_address=address, encrypted=True)
    while isinstance(step, Challenge):
        step = await auth.continue_(step, client.respond(step.data))
    return step


async def external(auth: AsyncAuthClient, authzid: bytes = b"", **certificate: Any) -> Step:
    security = Security({}, ClientCertificate(**{"fingerprint": "ff" * 32, **certificate}))
    return await auth.begin("smtp", "EXTERNAL", authzid, client_address=REMOTE, encrypted=True, security=security)


# --- app passwords
@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN", "SCRAM-SHA-256"])
def test_an_app_password_logs_in_where_it_is_for_and_its_use_is_noted(tmp_path: Path, mechanism: str) -> None:
    async def test(running: Running) -> None:
        app = running.database.app_passwords.add(ANN, "phone", ["imap"])
        running.database.app_passwords.add(ANN, "other", ["imap"])
        assert isinstance(await converse(running.client, mechanism, app), Success)
        assert isinstance(await converse(running.client, mechanism, app, service="smtp"), Failure)
        assert isinstance(await converse(running.client, mechanism, "secret", service="smtp"), Success)
        phone, other = running.database.app_passwords.of(ANN)
        assert (phone.used > 0, phone.used_for, phone.used_from) == (True, "imap", REMOTE)
        assert other.used == 0
        running.database.app_passwords.delete(ANN, "phone")
        assert isinstance(await converse(running.client, mechanism, app), Failure), "at once"

    with_service(tmp_path, test)


def test_an_app_password_is_of_its_account_only(tmp_path: Path) -> None:
    async def test(running: Running) -> None:
        running.database.add(BOB, "pw")
        app = running.database.app_passwords.add(ANN, "phone")
        for mechanism in ("PLAIN", "SCRAM-SHA-256"):
            for username in (BOB, "nobody@example.com"):
                assert await converse(running.client, mechanism, app, username) == Failure(
                    "authentication failed", username=username
                )

    with_service(tmp_path, test)


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-256"])
def test_the_password_can_be_barred_from_protocols(tmp_path: Path, mechanism: str) -> None:
    async def test(running: Running) -> None:
        running.database.set_password_protocols(ANN, ["imap"])
        app = running.database.app_passwords.add(ANN, "old printer", ["smtp"])
        assert isinstance(await converse(running.client, mechanism, "secret"), Success)
        assert isinstance(await converse(running.client, mechanism, "secret", service="smtp"), Failure)
        assert isinstance(await converse(running.client, mechanism, app, service="smtp"), Success)
        running.database.app_passwords.delete(ANN, "old printer")
        assert isinstance(await converse(running.client, mechanism, app, service="smtp"), Failure)

    with_service(tmp_path, test)


def test_the_use_of_an_app_password_is_not_written_each_time(tmp_path: Path) -> None:
    async def test(running: Running) -> None:
        app = running.database.app_passwords.add(ANN, "phone")
        await converse(running.client, "PLAIN", app)
        (first,) = running.database.app_passwords.of(ANN)
        await converse(running.client, "PLAIN", app)
        (second,) = running.database.app_passwords.of(ANN)
        assert first.used == second.used > 0

    with_service(tmp_path, test)


# --- channel binding
PLUS = {"auth_mechanisms": "scram-sha-256-plus, scram-sha-256, plain, login"}


async def bound(running: Running, name: str, security: Security, client: Any) -> Step:
    step = await running.client.begin(
        "smtp", name, client.get_client_first().encode(), client_address=REMOTE, encrypted=True, security=security
    )
    if isinstance(step, Challenge):
        client.set_server_first(step.data.decode())
        step = await running.client.continue_(step, client.get_client_final().encode())
    if isinstance(step, Challenge):
        client.set_server_final(step.data.decode())
        step = await running.client.continue_(step, b"")
    return step


def test_a_bound_channel_is_offered_and_checked(tmp_path: Path) -> None:
    async def test(running: Running) -> None:
        security = Security({"tls-server-end-point": (b"\x01" * 32,)})
        names = await running.client.mechanisms(True, REMOTE, security)
        assert names == ("SCRAM-SHA-256-PLUS", "SCRAM-SHA-256", "PLAIN", "LOGIN")
        assert "SCRAM-SHA-256-PLUS" not in await running.client.mechanisms(True, REMOTE)
        for data, result in ((b"\x01" * 32, Success), (b"\x02" * 32, Failure)):
            client = scramp.ScramClient(
                ["SCRAM-SHA-256-PLUS"], ANN, "secret", channel_binding=("tls-server-end-point", data)
            )
            step = await bound(running, "SCRAM-SHA-256-PLUS", security, client)
            assert isinstance(step, result), step

    with_service(tmp_path, test, **PLUS)


def test_a_downgrade_is_noticed(tmp_path: Path) -> None:
    """The offer of -PLUS was taken out on the way: a client that could bind says `y`."""

    async def test(running: Running) -> None:
        security = Security({"tls-server-end-point": (b"\x01" * 32,)})
        for channel, result in ((security, Failure), (NO_SECURITY, Challenge)):
            step = await running.client.begin(
                "smtp",
                "SCRAM-SHA-256",
                b"y,,n=ann@example.com,r=abc",
                client_address=REMOTE,
                encrypted=True,
                security=channel,
            )
            assert isinstance(step, result), step

    with_service(tmp_path, test, **PLUS)


def test_where_binding_is_not_offered_nobody_was_lied_to(tmp_path: Path) -> None:
    """By default; a client that could bind and says so is right that the server does not offer it."""

    async def test(running: Running) -> None:
        security = Security({"tls-server-end-point": (b"\x01" * 32,)})
        assert await running.client.mechanisms(True, REMOTE, security) == ("SCRAM-SHA-256", "PLAIN", "LOGIN")
        first = b"y,,n=ann@example.com,r=abc"
        step = await running.client.begin(
            "smtp", "SCRAM-SHA-256", first, client_address=REMOTE, encrypted=True, security=security
        )
        assert isinstance(step, Challenge)
        step = await running.client.begin(
            "smtp", "SCRAM-SHA-256-PLUS", None, client_address=REMOTE, encrypted=True, security=security
        )
        assert isinstance(step, Failure) and step.kind == "mechanism"

    with_service(tmp_path, test)


# --- certificates
def test_a_certificate_logs_in_by_its_fingerprint(tmp_path: Path) -> None:
    async def test(running: Running) -> None:
        running.database.add(BOB, "pw")
        running.database.certificates.add(ANN, PRINT)
        running.database.certificates.add(BOB, KEY_PRINT)
        colons = ":".join(PRINT.upper()[start : start + 2] for start in range(0, 64, 2))
        assert await external(running.client, fingerprint=PRINT) == Success(ANN, "", "EXTERNAL")
        assert await external(running.client, fingerprint=colons) == Success(ANN, "", "EXTERNAL")
        assert await external(running.client, pubkey_fingerprint=KEY_PRINT) == Success(BOB, "", "EXTERNAL")
        assert await external(running.client, b"Ann@Example.com", fingerprint=PRINT) == Success(ANN, "", "EXTERNAL")

    with_service(tmp_path, test)


def test_a_certificate_is_good_for_its_own_account_only(tmp_path: Path) -> None:
    async def test(running: Running) -> None:
        running.database.add(BOB, "pw")
        running.database.certificates.add(ANN, PRINT)
        for authzid in (b"bob@example.com", b"nobody@example.com", b"nonsense"):
            step = await external(running.client, authzid, fingerprint=PRINT)
            assert isinstance(step, Failure)
            assert step.kind == "credentials"
        assert isinstance(await external(running.client), Failure)

    with_service(tmp_path, test)


def test_one_certificate_for_two_accounts_must_say_which(tmp_path: Path) -> None:
    async def test(running: Running) -> None:
        running.database.add(BOB, "pw")
        running.database.certificates.add(ANN, PRINT)
        running.database.certificates.add(BOB, KEY_PRINT)
        both = {"fingerprint": PRINT, "pubkey_fingerprint": KEY_PRINT}
        assert isinstance(await external(running.client, **both), Failure)
        assert await external(running.client, b"bob@example.com", **both) == Success(BOB, "", "EXTERNAL")

    with_service(tmp_path, test)


@pytest.mark.parametrize(
    ("trusted", "configured", "succeeds"), [(True, "yes", True), (False, "yes", False), (True, "no", False)]
)
def test_a_mailbox_in_a_certificate_counts_where_it_is_trusted_and_configured(
    tmp_path: Path, trusted: bool, configured: str, succeeds: bool
) -> None:
    async def test(running: Running) -> None:
        step = await external(running.client, trusted=trusted, mailboxes=("else@example.com", "Ann@example.com"))
        assert isinstance(step, Success) is succeeds

    with_service(tmp_path, test, auth_certificate_mailboxes=configured)


def test_external_is_offered_to_clients_with_a_certificate_only(tmp_path: Path) -> None:
    async def test(running: Running) -> None:
        security = Security({}, ClientCertificate(PRINT))
        assert "EXTERNAL" in await running.client.mechanisms(True, REMOTE, security)
        assert "EXTERNAL" not in await running.client.mechanisms(True, REMOTE)
        step = await running.client.begin("smtp", "EXTERNAL", b"", client_address=REMOTE, encrypted=True)
        assert isinstance(step, Failure)
        assert step.kind == "mechanism"

    with_service(tmp_path, test)


# --- lock-outs
LIMITS = {"auth_lockout_address_failures": "3", "auth_lockout_account_failures": "4"}


@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN", "SCRAM-SHA-256"])
def test_after_too_many_failures_nothing_is_checked(tmp_path: Path, mechanism: str) -> None:
    async def test(running: Running) -> None:
        with log.capture() as lines:
            for number in range(3):
                step = await converse(running.client, mechanism, f"wrong{number}", f"u{number}@example.com")
                assert isinstance(step, Failure) and step.kind == "credentials"
        assert lines == [f"warning: {REMOTE} is locked out for 60s: too many failed logins"]
        step = await converse(running.client, mechanism, "secret")
        assert isinstance(step, Failure)
        assert (step.kind, step.temporary, step.username) == ("locked", True, ANN)
        assert isinstance(await converse(running.client, mechanism, "secret", address="192.0.2.8"), Success)
        running.clock.now += 60
        assert isinstance(await converse(running.client, mechanism, "secret"), Success)

    with_service(tmp_path, test, **LIMITS)


def test_strangers_do_not_lock_the_owner_out(tmp_path: Path) -> None:
    async def test(running: Running) -> None:
        assert isinstance(await converse(running.client, "PLAIN", "secret"), Success)
        for number in range(8):
            await converse(running.client, "PLAIN", f"wrong{number}", address=f"198.51.100.{number}")
        step = await converse(running.client, "PLAIN", "secret", address="203.0.113.1")
        assert isinstance(step, Failure) and step.kind == "locked"
        assert isinstance(await converse(running.client, "PLAIN", "secret"), Success), "from where it has logged in"
        with AccountDatabase.open(str(running.config.raw("auth_database"))) as other:
            assert other.known_networks.seen(ANN, REMOTE) > 0, "and it stays known over a restart"

    with_service(tmp_path, test, **LIMITS)


def test_an_unknown_account_is_locked_like_a_known_one(tmp_path: Path) -> None:
    async def test(running: Running) -> None:
        for username in (ANN, "nobody@example.com"):
            kinds = []
            for number in range(6):
                step = await converse(
                    running.client, "PLAIN", f"wrong{number}", username, address=f"198.51.100.{number}"
                )
                assert isinstance(step, Failure)
                kinds.append(step.kind)
            assert kinds == ["credentials"] * 4 + ["locked"] * 2, username

    with_service(tmp_path, test, **LIMITS)


def test_a_proof_is_not_looked_at_when_others_have_failed_meanwhile(tmp_path: Path) -> None:
    async def test(running: Running) -> None:
        client = client_mechanism("SCRAM-SHA-256", Credentials(ANN, "secret"))
        assert client is not None
        step = await running.client.begin(
            "imap", "SCRAM-SHA-256", client.initial(), client_address=REMOTE, encrypted=True
        )
        assert isinstance(step, Challenge)
        for number in range(3):
            await converse(running.client, "PLAIN", f"wrong{number}")
        step = await running.client.continue_(step, client.respond(step.data))
        assert isinstance(step, Failure) and step.kind == "locked"

    with_service(tmp_path, test, **LIMITS)


def test_the_same_old_password_locks_nobody_out(tmp_path: Path) -> None:
    async def test(running: Running) -> None:
        for _ in range(20):
            step = await converse(running.client, "PLAIN", "the old one")
            assert isinstance(step, Failure) and step.kind == "credentials"
        assert isinstance(await converse(running.client, "PLAIN", "secret"), Success)

    with_service(tmp_path, test, **LIMITS)


# --- exchanges that nobody waits for
def test_an_exchange_whose_client_went_while_it_was_at_work_is_forgotten(tmp_path: Path) -> None:
    async def test(running: Running) -> None:
        begun = asyncio.get_running_loop().create_task(
            running.client.begin("smtp", "LOGIN", None, client_address=REMOTE, encrypted=True)
        )
        await asyncio.sleep(0)
        begun.cancel()
        with pytest.raises(asyncio.CancelledError):
            await begun
        await running.client.domain("example.com")
        for number in range(1, 3):
            with pytest.raises(ServiceUnavailable, match="no such exchange"):
                await running.client.continue_(Challenge(b"", number), ANN.encode())

    with_service(tmp_path, test)


def test_an_abort_that_overtakes_the_work_ends_the_exchange(tmp_path: Path) -> None:
    async def test(running: Running) -> None:
        step = await running.client.begin("smtp", "LOGIN", None, client_address=REMOTE, encrypted=True)
        assert isinstance(step, Challenge)
        going_on = asyncio.get_running_loop().create_task(running.client.continue_(step, ANN.encode()))
        await asyncio.sleep(0)
        running.client.abort(step)
        await asyncio.wait([going_on])
        with pytest.raises(ServiceUnavailable, match="no such exchange"):
            await running.client.continue_(step, b"secret")

    with_service(tmp_path, test)


def test_one_name_has_one_lock_however_it_is_written(tmp_path: Path) -> None:
    """Else the spellings of a name that exists would be told from those of one that does not."""

    async def test(running: Running) -> None:
        for name in ("ann", "nobody"):
            spellings = [name, f"{name}@example.com", name.upper(), f"{name.upper()}@EXAMPLE.com"]
            kinds = []
            for number in range(6):
                step = await converse(
                    running.client, "PLAIN", f"wrong{number}", spellings[number % 4], address=f"198.51.100.{number}"
                )
                assert isinstance(step, Failure)
                kinds.append(step.kind)
            assert kinds == ["credentials"] * 4 + ["locked"] * 2, name

    with_service(tmp_path, test, auth_default_domain="example.com", **LIMITS)
