"""MTA-STS policies (RFC 8461): what a domain publishes about its mail servers and TLS; the two texts, parsed.

    parse_record(texts)                        # the id in the TXT records of _mta-sts.DOMAIN, None: no policy
    parse_policy("example.org", id, text)      # the file at https://mta-sts.DOMAIN/.well-known/mta-sts.txt
    policy.matches("mx1.example.org")          # may mail for the domain go to this host?

Pure.  How the texts are got and kept is the room `mta_sts`; what follows from a policy, smtp_client.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias, cast

Mode: TypeAlias = Literal["enforce", "testing", "none"]

MAX_AGE_LIMIT: Final = 31_557_600
"""Seconds; about a year, the longest life that a policy may ask for (section 3.2).  A longer one is cut to this."""

TEXT_LIMIT: Final = 64 * 1024
"""Octets of a policy file (section 3.3 proposes this ceiling)."""

MX_LIMIT: Final = 1000
"""Patterns; more than any file that people write."""

VERSION: Final = "STSv1"

# Section 3.1.
_WSP = " \t"
_ID = re.compile(r"[A-Za-z0-9]{1,32}")
_RECORD_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,31}")
_RECORD_VALUE = re.compile(r"[\x21-\x3a\x3c\x3e-\x7e]+")

# Section 3.2.
_LABEL = r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
"""As RFC 5321 has it, and underscores, which names of servers are found to have."""
_PATTERN = re.compile(rf"(?:\*\.)?{_LABEL}(?:\.{_LABEL})*")
_MAX_AGE = re.compile(r"[0-9]{1,10}")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,31}")
_VALUE = re.compile(r"[^\x00-\x1f\x7f]*")
# Blanks are taken off by hand: an expression that does it may take years for a line of blanks.


class BadPolicy(ValueError):
    """A policy file that breaks the grammar or lacks a field; the text says what."""


@dataclass(frozen=True, slots=True)
class StsPolicy:
    """A policy as published: `domain` is the policy domain, `id` that of the TXT record under which it was fetched,
    `max_age` in seconds from the fetch, `text` the file as it came."""

    domain: str
    mode: Mode
    mx: tuple[str, ...]
    id: str
    max_age: int
    text: str

    def matches(self, host: str) -> bool:
        """Whether a mail server is one of the domain's (section 4.1); `host` in A-labels.

        A pattern that begins with `*.` stands for exactly one label there.
        """
        name = host.lower().removesuffix(".")
        parent = "*." + name.partition(".")[2]
        return name in self.mx or ("." in name and parent in self.mx)

    @property
    def lines(self) -> tuple[str, ...]:
        """The file line by line, as a report quotes it (RFC 8460 section 4.4, policy-string)."""
        return tuple(line.rstrip(_WSP) for line in self.text.splitlines() if line.strip())


def parse_record(texts: Iterable[bytes]) -> str | None:
    """The id of the policy that TXT records announce; None where they announce none (section 3.1).

    Records that are not MTA-STS are passed over; of those that are, there must be one, and it must be well-formed.
    """
    found = [text for text in texts if text.startswith(b"v=STSv1") and text[7:].lstrip(_WSP.encode())[:1] == b";"]
    if len(found) != 1:
        return None
    try:
        record = found[0].decode("ascii")
    except UnicodeDecodeError:
        return None
    version, *fields = (field.strip(_WSP) for field in record.split(";"))
    if fields and not fields[-1]:  # one delimiter may end the record
        fields.pop()
    if version != f"v={VERSION}":
        return None
    identity: str | None = None
    for field in fields:
        name, equals, value = field.partition("=")
        if not equals or not _RECORD_NAME.fullmatch(name) or not _RECORD_VALUE.fullmatch(value):
            return None
        if name == "id" and identity is None:  # of a field that comes twice, the first counts
            if not _ID.fullmatch(value):
                return None
            identity = value
    return identity


def parse_policy(domain: str, identity: str, text: str) -> StsPolicy:
    """The policy in a file (section 3.2).  Raises BadPolicy.

    Fields that are not known are passed over, and of those that may not be repeated the first counts.  More lenient
    than the grammar in one thing: empty lines, which published files have, are passed over too.
    """
    known: dict[str, str] = {}
    patterns: dict[str, None] = {}
    for line in text.replace("\r\n", "\n").split("\n"):
        if not line.strip(_WSP):
            continue
        name, colon, rest = line.partition(":")
        value = rest.strip(_WSP)
        if not colon or not _NAME.fullmatch(name) or not _VALUE.fullmatch(value):
            raise BadPolicy(f"a line that is no field: {line[:60]!r}")
        if name == "mx":
            if len(value) > 255 or not _PATTERN.fullmatch(value):
                raise BadPolicy(f"mx is no host name or pattern: {value[:60]!r}")
            patterns[value.lower()] = None
        elif name in ("version", "mode", "max_age"):
            known.setdefault(name, value)
    if len(patterns) > MX_LIMIT:
        raise BadPolicy(f"more than {MX_LIMIT} mx fields")
    if known.get("version") != VERSION:
        raise BadPolicy(f"the version is not {VERSION}")
    mode, max_age = known.get("mode", ""), known.get("max_age", "")
    if mode not in ("enforce", "testing", "none"):
        raise BadPolicy("the mode is none of enforce, testing and none")
    if not _MAX_AGE.fullmatch(max_age):
        raise BadPolicy("max_age is no number of seconds")
    if not patterns and mode != "none":
        raise BadPolicy("there is no mx field")
    lifetime = min(int(max_age), MAX_AGE_LIMIT)
    return StsPolicy(domain, cast(Mode, mode), tuple(patterns), identity, lifetime, text)
