"""Parameters of the SMTP server: extensions of the protocol, and the limits that it announces."""

from __future__ import annotations

from pillarbox.lib.config.parameter import boolean, integer, networks, seconds

REQUIRETLS_ENABLE = boolean(
    "requiretls_enable",
    "yes",
    "Offer REQUIRETLS (RFC 8689) inside TLS: a message may demand TLS and a checked certificate on its whole way.",
)
SMTPD_DELIVER_BY_MINIMUM = seconds(
    "smtpd_deliver_by_minimum",
    "60s",
    """The least time in which a client may demand that a message be delivered or returned (DELIVERBY, RFC 2852); 0s:
    any. "smtpd_discard_ehlo_keywords: DELIVERBY" turns the extension off.""",
)
SMTPD_FUTURE_RELEASE_LIMIT = seconds(
    "smtpd_future_release_limit",
    "0s",
    """How long a client may have a message wait before it is delivered (FUTURERELEASE, RFC 4865); 0s: not at all. For
    submission services only.""",
)
SMTPD_SESSION_MESSAGE_LIMIT = integer(
    "smtpd_session_message_limit",
    "0",
    "How many messages a client may begin in one session, announced as MAILMAX (LIMITS, RFC 9422); 0: any number.",
)
SMTPD_RECIPIENT_DOMAIN_LIMIT = integer(
    "smtpd_recipient_domain_limit",
    "0",
    """In how many domains recipients may be in one session, announced as RCPTDOMAINMAX (LIMITS, RFC 9422); 0: any
    number. RCPTMAX is smtpd_recipient_limit.""",
)
SMTPD_EXPN_NETWORKS = networks(
    "smtpd_expn_networks",
    "",
    """Clients (networks) that may ask with EXPN which addresses an alias stands for; for others there is no such
    command.""",
)
