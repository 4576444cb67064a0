"""Senders of mail that is sent on, and the way back for what is returned to them (SRS, `lib.address.srs`).

A sender is replaced where mail of a stranger (a sender in none of our domains) that was for an address of ours goes on
to an address elsewhere; never of mail that is ours, or that is relayed as it came.  Off unless srs_domain is set.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable

from pillarbox.lib.address.address import split_address
from pillarbox.lib.address.srs import DAY, Srs, SrsError
from pillarbox.lib.config import Config
from pillarbox.lib.config.parameters.rewriting import SRS_DOMAIN, SRS_LIFETIME, SRS_SECRET_FILE
from pillarbox.lib.log import log
from pillarbox.lib.tables import LookupFailed
from pillarbox.lookup.classes import Classes
from pillarbox.lookup.routing import Router

KEY_LENGTH = 16
"""Characters of a secret at least."""
FILE_LIMIT = 64 * 1024

__all__ = ["Forwarding", "SrsError", "read_keys"]


def read_keys(path: str) -> tuple[bytes, ...]:
    """The secrets in a file.  Raises ValueError that says what is wrong with it."""
    try:
        with open(path, "rb") as file:
            lines = file.read(FILE_LIMIT).splitlines()
            mode = os.fstat(file.fileno()).st_mode
    except OSError as error:
        raise ValueError(f"{SRS_SECRET_FILE.name}: open {path}: {error.strerror}") from None
    if mode & 0o077:
        raise ValueError(f"{SRS_SECRET_FILE.name}: {path}: others may read it; chmod 600")
    keys = tuple(line.strip() for line in lines if line.strip() and not line.startswith(b"#"))
    if not keys:
        raise ValueError(f"{SRS_SECRET_FILE.name}: {path}: a secret was expected, on a line of its own")
    if any(len(key) < KEY_LENGTH for key in keys):
        raise ValueError(f"{SRS_SECRET_FILE.name}: {path}: a secret of {KEY_LENGTH} or more characters was expected")
    return keys


class Forwarding:
    """For one configuration.  The secrets are read at once, as the starting user."""

    def __init__(
        self, config: Config, classes: Classes, router: Router, clock: Callable[[], float] = time.time
    ) -> None:
        self._classes = classes
        self._complete = router.complete
        self._clock = clock
        self._failure = ""
        domain = config[SRS_DOMAIN].strip()
        self._srs: Srs | None = None
        if domain:
            keys: tuple[bytes, ...] = (b"",)
            try:
                keys = read_keys(config[SRS_SECRET_FILE])
            except ValueError as error:
                self._failure = str(error)
                log.error(self._failure)
            self._srs = Srs(domain, keys, min(1000, int(config[SRS_LIFETIME] // DAY)))

    def sender(self, sender: str, original: str, address: str) -> str | None:
        """The sender to name when mail for `original` goes to `address`; None: the one that it has.

        Raises LookupFailed.
        """
        if self._srs is None or not sender or not original:
            return None
        if self._class(original) == "default" or self._class(address) != "default" or self._class(sender) != "default":
            return None
        return self._working.forward(self._complete(sender), self._clock())

    def back(self, address: str) -> str | None:
        """Whom mail to such an address is for; None: it is none.  Raises SrsError for a bad one, LookupFailed."""
        if self._srs is None or not self._srs.concerns(address):
            return None
        return self._working.reverse(address, self._clock())

    @property
    def _working(self) -> Srs:
        if self._failure or self._srs is None:
            raise LookupFailed(self._failure)
        return self._srs

    def _class(self, address: str) -> str:
        return self._classes.of(split_address(self._complete(address))[1])
