"""Parameters of TLS as a server: certificates, versions and ciphers of every service, and what SMTP does with TLS."""

from __future__ import annotations

from pillarbox.lib.config.parameter import boolean, choice, integer, path, seconds, text, words

# --- when SMTP speaks TLS
SMTPD_TLS_SECURITY_LEVEL = choice(
    "smtpd_tls_security_level",
    "may",
    """none: TLS is not offered; may: it is offered where there is a certificate; encrypt: it is demanded.""",
    ("none", "may", "encrypt"),
)
SMTPD_TLS_WRAPPERMODE = boolean("smtpd_tls_wrappermode", "no", "Speak TLS from the first byte, as on port 465.")
SMTPD_TLS_AUTH_ONLY = boolean("smtpd_tls_auth_only", "no", "Offer AUTH only inside TLS.")
SMTPD_TLS_RECEIVED_HEADER = boolean(
    "smtpd_tls_received_header",
    "yes",
    "Name TLS version, cipher, key exchange and the client's certificate in the Received: header.",
)
SMTPD_TLS_LOGLEVEL = integer("smtpd_tls_loglevel", "1", "0: nothing about TLS in the log; 1: one line per session.")
SMTPD_STARTTLS_TIMEOUT = seconds("smtpd_starttls_timeout", "300s", "How long a TLS handshake may take.")

# --- certificates: SMTP, IMAP, POP3 and the others present the same
SMTPD_TLS_CHAIN_FILES = words(
    "smtpd_tls_chain_files",
    "",
    """PEM files with private keys, each followed by its certificate and the intermediate certificates; the key comes
    first. Give one chain per kind of key (ECDSA, RSA), in one file or several: each client gets what it understands.
    Takes precedence over smtpd_tls_cert_file.""",
)
SMTPD_TLS_CERT_FILE = path(
    "smtpd_tls_cert_file",
    "$config_directory/tls/cert.pem",
    """PEM file with the server certificate followed by the intermediate certificates, used by every server of the
    suite. The default is the self-signed certificate that "pillarbox init" makes; empty: TLS is not offered.""",
)
SMTPD_TLS_KEY_FILE = path(
    "smtpd_tls_key_file",
    "$config_directory/tls/key.pem",
    "PEM file with the private key of smtpd_tls_cert_file; may be the same file. It must not be readable by others.",
)
TLS_SERVER_SNI_MAPS = words(
    "tls_server_sni_maps",
    "",
    """Certificates for clients that ask for a name (SNI, RFC 6066): tables from a name, or ".domain" for all names
    below it, to chain files as in smtpd_tls_chain_files; texthash:FILE, inline:{mail.example.org=/etc/ssl/org.pem}, or
    directory:DIR with DIR/NAME.pem (a chain file) or DIR/NAME/privkey.pem and fullchain.pem (as certbot writes
    them). All are read at start; for other names, and without one, the certificates above are used.""",
)
TLS_CERTIFICATE_CHECK_INTERVAL = seconds(
    "tls_certificate_check_interval",
    "5s",
    """How often it is looked whether certificate files have changed. When a new certificate and its key are there, new
    processes start with it; those that run go on until their last session has ended. The same is done for the files of
    smtp_sasl_password_maps. 0: only "pillarbox reload" reads them again.""",
)

