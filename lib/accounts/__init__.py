"""The hosted accounts: who has a mailbox here without being a system user, in one SQLite database.

    with AccountDatabase.open(path, create=True) as accounts:
        accounts.add("ann@example.com", "secret")

Used by the auth service, which alone may read it in a running suite, and by `pillarbox user`.  Passwords are kept as
Argon2id hashes and SCRAM-SHA-256 keys; beside them app passwords, fingerprints of client certificates, and from which
networks an account has logged in.  Mailboxes are not made here: delivery and login make them.
"""

from pillarbox.lib.accounts.app_passwords import AppPassword
from pillarbox.lib.accounts.database import AccountDatabase, AccountRow
from pillarbox.lib.accounts.errors import (
    AccountExists,
    AccountNotFound,
    AccountsError,
    AccountsUnavailable,
    AppPasswordExists,
    AppPasswordNotFound,
    BadAddress,
    BadAppPassword,
    BadCertificate,
    BadLocation,
    BadPassword,
    BadProtocol,
    BadQuota,
    CertificateExists,
    CertificateNotFound,
)
from pillarbox.lib.accounts.location import mail_location, mailbox_directory
from pillarbox.lib.accounts.names import normalize_address
from pillarbox.lib.accounts.passwords import hash_password, verify_password
from pillarbox.lib.accounts.protocols import PROTOCOLS

__all__ = [
    "PROTOCOLS",
    "AccountDatabase",
    "AccountExists",
    "AccountNotFound",
    "AccountRow",
    "AccountsError",
    "AccountsUnavailable",
    "AppPassword",
    "AppPasswordExists",
    "AppPasswordNotFound",
    "BadAddress",
    "BadAppPassword",
    "BadCertificate",
    "BadLocation",
    "BadPassword",
    "BadProtocol",
    "BadQuota",
    "CertificateExists",
    "CertificateNotFound",
    "hash_password",
    "mail_location",
    "mailbox_directory",
    "normalize_address",
    "verify_password",
]
