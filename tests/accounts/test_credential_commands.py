"""`pillarbox app-password`, `certificate` and `user protocols`: what they do, print and end with."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from pillarbox.commands import app_password, certificate, user
from pillarbox.commands.pillarbox import main
from pillarbox.lib.accounts import AccountDatabase
from pillarbox.lib.accounts.app_passwords import is_app_password
from pillarbox.lib.config import Config
from tests.lab.certificates import Authority

ANN = "ann@example.com"
PRINT = "0f" * 32


@pytest.fixture
def config(tmp_path: Path) -> Config:
    made = Config.for_tests(auth_database=str(tmp_path / "accounts.sqlite"), auth_owner="0")
    assert user.main(["add", ANN, "pw"], made) == 0
    return made


def test_an_app_password_is_made_shown_once_and_taken_back(config: Config, capsys: pytest.CaptureFixture[str]) -> None:
    assert app_password.main(["add", "Ann@Example.com", "--name", "phone", "--protocol", "imap"], config) == 0
    password = capsys.readouterr().out.strip()
    assert is_app_password(password)
    assert app_password.main(["add", ANN, "--protocol=smtp,pop3"], config) == 0
    assert app_password.main(["add", "--name=all of them", ANN], config) == 0
    capsys.readouterr()
    assert app_password.main(["list", ANN], config) == 0
    listed = capsys.readouterr().out
    assert password not in listed
    assert [line.split("\t")[:2] for line in listed.splitlines()] == [
        ["phone", "imap"],
        ["app-1", "smtp,pop3"],
        ["all of them", "smtp,imap,pop3,sieve"],
    ]
    assert listed.count("never used") == 3
    assert app_password.main(["del", ANN, "phone"], config) == 0
    assert app_password.main(["del", ANN, "--name", "all of them"], config) == 0
    app_password.main(["list", ANN], config)
    assert capsys.readouterr().out.startswith("app-1\t")


def test_the_last_use_is_shown(config: Config, capsys: pytest.CaptureFixture[str]) -> None:
    with AccountDatabase.open(str(config.raw("auth_database"))) as accounts:
        accounts.app_passwords.add(ANN, "phone")
        accounts.app_passwords.record_use(1, "imap", "192.0.2.1")
    app_password.main(["list", ANN], config)
    assert " for imap from 192.0.2.1" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "status", "text"),
    [
        ([], 64, "usage: pillarbox app-password"),
        (["what"], 64, "usage:"),
        (["add"], 64, "usage:"),
        (["add", ANN, "phone"], 64, "usage:"),
        (["add", ANN, "--nome", "x"], 64, "unknown option --nome"),
        (["add", ANN, "--name"], 64, "--name needs a value"),
        (["list", ANN, "--name", "x"], 64, "takes no options"),
        (["del", ANN], 64, "say which one"),
        (["del", ANN, "x", "--protocol", "imap"], 64, "all its protocols"),
        (["add", "nonsense"], 65, "cannot be an account"),
        (["add", ANN, "--protocol", "http"], 65, '"http" is no protocol'),
        (["add", ANN, "--name", ""], 65, "the name must be"),
        (["add", ANN, "--protocol", ""], 65, "good for nothing"),
        (["add", "nobody@example.com"], 67, "has no account"),
        (["list", "nobody@example.com"], 67, "has no account"),
        (["del", ANN, "phone"], 67, 'no app password "phone"'),
    ],
)
def test_what_is_wrong_is_said_in_a_line(
    config: Config, capsys: pytest.CaptureFixture[str], words: list[str], status: int, text: str
) -> None:
    assert app_password.main(words, config) == status
    assert text in capsys.readouterr().err


def test_a_name_that_is_taken(config: Config, capsys: pytest.CaptureFixture[str]) -> None:
    app_password.main(["add", ANN, "--name", "phone"], config)
    assert app_password.main(["add", ANN, "--name", "phone"], config) == 73


def test_a_certificate_is_added_from_a_file_or_by_its_fingerprint(
    config: Config, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    issued = Authority(tmp_path / "ca").issue("ann")
    assert certificate.main(["add", ANN, str(issued.certificate), "--name", "laptop"], config) == 0
    assert certificate.main(["add", ANN, str(issued.certificate), "--key"], config) == 0
    assert certificate.main(["add", ANN, PRINT.upper()], config) == 0
    assert capsys.readouterr().out.split() == [issued.fingerprint, issued.public_key_digest, PRINT]
    assert certificate.main(["del", ANN, issued.public_key_digest], config) == 0
    assert certificate.main(["list", ANN], config) == 0
    assert set(capsys.readouterr().out.splitlines()) == {f"{issued.fingerprint}\tlaptop", PRINT}


@pytest.mark.parametrize(
    ("words", "status"),
    [
        ([], 64),
        (["add", ANN], 64),
        (["list", ANN, "--key"], 64),
        (["add", ANN, PRINT, "--key=x"], 64),
        (["add", ANN, "/etc/passwd"], 65),
        (["add", ANN, "/etc"], 65),
        (["add", ANN, "no-file"], 65),
        (["add", ANN, PRINT, "--key"], 65),
        (["add", "nobody@example.com", PRINT], 67),
        (["del", ANN, PRINT], 67),
    ],
)
def test_what_is_wrong_with_a_certificate(
    config: Config, capsys: pytest.CaptureFixture[str], words: list[str], status: int
) -> None:
    assert certificate.main(words, config) == status
    assert capsys.readouterr().err


def test_a_certificate_that_is_taken(config: Config) -> None:
    user.main(["add", "bob@example.com", "pw"], config)
    certificate.main(["add", ANN, PRINT], config)
    assert certificate.main(["add", "bob@example.com", PRINT], config) == 73


def test_the_protocols_of_the_password(config: Config, capsys: pytest.CaptureFixture[str]) -> None:
    for words, shown in (
        ([], "smtp imap pop3 sieve"),
        (["imap", "smtp"], "smtp imap"),
        (["all"], "smtp imap pop3 sieve"),
    ):
        assert user.main(["protocols", ANN, *words], config) == 0
        user.main(["protocols", ANN], config)
        assert capsys.readouterr().out.splitlines()[-1] == shown
    assert user.main(["protocols", ANN, "http"], config) == 65
    assert user.main(["protocols", "nobody@example.com"], config) == 67


@pytest.mark.parametrize("verb", ["app-password", "certificate"])
def test_they_are_found_by_the_administration_command(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], verb: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: Callable[[object], Config] = lambda _options: Config.for_tests()  # noqa: E731
    monkeypatch.setattr("pillarbox.commands.pillarbox._loaded", made)
    assert main([verb, "what"]) == 64
    assert f"usage: pillarbox {verb} add" in capsys.readouterr().err
