"""The account database: rows, durability across processes, ownership, damage."""

from __future__ import annotations

import os
import sqlite3
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from pillarbox.lib.accounts import (
    AccountDatabase,
    AccountExists,
    AccountNotFound,
    AccountsUnavailable,
    BadAddress,
    BadPassword,
    verify_password,
)
from pillarbox.lib.accounts.database import database_files
from pillarbox.lib.sasl.scram import make_scram_keys


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "accounts.sqlite")


def create(path: str) -> AccountDatabase:
    return AccountDatabase.open(path, create=True, clock=lambda: 1000.0)


def test_an_added_account_is_found_under_its_normal_form(path: str) -> None:
    with create(path) as accounts:
        assert accounts.add("Ann@Example.COM", "secret") == "ann@example.com"
        row = accounts.lookup("ann@example.com")
    assert row is not None
    assert (row.address, row.created, row.changed) == ("ann@example.com", 1000.0, 1000.0)


def test_both_credentials_are_of_the_password(path: str) -> None:
    with create(path) as accounts:
        accounts.add("ann@example.com", "secret")
        row = accounts.lookup("ann@example.com")
    assert row is not None
    assert verify_password("secret", row.password)
    assert not verify_password("Secret", row.password)
    assert make_scram_keys("secret", row.scram.salt, row.scram.iterations) == row.scram


def test_a_row_does_not_show_its_secrets(path: str) -> None:
    with create(path) as accounts:
        accounts.add("ann@example.com", "secret")
        row = accounts.lookup("ann@example.com")
    assert "argon2" not in repr(row)
    assert "ScramKeys" not in repr(row)


def test_an_account_exists_once(path: str) -> None:
    with create(path) as accounts:
        accounts.add("ann@example.com", "secret")
        with pytest.raises(AccountExists, match=r"ann@example\.com has an account already"):
            accounts.add("ANN@example.com", "other")


def test_a_new_password_replaces_the_old(path: str) -> None:
    with create(path) as accounts:
        accounts.add("ann@example.com", "secret")
        accounts.set_password("ann@example.com", "other")
        row = accounts.lookup("ann@example.com")
    assert row is not None
    assert verify_password("other", row.password)
    assert not verify_password("secret", row.password)


def test_a_deleted_account_is_gone(path: str) -> None:
    with create(path) as accounts:
        accounts.add("ann@example.com", "secret")
        accounts.delete("ann@example.com")
        assert accounts.lookup("ann@example.com") is None
        assert not accounts.has_domain("example.com")


def test_changes_to_nobody_are_refused(path: str) -> None:
    with create(path) as accounts:
        with pytest.raises(AccountNotFound):
            accounts.set_password("bob@example.com", "x")
        with pytest.raises(AccountNotFound):
            accounts.delete("bob@example.com")


def test_accounts_are_listed_by_domain(path: str) -> None:
    with create(path) as accounts:
        for address in ("b@b.org", "z@a.org", "a@b.org"):
            accounts.add(address, "pw")
        assert accounts.addresses() == ["z@a.org", "a@b.org", "b@b.org"]
        assert accounts.addresses("b.org") == ["a@b.org", "b@b.org"]
        assert accounts.has_domain("a.org")
        assert accounts.domains("", 1) == ["a.org"]
        assert not accounts.has_domain("c.org")


@pytest.mark.parametrize("password", ["", "x" * 1025, "a\0b", "a\r\nb"])
def test_passwords_that_no_client_can_send_are_refused(path: str, password: str) -> None:
    with create(path) as accounts, pytest.raises(BadPassword):
        accounts.add("ann@example.com", password)


@pytest.mark.parametrize(
    "address",
    ["", "ann", "@example.com", "ann@", "a/b@example.com", "..@example.com", '"."@x.org', '"a\0"@x.org', "a@b@c"],
)
def test_addresses_that_cannot_be_accounts_are_refused(path: str, address: str) -> None:
    with create(path) as accounts, pytest.raises(BadAddress):
        accounts.add(address, "pw")


