"""Parameters of the SMTP server; one program for port 25, submission and LMTP."""

from __future__ import annotations

from pillarbox.lib.config.parameter import boolean, choice, integer, networks, seconds, text, words

# --- who we are to clients
SMTPD_BANNER = text(
    "smtpd_banner", "$myhostname ESMTP $mail_name", "The text behind 220 in the greeting; must begin with $myhostname."
)
SMTPD_PROTOCOL = choice("smtpd_protocol", "smtp", "The protocol that the service speaks.", ("smtp", "lmtp"))
SMTPD_DISCARD_EHLO_KEYWORDS = words(
    "smtpd_discard_ehlo_keywords", "", "SMTP extensions that are neither announced nor accepted, such as CHUNKING."
)
DISABLE_VRFY_COMMAND = boolean("disable_vrfy_command", "no", "Refuse VRFY.")
SMTPD_HELO_REQUIRED = boolean("smtpd_helo_required", "no", "Demand HELO or EHLO before MAIL.")
STRICT_RFC821_ENVELOPES = boolean(
    "strict_rfc821_envelopes", "no", "Demand angle brackets around the addresses in MAIL and RCPT."
)

# --- authentication
SMTPD_SASL_AUTH_ENABLE = boolean("smtpd_sasl_auth_enable", "no", "Offer AUTH.")
SMTPD_SASL_AUTHENTICATED_HEADER = boolean(
    "smtpd_sasl_authenticated_header", "no", "Name the authenticated user in the Received: header."
)

# --- limits
SMTPD_TIMEOUT = seconds("smtpd_timeout", "300s", "How long to wait for a command, or for more of a message.")
SMTPD_MIN_DATA_RATE = integer(
    "smtpd_min_data_rate",
    "500",
    """Bytes of a message that a client must send each second, on an average over smtpd_timeout, so that a message sent
    octet by octet does not hold a session for ever; 0: any rate will do. (With Postfix this is so under stress.)""",
)
SMTPD_RECIPIENT_LIMIT = integer("smtpd_recipient_limit", "1000", "The most recipients of one message.", minimum=1)
SMTPD_RECIPIENT_OVERSHOOT_LIMIT = integer(
    "smtpd_recipient_overshoot_limit",
    "1000",
    "How many recipients beyond the limit are refused without counting errors.",
)
SMTPD_SOFT_ERROR_LIMIT = integer(
    "smtpd_soft_error_limit", "10", "The number of errors after which each reply waits for smtpd_error_sleep_time."
)
SMTPD_HARD_ERROR_LIMIT = integer("smtpd_hard_error_limit", "20", "The number of errors after which a session is ended.")
SMTPD_ERROR_SLEEP_TIME = seconds("smtpd_error_sleep_time", "1s", "The delay of replies after smtpd_soft_error_limit.")
SMTPD_JUNK_COMMAND_LIMIT = integer(
    "smtpd_junk_command_limit", "100", "How many NOOP, RSET, VRFY, ETRN, HELO and EHLO count as no error."
)
SMTPD_FORBIDDEN_COMMANDS = words(
    "smtpd_forbidden_commands", "CONNECT, GET, POST", "Commands of other protocols, which end the session at once."
)
SMTPD_FORBID_UNAUTH_PIPELINING = boolean(
    "smtpd_forbid_unauth_pipelining",
    "yes",
    "End the session of a client that does not wait for a reply where it must (RFC 2920).",
)
SMTPD_CLIENT_NAME_TIMEOUT = seconds(
    "smtpd_client_name_timeout", "5s", "How long RCPT waits for the client's host name before it counts as unknown."
)

# --- limits per client, kept by anvil
SMTPD_CLIENT_CONNECTION_COUNT_LIMIT = integer(
    "smtpd_client_connection_count_limit", "50", "How many sessions one client may have at once; 0: any number."
)
SMTPD_CLIENT_CONNECTION_RATE_LIMIT = integer(
    "smtpd_client_connection_rate_limit",
    "0",
    "How many sessions one client may begin per anvil_rate_time_unit; 0: any.",
)
SMTPD_CLIENT_MESSAGE_RATE_LIMIT = integer(
    "smtpd_client_message_rate_limit", "0", "How many messages one client may send per anvil_rate_time_unit; 0: any."
)
SMTPD_CLIENT_RECIPIENT_RATE_LIMIT = integer(
    "smtpd_client_recipient_rate_limit",
    "0",
    "How many recipients one client may name per anvil_rate_time_unit; 0: any.",
)
SMTPD_CLIENT_AUTH_RATE_LIMIT = integer(
    "smtpd_client_auth_rate_limit", "0", "How many AUTH commands one client may give per anvil_rate_time_unit; 0: any."
)
SMTPD_CLIENT_NEW_TLS_SESSION_RATE_LIMIT = integer(
    "smtpd_client_new_tls_session_rate_limit",
    "0",
    "How many new TLS sessions (not resumed ones) one client may begin per anvil_rate_time_unit; 0: any.",
)
SMTPD_CLIENT_IPV4_PREFIX_LENGTH = integer(
    "smtpd_client_ipv4_prefix_length", "32", "How much of an IPv4 address tells one client from another.", maximum=32
)
SMTPD_CLIENT_IPV6_PREFIX_LENGTH = integer(
    "smtpd_client_ipv6_prefix_length", "84", "The same for IPv6, where one owner has many addresses.", maximum=128
)
SMTPD_CLIENT_EVENT_LIMIT_EXCEPTIONS = networks(
    "smtpd_client_event_limit_exceptions", "$mynetworks", "Clients (networks) that these limits do not concern."
)
