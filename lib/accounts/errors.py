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


class AccountsUnavailable(AccountsError):
    """The database cannot be read or written now (missing, locked, damaged, disk full): a temporary failure."""
