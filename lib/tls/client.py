"""Contexts under which the SMTP client speaks TLS: whom they trust, what they offer, what they show of ourselves.

Everything is read from files once, before confinement (`ClientMaterial.read`); contexts are made from that when they
are needed, one for each different demand, so that a policy for a single destination costs nobody else anything.
"""

from __future__ import annotations

import ssl
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

from pillarbox.lib.config import Config
from pillarbox.lib.config.parameters.tls import (
    SMTP_TLS_CAFILE,
    SMTP_TLS_CAPATH,
    SMTP_TLS_CERT_FILE,
    SMTP_TLS_CHAIN_FILES,
    SMTP_TLS_KEY_FILE,
    SMTP_TLS_SCERT_VERIFYDEPTH,
)
from pillarbox.lib.tls import native
from pillarbox.lib.tls.chains import Chain, load_part, read_chains
from pillarbox.lib.tls.errors import TlsError
from pillarbox.lib.tls.handshake import enable_dane
from pillarbox.lib.tls.protocols import parse_versions

LEVELS = ("none", "may", "encrypt", "dane", "dane-only", "fingerprint", "verify", "secure")
"""postconf(5) `smtp_tls_security_level`.  What a level demands of a certificate is said by the client's policies."""

CONTEXT_LIMIT = 16
"""Different contexts of one process; the one that has not been used for longest makes way.  One with the system's
authorities takes two megabytes."""

AUTHORITIES_LIMIT = 16 * 1024 * 1024
"""Octets of all authorities' files; those of the web have 200,000."""

Trust: TypeAlias = Literal["anyone", "noted", "authorities", "associations"]


@dataclass(frozen=True, slots=True)
class Demand:
    """What a context is for."""

    trust: Trust
    """`anyone`: no certificate is refused; `noted`: nor here, but it is known afterwards whether one of the configured
    authorities vouches for it; `authorities`: one of the configured ones must vouch for it, whatever its
    name; `associations`: TLSA records, or authorities written as such, come with each handshake (`Plan`)."""
    versions: str
    """Syntax of `smtp_tls_protocols`."""
    ciphers: str
    """An OpenSSL list for TLS 1.2 and older."""


@dataclass(frozen=True, slots=True)
class ClientMaterial:
    """The contents of files."""

    authorities: str
    """PEM."""
    chains: tuple[tuple[str, bytes], ...] = ()
    """Our own certificates with their keys, and the files that they are from."""
    depth: int = 9

    @classmethod
    def read(cls, config: Config) -> ClientMaterial:
        """Raises TlsError."""
        if files := config[SMTP_TLS_CHAIN_FILES]:
            chains = [Chain(file, file) for file in files]
        elif certificate := config[SMTP_TLS_CERT_FILE]:
            chains = [Chain(certificate, config[SMTP_TLS_KEY_FILE] or certificate)]
        else:
            chains = []
        return cls(_read_authorities(config), read_chains(chains), config[SMTP_TLS_SCERT_VERIFYDEPTH])


def _read_authorities(config: Config) -> str:
    file, folder = config[SMTP_TLS_CAFILE], config[SMTP_TLS_CAPATH]
    texts = []
    try:
        if file:
            texts.append(Path(file).read_text("latin-1"))
        if folder:
            # The names that openssl rehash makes are links to the other files there: each is read once.
            entries = {entry.resolve() for entry in Path(folder).iterdir() if entry.is_file()}
            texts += [entry.read_text("latin-1") for entry in sorted(entries)]
    except OSError as error:
        raise TlsError(f"cannot read the certification authorities in {file or folder}: {error.strerror}") from None
    if not file and not folder:
        texts = _system_authorities()
    text = "\n".join(text for text in texts if "-----BEGIN" in text)
    if len(text) > AUTHORITIES_LIMIT:
        raise TlsError(f"the certification authorities in {file or folder} are too large")
    return text


def _system_authorities() -> list[str]:
    paths = ssl.get_default_verify_paths()
    try:
        if paths.cafile:
            return [Path(paths.cafile).read_text("latin-1")]
        if paths.capath:
            entries = {entry.resolve() for entry in Path(paths.capath).iterdir() if entry.is_file()}
            return [entry.read_text("latin-1") for entry in sorted(entries)]
    except OSError:
        pass
    return []


class ClientContexts:
    """The contexts of one process."""

    def __init__(self, material: ClientMaterial) -> None:
        self._material = material
        self._made: OrderedDict[Demand, ssl.SSLContext] = OrderedDict()

    def get(self, demand: Demand) -> ssl.SSLContext:
        """The context for a demand.  Raises TlsError for one that OpenSSL cannot meet."""
        context = self._made.get(demand)
        if context is not None:
            if len(self._made) > 1:
                self._made.move_to_end(demand)
            return context
        context = self._make(demand)
        while len(self._made) >= CONTEXT_LIMIT:
            self._made.popitem(last=False)
        self._made[demand] = context
        return context

    def _make(self, demand: Demand) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        parse_versions(demand.versions).apply(context)
        context.options |= ssl.OP_NO_COMPRESSION
        # Names are compared by the caller, who knows which ones count; SNI is sent all the same.
        context.check_hostname = False
        try:
            context.set_ciphers(demand.ciphers)
        except ssl.SSLError:
            raise TlsError(f"OpenSSL knows no cipher in this list: {demand.ciphers}") from None
        match demand.trust:
            case "anyone":
                context.verify_mode = ssl.CERT_NONE
            case "noted":
                self._trust(context)
                context.verify_mode = ssl.CERT_NONE
            case "authorities":
                self._trust(context)
            case "associations":
                enable_dane(context)
        for file, part in self._material.chains:
            load_part(context, file, part)
        library = native.library() if demand.trust != "anyone" else None
        if library is not None:
            library.SSL_CTX_set_verify_depth(native.context_address(context), self._material.depth)
        return context

    def _trust(self, context: ssl.SSLContext) -> None:
        context.verify_mode = ssl.CERT_REQUIRED
        if not self._material.authorities:
            return  # nobody is trusted
        try:
            context.load_verify_locations(cadata=self._material.authorities)
        except ssl.SSLError as error:
            raise TlsError(f"cannot read the certification authorities: {error}") from None
