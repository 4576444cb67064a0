"""Where a PostgreSQL database is: `postgresql://USER:PASSWORD@HOST:PORT/DATABASE?passfile=PATH#ACCOUNT`.

The URI is that of libpq and of pgsql tables (sslmode, sslrootcert, sslcert, sslkey; `host=/DIRECTORY` for a UNIX
socket).  `passfile` names a file whose first line is the password, so that it stands in no other; what is behind "#"
keeps the accounts of one database apart.  `objects=https://HOST/BUCKET` and `objectsfile` (access key and secret, a
line each) put large bodies into object storage; `cache` names a directory of the account on this machine.
"""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from pillarbox.lib.store.sql.objects import ObjectPlace
from pillarbox.lib.tables.query_pool import Server
from pillarbox.lib.tables.types.pgsql import parse_uri

OWN = ("passfile", "cache", "objects", "objectsfile", "objectsregion")
"""Settings that are not libpq's."""
FILES = ("sslrootcert", "sslcert", "sslkey")
"""Settings that name files to be read."""


@dataclass(frozen=True, slots=True)
class Place:
    """A database, which connections to it have in common."""

    uri: str
    passfile: str = ""
    objects: ObjectPlace | None = None

    def server(self) -> Server:
        """Who is to be asked, with the settings of TLS.  Raises ValueError."""
        return parse_uri(self.uri)

    def files(self) -> tuple[str, ...]:
        """What is read to connect."""
        settings = dict(parse_qsl(urlsplit(self.uri).query))
        keyfile = self.objects.keyfile if self.objects is not None else ""
        named = (self.passfile, keyfile, *(settings.get(name, "") for name in FILES))
        return tuple(each for each in named if each.startswith("/"))


def cache_directory(text: str) -> str | None:
    """Where on this machine the account's caches and text indexes lie, if the location says so.  Raises ValueError."""
    found = dict(parse_qsl(urlsplit(text).query)).get("cache")
    if found is not None and not found.startswith("/"):
        raise ValueError("cache: an absolute path was expected")
    return found


def parse_place(text: str) -> tuple[Place, str]:
    """The database and the account in it.  Raises ValueError."""
    parts = urlsplit(text)
    if parts.scheme not in ("postgresql", "postgres") or not parts.fragment:
        raise ValueError("postgresql://USER@HOST/DATABASE#ACCOUNT was expected")
    settings = parse_qsl(parts.query, keep_blank_values=True)
    passfile = "".join(value for name, value in settings if name == "passfile")
    if passfile and not passfile.startswith("/"):
        raise ValueError("passfile: an absolute path was expected")
    own = dict(settings)
    objects = None
    if own.get("objects"):
        objects = ObjectPlace(own["objects"], own.get("objectsfile", ""), own.get("objectsregion") or "us-east-1")
        objects.check()
    query = urlencode([(name, value) for name, value in settings if name not in OWN])
    place = Place(urlunsplit((parts.scheme, parts.netloc, parts.path, query, "")), passfile, objects)
    place.server()
    return place, parts.fragment
