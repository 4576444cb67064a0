"""Parameters of sites: domains that the same servers receive mail for, and that share one window therefore."""

from __future__ import annotations

from collections.abc import Mapping

from pillarbox.lib.config.families import family
from pillarbox.lib.config.parameter import Raw, boolean, declare, split_words


def parse_sites(raw: Raw) -> Mapping[str, str]:
    """`SUFFIX=SITE` each, or `SUFFIX` alone, whose site is named as the suffix without its leading dot."""
    sites: dict[str, str] = {}
    for item in split_words(raw):
        suffix, equals, site = item.lower().partition("=")
        site = site or suffix.removeprefix(".")
        if not suffix.strip(".") or not site or (equals and item.endswith("=")):
            raise ValueError(f'".SUFFIX" or ".SUFFIX=SITE" was expected, not "{item}"')
        sites[suffix] = site
    return sites


DESTINATION_SITES = family(
    boolean(
        "default_destination_sites",
        "yes",
        """Domains with the same MX hosts are one destination: they share its concurrency and its rate delay.  Holds for
        services that deliver by MX records.  For one service: SERVICE_destination_sites.""",
    )
)
MX_SITES = declare(
    "mx_sites",
    (
        ".mail.protection.outlook.com=outlook.com",
        ".mx.microsoft=outlook.com",
        ".olc.protection.outlook.com=outlook.com",
        ".l.google.com=google.com",
        "smtp.google.com=google.com",
        ".googlemail.com=google.com",
        ".yahoodns.net",
        ".pphosted.com",
        ".ppe-hosted.com",
        ".iphmx.com",
        ".messagelabs.com",
        ".mimecast.com",
        ".ess.barracudanetworks.com",
        ".hornetsecurity.com",
        ".in.hes.trendmicro.com",
        ".emailsrvr.com",
        ".mx.cloudflare.net",
    ),
    """Big providers whose customers have MX hosts under names of their own: hosts that end so are one site.  Each item
    is SUFFIX=SITE, or SUFFIX alone; a suffix that begins with a dot is for hosts below it.""",
    "sites",
    parse_sites,
)
