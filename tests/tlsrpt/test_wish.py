"""Where a domain wishes its reports: the grammar of its record, and which places can be used."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pillarbox.tlsrpt.wish import PLACES_LIMIT, mail_address, usable, wished_places


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        (b"v=TLSRPTv1;rua=mailto:reports@example.com", ["mailto:reports@example.com"]),  # examples of section 3
        (b"v=TLSRPTv1; rua=https://reporting.example.com/v1/tlsrpt", ["https://reporting.example.com/v1/tlsrpt"]),
        (b"v=TLSRPTv1; rua=mailto:a@b.test,https://c.test/ ;", ["mailto:a@b.test", "https://c.test/"]),
        (b"v=TLSRPTv1 ; rua=mailto:a@b.test \t, \tMAILTO:c@d.test", ["mailto:a@b.test", "MAILTO:c@d.test"]),
        (b"v=TLSRPTv1; x-y_z.0=1; rua=mailto:a@b.test; rua=mailto:c@d.test", ["mailto:a@b.test"]),
        (b"v=TLSRPTv1; rua=ftp://a.test/,mailto:a@b.test,mailto:nobody", ["mailto:a@b.test"]),
        (b"v=TLSRPTv1; rua=mailto:a@b.test,mailto:a@b.test", ["mailto:a@b.test"]),
        (b"v=TLSRPTv1; rua=https://a.test/x?y=z%3B", ["https://a.test/x?y=z%3B"]),
    ],
)
def test_a_record_names_places(record: bytes, expected: list[str]) -> None:
    assert list(wished_places([record])) == expected
    assert list(wished_places([b"v=spf1 -all", record, b"v=TLSRPTv10; rua=mailto:x@y.test"])) == expected


@pytest.mark.parametrize(
    "records",
    [
        [],
        [b""],
        [b"v=TLSRPTv1"],
        [b"v=TLSRPTv1;"],
        [b"v=TLSRPTv1; rua="],
        [b"v=TLSRPTv1; rua"],
        [b"v=TLSRPTv1; rua=mailto:a@b.test; nonsense"],
        [b"v=TLSRPTv1; rua=mailto:a@b.test;;"],
        [b"v=tlsrptv1; rua=mailto:a@b.test"],
        [b"rua=mailto:a@b.test; v=TLSRPTv1"],
        [b"v=TLSRPTv1; rua=mailto:\xc3\xa4@b.test"],
        [b"v=TLSRPTv1; rua=mailto:a@b.test"] * 2,
    ],
)
def test_no_record_a_malformed_or_a_second_one_names_none(records: list[bytes]) -> None:
    assert wished_places(records) == ()


def test_no_record_takes_long() -> None:
    """An expression took years for the first; found by fuzzing."""
    assert wished_places([b"v=TLSRPTv1; rua=" + b"a" * 60000 + b"\0"]) == ()
    blanks = b" \t" * 15000
    assert wished_places([b"v=TLSRPTv1;%brua=a%b,%bb%b\0" % (blanks, blanks, blanks, blanks)]) == ()
    record = b"v=TLSRPTv1%b;%brua=mailto:a@b.test%b,%bmailto:c@d.test%b;" % ((blanks,) * 5)
    assert wished_places([record]) == ("mailto:a@b.test", "mailto:c@d.test")


def test_places_are_bounded() -> None:
    record = b"v=TLSRPTv1; rua=" + b",".join(b"mailto:a%d@b.test" % number for number in range(50))
    assert len(wished_places([record])) == PLACES_LIMIT


@pytest.mark.parametrize(
    ("place", "expected"),
    [
        ("mailto:a@b.test", "a@b.test"),
        ("mailto:a%2Bb@c.test?subject=x&cc=victim@d.test", "a+b@c.test"),
        ("mailto:a%0D%0ARCPT@b.test", ""),
        ("mailto:%ff@b.test", ""),
        ("mailto:a@b.test%2Cc@d.test", ""),
        ("mailto:", ""),
        ("mailto:postmaster", ""),
        ("https://a.test", ""),
    ],
)
def test_the_address_of_a_mailto(place: str, expected: str) -> None:
    assert mail_address(place) == expected


@pytest.mark.parametrize("place", ["http://a.test/", "https://", "https://a.test:x/", "https://a b/", "file:///etc"])
def test_what_cannot_be_used(place: str) -> None:
    assert not usable(place)


@given(st.lists(st.binary(max_size=80), max_size=3))
def test_any_records_name_usable_places_or_none(records: list[bytes]) -> None:
    for texts in (records, [b"v=TLSRPTv1; rua=" + record for record in records]):
        assert all(usable(place) and place.isascii() for place in wished_places(texts))
