"""A table whose answers a server gives: what the types for the various protocols share."""

from __future__ import annotations

import abc

from pillarbox.lib.log import log
from pillarbox.lib.tables.blocking import about_to_wait
from pillarbox.lib.tables.endpoint import Endpoint
from pillarbox.lib.tables.errors import LookupFailed, TableError
from pillarbox.lib.tables.exchange import FAILURES, Exchange, Patience
from pillarbox.lib.tables.lines import decode, encode
from pillarbox.lib.tables.table import Options, Reach, Table


class AskingTable(Table, abc.ABC):
    """Asked for whole keys only, which it sees as they are: what case means is the server's business."""

    patterns = True

    def __init__(self, spec: str, options: Options, endpoint: Endpoint, patience: Patience) -> None:
        """Raises TableError where the server cannot be trusted as the option `authentic` wants it."""
        super().__init__(spec, options)
        if options.authentic and not endpoint.on_this_host:
            raise TableError(
                f"table {spec} is not allowed for security-sensitive data: nobody knows who answers; "
                "a server on this host was expected"
            )
        self._server = Exchange(endpoint, patience, clock=options.clock)

    @abc.abstractmethod
    def _ask(self, key: bytes) -> bytes | None:
        """The server's answer.  Raises one of FAILURES."""

    def get(self, key: str) -> str | None:
        about_to_wait()
        try:
            value = self._ask(encode(key))
        except FAILURES as error:
            reason = f"table {self.spec}: {error}"
            log.warning(reason)
            raise LookupFailed(reason) from None
        return None if value is None else decode(value)

    def reach(self) -> Reach:
        return self._server.endpoint.reach()
