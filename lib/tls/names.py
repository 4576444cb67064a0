"""A certificate per name: which chain a client gets that asks for a name in its handshake (SNI, RFC 6066 section 3).

`tls_server_sni_maps` is read as a whole, once, before the process gives up its rights.  A name is looked for as it is,
then as `.parent` of each of its parents (postconf(5)); without a match the client gets the default certificate and is
left to judge it.
"""

from __future__ import annotations

import contextlib
import os
import re
import ssl
from collections.abc import Callable, Iterator
from pathlib import Path

from pillarbox.lib.config import Config
from pillarbox.lib.config.parameter import split_words
from pillarbox.lib.config.parameters.smtpd_tls import TLS_SERVER_SNI_MAPS
from pillarbox.lib.tables.errors import LookupFailed, TableError
from pillarbox.lib.tables.registry import STANDARD
from pillarbox.lib.tls.chains import Chain
from pillarbox.lib.tls.errors import TlsError

PAIRS = (("fullchain.pem", "privkey.pem"), ("cert.pem", "key.pem"))
"""What a certificate and its key may be called in a folder that has the name they are for."""

_NAME = re.compile(r"\.?(?:[a-z0-9_-]{1,63}\.)*[a-z0-9_-]{1,63}")
_ASKED = "_pillarbox_name"
"""The attribute of a session under which the name stands for which it got a certificate of its own."""

NamedChains = dict[str, tuple[Chain, ...]]


def named_chains(config: Config) -> NamedChains:
    """Every name with its chains, of several tables the first holds.  Raises `TlsError`."""
    found: NamedChains = {}
    for spec in config[TLS_SERVER_SNI_MAPS]:
        for name, chains in _entries(spec):
            if not _NAME.fullmatch(name):
                raise TlsError(f'{TLS_SERVER_SNI_MAPS.name}: {spec}: "{name}" is no host name')
            found.setdefault(name, chains)
    return found


def map_files(config: Config) -> tuple[str, ...]:
    """The tables and directories themselves: their change is a change of the certificates."""
    files: list[str] = []
    for spec in config[TLS_SERVER_SNI_MAPS]:
        kind, _, path = spec.partition(":")
        if kind == "directory":
            files.append(path)
            with contextlib.suppress(OSError):  # a folder may get its files later than its name
                files += sorted(str(entry) for entry in Path(path).iterdir() if entry.is_dir())
        else:
            try:
                files += STANDARD.open(spec).files()
            except TableError:
                continue
    return tuple(files)


def _entries(spec: str) -> Iterator[tuple[str, tuple[Chain, ...]]]:
    kind, _, path = spec.partition(":")
    if kind == "directory":
        yield from _directory(Path(path))
        return
    try:
        table = STANDARD.open(spec)
        try:
            items = list(table.items())
        finally:
            table.close()
    except (TableError, LookupFailed, OSError) as error:
        raise TlsError(f"{TLS_SERVER_SNI_MAPS.name}: {error}") from None
    for name, value in items:
        files = split_words(value)
        if not files:
            raise TlsError(f'{TLS_SERVER_SNI_MAPS.name}: {spec}: no chain file stands behind "{name}"')
        yield name.lower(), tuple(Chain(file, file) for file in files)


def _directory(folder: Path) -> Iterator[tuple[str, tuple[Chain, ...]]]:
    try:
        entries = sorted(folder.iterdir())
    except OSError as error:
        raise TlsError(f"{TLS_SERVER_SNI_MAPS.name}: cannot read {folder}: {error.strerror}") from None
    for entry in entries:
        if entry.suffix == ".pem" and not entry.is_dir():
            # A wildcard's file: _.example.org.pem, since a star in a file name is a nuisance and a dot hides it.
            name = entry.stem.lower()
            yield name[1:] if name.startswith("_.") else name, (Chain(str(entry), str(entry)),)
            continue
        for certificate, key in PAIRS:
            if (entry / certificate).exists() and (entry / key).exists():
                name = entry.name.lower()
                chain = Chain(os.fspath(entry / certificate), os.fspath(entry / key))
                yield name[1:] if name.startswith("_.") else name, (chain,)
                break


def match(name: str, names: dict[str, ssl.SSLContext]) -> ssl.SSLContext | None:
    """The context for a name as the client wrote it; None where no entry fits, or where it is no host name."""
    name = name.lower().rstrip(".")
    if name.startswith(".") or not _NAME.fullmatch(name):
        return None  # below a wildcard it would get as far as the log
    found = names.get(name)
    while found is None and (dot := name.find(".", 1)) > 0:
        name = name[dot:]
        found = names.get(name)
    return found


def chooser(names: dict[str, ssl.SSLContext]) -> Callable[[ssl.SSLObject, str | None, ssl.SSLContext], None]:
    """What a context calls when a client has named a name (`SSLContext.sni_callback`)."""

    def choose(session: ssl.SSLObject, name: str | None, _context: ssl.SSLContext) -> None:
        if name and (context := match(name, names)) is not None:
            session.context = context
            setattr(session, _ASKED, name.lower().rstrip("."))

    return choose


def name_of(session: object) -> str:
    """The name for which a session got a certificate of its own, "" where it got the default one."""
    name = getattr(session, _ASKED, "")
    return name if isinstance(name, str) else ""
