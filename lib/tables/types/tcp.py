"""`tcp:host:port`, tcp_table(5)."""

from __future__ import annotations

from pillarbox.lib.tables import tcp_map
from pillarbox.lib.tables.asking import AskingTable
from pillarbox.lib.tables.endpoint import parse_endpoint
from pillarbox.lib.tables.errors import TableError
from pillarbox.lib.tables.exchange import Patience
from pillarbox.lib.tables.registry import Registry
from pillarbox.lib.tables.table import Options, Table

PATIENCE = Patience(answer=30.0, idle=60.0)


class TcpTable(AskingTable):
    """What the server at an address has."""

    def _ask(self, key: bytes) -> bytes | None:
        return tcp_map.answer(self._server.ask(tcp_map.request(key), tcp_map.line))


def open_table(spec: str, options: Options, registry: Registry) -> Table:
    """Open `tcp:host:port`."""
    name = spec.partition(":")[2]
    try:
        if name.startswith(("inet:", "unix:")):
            raise ValueError(f'"host:port" was expected instead of "{name}"')
        return TcpTable(spec, options, parse_endpoint(name), PATIENCE)
    except ValueError as error:
        raise TableError(f"table {spec}: {error}") from None
