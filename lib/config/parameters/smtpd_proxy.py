"""Parameters of the SMTP server: proxies and filters in front of it that speak for their clients."""

from __future__ import annotations

from pillarbox.lib.config.parameter import choice, networks, seconds

SMTPD_AUTHORIZED_XCLIENT_HOSTS = networks(
    "smtpd_authorized_xclient_hosts",
    "",
    """Proxies (networks) that may say with XCLIENT for which client they speak: that client's address, name and login
    then count for everything, as if it were connected itself.""",
)
SMTPD_AUTHORIZED_XFORWARD_HOSTS = networks(
    "smtpd_authorized_xforward_hosts",
    "",
    "Content filters (networks) that may say with XFORWARD where a message came from, for logs and the queue file.",
)
SMTPD_UPSTREAM_PROXY_PROTOCOL = choice(
    "smtpd_upstream_proxy_protocol",
    "",
    """haproxy: the hosts in smtpd_upstream_proxy_hosts begin each connection with a header of the PROXY protocol,
    version 1 or 2, that says who the client is; also before TLS on port 465. Empty: nobody does.""",
    ("", "haproxy"),
)
SMTPD_UPSTREAM_PROXY_HOSTS = networks(
    "smtpd_upstream_proxy_hosts",
    "",
    """The proxies (networks) that send a PROXY header. They must; from all others it is not believed.""",
)
SMTPD_UPSTREAM_PROXY_TIMEOUT = seconds(
    "smtpd_upstream_proxy_timeout", "5s", "How long to wait for the PROXY header before the connection is closed."
)
