"""Parameters of TLS as a client, in deliveries to other servers; when TLS is used says `smtp_tls_security_level`."""

from __future__ import annotations

from pillarbox.lib.config.parameter import path, tables, text

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
SMTP_TLS_POLICY_MAPS = tables(
    "smtp_tls_policy_maps",
    "",
    """Tables with a TLS security level and its attributes by next hop, as it is written; a domain is also found under
    the names of its parents, ".example.com".""",
)
