"""Transport security over the standard `ssl` module: contexts from parameters, and what logs and headers say.

    context = server_context(config, smtp_role(config))   # None where no certificate is configured
    contexts = ClientContexts(ClientMaterial.read(config)); contexts.get(Demand("authorities", ">=TLSv1.2", "HIGH"))
    facts = tls_facts(ssl_object, digest)                 # cipher, key exchange, the client's certificate
    channel_bindings(ssl_object)                          # what proves a client to be at the other end of this session
    cipher_text(ssl_object)                               # TLSv1.3 with cipher TLS_AES_256_GCM_SHA384 (256/256 bits)

`pillarbox.lib.tls.certificate` makes the self-signed certificate of a new instance; it is apart because it alone
needs the cryptography package.  Handshakes and streams belong to the event loop, not to this package.
"""

from pillarbox.lib.tls.channel import channel_bindings
from pillarbox.lib.tls.client import LEVELS, ClientContexts, ClientMaterial, Demand
from pillarbox.lib.tls.description import cipher_text, peer_status
from pillarbox.lib.tls.errors import TlsError
from pillarbox.lib.tls.facts import TlsFacts, tls_facts
from pillarbox.lib.tls.peer import ClientCertificate, client_certificate
from pillarbox.lib.tls.roles import ServerRole, login_role, smtp_role
from pillarbox.lib.tls.server import certificate_files, server_context

__all__ = [
    "LEVELS",
    "ClientCertificate",
    "ClientContexts",
    "ClientMaterial",
    "Demand",
    "ServerRole",
    "TlsError",
    "TlsFacts",
    "certificate_files",
    "channel_bindings",
    "cipher_text",
    "client_certificate",
    "login_role",
    "peer_status",
    "server_context",
    "smtp_role",
    "tls_facts",
]
