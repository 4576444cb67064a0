"""What a server offers: its EHLO or LHLO reply read once (RFC 5321 section 4.1.1.1)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

from pillarbox.lib.smtp.client_reply import ServerReply


@dataclass(frozen=True, slots=True)
class Limits:
    """How much one session may bring (RFC 9422 section 4); 0 is no limit.

    `messages` MAIL commands, `recipients` of one message, `domains` that all recipients of the session are in.
    """

    messages: int = 0
    recipients: int = 0
    domains: int = 0


NO_LIMITS = Limits()


@dataclass(frozen=True)
class Capabilities:
    """`name` is what the server calls itself; `keywords` has the extensions in upper case with their arguments."""

    name: str = ""
    keywords: Mapping[str, str] = field(default_factory=dict)

    def __contains__(self, keyword: str) -> bool:
        return keyword in self.keywords

    @cached_property
    def pipelining(self) -> bool:
        """RFC 2920."""
        return "PIPELINING" in self.keywords

    @cached_property
    def size_limit(self) -> int:
        """Largest message in bytes (RFC 1870); 0 where the server names none."""
        argument = self.keywords.get("SIZE", "").split(" ")[0]
        return int(argument) if argument.isascii() and argument.isdigit() and len(argument) <= 20 else 0

    @cached_property
    def limits(self) -> Limits:
        """RFC 9422; NO_LIMITS itself where the server names none."""
        if "LIMITS" not in self.keywords:
            return NO_LIMITS
        found: dict[str, int] = {}
        for item in self.keywords.get("LIMITS", "").upper().split():
            name, _, value = item.partition("=")
            if value.isascii() and value.isdigit() and len(value) <= 6 and int(value):
                found.setdefault(name, int(value))
        return Limits(found.get("MAILMAX", 0), found.get("RCPTMAX", 0), found.get("RCPTDOMAINMAX", 0))

    @cached_property
    def binary(self) -> bool:
        """Whether a body may be any octets (RFC 3030)."""
        return "CHUNKING" in self.keywords and "BINARYMIME" in self.keywords

    @cached_property
    def shortest_delivery(self) -> int:
        """The least time in seconds that DELIVERBY may ask for (RFC 2852 section 3); 0 where the server names none."""
        argument = self.keywords.get("DELIVERBY", "")
        return int(argument) if argument.isascii() and argument.isdigit() and len(argument) <= 9 else 0

    @cached_property
    def forwarded(self) -> frozenset[str]:
        """What XFORWARD may tell the server."""
        return frozenset(self.keywords.get("XFORWARD", "").upper().split())

    @cached_property
    def auth_mechanisms(self) -> tuple[str, ...]:
        """RFC 4954."""
        return tuple(self.keywords.get("AUTH", "").upper().split())


def parse_capabilities(reply: ServerReply, without: frozenset[str] = frozenset()) -> Capabilities:
    """The capabilities in a reply to EHLO or LHLO; `without` names keywords to overlook, in upper case."""
    keywords: dict[str, str] = {}
    for line in reply.lines[1:]:
        keyword, _, argument = line.strip().partition(" ")
        keyword = keyword.upper()
        if keyword.startswith("AUTH="):  # the form of a draft, still offered beside the right one
            keyword, argument = "AUTH", f"{keyword[5:]} {argument}"
        if keyword == "AUTH" and "AUTH" in keywords:
            argument = f"{keywords['AUTH']} {argument}"
        if keyword and keyword not in without:
            keywords[keyword] = argument.strip()
    return Capabilities(reply.lines[0].split(" ")[0] if reply.lines else "", keywords)
