"""Parameters of access policy in the SMTP server: who may send what to whom (postconf(5), access(5))."""

from __future__ import annotations

from pillarbox.lib.config.parameter import boolean, choice, integer, seconds, tables, template, text, words
from pillarbox.lib.config.restrictions import CLASSES, RESTRICTIONS, restrictions

# --- the lists
SMTPD_RELAY_RESTRICTIONS = restrictions(
    "smtpd_relay_restrictions",
    "permit_mynetworks, permit_sasl_authenticated, reject_unauth_destination",
    """Who may send to which recipient. Like all these lists it is gone through from left to right until a restriction
    decides; a list that comes to its end permits, and what one list permits the next may still refuse. Restrictions
    are: """
    + ", ".join(RESTRICTIONS)
    + """; warn_if_reject before a restriction makes it log what it would refuse; "type:table" is the access table check
    of the list.""",
    "check_recipient_access",
)
SMTPD_CLIENT_RESTRICTIONS = restrictions(
    "smtpd_client_restrictions", "", "Restrictions for the client, its address and name.", "check_client_access"
)
SMTPD_HELO_RESTRICTIONS = restrictions(
    "smtpd_helo_restrictions", "", "Restrictions for the name that a client gives in HELO or EHLO.", "check_helo_access"
)
SMTPD_SENDER_RESTRICTIONS = restrictions(
    "smtpd_sender_restrictions", "", "Restrictions for the address in MAIL FROM.", "check_sender_access"
)
SMTPD_RECIPIENT_RESTRICTIONS = restrictions(
    "smtpd_recipient_restrictions",
    "",
    "Restrictions for the address in RCPT TO, after smtpd_relay_restrictions; the place for spam policy.",
    "check_recipient_access",
)
SMTPD_DATA_RESTRICTIONS = restrictions(
    "smtpd_data_restrictions", "", "Restrictions at DATA, or the first BDAT, when all recipients are known."
)
SMTPD_END_OF_DATA_RESTRICTIONS = restrictions(
    "smtpd_end_of_data_restrictions", "", "Restrictions at the end of the message, when its size is known."
)
SMTPD_ETRN_RESTRICTIONS = restrictions(
    "smtpd_etrn_restrictions", "", "Restrictions for the domain in ETRN.", "check_etrn_access"
)
SMTPD_RESTRICTION_CLASSES = words(
    CLASSES,
    "",
    """Names of restriction lists of one's own. Each is a parameter with that name, set beside this one, and may stand
    wherever a restriction may, in access tables as well.""",
)
SMTPD_DELAY_REJECT = boolean(
    "smtpd_delay_reject",
    "yes",
    """Look at the client, HELO and sender restrictions only in RCPT (or ETRN): the log then says who was refused as
    sender and recipient, and all restrictions know everything.""",
)
SMTPD_RELAY_BEFORE_RECIPIENT_RESTRICTIONS = boolean(
    "smtpd_relay_before_recipient_restrictions",
    "yes",
    "Look at smtpd_relay_restrictions before smtpd_recipient_restrictions, not after them.",
)

# --- addresses
SMTPD_REJECT_UNLISTED_RECIPIENT = boolean(
    "smtpd_reject_unlisted_recipient", "yes", "Refuse recipients in our own domains that do not exist, for all clients."
)
SMTPD_REJECT_UNLISTED_SENDER = boolean(
    "smtpd_reject_unlisted_sender", "no", "Refuse senders in our own domains that do not exist, for all clients."
)
SMTPD_SENDER_LOGIN_MAPS = tables(
    "smtpd_sender_login_maps",
    "logins: $virtual_alias_maps",
    """Tables that say which users own a sender address, for reject_sender_login_mismatch and its like: looked up are
    user+extension@domain, user@domain, for our own domains user, and @domain; the result is one or more login names.
    "logins:" stands for the users who may log in: a hosted account owns its own address, a system user the one of that
    name in mydestination. By default the virtual aliases that lead to an account are its own as well.""",
)
SMTPD_NULL_ACCESS_LOOKUP_KEY = text(
    "smtpd_null_access_lookup_key", "<>", "What is looked up in access tables for the null sender."
)
RELAY_CLIENTCERTS = tables(
    "relay_clientcerts",
    "",
    "Tables with the fingerprints of the client certificates (or their public keys) that permit_tls_clientcerts means.",
)


