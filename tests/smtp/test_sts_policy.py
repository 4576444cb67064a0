"""MTA-STS texts: the grammar of RFC 8461, what is passed over, what is refused, which hosts match."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pillarbox.lib.smtp.sts_policy import MAX_AGE_LIMIT, BadPolicy, StsPolicy, parse_policy, parse_record
from tests.feeding import truncations

POLICY = (
    "version: STSv1\nmode: enforce\nmx: mail.example.com\nmx: *.example.net\nmx: backupmx.example.com\n"
    "max_age: 604800\n"
)
"""The example of section 3.2."""


def policy(text: str) -> StsPolicy:
    return parse_policy("example.com", "1", text)


@pytest.mark.parametrize(
    ("records", "expected"),
    [
        ([b"v=STSv1; id=20160831085700Z;"], "20160831085700Z"),  # the example of section 3.1
        ([b"v=STSv1;id=a"], "a"),
        ([b"v=STSv1 \t; id=a ;\t"], "a"),
        ([b"v=STSv1; x.y-z_0=1:2; id=a"], "a"),
        ([b"v=STSv1; id=a; id=b"], "a"),
        ([b"v=STSv1; id=" + b"a" * 32], "a" * 32),
        ([b"v=STSv1", b"v=STSv1; id=a"], "a"),
        ([b"v=spf1 -all", b"v=STSv1; id=a", b"v=STSv10; id=b"], "a"),
    ],
)
def test_a_record_announces_a_policy(records: list[bytes], expected: str) -> None:
    assert parse_record(records) == expected


@pytest.mark.parametrize(
    "records",
    [
        [],
        [b""],
        [b"v=STSv1"],
        [b"v=STSv1;"],
        [b"v=STSv1; id="],
        [b"v=STSv1; id=a-b"],
        [b"v=STSv1; id=" + b"a" * 33],
        [b"v=STSv1; id=a;;"],
        [b"v=STSv1; id=a; b"],
        [b"v=STSv1; id=a; =b"],
        [b"v=STSv1; id=a; b=c=d"],
        [b"v=STSv1; id=a; b=c d"],
        [b"v=STSv1; id=a; b=\xc3\xa4"],
        [b"V=STSv1; id=a"],
        [b"v=stsv1; id=a"],
        [b" v=STSv1; id=a"],
        [b"id=a; v=STSv1"],
        [b"v=STSv1; id=a", b"v=STSv1; id=a"],
        [b"v=STSv1; id=a", b"v=STSv1; id"],
    ],
)
def test_no_record_or_a_malformed_or_a_second_one_announces_none(records: list[bytes]) -> None:
    assert parse_record(records) is None


@pytest.mark.parametrize("ending", ["\n", "\r\n"])
def test_the_example_of_the_rfc(ending: str) -> None:
    found = policy(POLICY.replace("\n", ending))
    assert (found.mode, found.max_age, found.id, found.domain) == ("enforce", 604800, "1", "example.com")
    assert found.mx == ("mail.example.com", "*.example.net", "backupmx.example.com")
    assert found.lines == tuple(POLICY.splitlines())


@pytest.mark.parametrize(
    "text",
    [
        POLICY.rstrip("\n"),
        POLICY + "\n\r\n",
        POLICY.replace(": ", ":"),
        POLICY.replace(": ", ":\t ").replace("\n", " \t\n"),
        POLICY + "x.future-field_: \u00e4 b:c\n",
        POLICY + "empty:\n",
        POLICY + "mode: none\nmax_age: nonsense\nversion: STSv2\n",
        POLICY + "mx: MAIL.example.com\n",
        "".join(reversed(POLICY.splitlines(keepends=True))),
    ],
)
def test_what_may_vary(text: str) -> None:
    found = policy(text)
    assert (found.mode, found.max_age) == ("enforce", 604800)
    assert set(found.mx) == {"mail.example.com", "*.example.net", "backupmx.example.com"}


@pytest.mark.parametrize(
    "text",
    [
        "",
        POLICY.replace("STSv1", "STSv2"),
        POLICY.replace("STSv1", "stsv1"),
        POLICY.replace("version: STSv1\n", ""),
        POLICY.replace("enforce", "Enforce"),
        POLICY.replace("enforce", "report"),
        POLICY.replace("mode: enforce\n", ""),
        POLICY.replace("604800", ""),
        POLICY.replace("604800", "-1"),
        POLICY.replace("604800", "\u0661"),
        POLICY.replace("604800", "1" * 11),
        POLICY.replace("max_age: 604800\n", ""),
        "version: STSv1\nmode: enforce\nmax_age: 1\n",
        POLICY.replace("*.example.net", "*.*.example.net"),
        POLICY.replace("*.example.net", "*"),
        POLICY.replace("*.example.net", "mx*.example.net"),
        POLICY.replace("*.example.net", ".example.net"),
        POLICY.replace("*.example.net", "-mx.example.net"),
        POLICY.replace("*.example.net", ""),
        POLICY.replace("*.example.net", "a." * 130 + "net"),
        POLICY + "no field\n",
        POLICY + " mx: folded.example\n",
        POLICY + "x: a\0b\n",
        POLICY + "x: a\x7fb\n",
        POLICY + "x: a\tb\n",
        POLICY + "<html>\n",
        POLICY.replace("\n", "\r"),
        POLICY + "".join(f"mx: m{number}.example\n" for number in range(1000)),
    ],
)
def test_what_is_no_policy(text: str) -> None:
    with pytest.raises(BadPolicy):
        policy(text)


def test_a_policy_of_mode_none_needs_no_servers() -> None:
    assert policy("version: STSv1\nmode: none\nmax_age: 86400\n").mx == ()


def test_a_life_is_a_year_at_most() -> None:
    assert policy(POLICY.replace("604800", "9999999999")).max_age == MAX_AGE_LIMIT


def test_a_policy_that_is_cut_short_is_refused_or_whole() -> None:
    """Only the last line feed may be missing; a max_age that lacks digits cannot be told from a whole one."""
    text = POLICY.replace("max_age: 604800\n", "") + "max_age: 604800\n"
    for part in truncations(text.encode()):
        if b"max_age: " not in part or part.endswith(b"max_age: "):
            with pytest.raises(BadPolicy):
                policy(part.decode())


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("mail.example.com", True),
        ("MAIL.Example.com.", True),
        ("mx1.example.net", True),
        ("example.net", False),
        ("a.mx1.example.net", False),
        ("mail.example.com.evil.example", False),
        ("xmail.example.com", False),
        ("*.example.net", True),  # no host is named so; DNS would have to have it
        ("net", False),
        ("", False),
    ],
)
def test_the_hosts_of_a_policy(host: str, expected: bool) -> None:
    assert policy(POLICY).matches(host) is expected


def test_no_text_takes_long() -> None:
    """An expression may take years for such lines; found by fuzzing a kindred one."""
    blanks = " \t" * 15000
    with pytest.raises(BadPolicy):
        policy(f"{POLICY}x:{blanks}\0\n")
    assert policy(f"{POLICY}x:{blanks}a{blanks}\n").max_age == 604800
    assert parse_record([f"v=STSv1;{blanks}id=a{blanks}\0".encode()]) is None
    assert parse_record([f"v=STSv1{blanks};{blanks}id=a{blanks};".encode()]) == "a"


@given(st.text(max_size=300))
def test_any_text_is_a_policy_or_refused(text: str) -> None:
    for whole in (text, POLICY + text):
        try:
            found = policy(whole)
        except BadPolicy:
            continue
        assert found.mode in ("enforce", "testing", "none") and 0 <= found.max_age <= MAX_AGE_LIMIT


@given(st.lists(st.binary(max_size=80), max_size=3))
def test_any_records_announce_one_policy_or_none(records: list[bytes]) -> None:
    for texts in (records, [b"v=STSv1;" + record for record in records]):
        identity = parse_record(texts)
        assert identity is None or (identity.isalnum() and len(identity) <= 32)
