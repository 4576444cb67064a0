"""Parameters of transport security: certificates, protocol versions and trust, read by `pillarbox.lib.tls`.

When TLS is offered or demanded is the programs' matter (`smtpd_tls_security_level`, `smtp_tls_security_level`).
"""

from __future__ import annotations

from pillarbox.lib.config.parameter import path, text, words

# --- as a server: SMTP, IMAP, POP3 and the others present the same certificate
SMTPD_TLS_CHAIN_FILES = words(
    "smtpd_tls_chain_files",
    "",
    """PEM files, each with a private key followed by its certificate and the intermediate certificates; the key comes
    first. One file per kind of key (ECDSA, RSA). Takes precedence over smtpd_tls_cert_file.""",
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
SMTPD_TLS_PROTOCOLS = text(
    "smtpd_tls_protocols",
    ">=TLSv1.2",
    """The TLS versions that the servers accept: ">=TLSv1.2", optionally "<=TLSv1.3", exclusions "!TLSv1.2", or a plain
    list of versions.""",
)
TLS_HIGH_CIPHERLIST = text(
    "tls_high_cipherlist",
    "ECDHE+AESGCM:ECDHE+CHACHA20:DHE+AESGCM:ECDHE+AES:!aNULL:!eNULL:!MD5:!RC4:!3DES",
    "OpenSSL cipher list for TLS 1.2 and older; the ciphers of TLS 1.3 are all good and always on.",
)

# --- as a client: delivery to other servers
SMTP_TLS_PROTOCOLS = text(
    "smtp_tls_protocols", ">=TLSv1.2", "The TLS versions that the SMTP client uses; syntax as smtpd_tls_protocols."
)
SMTP_TLS_CAFILE = path(
    "smtp_tls_CAfile",
    "",
    """PEM file with the certification authorities that the SMTP client trusts at the levels "verify" and "secure";
    empty: those of the system.""",
)
SMTP_TLS_CAPATH = path("smtp_tls_CApath", "", "Directory of certification authorities, hashed by openssl rehash.")
SMTP_TLS_CERT_FILE = path("smtp_tls_cert_file", "", "PEM file with a client certificate; empty: none is presented.")
SMTP_TLS_KEY_FILE = path("smtp_tls_key_file", "$smtp_tls_cert_file", "PEM file with the key of smtp_tls_cert_file.")
