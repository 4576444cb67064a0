"""`socketmap:inet:host:port:name` and `socketmap:unix:path:name`, socketmap_table(5)."""

from __future__ import annotations

from pillarbox.lib.tables import socketmap
from pillarbox.lib.tables.asking import AskingTable
from pillarbox.lib.tables.endpoint import parse_endpoint
from pillarbox.lib.tables.errors import TableError
from pillarbox.lib.tables.exchange import Patience
from pillarbox.lib.tables.lines import encode
from pillarbox.lib.tables.registry import Registry
from pillarbox.lib.tables.table import Options, Table

PATIENCE = Patience(answer=30.0, idle=10.0)


class SocketmapTable(AskingTable):
    """One map of a socketmap server."""

    name = b""

    def _ask(self, key: bytes) -> bytes | None:
        return socketmap.answer(self._server.ask(socketmap.request(self.name, key), socketmap.netstring))


def open_table(spec: str, options: Options, registry: Registry) -> Table:
    """Open `socketmap:SERVER:name`."""
    server, colon, name = spec.partition(":")[2].rpartition(":")
    if not colon or not name or not server.startswith(("inet:", "unix:")):
        raise TableError(f'table {spec}: "socketmap:inet:host:port:name" or "socketmap:unix:path:name" was expected')
    try:
        table = SocketmapTable(spec, options, parse_endpoint(server), PATIENCE)
    except ValueError as error:
        raise TableError(f"table {spec}: {error}") from None
    table.name = encode(name)
    return table