# --- reply codes
ACCESS_MAP_REJECT_CODE = integer(
    "access_map_reject_code", "554", "The reply code of REJECT in an access table.", minimum=400, maximum=599
)
ACCESS_MAP_DEFER_CODE = integer(
    "access_map_defer_code", "450", "The reply code of DEFER in an access table.", minimum=400, maximum=499
)
REJECT_CODE = integer("reject_code", "554", 'The reply code of "reject".', minimum=400, maximum=599)
DEFER_CODE = integer("defer_code", "450", 'The reply code of "defer".', minimum=400, maximum=499)
RELAY_DOMAINS_REJECT_CODE = integer(
    "relay_domains_reject_code", "554", "The reply code of reject_unauth_destination.", minimum=400, maximum=599
)
MAPS_RBL_REJECT_CODE = integer(
    "maps_rbl_reject_code", "554", "The reply code for what a DNS blocklist has.", minimum=400, maximum=599
)
INVALID_HOSTNAME_REJECT_CODE = integer(
    "invalid_hostname_reject_code", "501", "The reply code of reject_invalid_helo_hostname.", minimum=400, maximum=599
)
NON_FQDN_REJECT_CODE = integer(
    "non_fqdn_reject_code", "504", "The reply code for names that are not fully qualified.", minimum=400, maximum=599
)
UNKNOWN_ADDRESS_REJECT_CODE = integer(
    "unknown_address_reject_code",
    "450",
    "The reply code for addresses in domains that do not exist; a domain that cannot be looked up now always gets 450.",
    minimum=400,
    maximum=599,
)
UNKNOWN_CLIENT_REJECT_CODE = integer(
    "unknown_client_reject_code", "450", "The reply code for clients without a name.", minimum=400, maximum=599
)
UNKNOWN_HOSTNAME_REJECT_CODE = integer(
    "unknown_hostname_reject_code", "450", "The reply code of reject_unknown_helo_hostname.", minimum=400, maximum=599
)
MULTI_RECIPIENT_BOUNCE_REJECT_CODE = integer(
    "multi_recipient_bounce_reject_code",
    "550",
    "The reply code of reject_multi_recipient_bounce.",
    minimum=400,
    maximum=599,
)
PLAINTEXT_REJECT_CODE = integer(
    "plaintext_reject_code", "450", "The reply code of reject_plaintext_session.", minimum=400, maximum=599
)
UNKNOWN_LOCAL_RECIPIENT_REJECT_CODE = integer(
    "unknown_local_recipient_reject_code",
    "550",
    "The reply code for an unknown address in mydestination.",
    minimum=400,
    maximum=599,
)
UNKNOWN_VIRTUAL_ALIAS_REJECT_CODE = integer(
    "unknown_virtual_alias_reject_code",
    "550",
    "The reply code for an unknown address in virtual_alias_domains.",
    minimum=400,
    maximum=599,
)
UNKNOWN_VIRTUAL_MAILBOX_REJECT_CODE = integer(
    "unknown_virtual_mailbox_reject_code",
    "550",
    "The reply code for an unknown address in virtual_mailbox_domains.",
    minimum=400,
    maximum=599,
)
UNKNOWN_RELAY_RECIPIENT_REJECT_CODE = integer(
    "unknown_relay_recipient_reject_code",
    "550",
    "The reply code for an unknown address in relay_domains.",
    minimum=400,
    maximum=599,
)

# --- what is not known now
_TEMPFAIL = ("defer", "defer_if_permit")
REJECT_TEMPFAIL_ACTION = choice(
    "reject_tempfail_action",
    "defer_if_permit",
    """What a reject_... restriction does when a temporary failure hides the answer. defer: answer 450; defer_if_permit:
    answer 450 unless a later restriction refuses for good.""",
    _TEMPFAIL,
)
UNKNOWN_ADDRESS_TEMPFAIL_ACTION = choice(
    "unknown_address_tempfail_action",
    "$reject_tempfail_action",
    "The same for reject_unknown_sender_domain and reject_unknown_recipient_domain.",
    _TEMPFAIL,
)
UNKNOWN_HELO_HOSTNAME_TEMPFAIL_ACTION = choice(
    "unknown_helo_hostname_tempfail_action",
    "$reject_tempfail_action",
    "The same for reject_unknown_helo_hostname.",
    _TEMPFAIL,
)

# --- replies
DEFAULT_RBL_REPLY = template(
    "default_rbl_reply",
    "$rbl_code Service unavailable; $rbl_class [$rbl_what] blocked using $rbl_domain${rbl_reason?; $rbl_reason}",
    """The reply for what a DNS blocklist has. Known are $client, $client_address, $client_name, $reverse_client_name,
    $helo_name, $rbl_class, $rbl_code, $rbl_domain, $rbl_reason (the TXT record), $rbl_txt (the same), $rbl_what,
    $recipient, $recipient_domain, $recipient_name, $sender, $sender_domain, $sender_name.""",
)
RBL_REPLY_MAPS = tables(
    "rbl_reply_maps", "", "Tables with such replies by the domain of the blocklist; default_rbl_reply is for the rest."
)
SMTPD_REJECT_FOOTER = template(
    "smtpd_reject_footer",
    "",
    """A text that follows each 4xx and 5xx reply as further lines; \\n separates lines, \\c at the beginning continues
    the last line. Known are $client, $client_address, $client_name, $client_port, $helo_name, $localtime, $process_id,
    $recipient, $recipient_domain, $recipient_name, $sender, $sender_domain, $sender_name, $server_name.""",
)

# --- policy servers
SMTPD_POLICY_SERVICE_DEFAULT_ACTION = text(
    "smtpd_policy_service_default_action",
    "451 4.3.5 Server configuration problem",
    "The action, as in an access table, when a policy server cannot be asked or speaks nonsense.",
)
SMTPD_POLICY_SERVICE_POLICY_CONTEXT = text(
    "smtpd_policy_service_policy_context", "", "The policy_context that is sent to policy servers."
)
SMTPD_POLICY_SERVICE_TIMEOUT = seconds(
    "smtpd_policy_service_timeout", "100s", "How long to wait for a policy server to connect, or to answer."
)
SMTPD_POLICY_SERVICE_TRY_LIMIT = integer(
    "smtpd_policy_service_try_limit", "2", "How often a policy server is asked before it counts as broken.", minimum=1
)
SMTPD_POLICY_SERVICE_RETRY_DELAY = seconds(
    "smtpd_policy_service_retry_delay", "1s", "The pause before a policy server is asked again."
)
SMTPD_POLICY_SERVICE_MAX_IDLE = seconds(
    "smtpd_policy_service_max_idle", "300s", "How long an unused connection to a policy server is kept."
)
SMTPD_POLICY_SERVICE_MAX_TTL = seconds(
    "smtpd_policy_service_max_ttl", "1000s", "How long a connection to a policy server is used."
)
SMTPD_POLICY_SERVICE_REQUEST_LIMIT = integer(
    "smtpd_policy_service_request_limit", "0", "How many requests a connection to a policy server carries; 0: any."
)
