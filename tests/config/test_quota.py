"""How quotas are written."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pillarbox.lib.config import Config
from pillarbox.lib.config.parameters.quota import MAILBOX_QUOTA, QUOTA_RULES, QUOTA_WARNINGS
from pillarbox.lib.config.quota import Limits, parse_limits, parse_percents, parse_rule


@pytest.mark.parametrize(
    ("text", "limits"),
    [
        ("", (0, 0)),
        ("none", (0, 0)),
        ("0", (0, 0)),
        ("1000", (1000, 0)),
        ("1K", (1024, 0)),
        ("2m", (2 << 20, 0)),
        ("1GB", (1 << 30, 0)),
        ("1T", (1 << 40, 0)),
        ("1000S", (1000, 0)),
        ("1000C", (0, 1000)),
        ("10000000S,1000C", (10_000_000, 1000)),
        ("500M 10c", (500 << 20, 10)),
        ("10C, 500M", (500 << 20, 10)),
    ],
)
def test_a_quota_is_read(text: str, limits: tuple[int, int]) -> None:
    assert parse_limits(text) == limits


@pytest.mark.parametrize("text", ["x", "1X", "-1", "1G 2G", "1C 2C", "1.5G", "+1", "9" * 16, "1G;10C", "١"])
def test_what_is_no_quota_is_refused_by_name(text: str) -> None:
    with pytest.raises(ValueError, match="quota"):
        parse_limits(text)


@given(st.integers(0, 10**14), st.integers(0, 10**9))
def test_the_canonical_form_says_the_same(size: int, messages: int) -> None:
    assert parse_limits(str(Limits(size, messages))) == (size, messages)


@given(st.text(max_size=30))
def test_nothing_but_value_errors(text: str) -> None:
    try:
        limits = parse_limits(text)
    except ValueError:
        return
    assert limits.size >= 0 and limits.messages >= 0


def test_rules_of_folders() -> None:
    assert parse_rule("Spam", "ignore").ignore
    assert parse_rule("Archive*", "ignore").matches("Archive/2026")
    assert not parse_rule("Archive", "ignore").matches("Archive/2026")
    assert parse_rule("Trash", "+10%").extended(Limits(1000, 50)) == (1100, 55)
    assert parse_rule("Trash", "+1K").extended(Limits(1000, 0)) == (2024, 0)
    assert parse_rule("Trash", "+1K").extended(Limits(0, 10)) == (0, 10)


@pytest.mark.parametrize(
    "pair", [("", "ignore"), ("a*b", "ignore"), ("x", "10%"), ("x", "+"), ("x", "+0"), ("x", "no")]
)
def test_what_is_no_rule_is_refused(pair: tuple[str, str]) -> None:
    with pytest.raises(ValueError, match="expected"):
        parse_rule(*pair)


def test_percentages() -> None:
    assert parse_percents(("95", "80%", "80")) == (80, 95)
    for bad in ("0", "101", "x", "-1", "80%%"):
        with pytest.raises(ValueError, match="percentages"):
            parse_percents((bad,))


def test_the_parameters_have_these_values() -> None:
    config = Config.for_tests(mailbox_quota="1G 100C", quota_rules="{Spam: ignore, Trash: +10%}", quota_warnings="90")
    assert config[MAILBOX_QUOTA] == (1 << 30, 100)
    assert [rule.folder for rule in config[QUOTA_RULES]] == ["Spam", "Trash"]
    assert config[QUOTA_WARNINGS] == ("90",)
    assert not Config.for_tests()[MAILBOX_QUOTA]