def test_files_are_for_their_owner_only_whatever_the_umask(path: str) -> None:
    before = os.umask(0)
    try:
        create(path).close()
    finally:
        os.umask(before)
    for name in database_files(path):
        assert stat.S_IMODE(Path(name).stat().st_mode) == 0o600, name


def test_a_missing_database_says_how_it_is_made(path: str) -> None:
    with pytest.raises(AccountsUnavailable, match="pillarbox user add"):
        AccountDatabase.open(path)


def test_a_file_that_is_no_database_is_unavailable(path: str) -> None:
    Path(path).write_bytes(b"not a database, but long enough to be looked at as one" * 50)
    with pytest.raises(AccountsUnavailable):
        AccountDatabase.open(path)


def test_a_database_of_a_newer_suite_is_refused(path: str) -> None:
    create(path).close()
    raw = sqlite3.connect(path)
    raw.execute("PRAGMA user_version = 99")
    raw.close()
    with pytest.raises(AccountsUnavailable, match="schema version 99"):
        AccountDatabase.open(path)


def test_damaged_keys_are_reported_for_their_account(path: str) -> None:
    with create(path) as accounts:
        accounts.add("ann@example.com", "pw")
        raw = sqlite3.connect(path)
        raw.execute("UPDATE accounts SET scram_sha_256 = 'x'")
        raw.commit()
        raw.close()
        with pytest.raises(AccountsUnavailable, match=r"ann@example\.com"):
            accounts.lookup("ann@example.com")


def test_a_reader_sees_a_change_by_another_process_at_once(path: str) -> None:
    create(path).close()
    with AccountDatabase.open(path) as reader:
        assert not reader.exists("ann@example.com")
        code = (
            "import sys; from pillarbox.lib.accounts import AccountDatabase;"
            "AccountDatabase.open(sys.argv[1]).add('ann@example.com', 'pw')"
        )
        subprocess.run([sys.executable, "-c", code, path], check=True, env={"PYTHONPATH": "src"})
        assert reader.exists("ann@example.com")


def test_what_a_killed_writer_left_is_rolled_back_by_the_reader(path: str) -> None:
    with create(path) as accounts:
        accounts.add("ann@example.com", "pw")
    code = (
        "import os, sqlite3, sys; c = sqlite3.connect(sys.argv[1], isolation_level=None);"
        "c.execute('PRAGMA journal_mode = PERSIST'); c.execute('PRAGMA cache_size = 1');"
        "c.execute('BEGIN IMMEDIATE'); c.execute('DELETE FROM accounts');"
        "c.execute('CREATE TABLE junk AS WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n LIMIT 20000)"
        " SELECT randomblob(100) FROM n');"
        "os.kill(os.getpid(), 9)"
    )
    size = Path(path).stat().st_size
    assert subprocess.run([sys.executable, "-c", code, path]).returncode == -9
    assert Path(path).stat().st_size > size, "the writer had not spilled to the file: nothing is shown"
    with AccountDatabase.open(path) as reader:
        assert reader.exists("ann@example.com")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_root_writes_and_the_auth_user_reads() -> None:
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        write_as_root_and_read_as(54321, f"{folder}/accounts.sqlite")


def write_as_root_and_read_as(uid: int, path: str) -> None:
    with AccountDatabase.open(path, create=True, owner=(uid, uid)) as accounts:
        accounts.add("ann@example.com", "pw")
    for name in database_files(path):
        assert Path(name).stat().st_uid == uid, name
    child = os.fork()
    if child == 0:
        status = 1
        try:
            os.setgroups([])
            os.setgid(uid)
            os.setuid(uid)
            with AccountDatabase.open(path) as reader:
                status = 0 if reader.exists("ann@example.com") else 2
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_the_secret_stays_the_same(path: str) -> None:
    with create(path) as accounts:
        first = accounts.secret()
    with AccountDatabase.open(path) as accounts:
        assert accounts.secret() == first
    assert len(first) == 32
