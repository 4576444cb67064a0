"""Which domains have their servers in common."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pillarbox.lib.config import Config
from pillarbox.lib.config.parameters.sites import MX_SITES, parse_sites
from pillarbox.lib.dns import Failed, Resolver
from pillarbox.smtp_client.sites import FAILURE_TTL, LONGEST_NAME, Sites, site_name
from tests.dns.name_server import name_server

DEFAULTS = Config.for_tests()[MX_SITES]


class TestName:
    def test_the_same_servers_in_any_order_and_spelling(self) -> None:
        assert site_name(["MX2.p.test.", "mx1.p.test"], {}) == site_name(["mx1.p.test", "mx2.P.test"], {})

    def test_other_servers_are_another_site(self) -> None:
        assert site_name(["mx1.p.test"], {}) != site_name(["mx1.p.test", "mx2.p.test"], {})

    def test_none_is_no_site(self) -> None:
        assert site_name([], {}) == site_name([""], {}) == ""

    @pytest.mark.parametrize(
        ("hosts", "site"),
        [
            (["contoso-com.mail.protection.outlook.com"], "outlook.com"),
            (["contoso-com.w-v1.mx.microsoft"], "outlook.com"),
            (["aspmx.l.google.com", "alt1.aspmx.l.google.com", "aspmx2.googlemail.com"], "google.com"),
            (["smtp.google.com"], "google.com"),
            (["mx0a-00176a02.pphosted.com", "mx0b-00176a02.pphosted.com"], "pphosted.com"),
            (["mta5.am0.yahoodns.net"], "yahoodns.net"),
            (["aspmx.l.google.com", "mx.own.test"], "aspmx.l.google.com,mx.own.test"),
            (["notmail.protection.outlook.com"], "notmail.protection.outlook.com"),
        ],
    )
    def test_big_providers_are_known(self, hosts: list[str], site: str) -> None:
        assert site_name(hosts, DEFAULTS) == site

    @given(st.lists(st.text("abc.", min_size=1, max_size=60), max_size=100), st.booleans())
    def test_a_name_is_short_whatever_the_hosts(self, hosts: list[str], known: bool) -> None:
        assert len(site_name(hosts, DEFAULTS if known else {})) <= LONGEST_NAME + 17


class TestParameter:
    def test_forms(self) -> None:
        assert parse_sites(".A.test=big, .b.test mx.c.test") == {
            ".a.test": "big",
            ".b.test": "b.test",
            "mx.c.test": "mx.c.test",
        }

    @pytest.mark.parametrize("text", ["=x", ".", ".a=", ". =x"])
    def test_what_is_none_is_said(self, text: str) -> None:
        with pytest.raises(ValueError, match="was expected"):
            parse_sites(text)


ZONE: dict[str, dict[str, list[str]]] = {
    "one.test.": {"MX": ["10 mx1.p.test.", "20 mx2.p.test."]},
    "two.test.": {"MX": ["20 mx1.p.test.", "10 mx2.p.test."]},
    "customer.test.": {"MX": ["0 customer-test.mail.protection.outlook.com."]},
    "null.test.": {"MX": ["0 ."]},
    "implicit.test.": {"A": ["127.0.0.2"]},
}


def asked(*nexthops: str) -> list[tuple[str, float]]:
    async def ask() -> list[tuple[str, float]]:
        with name_server(ZONE) as ns:
            resolver = Resolver([ns.server])
            sites = Sites(resolver, DEFAULTS, 25)
            try:
                return [await sites.site(nexthop) for nexthop in nexthops]
            finally:
                resolver.close()

    return asyncio.run(ask())


def test_domains_with_the_same_records_are_one_site() -> None:
    (one, ttl), (two, _), (other_port, _), (customer, _) = asked(
        "one.test", "two.test", "one.test:2525", "customer.test"
    )
    assert one == two == "mx1.p.test,mx2.p.test" and ttl > 0
    assert other_port == f"{one}:2525"
    assert customer == "outlook.com"


@pytest.mark.parametrize(
    "nexthop",
    [
        "null.test",
        "implicit.test",
        "missing.test",
        "[one.test]",
        "127.0.0.1",
        "unix:/x",
        "inet:one.test",
        "",
        "a:b:c",
        "x:y",
    ],
)
def test_what_has_no_common_servers_has_no_site(nexthop: str) -> None:
    ((site, ttl),) = asked(nexthop)
    assert site == "" and ttl > 0


def test_a_look_up_that_fails_is_repeated_soon() -> None:
    class Broken:
        async def mx(self, name: str) -> object:
            return Failed(name, "timeout")

    sites = Sites(Broken(), DEFAULTS, 25)  # type: ignore[arg-type]
    assert asyncio.run(sites.site("one.test")) == ("", FAILURE_TTL)
