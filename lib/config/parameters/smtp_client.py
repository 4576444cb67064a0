"""Parameters of the SMTP and LMTP client; a service may override each in its `options`."""

from __future__ import annotations

from pillarbox.lib.config.parameter import boolean, choice, integer, seconds, size, text, words

SMTP_CLIENT_PROTOCOL = choice(
    "smtp_client_protocol",
    "auto",
    """The protocol that a service speaks. "auto": LMTP where the service's name begins with "lmtp", else SMTP.""",
    ("auto", "smtp", "lmtp"),
)

# --- who is asked
SMTP_TCP_PORT = text("smtp_tcp_port", "25", "The TCP port for destinations that name none, with SMTP.")
LMTP_TCP_PORT = text("lmtp_tcp_port", "24", "The TCP port for destinations that name none, with LMTP.")
SMTP_FALLBACK_RELAY = words(
    "smtp_fallback_relay",
    "",
    """Destinations that are tried, in this order, when the real one can't be found or reached, or can't take the mail
    now; syntax as relayhost.""",
)
DISABLE_DNS_LOOKUPS = boolean(
    "disable_dns_lookups", "no", "Deliver to the host that a destination names, without asking for MX records."
)
SMTP_DNS_SUPPORT_LEVEL = choice(
    "smtp_dns_support_level",
    "",
    """disabled: as disable_dns_lookups, which is asked where this is empty. enabled and dnssec both ask for MX records:
    whether answers are validated for DANE is said by dnssec_validation.""",
    ("", "disabled", "enabled", "dnssec"),
)
IGNORE_MX_LOOKUP_ERROR = boolean(
    "ignore_mx_lookup_error", "no", "When the MX look-up fails for now, use the address of the domain itself."
)
SMTP_DEFER_IF_NO_MX_ADDRESS_FOUND = boolean(
    "smtp_defer_if_no_mx_address_found", "no", "Defer rather than return mail when no MX host has an address."
)
SMTP_MX_ADDRESS_LIMIT = integer(
    "smtp_mx_address_limit", "5", "How many addresses of a destination are tried for one delivery; 0: all."
)
SMTP_MX_SESSION_LIMIT = integer(
    "smtp_mx_session_limit",
    "2",
    "How many servers that answer are tried for one delivery when they can't take it now; 0: all.",
)
SMTP_WAITING_DELIVERY_LIMIT = integer(
    "smtp_waiting_delivery_limit",
    "5000",
    """How many deliveries one process lets wait for hosts that are dead, slow or not known yet, beside the `sessions`
    of master.yaml that it works on; as far as the limit of open files allows.""",
)
SMTP_RANDOMIZE_ADDRESSES = boolean(
    "smtp_randomize_addresses", "yes", "Try the hosts of equal preference in random order."
)
SMTP_ADDRESS_PREFERENCE = choice(
    "smtp_address_preference",
    "any",
    """The address family that is tried first among hosts of equal preference; "any" takes turns.""",
    ("any", "ipv4", "ipv6"),
)
SMTP_BALANCE_INET_PROTOCOLS = boolean(
    "smtp_balance_inet_protocols",
    "yes",
    "Where smtp_mx_address_limit would leave addresses of one family only, keep some of the other.",
)
SMTP_HOST_LOOKUP = words(
    "smtp_host_lookup",
    "dns",
    "Where addresses of hosts come from, in this order: dns, native (/etc/hosts).",
    options=("dns", "native"),
)
PROXY_INTERFACES = words(
    "proxy_interfaces",
    "",
    "Addresses under which this system receives mail by way of a proxy or address translator.",
)

