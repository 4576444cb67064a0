"""The report as JSON and as a mail, held against the example of RFC 8460 (appendix B) and its schema."""

from __future__ import annotations

import gzip
from email.utils import parseaddr

from hypothesis import given
from hypothesis import strategies as st

from pillarbox.lib.clients.tlsrpt import RESULTS
from pillarbox.tlsrpt.message import compose_message
from pillarbox.tlsrpt.report import DAY, Applied, Report, Reporter
from tests.tlsrpt.schema import checked, opened

REPORTER = Reporter("Company-X", "sts-reporting@company-x.example", "company-x.example")
POLICY = ("version: STSv1", "mode: testing", "mx: *.mail.company-y.example", "max_age: 86400")
EXAMPLE = Report(
    "company-y.example",
    1459468800 // DAY,
    "5065427c-23d3-47ca-b6e0-946ea0e8c4be",
    REPORTER,
    (
        Applied(
            "sts",
            POLICY,
            ("*.mail.company-y.example",),
            5326,
            303,
            (
                (("certificate-expired", "2001:db8:abcd:12::1", "mx1.mail.company-y.example", "", "", ""), 100),
                (
                    (
                        "starttls-not-supported",
                        "2001:db8:abcd:13::1",
                        "mx2.mail.company-y.example",
                        "203.0.113.56",
                        "",
                        "",
                    ),
                    200,
                ),
                (
                    (
                        "validation-failure",
                        "198.51.100.62",
                        "mx-backup.mail.company-y.example",
                        "203.0.113.58",
                        "",
                        "X509_V_ERR_PROXY_PATH_LENGTH_EXCEEDED",
                    ),
                    3,
                ),
            ),
        ),
    ),
)


def test_the_example_of_the_rfc() -> None:
    """But for its additional-information, which we have no pages for."""
    assert EXAMPLE.members() == {
        "organization-name": "Company-X",
        "date-range": {"start-datetime": "2016-04-01T00:00:00Z", "end-datetime": "2016-04-01T23:59:59Z"},
        "contact-info": "sts-reporting@company-x.example",
        "report-id": "5065427c-23d3-47ca-b6e0-946ea0e8c4be",
        "policies": [
            {
                "policy": {
                    "policy-type": "sts",
                    "policy-string": list(POLICY),
                    "policy-domain": "company-y.example",
                    "mx-host": ["*.mail.company-y.example"],
                },
                "summary": {"total-successful-session-count": 5326, "total-failure-session-count": 303},
                "failure-details": [
                    {
                        "result-type": "certificate-expired",
                        "sending-mta-ip": "2001:db8:abcd:12::1",
                        "receiving-mx-hostname": "mx1.mail.company-y.example",
                        "failed-session-count": 100,
                    },
                    {
                        "result-type": "starttls-not-supported",
                        "sending-mta-ip": "2001:db8:abcd:13::1",
                        "receiving-mx-hostname": "mx2.mail.company-y.example",
                        "receiving-ip": "203.0.113.56",
                        "failed-session-count": 200,
                    },
                    {
                        "result-type": "validation-failure",
                        "sending-mta-ip": "198.51.100.62",
                        "receiving-ip": "203.0.113.58",
                        "receiving-mx-hostname": "mx-backup.mail.company-y.example",
                        "failed-session-count": 3,
                        "failure-reason-code": "X509_V_ERR_PROXY_PATH_LENGTH_EXCEEDED",
                    },
                ],
            }
        ],
    }
    assert checked(EXAMPLE.compressed()) == EXAMPLE.members()
    assert EXAMPLE.sessions == 5629


def test_the_same_report_is_the_same_octets() -> None:
    assert EXAMPLE.compressed() == EXAMPLE.compressed()
    assert b"company-y.example" in gzip.decompress(EXAMPLE.compressed())


def test_a_mail_is_as_the_rfc_says() -> None:
    data = compose_message(EXAMPLE, "tls@company-x.example", ["a@y.example", "b@z.example"], "<1@x>", 1459555200.0)
    mail, text, report = opened(data)
    assert report == EXAMPLE.members()
    assert (mail["From"], mail["To"]) == ("tls@company-x.example", "a@y.example, b@z.example")
    assert mail["TLS-Required"] == "No", "a report about broken TLS must not be stopped by it (RFC 8460 section 3)"
    assert mail["Auto-Submitted"] == "auto-generated"
    assert "Of 5629 sessions 303 failed" in " ".join(text.get_content().split())
    assert data.isascii() and b"\r" not in data and max(map(len, data.split(b"\n"))) < 200


text = st.text(max_size=40)
detail = st.tuples(st.sampled_from(sorted(RESULTS)), st.just(""), text, st.just("192.0.2.1"), text, text)
applied = st.builds(
    Applied,
    st.sampled_from(["tlsa", "sts", "no-policy-found"]),
    st.lists(text.filter(bool), max_size=3).map(tuple),
    st.lists(text.filter(bool), max_size=3).map(tuple),
    st.integers(0, 9),
    st.just(99),
    st.lists(st.tuples(detail, st.integers(1, 9)), max_size=3).map(tuple),
)


@given(st.lists(applied, min_size=1, max_size=3).map(tuple), text.filter(bool), text)
def test_whatever_was_counted_makes_a_report(policies: tuple[Applied, ...], name: str, contact: str) -> None:
    report = Report(
        "y.example", 17000, "20160718.0123456789abcdef@x.example", Reporter(name, f"c{contact}", "x.example"), policies
    )
    mail, _, read = opened(compose_message(report, "tls@x.example", ["a@y.example"], "<1@x>", 0.0))
    assert parseaddr(mail["From"])[1] == "tls@x.example"
    assert len(read["policies"]) == len(policies)
