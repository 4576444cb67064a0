"""Parameters of any service by its name: declared once, known to everybody who reads or shows the configuration."""

from __future__ import annotations

from pathlib import Path

import pytest

from pillarbox.commands.postconf import main
from pillarbox.lib.config import ConfigError, load
from pillarbox.lib.config.families import FAMILIES, service_of
from pillarbox.lib.config.parameter import REGISTER
from pillarbox.lib.config.parameters.qmgr import (
    DESTINATION_CONCURRENCY_LIMIT,
    DESTINATION_RATE_DELAY,
    DESTINATION_RECIPIENT_LIMIT,
    RECIPIENT_LIMIT,
)
from tests.commands.running import run

MASTER = "smtp: {command: smtp_client}\nlocal: {command: local}\nto-slow: {command: smtp_client}\n"
LONG = "quitedifferent" + "q" * 50


def etc(tmp_path: Path, text: str) -> Path:
    directory = tmp_path / "etc"
    directory.mkdir()
    (directory / "main.yaml").write_text(text)
    (directory / "master.yaml").write_text(MASTER)
    return directory


def test_a_service_has_its_own_value_or_the_default(tmp_path: Path) -> None:
    config = load(
        str(
            etc(
                tmp_path,
                "default_destination_rate_delay: 1s\nto-slow_destination_rate_delay: 10s\n"
                "to-slow_recipient_limit: 7\nsmtp_destination_concurrency_limit: $default_recipient_limit\n"
                "to-slow_destination_concurrency_limit: $virtual_destination_concurrency_limit\n",
            )
        )
    )
    assert config.of_service(DESTINATION_RATE_DELAY, "to-slow") == 10.0
    assert config.of_service(DESTINATION_RATE_DELAY, "smtp") == 1.0
    assert config.of_service(RECIPIENT_LIMIT, "to-slow") == 7
    assert config.of_service(DESTINATION_CONCURRENCY_LIMIT, "smtp") == 20000
    assert config.of_service(DESTINATION_CONCURRENCY_LIMIT, "to-slow") == 100
    assert config.of_service(DESTINATION_RECIPIENT_LIMIT, "local") == 1


def test_a_transport_that_is_no_service_has_the_default(tmp_path: Path) -> None:
    config = load(str(etc(tmp_path, "default_destination_rate_delay: 1s\n")))
    assert config.of_service(DESTINATION_RATE_DELAY, "nosuch") == 1.0


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("to-slow_destination_rate_dealy: 1s", 'unknown parameter; did you mean "to-slow_destination_rate_delay"?'),
        ("to-slow_destination_rate_delay: soon", 'a time such as "30s", "5m", "4h" or "5d" was expected'),
        ("smpt_destination_rate_delay: 1s", 'unknown parameter; did you mean "smtp_destination_rate_delay"?'),
        (
            "smtp_destination_concurrency_positive_feedback: 1/window",
            "a number from 0 to 1 was expected, perhaps with /concurrency or /sqrt_concurrency behind it",
        ),
        (
            f"{LONG}_recipient_limit: 1",
            f'unknown parameter: there is no service "{LONG}" in master.yaml',
        ),
    ],
)
def test_a_mistake_is_named(tmp_path: Path, line: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(str(etc(tmp_path, f"myhostname: a.test\n{line}\n")))
    name = line.partition(":")[0]
    assert [str(one) for one in caught.value.problems] == [f"{tmp_path}/etc/main.yaml, line 2: {name}: {said}"]


def test_postconf_knows_and_changes_them(tmp_path: Path) -> None:
    directory = etc(tmp_path, "to-slow_destination_rate_delay: 10s\n")
    assert run(main, "-c", directory, "to-slow_destination_rate_delay", "smtp_destination_rate_delay").out == (
        "to-slow_destination_rate_delay = 10s\nsmtp_destination_rate_delay = $default_destination_rate_delay\n"
    )
    assert "to-slow_destination_rate_delay = 10s\n" in run(main, "-c", directory).out
    assert run(main, "-c", directory, "-e", "smtp_recipient_limit=5").status == 0
    assert load(str(directory)).of_service(RECIPIENT_LIMIT, "smtp") == 5
    refused = run(main, "-c", directory, "-e", "smtp_recipient_limitt=5")
    assert refused.status and 'did you mean "smtp_recipient_limit"?' in refused.err


def test_no_two_families_share_a_name() -> None:
    """Else a parameter would belong to two families, or a member would be a parameter of its own."""
    suffixes = [one.suffix for one in FAMILIES]
    assert len(set(suffixes)) == len(suffixes)
    for one in FAMILIES:
        assert REGISTER[one.default.name] is one.default
        assert one.suffix in one.default.doc.replace("SERVICE_", "_"), f"{one.default.name} does not name its members"
    members = {f"smtp{suffix}" for suffix in suffixes}
    assert not members & REGISTER.keys()


def test_the_longest_suffix_says_whose_it_is() -> None:
    assert service_of("slow_destination_recipient_limit") == "slow"
    assert service_of("slow_extra_recipient_limit") == "slow"
    assert service_of("slow_recipient_limit") == "slow"
    assert service_of("message_size_limit") == ""
