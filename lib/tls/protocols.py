"""Which TLS versions a context speaks, in the syntax of postconf(5) `smtpd_tls_protocols`.

A list of `>=VERSION`, `<=VERSION`, `!VERSION` and plain `VERSION` items.  Versions older than TLS 1.0 do not exist in
today's OpenSSL; excluding them is accepted and changes nothing.
"""

from __future__ import annotations

import re
import ssl
from dataclasses import dataclass

from pillarbox.lib.tls.errors import TlsError

_VERSIONS = {
    "tlsv1": ssl.TLSVersion.TLSv1,
    "tlsv1.0": ssl.TLSVersion.TLSv1,
    "tlsv1.1": ssl.TLSVersion.TLSv1_1,
    "tlsv1.2": ssl.TLSVersion.TLSv1_2,
    "tlsv1.3": ssl.TLSVersion.TLSv1_3,
}
_ORDER = (ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1, ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3)
_EXTINCT = ("sslv2", "sslv3")
_ITEM = re.compile(r"(>=|<=|!|)([A-Za-z0-9.]+)")


@dataclass(frozen=True, slots=True)
class VersionRange:
    """The oldest and newest version spoken, both inclusive."""

    minimum: ssl.TLSVersion
    maximum: ssl.TLSVersion

    def apply(self, context: ssl.SSLContext) -> None:
        """Restrict `context` to the range."""
        context.minimum_version = self.minimum
        context.maximum_version = self.maximum


def parse_versions(text: str) -> VersionRange:
    """Read a protocol list; raises `TlsError` for an unknown version, an empty choice or a choice with a hole."""
    allowed = set(_ORDER)
    named: set[ssl.TLSVersion] = set()
    for word in text.replace(",", " ").replace(":", " ").split():
        match = _ITEM.fullmatch(word)
        name = match[2].lower() if match else ""
        if match is None or name not in _VERSIONS:
            if match is not None and name in _EXTINCT and match[1] in ("!", ">="):
                continue
            raise TlsError(f'"{word}" in "{text}" is no TLS version; write for example ">=TLSv1.2"')
        version = _VERSIONS[name]
        match match[1]:
            case ">=":
                allowed = {item for item in allowed if item >= version}
            case "<=":
                allowed = {item for item in allowed if item <= version}
            case "!":
                allowed.discard(version)
            case _:
                named.add(version)
    chosen = [item for item in _ORDER if item in allowed and (not named or item in named)]
    if not chosen:
        raise TlsError(f'"{text}" leaves no TLS version')
    positions = [_ORDER.index(item) for item in chosen]
    if positions[-1] - positions[0] + 1 != len(positions):
        raise TlsError(f'"{text}" leaves out a version between others; OpenSSL wants a range')
    return VersionRange(chosen[0], chosen[-1])
