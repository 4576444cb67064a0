"""Templates of replies: `$name`, `${name?text}`, `${name:text}` for what is known of the session (postconf(5))."""

from __future__ import annotations

from collections.abc import Mapping

from pillarbox.lib.config.expansion import expand
from pillarbox.lib.dns import UNKNOWN
from pillarbox.lib.smtp.replies import printable
from pillarbox.smtpd.policy.facts import Facts


def session_macros(facts: Facts) -> dict[str, str]:
    """What every template may name."""
    name, reverse = (facts.name.name, facts.name.reverse_name) if facts.name is not None else (UNKNOWN, UNKNOWN)
    return {
        "client": f"{name}[{facts.address}]",
        "client_address": facts.address,
        "client_name": name,
        "client_port": str(facts.port),
        "reverse_client_name": reverse,
        "helo_name": facts.helo or "",
        **_address("sender", "<>" if facts.sender == "" else facts.given_sender),
        **_address("recipient", facts.given_recipient),
    }


def _address(kind: str, address: str) -> dict[str, str]:
    local, at, domain = address.rpartition("@")
    return {kind: address, f"{kind}_name": local if at else address, f"{kind}_domain": domain if at else ""}


def fill_in(template: str, values: Mapping[str, str]) -> str:
    """The template with its macros.  Values come from strangers: nothing in them is expanded.  Raises ValueError."""

    def value(name: str) -> str:
        return printable(values[name]).replace("$", "$$")

    return expand(template, value)
