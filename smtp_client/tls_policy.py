"""What TLS a destination must have: the service's parameters, or an entry of smtp_tls_policy_maps (postconf(5)).

    example.com          secure match=.example.com:mx.example.net protocols=>=TLSv1.3
    [mail.example.net]   fingerprint match=2A:BF:...|8C:01:...
    .example.org         dane-only servername=hostname

A policy is a value: connections that were made under one carry mail of the same one, and of those that ask for less.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

from pillarbox.lib.config import Config
from pillarbox.lib.config.parameters import tls as p
from pillarbox.lib.dns import TLSA
from pillarbox.lib.smtp.sts_policy import StsPolicy
from pillarbox.lib.tls import LEVELS, TlsError
from pillarbox.lib.tls.ciphers import cipher_list
from pillarbox.lib.tls.protocols import parse_versions

Origin: TypeAlias = Literal["default", "table", "header", "inside"]

DANE_LEVELS = frozenset({"dane", "dane-only"})
NAMING_LEVELS = frozenset({"verify", "secure"})
OPTIONAL_LEVELS = frozenset({"none", "may"})

STRATEGIES = frozenset({"hostname", "nexthop", "dot-nexthop"})

ENTRY_LIMIT = 4096
"""Characters of a table's value."""

_NAME = re.compile(r"\.?[A-Za-z0-9_](?:[A-Za-z0-9_-]*[A-Za-z0-9_])?(?:\.[A-Za-z0-9_](?:[A-Za-z0-9_-]*[A-Za-z0-9_])?)*")
_DIGEST_DIGITS = {"md5": 32, "sha1": 40, "sha256": 64, "sha384": 96, "sha512": 128}


class BadPolicy(ValueError):
    """A table's value that makes no sense; the text says what was expected."""


@dataclass(frozen=True, slots=True)
class TlsPolicy:
    """Of a destination; what follows from it for one of its servers is an `Agreement`."""

    level: str
    origin: Origin = "default"
    match: tuple[str, ...] = ()
    """At the levels verify and secure: strategies, names and .domains."""
    fingerprints: tuple[str, ...] = ()
    """Lower-case hexadecimal without colons."""
    anchors: tuple[TLSA, ...] = ()
    """Authorities that alone are trusted, written as records of usage 2."""
    servername: str = ""
    versions: str = ">=TLSv1.2"
    ciphers: str = "DEFAULT"
    optional_versions: str = ">=TLSv1.2"
    optional_ciphers: str = "DEFAULT"
    """The same for what is left of the policy where nothing can be demanded: dane without TLSA records."""
    reuse: bool = True
    insists: bool = False
    """REQUIRETLS: there is to be proof of the server's identity, or no delivery."""
    sts: StsPolicy | None = None
    sts_unknown: bool = False
    """Whether there may be an MTA-STS policy that cannot be had now."""
    domain: str = ""
    """The destination, where its name matters for what a server has to prove."""

    @property
    def authentic(self) -> bool:
        """Whether it matters that the names of servers are genuine (DNSSEC)."""
        return self.insists or self.level in DANE_LEVELS

    @property
    def named(self) -> bool:
        """Whether a server has to prove a name."""
        return self.insists or self.level not in ("none", "may", "encrypt", "fingerprint")

    @property
    def demands(self) -> bool:
        """Whether there may be no delivery for want of TLS."""
        return self.insists or self.level not in OPTIONAL_LEVELS or self.sts is not None

    def satisfied_by(self, made: TlsPolicy) -> bool:
        """Whether a connection that was made under another policy may carry the mail of this one."""
        if made is self or made == self or made.origin == "inside":
            return True
        if not self.demands:
            return self.level == "none" or made.level != "none"
        return self.level == "encrypt" and not self.insists and self.sts is None and made.level in _ENCRYPTED


_ENCRYPTED = frozenset({"encrypt", "dane-only", "fingerprint", "verify", "secure"})
"""Levels of connections that are certainly encrypted ("dane" may have found no records)."""


INSIDE = TlsPolicy("none", "inside")
"""Of a connection that does not leave this machine: it is good for every message."""


