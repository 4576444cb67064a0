"""App passwords, certificates and known networks in the account database; and the upgrade of a former one."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from pillarbox.lib.accounts import (
    AccountDatabase,
    AccountNotFound,
    AccountsUnavailable,
    AppPasswordExists,
    AppPasswordNotFound,
    BadAppPassword,
    BadCertificate,
    BadProtocol,
    CertificateExists,
    CertificateNotFound,
    hash_password,
    verify_password,
)
from pillarbox.lib.accounts import networks as networks_module
from pillarbox.lib.accounts.app_passwords import MOST, is_app_password, make_app_password
from pillarbox.lib.accounts.certificates import certificate_fingerprint, normalize_fingerprint
from pillarbox.lib.accounts.schema import STEPS
from pillarbox.lib.sasl.scram import make_scram_keys
from tests.auth.service import Clock
from tests.lab.certificates import Authority

ANN = "ann@example.com"
PRINT = "0f" * 32


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "accounts.sqlite")


def create(path: str, clock: Clock | None = None) -> AccountDatabase:
    database = AccountDatabase.open(path, create=True, clock=clock or Clock())
    database.add(ANN, "secret")
    return database


# --- app passwords
def test_an_app_password_is_shown_once_and_kept_as_keys(path: str) -> None:
    with create(path) as accounts:
        password = accounts.app_passwords.add("Ann@example.com", "phone", ["imap", "SMTP"])
        (stored,) = accounts.app_passwords.of(ANN)
        row = accounts.lookup(ANN)
    assert row is not None
    assert is_app_password(password)
    assert (stored.name, stored.protocols, stored.used) == ("phone", ("smtp", "imap"), 0)
    assert (stored.scram.salt, stored.scram.iterations) == (row.scram.salt, row.scram.iterations), (
        "or SCRAM cannot work"
    )
    assert make_scram_keys(password, stored.scram.salt, stored.scram.iterations) == stored.scram
    assert password.encode() not in Path(path).read_bytes()


def test_app_passwords_are_random_and_have_a_shape_of_their_own() -> None:
    assert len({make_app_password() for _ in range(100)}) == 100
    assert not any(is_app_password(text) for text in ("", "secret", "abcd-efgh-ijkm-npqr-stu1", "abcd-efgh-ijkm-npqr"))


def test_a_changed_password_leaves_app_passwords_good(path: str) -> None:
    with create(path) as accounts:
        before = accounts.lookup(ANN)
        accounts.set_password(ANN, "second")
        between = accounts.lookup(ANN)
        accounts.app_passwords.add(ANN, "phone")
        accounts.set_password(ANN, "third")
        after = accounts.lookup(ANN)
        (phone,) = accounts.app_passwords.of(ANN)
    assert before is not None and between is not None and after is not None
    assert before.scram.salt != between.scram.salt == after.scram.salt == phone.scram.salt
    assert make_scram_keys("third", after.scram.salt, after.scram.iterations) == after.scram


def test_what_cannot_be_an_app_password_is_refused(path: str) -> None:
    with create(path) as accounts:
        accounts.app_passwords.add(ANN, "phone")
        with pytest.raises(AppPasswordExists):
            accounts.app_passwords.add(ANN, "phone")
        for name in ("", "x" * 65, "two\nlines"):
            with pytest.raises(BadAppPassword):
                accounts.app_passwords.add(ANN, name)
        with pytest.raises(BadAppPassword, match="no protocol"):
            accounts.app_passwords.add(ANN, "other", [])
        with pytest.raises(BadProtocol, match='"http" is no protocol; known are smtp'):
            accounts.app_passwords.add(ANN, "other", ["http"])
        with pytest.raises(AccountNotFound):
            accounts.app_passwords.add("nobody@example.com", "phone")
        for number in range(MOST - 1):
            accounts.app_passwords.add(ANN, f"n{number}")
        with pytest.raises(BadAppPassword, match="delete one first"):
            accounts.app_passwords.add(ANN, "one too many")


def test_app_passwords_are_removed_alone_or_with_their_account(path: str) -> None:
    with create(path) as accounts:
        accounts.app_passwords.add(ANN, "phone")
        accounts.app_passwords.add(ANN, "laptop")
        accounts.app_passwords.delete(ANN, "phone")
        assert [one.name for one in accounts.app_passwords.of(ANN)] == ["laptop"]
        with pytest.raises(AppPasswordNotFound):
            accounts.app_passwords.delete(ANN, "phone")
        accounts.certificates.add(ANN, PRINT)
        accounts.known_networks.record(ANN, "192.0.2.1")
        accounts.delete(ANN)
        accounts.add(ANN, "another person")
        assert accounts.app_passwords.of(ANN) == []
        assert accounts.certificates.owner(PRINT) == ""
        assert accounts.known_networks.seen(ANN, "192.0.2.1") == 0


def test_the_last_use_is_kept(path: str) -> None:
    with create(path) as accounts:
        accounts.app_passwords.add(ANN, "phone")
        (phone,) = accounts.app_passwords.of(ANN)
        accounts.app_passwords.record_use(phone.id, "imap", "192.0.2.1")
        (phone,) = accounts.app_passwords.of(ANN)
    assert (phone.used, phone.used_for, phone.used_from) == (1000.0, "imap", "192.0.2.1")


def test_the_password_itself_can_be_barred(path: str) -> None:
    with create(path) as accounts:
        accounts.set_password_protocols(ANN, ["imap"])
        row = accounts.lookup(ANN)
        assert row is not None
        assert row.password_protocols == ("imap",)
        with pytest.raises(AccountNotFound):
            accounts.set_password_protocols("nobody@example.com", [])


# --- certificates
def test_a_fingerprint_is_found_however_it_was_written(path: str) -> None:
    with create(path) as accounts:
        accounts.certificates.add(ANN, "SHA256:" + ":".join(["0F"] * 32), "laptop")
        assert accounts.certificates.owner(PRINT) == ANN
        assert [one.name for one in accounts.certificates.of(ANN)] == ["laptop"]
        accounts.certificates.delete(ANN, PRINT.upper())
        assert accounts.certificates.owner(PRINT) == ""
        with pytest.raises(CertificateNotFound):
            accounts.certificates.delete(ANN, PRINT)


def test_a_certificate_stands_for_one_account(path: str) -> None:
    with create(path) as accounts:
        accounts.add("bob@example.com", "pw")
        accounts.certificates.add(ANN, PRINT)
        with pytest.raises(CertificateExists, match=r"stands for ann@example\.com already"):
            accounts.certificates.add("bob@example.com", PRINT)
        with pytest.raises(AccountNotFound):
            accounts.certificates.add("nobody@example.com", "1f" * 32)


@pytest.mark.parametrize("text", ["", "0f", "0f" * 20, "zz" * 32, "SHA1:" + "0f" * 32])
def test_what_is_no_fingerprint_is_refused(text: str) -> None:
    with pytest.raises(BadCertificate):
        normalize_fingerprint(text)


def test_fingerprints_are_those_of_other_tools(tmp_path: Path) -> None:
    issued = Authority(tmp_path).issue("ann")
    pem = issued.certificate.read_bytes()
    assert certificate_fingerprint(pem) == issued.fingerprint
    assert certificate_fingerprint(pem, key=True) == issued.public_key_digest
    with pytest.raises(BadCertificate):
        certificate_fingerprint(b"nonsense")


# --- known networks
def test_networks_are_known_for_a_time_and_the_latest_count(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(networks_module, "MOST", 2)
    clock = Clock()
    with create(path, clock) as accounts:
        known = accounts.known_networks
        for network in ("192.0.2.1", "192.0.2.2", "192.0.2.3"):
            clock.now += 1
            known.record(ANN, network)
        assert [known.seen(ANN, network) for network in ("192.0.2.1", "192.0.2.2", "192.0.2.3")] == [0, 1002, 1003]
        clock.now += networks_module.LIFETIME
        assert known.seen(ANN, "192.0.2.3") == 0


# --- the upgrade
def test_a_database_of_the_former_schema_is_upgraded_in_place_without_loss(path: str) -> None:
    keys = make_scram_keys("secret", b"0123456789abcdef")
    with sqlite3.connect(path) as former:
        former.executescript(STEPS[0])
        former.execute("PRAGMA user_version = 1")
        row = (ANN, "example.com", hash_password("secret"), keys.to_text(), 11.0, 12.0)
        former.execute("INSERT INTO accounts VALUES (?, ?, ?, ?, ?, ?)", row)
        former.commit()
        secret = former.execute("SELECT value FROM secrets").fetchone()[0]
    former.close()
    with pytest.raises(AccountsUnavailable, match="schema version 1"):
        AccountDatabase.open(path)
    for _ in range(2):  # and opening it again changes nothing
        with AccountDatabase.open(path, create=True) as accounts:
            found = accounts.lookup(ANN)
            assert found is not None
            assert (found.created, found.changed, found.scram, found.password_protocols) == (11.0, 12.0, keys, ())
            assert verify_password("secret", found.password)
            assert accounts.secret() == secret
            assert accounts.addresses() == [ANN]
    with AccountDatabase.open(path) as accounts:
        accounts.app_passwords.add(ANN, "phone")


def test_an_upgrade_that_breaks_off_leaves_the_former_database(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    create(path).close()
    from pillarbox.lib.accounts import schema

    broken = (*STEPS, "CREATE TABLE half_done (x TEXT); SELECT no_such_function();")
    monkeypatch.setattr(schema, "STEPS", broken)
    monkeypatch.setattr(schema, "VERSION", len(broken))
    with pytest.raises(AccountsUnavailable):
        AccountDatabase.open(path, create=True)
    monkeypatch.undo()
    with AccountDatabase.open(path) as accounts:
        assert accounts.addresses() == [ANN]
