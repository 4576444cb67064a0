"""Parameters of variable envelope return paths (VERP): each recipient of a message gets it from a sender of its own."""

from __future__ import annotations

from pillarbox.lib.config.parameter import Raw, boolean, declare, joined, networks, text


def parse_delimiters(raw: Raw) -> str:
    """Two characters.  Raises ValueError."""
    value = joined(raw)
    if len(value) != 2:
        raise ValueError(f'two characters were expected, such as "+=", not "{value}"')
    return value


DEFAULT_VERP_DELIMITERS = declare(
    "default_verp_delimiters",
    "+=",
    """The two characters that set the recipient's parts apart in the sender, where a message asks for VERP and names
    none: owner+user=domain@origin.""",
    "text",
    parse_delimiters,
)
VERP_DELIMITER_FILTER = text(
    "verp_delimiter_filter",
    "-=+",
    "The characters that may be asked for as delimiters (`sendmail -XV`, XVERP).",
)
AUTHORIZED_VERP_CLIENTS = networks(
    "authorized_verp_clients",
    "$mynetworks",
    "Clients (networks) that may ask for VERP with XVERP in MAIL; others are not told of it.",
)
DISABLE_VERP_BOUNCES = boolean(
    "disable_verp_bounces",
    "no",
    """yes: failures of a message with VERP are told in one report to its sender, instead of in one for each recipient,
    to the sender that this recipient saw.""",
)
