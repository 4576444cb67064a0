"""Whether a certificate is for a name (RFC 6125 section 6; postconf(5) `smtp_tls_verify_cert_match`).

Reference names are host names, or `.domain` for all names below a domain.  In a certificate `*.domain` stands for one
label.  The common name counts only where there is no DNS name among the alternative names, and where the caller says.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any


def certified_names(certificate: Mapping[str, Any], *, common_name: bool = True) -> tuple[str, ...]:
    """The DNS names in what `ssl.SSLObject.getpeercert` returns."""
    names = tuple(value for kind, value in certificate.get("subjectAltName", ()) if kind == "DNS")
    if names or not common_name:
        return names
    found = [value for part in certificate.get("subject", ()) for kind, value in part if kind == "commonName"]
    return tuple(found[-1:])


def matches(reference: Iterable[str], certified: Iterable[str]) -> bool:
    """Whether one of the names that were asked for is one of those in the certificate."""
    names = [name.lower().removesuffix(".") for name in certified if _is_name(name)]
    return any(_match(wanted.lower().removesuffix("."), name) for wanted in reference for name in names)


def _match(wanted: str, name: str) -> bool:
    if wanted.startswith("."):
        return len(wanted) > 1 and name.endswith(wanted) and len(name) > len(wanted)
    if name.startswith("*."):
        label, dot, parent = wanted.partition(".")
        # One label at least must stand behind the wildcard's own: "*.org" is for nobody.
        return bool(label and dot) and parent == name[2:] and "." in parent
    return bool(wanted) and wanted == name


def _is_name(name: str) -> bool:
    """Nothing with a NUL or another character that host names do not have, which a library might read up to only."""
    return name.isascii() and name.isprintable() and " " not in name and "*" not in name.removeprefix("*.")
