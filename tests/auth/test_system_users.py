"""System users: crypt(3), shadow(5), PAM, and who counts as one."""

from __future__ import annotations

import asyncio
import os
import pwd
from pathlib import Path

import pytest

from pillarbox.auth import crypt, pam, shadow
from pillarbox.auth.checker import PasswordChecker
from pillarbox.auth.users import SystemUser, UserDirectory
from pillarbox.auth.verdict import Verdict
from pillarbox.lib.accounts import AccountDatabase
from pillarbox.lib.config import Config
from pillarbox.lib.log import log
from pillarbox.lib.sasl import ScramKeys
from tests.auth.service import Running, configuration, with_service

SETTINGS = ["$y$j9T$abcdefghijkl", "$6$saltsalt$", "$5$saltsalt$", "$2b$04$abcdefghijklmnopqrstuu", "$1$saltsalt$"]


@pytest.mark.parametrize("setting", SETTINGS)
def test_every_kind_of_hash_verifies(setting: str) -> None:
    hashed = crypt.crypt("pässword", setting)
    assert hashed is not None
    assert crypt.verify("pässword", hashed)
    assert not crypt.verify("password", hashed)


@pytest.mark.parametrize("stored", ["", "*", "!", "!!", "!$6$saltsalt$x", "x", "$99$what$", "$6$a\0b"])
def test_locked_empty_and_unknown_hashes_verify_nothing(stored: str) -> None:
    assert not crypt.verify("", stored)
    assert not crypt.verify("x", stored)


def test_a_password_with_nul_is_not_cut() -> None:
    hashed = crypt.crypt("pw", "$5$saltsalt$")
    assert hashed is not None
    assert not crypt.verify("pw\0more", hashed)


def shadow_file(folder: Path) -> Path:
    file = folder / "shadow"
    good = crypt.crypt("pw", "$5$saltsalt$")
    file.write_text(
        f"root:*:19000:0:99999:7:::\nann:{good}:19000:0:99999:7:::\nold:{good}:19000:0:99999:7::19001:\nbad\n"
    )
    return file


@pytest.mark.parametrize(
    ("name", "password", "verdict"),
    [
        ("ann", "pw", Verdict.RIGHT),
        ("ann", "PW", Verdict.WRONG),
        ("ann", "", Verdict.WRONG),
        ("root", "*", Verdict.WRONG),
        ("nobody", "pw", Verdict.WRONG),
        ("bad", "pw", Verdict.WRONG),
        ("old", "pw", Verdict.DISABLED),
        ("old", "x", Verdict.WRONG),
    ],
)
def test_shadow_decides(tmp_path: Path, name: str, password: str, verdict: Verdict) -> None:
    assert shadow.check(name, password, file=shadow_file(tmp_path), clock=lambda: 1.8e9) is verdict


def test_a_shadow_file_that_cannot_be_read_is_unavailable(tmp_path: Path) -> None:
    assert shadow.check("ann", "pw", file=tmp_path / "none") is Verdict.UNAVAILABLE


def pam_service(folder: Path, *lines: str) -> str:
    (folder / "mail").write_text("".join(f"{line}\n" for line in lines))
    (folder / "other").write_text("auth required pam_deny.so\naccount required pam_deny.so\n")
    return str(folder)


@pytest.mark.parametrize(
    ("auth_module", "account_module", "verdict"),
    [
        ("pam_permit.so", "pam_permit.so", Verdict.RIGHT),
        ("pam_deny.so", "pam_permit.so", Verdict.WRONG),
        ("pam_permit.so", "pam_deny.so", Verdict.DISABLED),
    ],
)
def test_pam_decides(tmp_path: Path, auth_module: str, account_module: str, verdict: Verdict) -> None:
    directory = pam_service(tmp_path, f"auth required {auth_module}", f"account required {account_module}")
    assert pam.check("mail", "ann", "pw", "192.0.2.1", directory=directory) is verdict


def test_pam_modules_get_the_password(tmp_path: Path) -> None:
    script = tmp_path / "check"
    script.write_text('#!/bin/sh\nread -r password\n[ "$PAM_USER:$PAM_RHOST:$password" = "ann:192.0.2.1:two words" ]\n')
    script.chmod(0o755)
    directory = pam_service(
        tmp_path, f"auth required pam_exec.so expose_authtok {script}", "account required pam_permit.so"
    )
    assert pam.check("mail", "ann", "two words", "192.0.2.1", directory=directory) is Verdict.RIGHT
    assert pam.check("mail", "ann", "wrong", "192.0.2.1", directory=directory) is Verdict.WRONG