# --- connections
SMTP_BIND_ADDRESS = text("smtp_bind_address", "", "The local IPv4 address of outgoing connections; empty: any.")
SMTP_BIND_ADDRESS6 = text("smtp_bind_address6", "", "The local IPv6 address of outgoing connections; empty: any.")
SMTP_BIND_ADDRESS_ENFORCE = boolean(
    "smtp_bind_address_enforce",
    "no",
    "Make no connection where smtp_bind_address or smtp_bind_address6 cannot be used, instead of one from any address.",
)
SMTP_CONNECTION_ATTEMPT_DELAY = seconds(
    "smtp_connection_attempt_delay",
    "0.25s",
    """How long one address is waited for before the next one of equal preference is tried beside it (RFC 8305); the one
    that answers first is used. 0: only when the one before has failed.""",
)
SMTP_CLIENT_PORTS = words(
    "smtp_client_ports",
    "",
    """The TCP ports to which the confined client may connect, beside those of the DNS; empty: any.""",
)
SMTP_CONNECTION_CACHE_ON_DEMAND = boolean(
    "smtp_connection_cache_on_demand", "yes", "Keep a connection open for a moment after a delivery, for the next one."
)
SMTP_CONNECTION_CACHE_DESTINATIONS = words(
    "smtp_connection_cache_destinations",
    "",
    """Destinations to which connections are kept open also where smtp_connection_cache_on_demand is no: domains, or
    names of relay hosts, without [] and port.""",
)
SMTP_CONNECTION_CACHE_TIME_LIMIT = seconds(
    "smtp_connection_cache_time_limit", "2s", "How long an unused connection is kept open."
)
SMTP_CONNECTION_REUSE_TIME_LIMIT = seconds(
    "smtp_connection_reuse_time_limit", "300s", "How long a connection is used for new deliveries."
)
SMTP_CONNECTION_REUSE_COUNT_LIMIT = integer(
    "smtp_connection_reuse_count_limit", "0", "How many deliveries one connection is used for; 0: any number."
)

# --- the conversation
SMTP_HELO_NAME = text("smtp_helo_name", "$myhostname", "The name in the EHLO, HELO or LHLO command.")
SMTP_SKIP_5XX_GREETING = boolean(
    "smtp_skip_5xx_greeting", "yes", "Treat a server that greets with a 5xx reply as unavailable for now."
)
SMTP_ALWAYS_SEND_EHLO = boolean(
    "smtp_always_send_ehlo", "yes", "Begin with EHLO also where the greeting does not say ESMTP."
)
SMTP_NEVER_SEND_EHLO = boolean("smtp_never_send_ehlo", "no", "Begin with HELO: use no extension at all.")
SMTP_QUOTE_RFC821_ENVELOPE = boolean(
    "smtp_quote_rfc821_envelope",
    "yes",
    "Quote local parts in MAIL and RCPT as RFC 5321 demands; no: send them as they are.",
)
SMTP_SKIP_QUIT_RESPONSE = boolean(
    "smtp_skip_quit_response", "yes", "Close the connection behind QUIT, without waiting for the reply."
)
SMTP_ADDRESS_VERIFY_TARGET = choice(
    "smtp_address_verify_target",
    "rcpt",
    "The command whose reply says whether an address is deliverable, in probes for it.",
    ("rcpt", "data"),
)
SMTP_PIX_WORKAROUNDS = words(
    "smtp_pix_workarounds",
    "",
    """What is done for servers behind a Cisco PIX, known by its greeting "220 ****": disable_esmtp (HELO),
    delay_dotcrlf (a pause before the dot that ends a message, where it has waited long).""",
    options=("disable_esmtp", "delay_dotcrlf"),
)
SMTP_PIX_WORKAROUND_THRESHOLD_TIME = seconds(
    "smtp_pix_workaround_threshold_time", "500s", "How long a message must have waited for delay_dotcrlf."
)
SMTP_PIX_WORKAROUND_DELAY_TIME = seconds("smtp_pix_workaround_delay_time", "10s", "The pause of delay_dotcrlf.")
SMTP_DISCARD_EHLO_KEYWORDS = words(
    "smtp_discard_ehlo_keywords", "", "Extensions that are not used even if a server offers them: pipelining, dsn, ..."
)
SMTP_LINE_LENGTH_LIMIT = size(
    "smtp_line_length_limit", "998", "Longer lines of a message are folded; 0: sent as they are; at least 16."
)
DISABLE_MIME_OUTPUT_CONVERSION = boolean(
    "disable_mime_output_conversion",
    "no",
    "Never re-encode a message for a server without 8BITMIME: send 8-bit content as it is.",
)
SMTP_SEND_XFORWARD_COMMAND = boolean(
    "smtp_send_xforward_command",
    "no",
    "Tell servers that offer XFORWARD (content filters) where a message came from.",
)
LMTP_ASSUME_FINAL = boolean(
    "lmtp_assume_final",
    "no",
    'Report a success at an LMTP server without DSN as "delivered" rather than "relayed".',
)

