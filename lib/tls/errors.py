"""The one error of this package."""


class TlsError(Exception):
    """A certificate, key or parameter that cannot be used; the text names it and says what to do."""
