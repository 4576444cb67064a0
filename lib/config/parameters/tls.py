"""Parameters of TLS as a client, in deliveries to other servers; when TLS is used says `smtp_tls_security_level`."""

from __future__ import annotations

from pillarbox.lib.config.parameter import boolean, choice, integer, path, seconds, tables, text, words

# --- whom to trust
SMTP_TLS_CAFILE = path(
    "smtp_tls_CAfile",
    "",
    """PEM file with the certification authorities that the SMTP client trusts at the levels "verify" and "secure" and
    under MTA-STS; empty, smtp_tls_CApath too: those of the system.""",
)
SMTP_TLS_CAPATH = path("smtp_tls_CApath", "", "Directory with files of such authorities; read at start.")
SMTP_TLS_SCERT_VERIFYDEPTH = integer(
    "smtp_tls_scert_verifydepth", "9", "How many authorities may stand between a server and a trusted one.", maximum=100
)
SMTP_TLS_TRUST_ANCHOR_FILE = words(
    "smtp_tls_trust_anchor_file",
    "",
    """PEM files with certificates or public keys of authorities which alone, in place of smtp_tls_CAfile, are trusted
    at the levels "verify" and "secure".""",
)
SMTP_TLS_POLICY_FILES = words(
    "smtp_tls_policy_files",
    "",
    """The files that "tafile" in smtp_tls_policy_maps may name: the client, which may open no file while it works,
    reads them at start.""",
)
SMTP_TLS_VERIFY_CERT_MATCH = words(
    "smtp_tls_verify_cert_match",
    "hostname",
    """The names of which a server's certificate must have one at the level "verify": hostname (the MX host, as the DNS
    says it), nexthop (the recipient's domain, or what the transport table says), dot-nexthop (anything below that),
    a name, or a .domain.""",
)
SMTP_TLS_SECURE_CERT_MATCH = words(
    "smtp_tls_secure_cert_match", "nexthop, dot-nexthop", 'The same at the level "secure".'
)
SMTP_TLS_FINGERPRINT_CERT_MATCH = words(
    "smtp_tls_fingerprint_cert_match",
    "",
    """Fingerprints of certificates or public keys of which a server must have one at the level "fingerprint":
    hexadecimal, with colons between the octets or without.""",
)
SMTP_TLS_FINGERPRINT_DIGEST = choice(
    "smtp_tls_fingerprint_digest",
    "sha256",
    "The digest of those fingerprints.",
    ("sha256", "sha384", "sha512", "sha1", "md5"),
)

# --- rules for destinations
SMTP_TLS_POLICY_MAPS = tables(
    "smtp_tls_policy_maps",
    "",
    """Tables with a TLS security level and its attributes by next hop, as it is written; a domain is also found under
    the names of its parents, ".example.com". Attributes: match, protocols, ciphers, exclude, tafile, servername,
    connection_reuse. Example: "example.com secure match=.example.com protocols=>=TLSv1.3".""",
)
SMTP_TLS_DANE_INSECURE_MX_POLICY = choice(
    "smtp_tls_dane_insecure_mx_policy",
    "may",
    """What becomes of TLSA records of servers whose names come from an MX record that is not signed, at the level
    "dane": may: they are not looked for, as RFC 7672 has it; encrypt: TLS is demanded where there are any; dane: they
    are used.""",
    ("may", "encrypt", "dane"),
)

# --- versions and ciphers
SMTP_TLS_PROTOCOLS = text(
    "smtp_tls_protocols",
    ">=TLSv1.2",
    """The TLS versions that the SMTP client uses where TLS is optional; syntax as smtpd_tls_protocols.""",
)
SMTP_TLS_MANDATORY_PROTOCOLS = text(
    "smtp_tls_mandatory_protocols", ">=TLSv1.2", "The same where TLS is demanded: at all levels above may."
)
GRADES = ("high", "medium")
SMTP_TLS_CIPHERS = choice(
    "smtp_tls_ciphers",
    "medium",
    """The ciphers for TLS 1.2 and older where TLS is optional: tls_high_cipherlist or tls_medium_cipherlist; weak keys
    of servers are taken then, as the alternative is clear text.""",
    GRADES,
)
SMTP_TLS_MANDATORY_CIPHERS = choice(
    "smtp_tls_mandatory_ciphers", "medium", "The same where TLS is demanded; no weak keys.", GRADES
)
SMTP_TLS_EXCLUDE_CIPHERS = words(
    "smtp_tls_exclude_ciphers", "", "Ciphers or kinds of cipher (SHA1, kRSA) that are never used with TLS 1.2."
)
SMTP_TLS_MANDATORY_EXCLUDE_CIPHERS = words(
    "smtp_tls_mandatory_exclude_ciphers", "", "Further ones that are not used where TLS is demanded."
)

# --- the session
SMTP_TLS_SERVERNAME = text(
    "smtp_tls_servername",
    "hostname",
    """The name that servers are told they are thought to have (SNI), for those with several certificates: hostname,
    nexthop, a name; empty: none. With DANE and MTA-STS it is always the name that counts there.""",
)
SMTP_TLS_WRAPPERMODE = boolean(
    "smtp_tls_wrappermode",
    "no",
    """Speak TLS from the first byte, as servers on port 465 expect it; smtp_tls_security_level must be encrypt or
    more.""",
)
SMTP_TLS_CONNECTION_REUSE = boolean(
    "smtp_tls_connection_reuse", "yes", "Keep connections with TLS for the next delivery, too."
)
SMTP_TLS_SESSION_CACHE_SIZE = integer(
    "smtp_tls_session_cache_size",
    "500",
    """How many TLS sessions one process keeps, so that the next connection to the same server costs less. 0: none.""",
    maximum=100000,
)
SMTP_TLS_SESSION_CACHE_TIMEOUT = seconds(
    "smtp_tls_session_cache_timeout", "3600s", "How long a TLS session is kept for resumption."
)

# --- who we are
SMTP_TLS_CHAIN_FILES = words(
    "smtp_tls_chain_files",
    "",
    """PEM files with private keys, each followed by its certificate and the intermediate ones, that the client shows to
    servers that ask. Takes precedence over smtp_tls_cert_file.""",
)
SMTP_TLS_CERT_FILE = path("smtp_tls_cert_file", "", "PEM file with a client certificate; empty: none is presented.")
SMTP_TLS_KEY_FILE = path("smtp_tls_key_file", "$smtp_tls_cert_file", "PEM file with the key of smtp_tls_cert_file.")

# --- what the log says
SMTP_TLS_NOTE_STARTTLS_OFFER = boolean(
    "smtp_tls_note_starttls_offer", "no", "Log servers that offer TLS where it is not used."
)
SMTP_LOG_TLS_FEATURE_STATUS = boolean(
    "smtp_log_tls_feature_status",
    "no",
    """Say in the line of each delivery how it was protected: tls=may, tls=dane, tls=verify/sts; tls=may:none where TLS
    would have been used and was not.  Off because pflogsumm, as many systems have it, does not count such lines.""",
)
