"""Parameters of the login parts of imapd, pop3d and managesieved: what holds before a client has proved who it is."""

from __future__ import annotations

from pillarbox.lib.config.parameter import boolean, choice, integer, seconds

LOGIN_TLS_SECURITY_LEVEL = choice(
    "login_tls_security_level",
    "may",
    """Whether IMAP and POP3 offer TLS: none; may: STARTTLS and STLS are offered where a certificate is configured;
    encrypt: nobody logs in without TLS.""",
    ("none", "may", "encrypt"),
)
LOGIN_TLS_WRAPPERMODE = boolean(
    "login_tls_wrappermode",
    "no",
    "Speak TLS from the first byte on (ports 993 and 995); set per service in master.yaml.",
)
LOGIN_TIMEOUT = seconds("login_timeout", "180s", "How long a client may take to log in, from connect to success.")
LOGIN_MAX_FAILURES = integer(
    "login_max_failures", "10", "After how many failed logins a connection is ended.", minimum=1, maximum=1000
)
LOGIN_MAX_BAD_COMMANDS = integer(
    "login_max_bad_commands",
    "3",
    "After how many commands that are none a connection is ended that has not logged in.",
    minimum=1,
    maximum=1000,
)
LOGIN_SESSION_TIMEOUT = seconds(
    "login_session_timeout", "30s", "How long the login part waits for the session part to take a client over."
)
LOGIN_TLS_ASK_CCERT = boolean(
    "login_tls_ask_ccert",
    "no",
    """Ask IMAP and POP3 clients for a certificate, with which they may log in (SASL EXTERNAL); smtpd_tls_CAfile says
    which authorities are trusted. Many mail programs then ask their user for one.""",
)
