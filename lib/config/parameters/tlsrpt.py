"""Parameters of TLS reports (RFC 8460) about mail that this system sends; read by smtp_client and tlsrpt."""

from __future__ import annotations

from pillarbox.lib.config.parameter import boolean, checked_words, path, seconds, text


def _ports(items: tuple[str, ...]) -> None:
    for item in items:
        if not (item.isascii() and item.isdecimal() and 0 < int(item) < 65536):
            raise ValueError(f'"{item}" is no TCP port: a number from 1 to 65535 is')


SMTP_TLSRPT_ENABLE = boolean(
    "smtp_tlsrpt_enable",
    "no",
    """Tell domains that ask for it (_smtp._tls.DOMAIN) once a day how TLS with their servers went. Off by default: it
    sends mail to others in your name; set tlsrpt_contact to an address that somebody reads first.""",
)
TLSRPT_DIRECTORY = path("tlsrpt_directory", "$data_directory/tlsrpt", "Where outcomes are counted until they are sent.")
TLSRPT_ORGANIZATION_NAME = text("tlsrpt_organization_name", "$mydomain", "Who reports.")
TLSRPT_CONTACT = text("tlsrpt_contact", "postmaster@$mydomain", "Whom to ask about a report: an address.")
TLSRPT_SENDER = text(
    "tlsrpt_sender", "$tlsrpt_contact", "The sender of reports that go by mail, in From: and envelope."
)
TLSRPT_DELAY = seconds(
    "tlsrpt_delay",
    "4h",
    "Reports on a day are sent at a random moment within so long after its end (midnight UTC), as RFC 8460 asks.",
)
TLSRPT_HTTPS_PORTS = checked_words(
    "tlsrpt_https_ports",
    "443",
    "The TCP ports at which reports may be handed in by HTTPS; addresses with another port get none.",
    _ports,
)
TLSRPT_CAFILE = path(
    "tlsrpt_CAfile",
    "",
    "PEM file with the authorities that may vouch for servers that take reports; empty: the system's.",
)
