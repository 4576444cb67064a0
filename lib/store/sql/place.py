"""Where a PostgreSQL database is: `postgresql://USER:PASSWORD@HOST:PORT/DATABASE?passfile=PATH#ACCOUNT`.

The URI is that of libpq and of pgsql tables (sslmode, sslrootcert, sslcert, sslkey; `host=/DIRECTORY` for a UNIX
socket).  `passfile` names a file whose first line is the password, so that it stands in no other; what is behind "#"
keeps the accounts of one database apart.
"""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from pillarbox.lib.tables.query_pool import Server
from pillarbox.lib.tables.types.pgsql import parse_uri

FILES = ("sslrootcert", "sslcert", "sslkey")
"""Settings that name files to be read."""


@dataclass(frozen=True, slots=True)
class Place:
    """A database, which connections to it have in common."""

    uri: str
    passfile: str = ""

    def server(self) -> Server:
        """Who is to be asked, with the settings of TLS.  Raises ValueError."""
        return parse_uri(self.uri)

    def files(self) -> tuple[str, ...]:
        """What is read to connect."""
        settings = dict(parse_qsl(urlsplit(self.uri).query))
        named = (self.passfile, *(settings.get(name, "") for name in FILES))
        return tuple(each for each in named if each.startswith("/"))


def parse_place(text: str) -> tuple[Place, str]:
    """The database and the account in it.  Raises ValueError."""
    parts = urlsplit(text)
    if parts.scheme not in ("postgresql", "postgres") or not parts.fragment:
        raise ValueError("postgresql://USER@HOST/DATABASE#ACCOUNT was expected")
    settings = parse_qsl(parts.query, keep_blank_values=True)
    passfile = "".join(value for name, value in settings if name == "passfile")
    if passfile and not passfile.startswith("/"):
        raise ValueError("passfile: an absolute path was expected")
    query = urlencode([(name, value) for name, value in settings if name != "passfile"])
    place = Place(urlunsplit((parts.scheme, parts.netloc, parts.path, query, "")), passfile)
    place.server()
    return place, parts.fragment
