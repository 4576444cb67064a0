"""What can go wrong with accounts; every text addresses the administrator."""


class AccountsError(Exception):
    """Base of the errors here."""


class BadAddress(AccountsError):
    """An address that cannot be an account."""


class BadPassword(AccountsError):
    """A password that cannot be used."""


class AccountExists(AccountsError):
    """The address has an account already."""


class AccountNotFound(AccountsError):
    """The address has no account."""


class BadProtocol(AccountsError):
    """A protocol that a password cannot be for."""


class BadQuota(AccountsError):
    """What an account cannot be allowed to hold."""


class BadLocation(AccountsError):
    """Where no mail can lie."""


class BadAppPassword(AccountsError):
    """An app password that cannot be made."""


class AppPasswordExists(AccountsError):
    """The name is taken."""


class AppPasswordNotFound(AccountsError):
    """There is none of this name."""


class BadCertificate(AccountsError):
    """No certificate or fingerprint."""


class CertificateExists(AccountsError):
    """The certificate stands for an account already."""


class CertificateNotFound(AccountsError):
    """The account has no such certificate."""


class AccountsUnavailable(AccountsError):
    """The database cannot be read or written now (missing, locked, damaged, disk full): a temporary failure."""
