"""The client's parameters for LMTP: each may have a value of its own."""

from __future__ import annotations

from pathlib import Path

import pytest

from pillarbox.lib.config import Config, ConfigError, load
from pillarbox.lib.config.access import access_tables
from pillarbox.lib.config.parameters.smtp_client import LMTP_TCP_PORT, SMTP_CONNECT_TIMEOUT, SMTP_HELO_NAME

MASTER = "smtp:\n  command: smtp_client\nlmtp:\n  command: smtp_client\n"


def loaded(folder: Path, main: str) -> Config:
    (folder / "main.yaml").write_text(main)
    (folder / "master.yaml").write_text(MASTER)
    config = load(str(folder))
    return config if isinstance(config, Config) else config[0]


def test_one_that_is_set(tmp_path: Path) -> None:
    config = loaded(tmp_path, "smtp_connect_timeout: 7s\nlmtp_connect_timeout: 3s\n")
    assert config[SMTP_CONNECT_TIMEOUT] == 7
    assert config.for_lmtp()[SMTP_CONNECT_TIMEOUT] == 3


def test_one_that_is_not(tmp_path: Path) -> None:
    config = loaded(tmp_path, "smtp_connect_timeout: 7s\nsmtp_helo_name: x.example\n")
    assert config.for_lmtp()[SMTP_CONNECT_TIMEOUT] == 7
    assert config.raw("lmtp_connect_timeout") == "$smtp_connect_timeout"
    assert config.expanded("lmtp_helo_name") == config[SMTP_HELO_NAME] == "x.example"


def test_those_that_are_declared_for_lmtp_stay_what_they_are(tmp_path: Path) -> None:
    config = loaded(tmp_path, "lmtp_tcp_port: '2424'\n")
    assert config.for_lmtp()[LMTP_TCP_PORT] == "2424"


@pytest.mark.parametrize("main", ["lmtp_connect_timeout: soon\n", "lmtp_conect_timeout: 3s\n", "lmtp_: 3s\n"])
def test_mistakes_are_found(tmp_path: Path, main: str) -> None:
    with pytest.raises(ConfigError) as caught:
        loaded(tmp_path, main)
    assert main.partition(":")[0] in str(caught.value)


def test_its_tables_may_be_asked_about(tmp_path: Path) -> None:
    assert "hash:/l" in access_tables(loaded(tmp_path, "lmtp_tls_policy_maps: hash:/l\n"))


def test_its_passwords_may_not(tmp_path: Path) -> None:
    assert "hash:/l" not in access_tables(loaded(tmp_path, "lmtp_sasl_password_maps: hash:/l\n"))
