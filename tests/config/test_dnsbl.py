"""smtpd_dnsbl_sites and smtpd_screening_access_list: what is understood, and what is refused in words."""

from __future__ import annotations

import pytest

from pillarbox.lib.config import Config
from pillarbox.lib.config.dnsbl import parse_site
from pillarbox.lib.config.parameters.smtpd_screening import SMTPD_DNSBL_SITES, SMTPD_SCREENING_ACCESS_LIST


@pytest.mark.parametrize(
    ("text", "domain", "weight", "counted", "not_counted"),
    [
        ("bl.example", "bl.example", 1, "127.0.0.2", "192.0.2.1"),
        ("bl.example*2", "bl.example", 2, "127.1.2.3", "128.0.0.1"),
        ("bl.example*-3", "bl.example", -3, "127.0.0.2", "10.0.0.1"),
        ("bl.example=127.0.0.[2..11]*2", "bl.example", 2, "127.0.0.11", "127.0.0.12"),
        ("bl.example*2=127.0.0.[2..11]", "bl.example", 2, "127.0.0.2", "127.0.1.2"),
        ("bl.example=127.0.[1;3].[2;4..6]", "bl.example", 1, "127.0.3.5", "127.0.2.5"),
    ],
)
def test_sites(text: str, domain: str, weight: int, counted: str, not_counted: str) -> None:
    site = parse_site(text)
    assert (site.listing.domain, site.weight) == (domain, weight)
    assert site.listing.counts(counted)
    assert not site.listing.counts(not_counted)


@pytest.mark.parametrize(
    "text",
    (
        *("", "*2", "bl.example*", "bl.example*x", "bl.example*0", "bl.example*1*2", "bl..example", "-bl.example"),
        *(
            "bl.example=127.0.0",
            "bl.example=127.0.0.2=127.0.0.3",
            "bl.example=127.0.0.[11..2]",
            "bl.example=127.0.0.[2",
        ),
    ),
)
def test_sites_that_make_no_sense(text: str) -> None:
    with pytest.raises(ValueError, match="expected"):
        parse_site(text)


def test_lists() -> None:
    config = Config.for_tests(smtpd_dnsbl_sites="a.example*2, b.example=127.0.0.[2;3] c.example")
    assert [site.listing.domain for site in config[SMTPD_DNSBL_SITES]] == ["a.example", "b.example", "c.example"]


def test_the_access_list_names_what_it_expects() -> None:
    config = Config.for_tests(smtpd_screening_access_list="permit_mynetworks, cidr:/etc/clients")
    assert config[SMTPD_SCREENING_ACCESS_LIST] == ("permit_mynetworks", "cidr:/etc/clients")
    with pytest.raises(ValueError, match="permit_mynetworks or a table"):
        Config.for_tests(smtpd_screening_access_list="permit")[SMTPD_SCREENING_ACCESS_LIST]
