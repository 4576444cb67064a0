"""Parameters of submission: what is believed of an authenticated client, and what is done to its header."""

from __future__ import annotations

from pillarbox.lib.config.parameter import boolean, checked_words, choice, networks

SMTPD_TRUSTED_AUTH_CLIENTS = networks(
    "smtpd_trusted_auth_clients",
    "$mynetworks",
    """Clients (networks) that are believed when they say by the AUTH= parameter of MAIL who submitted a message
    (RFC 4954 section 5); from others it means nothing.""",
)
SUBMISSION_HEADER_FIXUPS = boolean(
    "submission_header_fixups",
    "no",
    """Mend the header of messages from authenticated clients (RFC 6409 section 8): add missing Date:, Message-ID: and
    From:, complete addresses without a domain with $myorigin, and see to Sender: as submission_sender_header says. On
    for the submission services in master.yaml.""",
)
SUBMISSION_SENDER_HEADER = choice(
    "submission_sender_header",
    "add",
    """When submission_header_fixups puts the authenticated user into Sender:. add: where neither Sender: nor From: is
    an address that this user owns (smtpd_sender_login_maps), or where From: has several; always: unless From: is the
    user's own address; never.""",
    ("add", "always", "never"),
)
HEADER_REWRITE_WORDS = (
    "permit_inet_interfaces",
    "permit_mynetworks",
    "permit_sasl_authenticated",
    "permit_tls_clientcerts",
    "permit_tls_all_clientcerts",
    "check_address_map",
)


def _rewrite_clients(items: tuple[str, ...]) -> None:
    for item in items:
        if ":" not in item and item not in HEADER_REWRITE_WORDS:
            raise ValueError(f'"{item}": one of {", ".join(HEADER_REWRITE_WORDS)}, or type:table, was expected')
    if items and items[-1] == "check_address_map":
        raise ValueError("check_address_map: a type:table was expected behind it")


LOCAL_HEADER_REWRITE_CLIENTS = checked_words(
    "local_header_rewrite_clients",
    "permit_inet_interfaces",
    """Clients in whose messages the addresses in the header are rewritten, as in local submissions: completed with
    $myorigin and $mydomain, replaced by canonical tables, masqueraded. permit_inet_interfaces (this machine),
    permit_mynetworks, permit_sasl_authenticated, permit_tls_clientcerts (fingerprints in relay_clientcerts),
    permit_tls_all_clientcerts, check_address_map type:table (client addresses; the results do not count).
    "static:all" is every client. See remote_header_rewrite_domain for the others.""",
    _rewrite_clients,
)