def test_a_service_that_pam_does_not_know_lets_nobody_in(tmp_path: Path) -> None:
    directory = pam_service(tmp_path)
    assert pam.check("unknown", "ann", "pw", directory=directory) is not Verdict.RIGHT


def test_pam_refuses_nul_and_empty_names(tmp_path: Path) -> None:
    directory = pam_service(tmp_path, "auth required pam_permit.so", "account required pam_permit.so")
    assert pam.check("mail", "a\0b", "pw", directory=directory) is Verdict.WRONG
    assert pam.check("mail", "", "pw", directory=directory) is Verdict.WRONG


ENTRY = pwd.struct_passwd(("ann", "x", 1234, 5678, "Ann", "/home/ann", "/bin/sh"))
DAEMON = pwd.struct_passwd(("daemon", "x", 1, 1, "", "/", "/bin/false"))


@pytest.fixture
def passwd(monkeypatch: pytest.MonkeyPatch) -> None:
    entries = {entry.pw_name: entry for entry in (ENTRY, DAEMON)}
    monkeypatch.setattr(pwd, "getpwnam", entries.__getitem__)


def directory(folder: Path, **values: str) -> UserDirectory:
    config = configuration(folder, auth_system_users="shadow", **values)
    return UserDirectory(config, AccountDatabase.open(str(config.raw("auth_database")), create=True))


@pytest.mark.usefixtures("passwd")
def test_names_and_local_addresses_are_system_users(tmp_path: Path) -> None:
    users = directory(tmp_path)
    for name in ("ann", "ann@localhost", "ann@LOCALHOST"):
        user = users.find(name)
        assert isinstance(user, SystemUser), name
        account = user.account
        assert (account.address, account.uid, account.gid, account.home) == ("ann", 1234, 5678, "/home/ann")
    for name in ("ann@example.com", "bob", "daemon", "daemon@localhost", ""):
        assert users.find(name) is None, name


@pytest.mark.usefixtures("passwd")
def test_system_users_do_not_exist_unless_configured(tmp_path: Path) -> None:
    users = directory(tmp_path)
    users.system_users = False
    assert users.find("ann") is None


@pytest.mark.usefixtures("passwd")
@pytest.mark.parametrize(
    ("values", "mail"),
    [
        ({"mail_spool_directory": "/var/mail"}, "mbox:/home/ann/mail:INBOX=/var/mail/ann"),
        ({"mail_spool_directory": "/var/mail/"}, "maildir:/var/mail/ann"),
        ({"home_mailbox": "Maildir/"}, "maildir:/home/ann/Maildir"),
        ({"home_mailbox": "mbox"}, "mbox:/home/ann/mail:INBOX=/home/ann/mbox"),
        ({"auth_system_mail": "maildir:%h/.mail-%u"}, "maildir:/home/ann/.mail-ann"),
    ],
)
def test_their_mail_is_where_local_delivers_it(tmp_path: Path, values: dict[str, str], mail: str) -> None:
    user = directory(tmp_path, **values).find("ann")
    assert user is not None
    assert user.account.mail == mail


@pytest.mark.usefixtures("passwd")
def test_the_checker_asks_the_configured_backend(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shadow, "SHADOW", shadow_file(tmp_path))
    asked: list[tuple[str, ...]] = []

    def record(*arguments: str) -> Verdict:
        asked.append(arguments)
        return Verdict.RIGHT

    monkeypatch.setattr(shadow, "check", record)
    monkeypatch.setattr(pam, "check", record)
    user = directory(tmp_path).find("ann")
    for backend in ("shadow", "pam"):
        checker = PasswordChecker(Config.for_tests(auth_system_users=backend))
        keys = ScramKeys(b"salt", 4096, b"", b"")
        checked = asyncio.run(checker.check(user, "pw", "192.0.2.1", "imap", app_passwords=(), keys=keys))
        assert checked.verdict is Verdict.RIGHT
        checker.close()
    assert asked == [("ann", "pw"), ("pillarbox", "ann", "pw", "192.0.2.1")]


def test_scram_is_not_offered_beside_system_users_unless_asked_for(tmp_path: Path) -> None:
    async def offered(running: Running) -> tuple[str, ...]:
        return await running.client.mechanisms(True, "")

    assert with_service(tmp_path / "a", offered, auth_system_users="shadow") == ("PLAIN", "LOGIN")
    values = {"auth_system_users": "shadow", "auth_mechanisms": "plain scram-sha-256"}
    assert with_service(tmp_path / "b", offered, **values) == ("PLAIN", "SCRAM-SHA-256")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may read /etc/shadow")
def test_the_real_shadow_file_can_be_read() -> None:
    with log.capture():
        assert shadow.check("no-such-user", "pw") is Verdict.WRONG
