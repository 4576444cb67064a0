"""Parameters of authentication as a client: how the SMTP client logs in at other servers."""

from __future__ import annotations

from pillarbox.lib.config.parameter import boolean, checked_words, seconds, secret_tables, words
from pillarbox.lib.config.sasl_filter import parse_filter

SECURITY_OPTIONS = ("noplaintext", "noanonymous", "mutual_auth")

SMTP_SASL_AUTH_ENABLE = boolean(
    "smtp_sasl_auth_enable",
    "no",
    "Log in at servers for which smtp_sasl_password_maps has a name and password, where they offer AUTH.",
)
SMTP_SASL_PASSWORD_MAPS = secret_tables(
    "smtp_sasl_password_maps",
    "",
    """Tables with "name:password" for servers: looked up are the sender's address (with
    smtp_sender_dependent_authentication), the server's host name, and the next hop as it is written. A value
    "name:Bearer TOKEN" is an access token, for the mechanisms OAUTHBEARER and XOAUTH2. The client reads them before it
    gives up root's rights: a file that only root can read (mode 0600) is right. When a file has changed, new processes
    start with it (tls_certificate_check_interval). Tables that ask another program (accounts, unix) cannot be used.""",
)
SMTP_SENDER_DEPENDENT_AUTHENTICATION = boolean(
    "smtp_sender_dependent_authentication",
    "no",
    """Look for the sender's address in smtp_sasl_password_maps first: user+extension@domain, @domain. A connection
    carries only the mail of those who have the same name and password.""",
)
SMTP_SASL_MECHANISM_FILTER = checked_words(
    "smtp_sasl_mechanism_filter",
    "",
    """The mechanisms that are used of those that a server offers: names, "!name" for one that is not, "static:all" for
    all others. Empty: all.""",
    parse_filter,
)
SMTP_SASL_SECURITY_OPTIONS = words(
    "smtp_sasl_security_options",
    "noplaintext, noanonymous",
    """What the mechanisms must be without TLS. noplaintext: no password or token crosses the wire; mutual_auth: the
    server proves itself, too; noanonymous has no effect: there is no anonymous mechanism.""",
    options=SECURITY_OPTIONS,
)
SMTP_SASL_TLS_SECURITY_OPTIONS = words(
    "smtp_sasl_tls_security_options",
    "noanonymous",
    """The same under TLS. Postfix's default is $smtp_sasl_security_options, with which most providers cannot be logged
    in at.""",
    options=SECURITY_OPTIONS,
)
SMTP_SASL_TLS_VERIFIED_SECURITY_OPTIONS = words(
    "smtp_sasl_tls_verified_security_options",
    "$smtp_sasl_tls_security_options",
    "The same under TLS with a server whose certificate has been verified.",
    options=SECURITY_OPTIONS,
)
SMTP_SASL_AUTH_SOFT_BOUNCE = boolean(
    "smtp_sasl_auth_soft_bounce",
    "yes",
    "Put mail off, instead of returning it, where a server refuses the login for good (535).",
)
SMTP_SASL_AUTH_CACHE_TIME = seconds(
    "smtp_sasl_auth_cache_time",
    "0s",
    """How long a login that a server has refused (535) is not tried again there, unless its password changes; 0: each
    delivery tries it.""",
)
