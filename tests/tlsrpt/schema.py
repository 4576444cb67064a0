"""The schema of RFC 8460 section 4.4 as a check: what a consumer may rely on."""

from __future__ import annotations

import gzip
import ipaddress
import json
import re
from collections.abc import Callable
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any

from pillarbox.lib.clients.tlsrpt import POLICY_TYPES, RESULTS

_MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")

Check = Callable[[Any], bool]


def _text(value: Any) -> bool:
    return isinstance(value, str) and value != ""


def _texts(value: Any) -> bool:
    return isinstance(value, list) and all(map(_text, value)) and bool(value)


def _count(value: Any) -> bool:
    return type(value) is int and value >= 0


def _moment(value: Any) -> bool:
    return bool(_MOMENT.fullmatch(value))


def _address(value: Any) -> bool:
    return bool(ipaddress.ip_address(value))


_REPORT = {
    "organization-name": _text,
    "date-range": lambda value: holds(value, {"start-datetime": _moment, "end-datetime": _moment}),
    "contact-info": _text,
    "report-id": _text,
    "policies": lambda value: bool(value) and all(holds(each, _POLICY, {"failure-details"}) for each in value),
}
_POLICY: dict[str, Check] = {
    "policy": lambda value: holds(value, _APPLIED, {"policy-string", "mx-host"}),
    "summary": lambda value: holds(
        value, {"total-successful-session-count": _count, "total-failure-session-count": _count}
    ),
    "failure-details": lambda value: all(
        holds(each, _FAILURE, set(_FAILURE) - {"result-type", "failed-session-count"}) for each in value
    ),
}
_APPLIED: dict[str, Check] = {
    "policy-type": lambda value: value in POLICY_TYPES,
    "policy-string": _texts,
    "policy-domain": _text,
    "mx-host": _texts,
}
_FAILURE: dict[str, Check] = {
    "result-type": lambda value: value in RESULTS,
    "sending-mta-ip": _address,
    "receiving-mx-hostname": _text,
    "receiving-mx-helo": _text,
    "receiving-ip": _address,
    "failed-session-count": _count,
    "additional-information": _text,
    "failure-reason-code": _text,
}


def holds(value: Any, members: dict[str, Check], optional: set[str] = frozenset()) -> bool:  # type: ignore[assignment]
    """Whether an object has these members, each as it must be, and no others."""
    assert isinstance(value, dict), value
    assert set(members) - optional <= set(value) <= set(members), (sorted(value), sorted(members))
    for name, each in value.items():
        assert members[name](each), (name, each)
    return True


def checked(data: bytes) -> dict[str, Any]:
    """The report in gzip'd JSON; fails where it is not as the schema says."""
    report = json.loads(gzip.decompress(data).decode("utf-8"))
    assert holds(report, _REPORT)
    for each in report["policies"]:
        failed = each["summary"]["total-failure-session-count"]
        assert sum(detail["failed-session-count"] for detail in each.get("failure-details", [])) <= failed
    assert isinstance(report, dict)
    return report


def opened(message: bytes) -> tuple[EmailMessage, EmailMessage, dict[str, Any]]:
    """A report that came by mail: the message, its text part, the report; fails where section 5.3 is not kept."""
    mail = message_from_bytes(message, policy=policy.default)
    assert isinstance(mail, EmailMessage)
    assert mail.get_content_type() == "multipart/report" and mail.get_param("report-type") == "tlsrpt"
    text, attachment = mail.iter_parts()
    assert isinstance(text, EmailMessage) and isinstance(attachment, EmailMessage)
    assert text.get_content_type() == "text/plain"
    assert attachment.get_content_type() == "application/tlsrpt+gzip"
    report = checked(attachment.get_content())
    domain, submitter = mail["TLS-Report-Domain"], mail["TLS-Report-Submitter"]
    words = " ".join(mail["Subject"].split())
    assert words == f"Report Domain: {domain} Submitter: {submitter} Report-ID: <{report['report-id']}>"
    sender, about, begin, end, unique = (attachment.get_filename() or "").split("!")
    assert (sender, about, int(end) - int(begin)) == (submitter, domain, 86399)
    assert re.fullmatch(r"[A-Za-z0-9]+\.json\.gz", unique)
    return mail, text, report