class PolicyReader:
    """The parameters of a service, in force unless an entry says otherwise.  `files` are the contents of tafiles."""

    def __init__(
        self, config: Config, level: str, anchors: tuple[TLSA, ...], files: dict[str, tuple[TLSA, ...]]
    ) -> None:
        self._config = config
        self._anchors = anchors
        self._files = files
        self._digits = _DIGEST_DIGITS[config[p.SMTP_TLS_FINGERPRINT_DIGEST]]
        self.default = self.at(level)

    def at(self, level: str) -> TlsPolicy:
        """The policy of a level by the parameters alone.  Raises TlsError, BadPolicy where they make no sense."""
        config = self._config
        for parameter in (p.SMTP_TLS_PROTOCOLS, p.SMTP_TLS_MANDATORY_PROTOCOLS):
            try:
                parse_versions(config[parameter])
            except TlsError as error:
                raise BadPolicy(f"{parameter.name}: {error}") from None
        optional = config[p.SMTP_TLS_PROTOCOLS], self._ciphers(config[p.SMTP_TLS_CIPHERS], (), mandatory=False)
        policy = TlsPolicy(
            level,
            servername=config[p.SMTP_TLS_SERVERNAME],
            versions=optional[0] if level in OPTIONAL_LEVELS else config[p.SMTP_TLS_MANDATORY_PROTOCOLS],
            ciphers=optional[1]
            if level in OPTIONAL_LEVELS
            else self._ciphers(config[p.SMTP_TLS_MANDATORY_CIPHERS], (), mandatory=True),
            optional_versions=optional[0],
            optional_ciphers=optional[1],
            reuse=config[p.SMTP_TLS_CONNECTION_REUSE],
        )
        match level:
            case "verify":
                match = _names(config[p.SMTP_TLS_VERIFY_CERT_MATCH], p.SMTP_TLS_VERIFY_CERT_MATCH.name)
                return replace(policy, match=match, anchors=self._anchors)
            case "secure":
                match = _names(config[p.SMTP_TLS_SECURE_CERT_MATCH], p.SMTP_TLS_SECURE_CERT_MATCH.name)
                return replace(policy, match=match, anchors=self._anchors)
            case "fingerprint":
                wanted = config[p.SMTP_TLS_FINGERPRINT_CERT_MATCH]
                return replace(policy, fingerprints=self._fingerprints(wanted))
        return policy

    def read(self, text: str) -> TlsPolicy:
        """An entry of a table.  Raises BadPolicy."""
        words = text[: ENTRY_LIMIT + 1].replace(",", " ").split()
        if not words or len(text) > ENTRY_LIMIT:
            raise BadPolicy("a TLS security level was expected, with attributes name=value behind it")
        level = words[0].lower()
        if level not in LEVELS:
            raise BadPolicy(f'"{words[0]}" is no TLS security level; use one of {", ".join(LEVELS)}')
        policy = replace(self.at(level), origin="table")
        grade = ""
        excluded: tuple[str, ...] = ()
        for word in words[1:]:
            name, equals, value = word.partition("=")
            if not equals or not value:
                raise BadPolicy(f'an attribute name=value was expected, not "{word}"')
            match name.lower():
                case "match":
                    policy = self._with_match(policy, value)
                case "protocols":
                    policy = self._with_versions(policy, value)
                case "ciphers" if value.lower() in p.GRADES:
                    grade = value.lower()
                case "exclude":
                    excluded = tuple(part for part in value.split(":") if part)
                case "tafile":
                    policy = replace(policy, anchors=self._anchors_of(value))
                case "servername":
                    policy = replace(policy, servername=value)
                case "connection_reuse" if value.lower() in ("yes", "no"):
                    policy = replace(policy, reuse=value.lower() == "yes")
                case _:
                    raise BadPolicy(f'"{word}" is no attribute of a TLS policy')
        if level == "fingerprint" and not policy.fingerprints:
            raise BadPolicy("the level fingerprint needs match=FINGERPRINT")
        if grade or excluded:
            policy = self._with_ciphers(policy, grade, excluded)
        return policy

    def _with_match(self, policy: TlsPolicy, value: str) -> TlsPolicy:
        if policy.level == "fingerprint":
            return replace(policy, fingerprints=self._fingerprints(value.split("|")))
        if policy.level not in NAMING_LEVELS:
            raise BadPolicy(f"match means nothing at the level {policy.level}")
        return replace(policy, match=_names(value.split(":"), "match"))

    def _with_versions(self, policy: TlsPolicy, value: str) -> TlsPolicy:
        try:
            parse_versions(value)
        except TlsError as error:
            raise BadPolicy(str(error)) from None
        return replace(policy, versions=value, optional_versions=value)

    def _with_ciphers(self, policy: TlsPolicy, grade: str, excluded: tuple[str, ...]) -> TlsPolicy:
        config = self._config
        optional = self._ciphers(grade or config[p.SMTP_TLS_CIPHERS], excluded, mandatory=False)
        mandatory = self._ciphers(grade or config[p.SMTP_TLS_MANDATORY_CIPHERS], excluded, mandatory=True)
        return replace(
            policy, ciphers=optional if policy.level in OPTIONAL_LEVELS else mandatory, optional_ciphers=optional
        )

    def _ciphers(self, grade: str, excluded: tuple[str, ...], *, mandatory: bool) -> str:
        excluded = (*self._config[p.SMTP_TLS_EXCLUDE_CIPHERS], *excluded)
        if mandatory:
            return cipher_list(self._config, grade, (*self._config[p.SMTP_TLS_MANDATORY_EXCLUDE_CIPHERS], *excluded))
        # The alternative to a weak key is clear text (RFC 7435 section 3).
        return cipher_list(self._config, grade, excluded) + ":@SECLEVEL=0"

    def _fingerprints(self, values: tuple[str, ...] | list[str]) -> tuple[str, ...]:
        found = []
        for value in values:
            digits = value.strip().replace(":", "").lower()
            if len(digits) != self._digits or not set(digits) <= set("0123456789abcdef"):
                raise BadPolicy(f'"{value}" is no fingerprint of {self._digits} hexadecimal digits')
            found.append(digits)
        return tuple(found)

    def _anchors_of(self, file: str) -> tuple[TLSA, ...]:
        if file not in self._files:
            raise BadPolicy(f"tafile={file} must be listed in {p.SMTP_TLS_POLICY_FILES.name}, to be read at start")
        return self._files[file]


def _names(values: tuple[str, ...] | list[str], where: str) -> tuple[str, ...]:
    found = []
    for value in values:
        name = value.lower()
        if name not in STRATEGIES and not _NAME.fullmatch(name):
            raise BadPolicy(f'"{value}" in {where}: hostname, nexthop, dot-nexthop, a name or a .domain was expected')
        found.append(name)
    if not found:
        raise BadPolicy(f"{where} is empty: nobody could prove who they are")
    return tuple(found)
