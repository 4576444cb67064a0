"""Addresses in standard form, as trivial-rewrite(8) of Postfix makes it: `user@domain`, whatever was written.

    rules = AddressRules(origin="example.org", domain="example.org")
    rules.standard("ann")                 # ann@example.org
    rules.standard("@relay.example:ann@far.example")    # ann@far.example
    rules.standard("far.example!ann")     # ann@far.example

Promises: the standard form of a standard form is itself (but for a domain without a dot that was written with one at
the end, where append_dot_mydomain is set); a quoted local part is one word, whatever is in it; what makes no sense as
an address stays as it is.  Knows no tables: what is ours and where it goes, others say.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from pillarbox.lib.address.address import quote_local, unquote_local

_QUOTED = re.compile(r'"(?:[^"\\]|\\.)*"', re.DOTALL)
_STANDARD = re.compile(r"[A-Za-z0-9_.+=\-]+@(?:[A-Za-z0-9\-_]+\.)+[A-Za-z0-9\-_]+")
"""What nearly every address looks like; nothing is to be done about it."""


@dataclass(frozen=True, slots=True)
class AddressRules:
    """What is done about forms other than `user@full.domain` (postconf(5), the parameters of these names).

    `origin` completes an address without domain ("" = none does), `domain` a domain without a dot where
    `append_dot_mydomain` is set.
    """

    origin: str
    domain: str = ""
    append_at_myorigin: bool = True
    append_dot_mydomain: bool = False
    swap_bangpath: bool = True
    percent_hack: bool = True
    resolve_dequoted: bool = True

    def standard(self, address: str) -> str:
        """The address in standard form; "" (nobody) stays."""
        if _STANDARD.fullmatch(address) or not address:
            return address
        while address[0] == "@" and ":" in address[:-1]:
            address = address.partition(":")[2]  # a source route (RFC 5321 appendix C)
        local, domain = split_written(address)
        if domain is None:
            local, domain = self._split_off(local)
        if not domain:
            return local if domain is None else f"{local}@"
        if self.append_dot_mydomain and self.domain and "." not in domain and "[" not in domain:
            domain = f"{domain}.{self.domain}"
        if domain[-1] == "." and domain[-2:-1] not in ("", "."):
            domain = domain[:-1]
        return f"{local}@{domain}"

    def _split_off(self, local: str) -> tuple[str, str | None]:
        """Local part and domain of an address without `@`."""
        if local[:1] != '"':
            if self.swap_bangpath and "!" in local:
                site, _, rest = local.partition("!")
            elif self.percent_hack and "%" in local:
                rest, _, site = local.rpartition("%")
            else:
                rest = site = ""
            if rest and site:
                return rest, site
        if self.append_at_myorigin and self.origin and local:
            return local, self.origin
        return local, None

    def routed(self, local: str) -> str | None:
        """Where an address goes on to whose domain is ours: `user%far.example` to `user@far.example`; None: nowhere.

        `local` is the local part as it is written.
        """
        quoted = local[:1] == '"'
        if quoted and (not self.resolve_dequoted or _QUOTED.fullmatch(local) is None):
            return None
        plain = unquote_local(local) if quoted else local
        user, at, site = plain.rpartition("@")
        if not at:
            if not self.carries_route(plain):
                return None
            user, domain = self._split_off(plain)
            site = domain if domain is not None and f"{user}@{domain}" != f"{plain}@{self.origin}" else ""
        if not user or not site:
            return None
        return self.standard(f"{quote_local(user) if quoted else user}@{site}")

    def quick(self, local: str) -> bool:
        """Whether a written local part is seen to name no further way."""
        return local.isidentifier() or not ("@" in local or "!" in local or "%" in local)

    def carries_route(self, local: str) -> bool:
        """Whether a local part (without quotes) names a further way."""
        return "@" in local or (self.swap_bangpath and "!" in local) or (self.percent_hack and "%" in local)


def split_written(address: str) -> tuple[str, str | None]:
    """Cut any text at the `@` before its domain: (local part as written, domain); None: it has none."""
    if address[:1] == '"':
        match = _QUOTED.match(address)
        if match is not None and match.end() == len(address):
            return address, None
    local, at, domain = address.rpartition("@")
    return (local, domain) if at else (domain, None)
