"""The TLS contexts of one process, by level, read while files can still be read.

That of the service's own level is made at once.  The one for REQUIRETLS, which few messages need, is kept as the text
of its authorities until then: a tenth of its memory.
"""

from __future__ import annotations

import ssl
from pathlib import Path

from pillarbox.lib.config import Config
from pillarbox.lib.config.parameters.tls import SMTP_TLS_CAFILE, SMTP_TLS_CAPATH, SMTP_TLS_CERT_FILE
from pillarbox.lib.tls import TlsError, client_context, is_verifying


class TlsContexts:
    """Gives the context of a level."""

    def __init__(self, config: Config, level: str) -> None:
        """`level` is the service's; the others that may be asked for are "may" and "verify".  Raises TlsError."""
        self._config = config
        self._made: dict[str, ssl.SSLContext] = {}
        self._authorities = ""
        if level != "none":
            self._made[level] = client_context(config, level)
            if level != "may":
                self._made["may"] = client_context(config, "may")
        if is_verifying(level):
            self._made.setdefault("verify", self._made[level])
        elif config[SMTP_TLS_CAPATH] or config[SMTP_TLS_CERT_FILE] or not self._read_authorities():
            self._made["verify"] = client_context(config, "verify")

    def _read_authorities(self) -> bool:
        named = self._config[SMTP_TLS_CAFILE]
        file = named or ssl.get_default_verify_paths().cafile
        if not file:
            return False
        try:
            self._authorities = Path(file).read_text("latin-1")
        except OSError as error:
            if named:
                raise TlsError(f"cannot read the certification authorities in {file}: {error.strerror}") from None
        return bool(self._authorities)

    def get(self, level: str) -> ssl.SSLContext:
        """The context for a level.  Raises TlsError where the authorities' file made no sense."""
        context = self._made.get(level)
        if context is None:
            context = self._made[level] = client_context(self._config, level, authorities=self._authorities)
            self._authorities = ""
        return context
