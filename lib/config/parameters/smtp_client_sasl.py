"""Parameters of authentication as a client: how the SMTP client logs in at other servers."""

from __future__ import annotations

from pillarbox.lib.config.parameter import tables

SMTP_SASL_PASSWORD_MAPS = tables(
    "smtp_sasl_password_maps",
    "",
    """Tables with "name:password" for servers: looked up are the sender's address (with
    smtp_sender_dependent_authentication), the server's host name, and the next hop as it is written.""",
)
