"""Parameters of rewriting: how addresses are written, and what is put in their place.  Read by `lookup`, `cleanup`."""

from __future__ import annotations

from pillarbox.lib.config.parameter import boolean, path, seconds, tables, text, words

CLASSES = ("envelope_sender", "envelope_recipient", "header_sender", "header_recipient")
"""Where an address may stand: in the envelope or in the header, as sender or as recipient."""

# --- the form of addresses
APPEND_AT_MYORIGIN = boolean(
    "append_at_myorigin",
    "yes",
    'Complete an address without domain with "@$myorigin". Switching it off breaks mail: programs rely on it.',
)
APPEND_DOT_MYDOMAIN = boolean(
    "append_dot_mydomain", "no", 'Complete a domain without a dot ("ann@host") with ".$mydomain".'
)
SWAP_BANGPATH = boolean("swap_bangpath", "yes", 'Read "site!user" as "user@site".')
ALLOW_PERCENT_HACK = boolean("allow_percent_hack", "yes", 'Read "user%domain" as "user@domain".')
RESOLVE_DEQUOTED_ADDRESS = boolean(
    "resolve_dequoted_address",
    "yes",
    """Look for a further way (@, %, !) also in a quoted local part: "user@far"@here. Switched off, such mail is for a
    user of that strange name, and a backup mail server may become an open relay for others.""",
)
ALLOW_UNTRUSTED_ROUTING = boolean(
    "allow_untrusted_routing",
    "no",
    """Take mail of strangers for addresses that name a further way ("user%far.example@domain") in a domain that is
    not local. The next server may follow it, and relay for whoever wrote it.""",
)
EMPTY_ADDRESS_RECIPIENT = text(
    "empty_address_recipient", "MAILER-DAEMON", "The recipient of mail that is addressed to the null address."
)
REMOTE_HEADER_REWRITE_DOMAIN = text(
    "remote_header_rewrite_domain",
    "",
    """Headers of mail from clients outside local_header_rewrite_clients are not rewritten if this is empty; otherwise
    they are, and addresses without domain in them get this one, such as "domain.invalid".""",
)

# --- canonical addresses
CANONICAL_CLASSES = words(
    "canonical_classes",
    "envelope_sender, envelope_recipient, header_sender, header_recipient",
    "The addresses that canonical_maps rewrite.",
    options=CLASSES,
)
SENDER_CANONICAL_CLASSES = words(
    "sender_canonical_classes",
    "envelope_sender, header_sender",
    "The addresses that sender_canonical_maps rewrite.",
    options=CLASSES,
)
RECIPIENT_CANONICAL_CLASSES = words(
    "recipient_canonical_classes",
    "envelope_recipient, header_recipient",
    "The addresses that recipient_canonical_maps rewrite.",
    options=CLASSES,
)

# --- masquerading
MASQUERADE_DOMAINS = words(
    "masquerade_domains",
    "",
    """Domains whose subdomains are hidden: with "example.com", "ann@host.example.com" becomes "ann@example.com". The
    first that matches decides; "!sub.example.com" leaves that one and its subdomains alone.""",
)
MASQUERADE_CLASSES = words(
    "masquerade_classes",
    "envelope_sender, header_sender, header_recipient",
    "The addresses that are masqueraded.",
    options=CLASSES,
)
MASQUERADE_EXCEPTIONS = words(
    "masquerade_exceptions",
    "",
    """Users whose addresses are not masqueraded, such as root: names, "type:table" entries whose keys are names, or
    files.""",
)

# --- blind copies
ALWAYS_BCC = text(
    "always_bcc",
    "",
    """An address that gets a blind copy of every new message from outside or from a local program. Nobody hears of it
    when that copy cannot be delivered.""",
)
SENDER_BCC_MAPS = tables(
    "sender_bcc_maps", "", "Tables of addresses that get a blind copy, by the sender's address (keys as in virtual(5))."
)
RECIPIENT_BCC_MAPS = tables(
    "recipient_bcc_maps",
    "",
    "Tables of addresses that get a blind copy, by each recipient's address before virtual aliases.",
)

# --- on the way out
SMTP_GENERIC_MAPS = tables(
    "smtp_generic_maps",
    "",
    """Tables that rewrite sender and recipients, in envelope and header, of mail that is sent to other servers
    (generic(5)): for addresses that are good only inside. The keys are those of virtual(5). lmtp_generic_maps is the
    same for LMTP.""",
)
SMTP_HEADER_CHECKS = tables(
    "smtp_header_checks",
    "",
    """Tables (usually regexp: or pcre:) that are asked about each header field of a message, but those of MIME, when it
    is sent to another server: IGNORE, STRIP, REPLACE, PREPEND, INFO, WARN, DUNNO (header_checks(5)). What could change
    its way is not done: it is too late.""",
)
SMTP_MIME_HEADER_CHECKS = tables(
    "smtp_mime_header_checks",
    "",
    "The same for MIME header fields, those of the message and all in the headers of its parts.",
)
SMTP_NESTED_HEADER_CHECKS = tables(
    "smtp_nested_header_checks", "", "The same for the header fields of attached messages, but those of MIME."
)
SMTP_BODY_CHECKS = tables(
    "smtp_body_checks",
    "",
    """The same for each line of the bodies of a message and of its parts. A message in which more than 4 MiB would have
    to change waits.""",
)

# --- mail that is sent on
SRS_DOMAIN = text(
    "srs_domain",
    "",
    """A domain of ours for the senders of mail that aliases send on to other systems: the sender
    "ann@sender.example" becomes "SRS0=...=sender.example=ann@" and this domain, for which we may send (SPF), and what
    comes back goes to ann. Its servers must be ours. Empty: senders stay as they are.""",
)
SRS_SECRET_FILE = path(
    "srs_secret_file",
    "$config_directory/srs.secret",
    """A file that only root may read, with a secret of 16 or more characters on each line. The first one signs; all are
    believed, so that a new one can be put before the old. Needed with srs_domain.""",
)
SRS_LIFETIME = seconds(
    "srs_lifetime", "21d", "How long what comes back is taken; at most 1000 days. Longer than mail waits anywhere."
)