# --- transport security
SMTP_TLS_SECURITY_LEVEL = choice(
    "smtp_tls_security_level",
    "may",
    """none: no TLS; may: TLS where a server offers it, not verified, and what MTA-STS asks for; encrypt: TLS or no
    delivery, not verified; dane: TLS with the certificate that the server's signed TLSA records name, like may where
    there are none (RFC 7672); dane-only: the former or no delivery; fingerprint: a certificate of
    smtp_tls_fingerprint_cert_match; verify: one of a trusted authority for the host's name; secure: for the
    destination's name.""",
    ("none", "may", "encrypt", "dane", "dane-only", "fingerprint", "verify", "secure"),
)
TLS_REQUIRED_ENABLE = boolean(
    "tls_required_enable",
    "yes",
    """Honour the header field "TLS-Required: No" (RFC 8689): such a message goes out at the level may, whatever
    smtp_tls_security_level says.""",
)
SMTP_TLS_LOGLEVEL = integer(
    "smtp_tls_loglevel", "1", "1: log each TLS connection with its protocol and cipher; 0: not.", maximum=4
)

# --- time limits (RFC 5321 section 4.5.3.2)
SMTP_CONNECT_TIMEOUT = seconds("smtp_connect_timeout", "30s", "The time limit for one TCP or UNIX connection.")
SMTP_HELO_TIMEOUT = seconds("smtp_helo_timeout", "300s", "The time limit for the greeting, and for EHLO and HELO.")
SMTP_STARTTLS_TIMEOUT = seconds("smtp_starttls_timeout", "300s", "The time limit for STARTTLS and its handshake.")
SMTP_MAIL_TIMEOUT = seconds("smtp_mail_timeout", "300s", "The time limit for the reply to MAIL FROM.")
SMTP_RCPT_TIMEOUT = seconds("smtp_rcpt_timeout", "300s", "The time limit for the reply to each RCPT TO.")
SMTP_DATA_INIT_TIMEOUT = seconds("smtp_data_init_timeout", "120s", "The time limit for the reply to DATA.")
SMTP_DATA_XFER_TIMEOUT = seconds("smtp_data_xfer_timeout", "180s", "The time limit for each block of content.")
SMTP_PER_REQUEST_DEADLINE = boolean(
    "smtp_per_request_deadline",
    "no",
    """Limit the time for the content of a message as a whole: smtp_data_xfer_timeout, and a second more for each
    smtp_min_data_rate bytes that the server has taken. The time for a reply is always that for the whole reply.""",
)
SMTP_MIN_DATA_RATE = integer(
    "smtp_min_data_rate",
    "500",
    "Bytes of content in a second that a server must take with smtp_per_request_deadline.",
    minimum=1,
)
SMTP_DATA_DONE_TIMEOUT = seconds("smtp_data_done_timeout", "600s", "The time limit for the reply to the content.")
SMTP_RSET_TIMEOUT = seconds("smtp_rset_timeout", "20s", "The time limit for the reply to RSET.")
SMTP_QUIT_TIMEOUT = seconds(
    "smtp_quit_timeout", "300s", "The time limit for the reply to QUIT; the client does not wait for it."
)
