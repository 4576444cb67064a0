"""What `pillarbox check` says about tables of content checks and about filters."""

from __future__ import annotations

from pathlib import Path

import pytest

from pillarbox.commands.check_content import look_at_content
from pillarbox.lib.config import ConfigError, load

SERVICES = "cleanup: {command: cleanup}\nscan: {command: smtp_client}\n"


def findings(instance: Path, settings: str, services: str = SERVICES) -> list[str]:
    etc = instance / "etc"
    (etc / "main.yaml").write_text(f"myhostname: mx.test\n{settings}\n")
    (etc / "master.yaml").write_text(services)
    return list(look_at_content(load(str(etc))))


def test_nothing(instance: Path) -> None:
    rules = instance / "rules"
    rules.write_text("/x/ REJECT\n")
    assert findings(instance, f"header_checks: regexp:{rules}\ncontent_filter: scan:there") == []


def test_a_missing_file_is_named_once_per_list(instance: Path) -> None:
    assert findings(instance, "body_checks: pcre:/nonexistent/rules") == [
        "body_checks: /nonexistent/rules: there is no such file"
    ]


def test_an_unknown_type(instance: Path) -> None:
    assert findings(instance, "body_checks: regex:/x") == ["body_checks: unsupported dictionary type: regex"]


def test_a_filter_that_is_no_service(instance: Path) -> None:
    (finding,) = findings(instance, "content_filter: scam:there")
    assert finding.startswith('content_filter: master.yaml has no service "scam"') and "scan" in finding


def test_a_filter_before_the_queue_that_is_no_address(instance: Path) -> None:
    with pytest.raises(ConfigError, match="smtpd_proxy_filter"):
        findings(instance, "smtpd_proxy_filter: filter.example:25")
