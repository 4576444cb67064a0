"""The values of retry, source_addresses and warm_up."""

from __future__ import annotations

import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pillarbox.lib.config.mapping import BadEntry, parse_mapping
from pillarbox.lib.config.retry import RetryRule, RetryRules, read_rules
from pillarbox.lib.config.sources import Source, WarmUp, parse_sources, read_warm_up

DAY = 86400.0


def rules(text: str) -> RetryRules:
    return read_rules(parse_mapping(text))


class TestRetry:
    RULES = rules(
        '{gmail.com: [5m, 15m, 1h], "*.example.com": 30m, "*.eu.example.com": 20m, "mx:google.com": 10m, smtp: 2m,'
        ' "[192.0.2.1]:2525": 1m, "mail.test:26": 3m}'
    )

    @pytest.mark.parametrize(
        ("transport", "nexthop", "site", "name"),
        [
            ("smtp", "gmail.com", "google.com", "gmail.com"),
            ("smtp", "GMail.com.", "", "gmail.com"),
            ("smtp", "a.example.com", "", "*.example.com"),
            ("smtp", "a.b.example.com", "", "*.example.com"),
            ("smtp", "a.eu.example.com", "", "*.eu.example.com"),
            ("smtp", "example.com", "", "smtp"),
            ("smtp", "company.test", "Google.com", "mx:google.com"),
            ("relay", "company.test", "google.com", "mx:google.com"),
            ("smtp", "company.test", "", "smtp"),
            ("relay", "company.test", "", None),
            ("relay", "[192.0.2.1]:2525", "", "[192.0.2.1]:2525"),
            ("relay", "mail.test:26", "", "mail.test:26"),
            ("relay", "mail.test", "", None),
        ],
    )
    def test_the_most_precise_rule_holds(self, transport: str, nexthop: str, site: str, name: str | None) -> None:
        found = self.RULES.rule(transport, nexthop, site)
        assert (found and found.name) == name

    def test_a_schedule_may_name_its_lifetime(self) -> None:
        assert rules("{a.test: [5m, give up after 2d]}").domains["a.test"] == RetryRule("a.test", (300.0,), 2 * DAY)
        assert rules('{a.test: "5m, 1h, give up 2d"}').domains["a.test"] == RetryRule("a.test", (300, 3600), 2 * DAY)

    def test_without_rules_there_is_nothing_to_ask(self) -> None:
        assert not rules("") and rules("{smtp: 5m}")

    @pytest.mark.parametrize(
        "text",
        [
            "{a.test: []}",
            "{a.test: ''}",
            "{a.test: [give up after 2d]}",
            "{a.test: [5m, give up after soon]}",
            "{a.test: [give up after 2d, 5m]}",
            "{a.test: [5m, [5m]]}",
            "{a.test: {x: 5m}}",
            "{a.test: 0}",
            "{'*': 5m}",
            "{'*.': 5m}",
            "{'': 5m}",
            "{'a b.test': 5m}",
            "{'mx:': 5m}",
            "{'user@a.test': 5m, 'x y': 1m}",
        ],
    )
    def test_a_bad_entry_is_named(self, text: str) -> None:
        with pytest.raises(BadEntry):
            rules(text)


class TestSources:
    def test_addresses_of_both_families_and_a_name(self) -> None:
        assert parse_sources(("192.0.2.5 out1.test", "2001:DB8:0::6 192.0.2.6")) == (
            Source(("192.0.2.5",), "out1.test"),
            Source(("2001:db8::6", "192.0.2.6")),
        )
        assert parse_sources("192.0.2.5, 192.0.2.6 b.test,") == (
            Source(("192.0.2.5",)),
            Source(("192.0.2.6",), "b.test"),
        )
        assert parse_sources("") == ()

    @pytest.mark.parametrize(
        "text",
        [
            "out1.test",
            "192.0.2.5 192.0.2.6",
            "192.0.2.5 a.test b.test",
            "192.0.2.5 a.test 2001:db8::1",
            "192.0.2.5, 192.0.2.5",
            "192.0.2.5 -",
            "192.0.2.500",
            "192.0.2.5/24",
        ],
    )
    def test_what_is_no_source(self, text: str) -> None:
        with pytest.raises(ValueError, match=r"expected|twice"):
            parse_sources(text)

    @given(st.text("0123456789.:abcdef -,", max_size=40))
    def test_any_text_is_read_or_refused(self, text: str) -> None:
        try:
            parse_sources(text)
        except ValueError:
            pass


class TestWarmUp:
    FIRST = datetime.date(2026, 11, 1)

    @pytest.mark.parametrize(("day", "limit"), [(-1, 0), (0, 50), (1, 100), (2, None), (900, None)])
    def test_the_limit_of_a_day(self, day: int, limit: int | None) -> None:
        assert WarmUp(self.FIRST, (50, 100)).limit(self.FIRST + datetime.timedelta(days=day)) == limit

    def test_an_address_is_found_however_it_is_written(self) -> None:
        found = read_warm_up(parse_mapping('{"2001:DB8:0::5": {since: 2026-11-01, per_day: [50]}}'))
        assert found == {"2001:db8::5": WarmUp(self.FIRST, (50,))}

    @pytest.mark.parametrize(
        "value",
        ["5", "[5]", "{since: 2026-11-01}", "{per_day: [5]}", "{since: 2026-02-30, per_day: [5]}",
         "{since: 1.11.2026, per_day: [5]}", "{since: 2026-11-01, per_day: []}", "{since: 2026-11-01, per_day: [-1]}",
         "{since: 2026-11-01, per_day: [5], x: y}", "{since: 2026-11-01, per_day: {a: b}}"],
    )  # fmt: skip
    def test_a_bad_entry_is_named(self, value: str) -> None:
        with pytest.raises(BadEntry, match=r"^192\.0\.2\.5: "):
            read_warm_up(parse_mapping(f"{{192.0.2.5: {value}}}"))
