"""The context under which every server of the suite speaks TLS.

To be made before privileges are dropped (a program's `prepare`): keys are read here and never again.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterable

from pillarbox.lib.config import Config
from pillarbox.lib.config.parameters.smtpd_tls import (
    SMTPD_TLS_MANDATORY_PROTOCOLS,
    SMTPD_TLS_PROTOCOLS,
    SMTPD_TLS_SESSION_CACHE_TIMEOUT,
    TLS_PREEMPT_CIPHERLIST,
)
from pillarbox.lib.tls.chains import Chain, configured_chains, load_chains
from pillarbox.lib.tls.ciphers import set_ciphers
from pillarbox.lib.tls.errors import TlsError
from pillarbox.lib.tls.names import chooser, map_files, named_chains
from pillarbox.lib.tls.protocols import parse_versions
from pillarbox.lib.tls.roles import ServerRole
from pillarbox.lib.tls.tickets import TicketKeys, share_tickets
from pillarbox.lib.tls.trust import ask_clients, authority_files, trust_identity

TICKETS = 1
"""Session tickets sent per TLS 1.3 handshake; OpenSSL's two only help clients that open connections in parallel."""

OPTIONAL = ServerRole()
"""TLS that is offered, without client certificates."""


def server_context(
    config: Config, role: ServerRole = OPTIONAL, tickets: TicketKeys | None = None
) -> ssl.SSLContext | None:
    """A context with the configured certificates, those for single names among them, or None where there is none.

    `tickets` are the keys that the processes of the service share; without them session tickets are each process's own.
    None also where nothing was configured and the instance has no certificate of its own.  Raises `TlsError` for
    a file that is missing, unreadable or not what it should be.
    """
    chains = configured_chains(config)
    if not chains:
        return None
    context = _context(config, role, chains)
    named = {name: _context(config, role, special) for name, special in named_chains(config).items()}
    if named:
        context.sni_callback = chooser(named)
    if tickets is not None:
        share_tickets(
            [context, *named.values()], tickets, identity=f"{tickets.service} {role} {trust_identity(config, role)}"
        )
    return context


def _context(config: Config, role: ServerRole, chains: Iterable[Chain]) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    protocols = SMTPD_TLS_MANDATORY_PROTOCOLS if role.mandatory else SMTPD_TLS_PROTOCOLS
    parse_versions(config[protocols]).apply(context)
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
    if config[TLS_PREEMPT_CIPHERLIST]:
        context.options |= ssl.OP_CIPHER_SERVER_PREFERENCE
    else:
        context.options &= ~ssl.OP_CIPHER_SERVER_PREFERENCE
    set_ciphers(context, config, mandatory=role.mandatory)
    if config[SMTPD_TLS_SESSION_CACHE_TIMEOUT]:
        context.num_tickets = TICKETS
    else:
        context.num_tickets = 0
        context.options |= ssl.OP_NO_TICKET
    load_chains(context, chains)
    ask_clients(context, config, role)
    if role.alpn:
        context.set_alpn_protocols(list(role.alpn))
    return context


def certificate_files(config: Config, role: ServerRole | None) -> tuple[str, ...]:
    """The files and directories that `server_context` reads; empty where the service does not speak TLS.

    What cannot be found out now (a table that cannot be read) is left out.
    """
    if role is None:
        return ()
    files = [file for chain in configured_chains(config) for file in chain.files]
    files += map_files(config)
    try:
        files += [file for chains in named_chains(config).values() for chain in chains for file in chain.files]
    except TlsError:
        pass
    if role.asks:
        try:
            files += authority_files(config)
        except TlsError:
            pass
    return tuple(dict.fromkeys(files))
