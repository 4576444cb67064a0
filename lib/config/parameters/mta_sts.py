"""Parameters of MTA-STS (RFC 8461), policies that domains publish for mail to them; read by smtp_client, mta_sts."""

from __future__ import annotations

from pillarbox.lib.config.parameter import boolean, integer, path, seconds

SMTP_MTA_STS = boolean(
    "smtp_mta_sts",
    "yes",
    """Ask for the MTA-STS policy of a domain before its mail goes out at the TLS level may, and keep to it (RFC 8461):
    mail goes to the servers that the policy names, over verified TLS, or waits. It costs one DNS question for each new
    domain, and an HTTPS request now and then for those that have a policy; nothing where a relay in brackets takes
    the mail. no: without.""",
)
SMTP_MTA_STS_TIMEOUT = seconds(
    "smtp_mta_sts_timeout",
    "10s",
    """How long mail waits for the first look-up of its domain's policy. What takes longer goes on in the background,
    and the mail goes out as if there were no policy.""",
)
MTA_STS_DIRECTORY = path("mta_sts_directory", "$data_directory/mta_sts", "Where policies are kept.")
MTA_STS_FETCH_TIMEOUT = seconds("mta_sts_fetch_timeout", "60s", "The time limit for fetching one policy.")
MTA_STS_CAFILE = path(
    "mta_sts_CAfile",
    "",
    "PEM file with the authorities that may vouch for the servers of policies; empty: the system's.",
)
MTA_STS_TCP_PORT = integer(
    "mta_sts_tcp_port", "443", "The TCP port from which policies are fetched; another one is for tests.", maximum=65535
)
