"""What `pillarbox check` says of local delivery's configuration."""

from __future__ import annotations

from pathlib import Path

import pytest

from pillarbox.lib.config import Config, Service
from pillarbox.local.mistakes import mistakes


def found(**options: str) -> list[str]:
    config = Config.for_tests(default_privs="65534:65534", **options)
    config.services = {"lmtp": Service("lmtp", "smtp_client")}
    return list(mistakes(config))


def test_a_configuration_without_mistakes_has_none() -> None:
    assert found() == []


@pytest.mark.parametrize("parameter", ["mailbox_transport", "fallback_transport"])
def test_a_transport_must_be_a_service(parameter: str, tmp_path: Path) -> None:
    assert found(**{parameter: "lmtp:unix:/x"}) == []
    (line,) = found(**{parameter: "lmpt:unix:/x"})
    assert line.startswith(f'{parameter}: "lmpt:unix:/x": transport:nexthop was expected')
    table = tmp_path / "transports"
    table.write_text("ann lmtp:unix:/x\nbob lmpt:unix:/x\n")
    (line,) = found(**{f"{parameter}_maps": f"texthash:{table}"})
    assert line.startswith(f'{parameter}_maps: texthash:{table}: bob: "lmpt:unix:/x"')


def test_a_mailbox_must_have_room_for_a_message() -> None:
    (line,) = found(message_size_limit="100000000")
    assert line.startswith("mailbox_size_limit: 51200000 is less than message_size_limit (100000000)")
    assert len(found(message_size_limit="0")) == 1
    assert found(message_size_limit="0", mailbox_size_limit="0") == []


def test_commands_come_from_files_only() -> None:
    (line,) = found(mailbox_command_maps="unix:passwd.byname")
    assert line.startswith("mailbox_command_maps: table unix:passwd.byname: the type unix asks")


def test_default_privs_is_no_root() -> None:
    assert "not root" in next(mistakes(Config.for_tests(default_privs="0:0")))
    assert "no such user" in next(mistakes(Config.for_tests(default_privs="nobody-of-this-name")))
