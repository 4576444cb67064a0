"""Parameters of milters, the mail filters of others that smtpd and pickup ask by way of the service `milter`."""

from __future__ import annotations

from pillarbox.lib.config.milters import ACTIONS, MilterSpec, parse_milters, parse_protocol
from pillarbox.lib.config.parameter import checked_words, choice, seconds, tables, text, words


def _check_list(items: tuple[str, ...]) -> None:
    parse_milters(items, MilterSpec(""))


def _check_protocol(items: tuple[str, ...]) -> None:
    parse_protocol(" ".join(items))


def _check_defaults(items: tuple[str, ...]) -> None:
    for item in items:
        if not item.strip("{} ").partition("=")[1]:
            raise ValueError(f'"name=value" was expected, not "{item}"')


# --- which
SMTPD_MILTERS = checked_words(
    "smtpd_milters",
    "",
    """The milters for mail that arrives by SMTP, in order: inet:HOST:PORT or unix:PATH each, or in braces with settings
    of its own: { inet:localhost:8891, default_action=accept, connect_timeout=10s }. The settings are connect_timeout,
    command_timeout, content_timeout, default_action and protocol. May differ between services (options in
    master.yaml).""",
    _check_list,
)
NON_SMTPD_MILTERS = checked_words(
    "non_smtpd_milters",
    "",
    """The milters for mail that local programs hand in with sendmail; the syntax of smtpd_milters. They see it as if it
    came by SMTP from localhost.""",
    _check_list,
)
SMTPD_MILTER_MAPS = tables(
    "smtpd_milter_maps",
    "",
    """Tables that give, for the IP address of a client, the milters that it has instead of smtpd_milters, or DISABLE.
    A milter with a TCP port that no smtpd_milters or non_smtpd_milters names cannot be reached.""",
)

MILTER_HEADER_CHECKS = tables(
    "milter_header_checks",
    "",
    "header_checks for the header fields that milters add or change, looked at before the message is taken.",
)

# --- how they are treated
MILTER_DEFAULT_ACTION = choice(
    "milter_default_action",
    "shutdown",
    """What becomes of mail whose milter cannot be reached, does not answer, or answers nonsense. accept: as if there
    were no such milter; reject: 550; tempfail: 451; quarantine: the mail is accepted and held; shutdown: 421, and the
    session ends.""",
    ACTIONS,
)
MILTER_PROTOCOL = checked_words(
    "milter_protocol",
    "6",
    """The highest version of the protocol that is offered: 2, 3, 4 or 6; no_header_reply behind an older one tells the
    milter that it need not answer header fields.""",
    _check_protocol,
)
MILTER_CONNECT_TIMEOUT = seconds(
    "milter_connect_timeout", "30s", "How long connecting to a milter and agreeing on options may take."
)
MILTER_COMMAND_TIMEOUT = seconds(
    "milter_command_timeout", "30s", "How long to wait for a milter's answer to an SMTP command."
)
MILTER_CONTENT_TIMEOUT = seconds(
    "milter_content_timeout", "300s", "How long to wait for a milter's answer about a piece of a message, or its end."
)

# --- what they are told
MILTER_MACRO_DAEMON_NAME = text("milter_macro_daemon_name", "$myhostname", "The value of the macro {daemon_name}.")
MILTER_MACRO_V = text("milter_macro_v", "$mail_name", "The value of the macro v.")
MILTER_MACRO_DEFAULTS = checked_words(
    "milter_macro_defaults",
    "",
    "Values for macros that have none: name=value, in braces where the value has blanks: { auth_type=not known }.",
    _check_defaults,
)
MILTER_CONNECT_MACROS = words(
    "milter_connect_macros", "j {daemon_name} {daemon_addr} v _", "The macros that milters get with a new connection."
)
MILTER_HELO_MACROS = words(
    "milter_helo_macros",
    "{tls_version} {cipher} {cipher_bits} {cert_subject} {cert_issuer}",
    "The macros that milters get with HELO and EHLO.",
)
MILTER_MAIL_MACROS = words(
    "milter_mail_macros",
    "i {auth_type} {auth_authen} {auth_author} {mail_addr} {mail_host} {mail_mailer}",
    "The macros that milters get with MAIL.",
)
MILTER_RCPT_MACROS = words(
    "milter_rcpt_macros", "i {rcpt_addr} {rcpt_host} {rcpt_mailer}", "The macros that milters get with RCPT."
)
MILTER_DATA_MACROS = words("milter_data_macros", "i", "The macros that milters get with DATA.")
MILTER_END_OF_HEADER_MACROS = words(
    "milter_end_of_header_macros", "i", "The macros that milters get at the end of the header."
)
MILTER_END_OF_DATA_MACROS = words(
    "milter_end_of_data_macros", "i", "The macros that milters get at the end of the message."
)
MILTER_UNKNOWN_COMMAND_MACROS = words(
    "milter_unknown_command_macros", "", "The macros that milters get with a command that the server does not know."
)
