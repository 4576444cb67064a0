"""What `pillarbox check` says about the passwords of the SMTP client, and when a reload would be refused for them."""

from __future__ import annotations

from pathlib import Path

import pytest

from pillarbox.commands.check_passwords import look_at_passwords, unusable_tables
from pillarbox.lib.config import Config, load

SERVICES = "smtp: {command: smtp_client}\nrelay: {command: smtp_client}\nsmtpd: {command: smtpd}\n"


def configured(instance: Path, tables: str, more: str = "", services: str = SERVICES) -> Config:
    etc = instance / "etc"
    (etc / "main.yaml").write_text(
        f'myhostname: mx.test\nsmtp_sasl_auth_enable: yes\nsmtp_sasl_password_maps: "{tables}"\n{more}\n'
    )
    (etc / "master.yaml").write_text(services)
    return load(str(etc))


@pytest.fixture
def file(instance: Path) -> Path:
    file = instance / "passwords"
    file.write_text("host ann:secret\n")
    file.chmod(0o600)
    return file


def test_nothing(instance: Path, file: Path) -> None:
    config = configured(instance, f"texthash:{file}")
    assert list(look_at_passwords(config)) == unusable_tables(config) == []


@pytest.mark.parametrize(
    ("table", "why"),
    [
        ("accounts:all", "asks the account database at each look-up"),
        ("unix:passwd.byname", "asks the system's name service"),
        ("texthash:/nonexistent", "open /nonexistent: No such file or directory"),
        ("nis:x", "unsupported dictionary type: nis"),
    ],
)
def test_what_cannot_be_used_is_said_once(instance: Path, table: str, why: str) -> None:
    config = configured(instance, table)
    (finding,) = look_at_passwords(config)
    assert finding.startswith("smtp_sasl_password_maps: ") and why in finding
    assert unusable_tables(config) == [finding]


def test_an_entry_that_is_passed_over_is_a_finding_but_no_hindrance(instance: Path, file: Path) -> None:
    file.write_text("host\n")
    config = configured(instance, f"texthash:{file}")
    (finding,) = look_at_passwords(config)
    assert f"{file}, line 1: expected format" in finding
    assert unusable_tables(config) == []


@pytest.mark.parametrize(
    "more", ["smtp_tls_policy_maps: texthash:FILE", "smtpd_client_restrictions: check_client_access texthash:FILE"]
)
def test_a_table_that_lookup_answers_about_is_no_place_for_passwords(instance: Path, file: Path, more: str) -> None:
    (finding,) = look_at_passwords(configured(instance, f"texthash:{file}", more.replace("FILE", str(file))))
    assert "lookup would tell the passwords to whoever asks" in finding


def test_where_nobody_logs_in_a_mistake_hinders_no_reload(instance: Path) -> None:
    services = "smtp: {command: smtp_client, options: {smtp_sasl_auth_enable: no}}\n"
    config = configured(instance, "texthash:/nonexistent", services=services)
    assert len(list(look_at_passwords(config))) == 1
    assert unusable_tables(config) == []
