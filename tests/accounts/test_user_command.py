"""`pillarbox user`: what it does, prints and ends with."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from pillarbox.commands import user
from pillarbox.lib.accounts import AccountDatabase, verify_password
from pillarbox.lib.config import Config


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return Config.for_tests(auth_database=str(tmp_path / "accounts.sqlite"), auth_owner="0")


def stored(config: Config, address: str) -> str:
    with AccountDatabase.open(str(config.raw("auth_database"))) as accounts:
        row = accounts.lookup(address)
    assert row is not None
    return row.password


def test_add_list_and_delete(config: Config, capsys: pytest.CaptureFixture[str]) -> None:
    assert user.main(["add", "Bob@Example.org", "pw"], config) == 0
    assert user.main(["add", "ann@example.com", "pw"], config) == 0
    assert user.main(["list"], config) == 0
    assert capsys.readouterr().out == "ann@example.com\nbob@example.org\n"
    assert user.main(["del", "bob@example.org"], config) == 0
    assert user.main(["list", "EXAMPLE.ORG"], config) == 0
    assert capsys.readouterr().out == ""


def test_passwd_changes_the_password(config: Config) -> None:
    user.main(["add", "ann@example.com", "old"], config)
    assert user.main(["passwd", "ann@example.com", "new"], config) == 0
    assert verify_password("new", stored(config, "ann@example.com"))


def test_a_quota_is_set_shown_and_taken_back(config: Config, capsys: pytest.CaptureFixture[str]) -> None:
    user.main(["add", "ann@example.com", "pw"], config)
    for words, shown in (
        ([], "default"),
        (["1G", "10C"], "1073741824S,10C"),
        (["none"], "0S"),
        (["default"], "default"),
    ):
        assert user.main(["quota", "ann@example.com", *words], config) == 0
        assert user.main(["quota", "ann@example.com"], config) == 0
        assert capsys.readouterr().out.split("\n")[-2] == f"{shown} used 0S,0C"
    assert user.main(["quota", "ann@example.com", "much"], config) == 65
    assert 'a quota as "1G"' in capsys.readouterr().err
    assert user.main(["quota", "bob@example.com", "1G"], config) == 67


def test_a_location_is_set_shown_and_taken_back(config: Config, capsys: pytest.CaptureFixture[str]) -> None:
    user.main(["add", "ann@example.com", "pw"], config)
    for words, shown in (
        ([], "maildir:"),
        (["mbox:/mail/%n"], "mbox:/mail/ann\n"),
        (["default"], "maildir:"),
    ):
        assert user.main(["location", "ann@example.com", *words], config) == 0
        assert user.main(["location", "ann@example.com"], config) == 0
        assert capsys.readouterr().out.startswith(shown)
    assert user.main(["location", "ann@example.com", "nowhere"], config) == 65
    assert "kinds are maildir:" in capsys.readouterr().err
    assert user.main(["location", "bob@example.com", "mbox:/x"], config) == 67


def test_the_password_may_come_on_the_standard_input(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("from stdin\nnot this\n"))
    assert user.main(["add", "ann@example.com"], config) == 0
    assert verify_password("from stdin", stored(config, "ann@example.com"))


@pytest.mark.parametrize(
    "words", [[], ["what"], ["add"], ["add", "a@b.org", "pw", "more"], ["del"], ["list", "a", "b"]]
)
def test_wrong_words_show_the_usage(config: Config, capsys: pytest.CaptureFixture[str], words: list[str]) -> None:
    assert user.main(words, config) == 64
    assert capsys.readouterr().err.startswith("usage: pillarbox user add ADDRESS")


@pytest.mark.parametrize(
    ("words", "status", "text"),
    [
        (["add", "nonsense", "pw"], 65, '"nonsense" cannot be an account'),
        (["add", "bob@example.com", ""], 65, "the password is empty"),
        (["add", "ann@example.com", "pw"], 73, "ann@example.com has an account already"),
        (["passwd", "bob@example.com", "pw"], 67, "bob@example.com has no account"),
        (["del", "bob@example.com"], 67, "bob@example.com has no account"),
    ],
)
def test_errors_are_one_line_and_a_sysexits_code(
    config: Config, capsys: pytest.CaptureFixture[str], words: list[str], status: int, text: str
) -> None:
    user.main(["add", "ann@example.com", "pw"], config)
    assert user.main(words, config) == status
    error = capsys.readouterr().err
    assert text in error
    assert error.count("\n") == 1


def test_a_directory_that_does_not_exist_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    config = Config.for_tests(auth_database="/nonexistent/accounts.sqlite", auth_owner="0")
    assert user.main(["list"], config) == 77
    assert "/nonexistent/accounts.sqlite" in capsys.readouterr().err
