"""The report itself: what was counted of a domain on one day, as JSON (RFC 8460 section 4).  Pure."""

from __future__ import annotations

import gzip
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

DAY: Final = 86400

Detail = tuple[str, str, str, str, str, str]
"""Result type, sending address, receiving host, receiving address, details, reason code."""


@dataclass(frozen=True, slots=True)
class Applied:
    """A policy that was applied, and how often that went well or not; `details` with how often each."""

    type: str
    string: tuple[str, ...]
    mx: tuple[str, ...]
    success: int
    failure: int
    details: tuple[tuple[Detail, int], ...] = ()


@dataclass(frozen=True, slots=True)
class Reporter:
    """Who reports: a name, whom to ask, and the domain in the name of which it is done."""

    organization: str
    contact: str
    domain: str


@dataclass(frozen=True, slots=True)
class Report:
    """All about one domain on one day (days since the epoch); `id` is unique."""

    domain: str
    day: int
    id: str
    reporter: Reporter
    policies: tuple[Applied, ...]

    @property
    def begin(self) -> int:
        """The first second, since the epoch."""
        return self.day * DAY

    @property
    def end(self) -> int:
        """The last second."""
        return self.begin + DAY - 1

    @property
    def sessions(self) -> int:
        """How many sessions it is about."""
        return sum(policy.success + policy.failure for policy in self.policies)

    def members(self) -> dict[str, object]:
        """The JSON object (section 4.4)."""
        return {
            "organization-name": self.reporter.organization,
            "date-range": {"start-datetime": _moment(self.begin), "end-datetime": _moment(self.end)},
            "contact-info": self.reporter.contact,
            "report-id": self.id,
            "policies": [_policy(self.domain, policy) for policy in self.policies],
        }

    def compressed(self) -> bytes:
        """The object in UTF-8, gzip (section 5.2); the same octets each time."""
        text = json.dumps(self.members(), ensure_ascii=False, separators=(",", ":"))
        return gzip.compress(text.encode("utf-8", "replace"), mtime=self.end)

    @property
    def filename(self) -> str:
        """Section 5.1."""
        unique = "".join(character for character in self.id if character.isalnum())[-16:]
        return f"{self.reporter.domain}!{self.domain}!{self.begin}!{self.end}!{unique}.json.gz"


def _moment(when: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(when))


def _policy(domain: str, applied: Applied) -> dict[str, object]:
    policy: dict[str, object] = {"policy-type": applied.type, "policy-domain": domain}
    if applied.string:
        policy["policy-string"] = list(applied.string)
    if applied.mx:
        policy["mx-host"] = list(applied.mx)
    summary = {
        "total-successful-session-count": applied.success,
        "total-failure-session-count": applied.failure,
    }
    members: dict[str, object] = {"policy": policy, "summary": summary}
    if applied.details:
        members["failure-details"] = [_failure(detail, count) for detail, count in applied.details]
    return members


def _failure(detail: Detail, count: int) -> dict[str, object]:
    result, sending, host, address, details, reason = detail
    named = (
        ("result-type", result),
        ("sending-mta-ip", sending),
        ("receiving-mx-hostname", host),
        ("receiving-ip", address),
        ("failure-reason-code", ": ".join(_distinct(reason, details))),
    )
    members: dict[str, object] = {name: value for name, value in named if value}
    members["failed-session-count"] = count
    return members


def _distinct(*texts: str) -> Sequence[str]:
    return list(dict.fromkeys(text for text in texts if text))
