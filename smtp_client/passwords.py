"""The passwords of one service: read as the starting user, before the process gives up its rights.

No other room answers questions about them, since smtpd, which has the same user, could ask as well; and the files may
be root's alone.  A process keeps what it has read; master starts others when a file changes.
"""

from __future__ import annotations

from collections.abc import Iterable

from pillarbox.lib.config import Config
from pillarbox.lib.config.parameters.smtp_client_sasl import SMTP_SASL_PASSWORD_MAPS
from pillarbox.lib.tables.kept import open_kept


class Passwords:
    """To be made before confinement.  Raises TableError for a table that cannot be kept; one that cannot be read is
    logged, and what would need it waits."""

    def __init__(self, config: Config) -> None:
        named = config[SMTP_SASL_PASSWORD_MAPS]
        self._maps = open_kept(SMTP_SASL_PASSWORD_MAPS.name, named)
        self._maps.preload()

    def find(self, keys: Iterable[str]) -> str | None:
        """The value of the first key that a table has, None where none has any.

        "@domain" is a part of an address: tables of patterns are not asked about it.  Raises LookupFailed: nobody
        knows, and the mail waits.
        """
        for key in keys:
            value = self._maps.find(key, partial=key.startswith("@"))
            if value is not None:
                return value
        return None
