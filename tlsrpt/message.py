"""A report as a mail (RFC 8460 section 5.3).  Pure; lines end in LF."""

from __future__ import annotations

import base64
import re
import textwrap
from collections.abc import Sequence

from pillarbox.lib.message.date import format_date
from pillarbox.lib.message.header import compose
from pillarbox.tlsrpt.report import Report

_PLAIN = re.compile(r"[^\x20-\x7e]")


def compose_message(report: Report, sender: str, recipients: Sequence[str], message_id: str, when: float) -> bytes:
    """The whole message.  Never held up by what it reports about: `TLS-Required: No` (RFC 8689 section 5)."""
    boundary = f"=_tlsrpt_{report.id.partition('@')[0][-16:]}"
    identity = f"<{report.id}>"
    fields = (
        ("From", sender),
        ("To", ", ".join(recipients)),
        ("Date", format_date(when)),
        ("Subject", f"Report Domain: {report.domain} Submitter: {report.reporter.domain} Report-ID: {identity}"),
        ("Message-ID", message_id),
        ("TLS-Report-Domain", report.domain),
        ("TLS-Report-Submitter", report.reporter.domain),
        ("TLS-Required", "No"),
        ("Auto-Submitted", "auto-generated"),
        ("MIME-Version", "1.0"),
        ("Content-Type", f'multipart/report; report-type="tlsrpt"; boundary="{boundary}"'),
    )
    header = b"".join(compose(name.encode(), _PLAIN.sub("?", value).encode()) for name, value in fields)
    encoded = base64.b64encode(report.compressed()).decode()
    lines = [
        f"--{boundary}",
        "Content-Type: text/plain; charset=us-ascii",
        "Content-Transfer-Encoding: 7bit",
        "",
        *_words(report),
        "",
        f"--{boundary}",
        "Content-Type: application/tlsrpt+gzip",
        "Content-Transfer-Encoding: base64",
        f'Content-Disposition: attachment;\n filename="{report.filename}"',
        "",
        *(encoded[start : start + 76] for start in range(0, len(encoded), 76)),
        f"--{boundary}--",
        "",
    ]
    return header + b"\n" + "\n".join(lines).encode("ascii", "replace")


def _words(report: Report) -> list[str]:
    """What a person who opens the mail wants to know."""
    day = str(report.members()["date-range"]["start-datetime"])[:10]  # type: ignore[index]
    failures = sum(policy.failure for policy in report.policies)
    text = (
        f"This is an aggregate report about TLS with the mail servers of {report.domain} on {day} (UTC), "
        f"from {report.reporter.organization}. Of {report.sessions} sessions {failures} failed. "
        "The details are attached (RFC 8460). You get it because the DNS record "
        f"_smtp._tls.{report.domain} asks for it. Questions: {report.reporter.contact}"
    )
    return [_PLAIN.sub("?", line) for line in textwrap.wrap(text, 72)]