# --- versions and ciphers
SMTPD_TLS_PROTOCOLS = text(
    "smtpd_tls_protocols",
    ">=TLSv1.2",
    """The TLS versions that the servers accept where TLS is optional: ">=TLSv1.2", optionally "<=TLSv1.3", exclusions
    "!TLSv1.2", or a plain list of versions.""",
)
SMTPD_TLS_MANDATORY_PROTOCOLS = text(
    "smtpd_tls_mandatory_protocols", ">=TLSv1.2", "The same where TLS is demanded, or spoken from the first byte."
)
GRADES = ("high", "medium")
SMTPD_TLS_CIPHERS = choice(
    "smtpd_tls_ciphers",
    "medium",
    """The ciphers for TLS 1.2 and older where TLS is optional: tls_high_cipherlist or tls_medium_cipherlist. The
    ciphers of TLS 1.3 are all good and always on.""",
    GRADES,
)
SMTPD_TLS_MANDATORY_CIPHERS = choice(
    "smtpd_tls_mandatory_ciphers",
    "high",
    "The same where TLS is demanded, or spoken from the first byte.",
    GRADES,
)
SMTPD_TLS_EXCLUDE_CIPHERS = words(
    "smtpd_tls_exclude_ciphers", "", "Ciphers or kinds of cipher (aNULL, SHA1, kRSA) that are never used with TLS 1.2."
)
SMTPD_TLS_MANDATORY_EXCLUDE_CIPHERS = words(
    "smtpd_tls_mandatory_exclude_ciphers", "", "Further ones that are not used where TLS is demanded."
)
TLS_HIGH_CIPHERLIST = text(
    "tls_high_cipherlist",
    "ECDHE+AESGCM:ECDHE+CHACHA20:DHE+AESGCM:ECDHE+AES:!aNULL:!eNULL:!MD5:!RC4:!3DES",
    "OpenSSL cipher list of the grade high: forward secrecy only.",
)
TLS_MEDIUM_CIPHERLIST = text(
    "tls_medium_cipherlist",
    "ECDHE+AESGCM:ECDHE+CHACHA20:DHE+AESGCM:ECDHE+AES:DHE+AES:AESGCM:AES:!aNULL:!eNULL:!MD5:!RC4:!3DES:!PSK:!SRP",
    """OpenSSL cipher list of the grade medium: also for peers without forward secrecy, for which the alternative is
    mail in clear text.""",
)
TLS_PREEMPT_CIPHERLIST = boolean(
    "tls_preempt_cipherlist", "yes", "Choose the cipher by the server's order of preference, not by the client's."
)

# --- resumption
SMTPD_TLS_SESSION_CACHE_TIMEOUT = seconds(
    "smtpd_tls_session_cache_timeout",
    "3600s",
    """How long a client may resume a TLS session with its ticket; the keys of the tickets, which all processes of one
    service share, change as often. 0: no tickets.""",
)

# --- client certificates
SMTPD_TLS_ASK_CCERT = boolean(
    "smtpd_tls_ask_ccert",
    "no",
    """Ask SMTP clients for a certificate. One that no authority in smtpd_tls_CAfile vouches for is taken too: it is
    logged as untrusted, and its fingerprint can be looked up in tables.""",
)
SMTPD_TLS_REQ_CCERT = boolean(
    "smtpd_tls_req_ccert",
    "no",
    """Demand a certificate that an authority in smtpd_tls_CAfile vouches for; without one there is no TLS session. Only
    where TLS is demanded (smtpd_tls_security_level: encrypt, or smtpd_tls_wrappermode); elsewhere it is asked for.""",
)
SMTPD_TLS_CAFILE = path(
    "smtpd_tls_CAfile",
    "",
    "PEM file with the certification authorities that are trusted for client certificates; empty: none.",
)
SMTPD_TLS_CAPATH = path(
    "smtpd_tls_CApath",
    "",
    "Directory with such authorities, read at start as a whole; every file in it that is a PEM certificate counts.",
)
TLS_APPEND_DEFAULT_CA = boolean(
    "tls_append_default_CA",
    "no",
    "Trust the system's authorities too, where smtpd_tls_CAfile or smtpd_tls_CApath is set.",
)
SMTPD_TLS_CCERT_VERIFYDEPTH = integer(
    "smtpd_tls_ccert_verifydepth",
    "9",
    "How many authorities may stand between a client's certificate and a trusted one.",
    maximum=100,
)
SMTPD_TLS_FINGERPRINT_DIGEST = choice(
    "smtpd_tls_fingerprint_digest",
    "sha256",
    "The digest of which the fingerprints of client certificates and of their public keys are made.",
    ("sha256", "sha384", "sha512", "sha1", "md5"),
)
