"""Parameters of submission: what is believed of an authenticated client, and what is done to its header."""

from __future__ import annotations

from pillarbox.lib.config.parameter import boolean, choice, networks, words

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
LOCAL_HEADER_REWRITE_CLIENTS = words(
    "local_header_rewrite_clients",
    "permit_inet_interfaces",
    """Clients in whose messages addresses without a domain are completed with $myorigin in the header:
    permit_inet_interfaces (this machine), permit_mynetworks, permit_sasl_authenticated. Local submissions always
    are.""",
    options=("permit_inet_interfaces", "permit_mynetworks", "permit_sasl_authenticated"),
)
