"""Names asked for against names in certificates (RFC 6125)."""

from __future__ import annotations

import pytest

from pillarbox.lib.tls.hostname import certified_names, matches


@pytest.mark.parametrize(
    ("wanted", "name", "expected"),
    [
        ("mx.example.org", "mx.example.org", True),
        ("MX.example.org.", "mx.Example.org", True),
        ("mx.example.org", "example.org", False),
        ("example.org", "mx.example.org", False),
        ("mx.example.org", "*.example.org", True),
        ("example.org", "*.example.org", False),
        ("a.mx.example.org", "*.example.org", False),
        ("example.org", "*.org", False),
        ("mx.example.org", "m*.example.org", False),
        ("mx.example.org", "*", False),
        ("mx.example.org", "mx.example.org\0.evil.test", False),
        ("mx.example.org", "mx.example.org ", False),
        (".example.org", "mx.example.org", True),
        (".example.org", "a.mx.example.org", True),
        (".example.org", "*.example.org", True),
        (".example.org", "example.org", False),
        (".example.org", "badexample.org", False),
        (".", "mx.example.org", False),
        ("", "", False),
    ],
)
def test_matches(wanted: str, name: str, expected: bool) -> None:
    assert matches([wanted], [name]) is expected


def test_the_common_name_counts_only_alone() -> None:
    subject = ((("commonName", "cn.test"),),)
    assert certified_names({"subject": subject}) == ("cn.test",)
    assert certified_names({"subject": subject}, common_name=False) == ()
    both = {"subject": subject, "subjectAltName": (("DNS", "san.test"), ("IP Address", "192.0.2.1"))}
    assert certified_names(both) == ("san.test",)
    assert certified_names({}) == ()
