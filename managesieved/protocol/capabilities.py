"""What the server can do (RFC 5804 section 1.7): before login and after."""

from __future__ import annotations

from collections.abc import Sequence

from pillarbox.lib.config import Config
from pillarbox.lib.config.parameters.general import MAIL_NAME
from pillarbox.lib.config.parameters.sieve import SIEVE_EXTENSIONS, SIEVE_MAX_REDIRECTS
from pillarbox.lib.sieve import chosen_extensions

VERSION = "1.0"
"""Of the protocol: with CHECKSCRIPT, NOOP and RENAMESCRIPT."""

LANGUAGE = "en"
"""Of the texts for people."""

Pairs = list[tuple[str, str | None]]


class Capabilities:
    """What the configuration makes of them."""

    def __init__(self, config: Config) -> None:
        chosen: tuple[str, ...] = config[SIEVE_EXTENSIONS]
        extensions = chosen_extensions(chosen)
        self._name = config[MAIL_NAME]
        self._sieve: Pairs = [("SIEVE", " ".join(sorted(extensions)))]
        if "enotify" in extensions:
            self._sieve.append(("NOTIFY", "mailto"))
        self._sieve.append(("MAXREDIRECTS", str(config[SIEVE_MAX_REDIRECTS])))
        self._sieve.append(("LANGUAGE", LANGUAGE))

    def before_login(self, mechanisms: Sequence[str], *, tls_offered: bool) -> Pairs:
        """SASL is empty where nobody may log in yet."""
        found = [("IMPLEMENTATION", self._name), ("SASL", " ".join(mechanisms)), *self._sieve]
        if tls_offered:
            found.append(("STARTTLS", None))
        return [*found, ("VERSION", VERSION)]

    def after_login(self, owner: str) -> Pairs:
        """`owner` is the user's name."""
        return [("IMPLEMENTATION", self._name), ("SASL", ""), *self._sieve, ("OWNER", owner), ("VERSION", VERSION)]
