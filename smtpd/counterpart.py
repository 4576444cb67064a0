"""Who is at the other end of a session: address and name, TLS facts, rights, and how the log speaks of it.

What is here lives as long as the client does: until XCLIENT names another one (`take_over`), or the connection ends.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

from pillarbox.lib.clients.auth import NO_SECURITY, Security
from pillarbox.lib.clients.auth_security import channel_security
from pillarbox.lib.log import log
from pillarbox.lib.smtp.client_attributes import known
from pillarbox.lib.smtp.conversation import Conversation
from pillarbox.lib.smtp.events import XClient
from pillarbox.lib.smtp.server import ServerSession
from pillarbox.lib.tls import ClientCertificate, TlsFacts, tls_facts
from pillarbox.smtpd.client import Client
from pillarbox.smtpd.origin import NOWHERE, Origin, impersonated, named_by_proxy
from pillarbox.smtpd.policy.memory import Memory
from pillarbox.smtpd.screening.screen import UNSCREENED
from pillarbox.smtpd.transaction import Transaction

if TYPE_CHECKING:
    from pillarbox.smtpd.milters import SessionMilters
    from pillarbox.smtpd.server import Server


class Counterpart(asyncio.Protocol):
    """The client's side of a session."""

    transport: asyncio.Transport
    client: Client

    def __init__(self, server: Server) -> None:
        self.server = server
        self.core = ServerSession(server.profile)
        if server.notices.wanted:
            self.core.conversation = Conversation()
        self.transaction: Transaction | None = None
        self.origin = NOWHERE
        self.trusted = False
        self.counted = False
        self.registered = False
        """Whether anvil counts this connection."""
        self.policy: Memory | None = None
        self.milters: SessionMilters | None = None
        self.connections = 0
        """How many sessions the client has at once; 0 where nobody counts."""
        self.screened = UNSCREENED
        self.sasl_method = ""
        self.sasl_username = ""
        self.tls: TlsFacts | None = None
        """The TLS session, once there is one."""
        self._loop = asyncio.get_running_loop()
        self._name_task: asyncio.Task[None] | None = None
        self._connect_logged = False

    @property
    def local_address(self) -> str:
        """The address that the client has connected to."""
        return self.origin.local_address

    @property
    def cipher(self) -> str:
        """`TLSv1.3 with cipher ...`, or "" in clear text."""
        return self.tls.text if self.tls is not None else ""

    @property
    def ccert(self) -> ClientCertificate | None:
        """The client's certificate, where it was asked for one and has one."""
        return self.tls.certificate if self.tls is not None else None

    @property
    def ccert_subject(self) -> str:
        """The common name in the client's certificate; says something only where `ccert_trusted`."""
        return self.ccert.subject if self.ccert is not None else ""

    @property
    def ccert_issuer(self) -> str:
        """Who issued it."""
        return self.ccert.issuer if self.ccert is not None else ""

    @property
    def ccert_fingerprint(self) -> str:
        """The certificate's fingerprint (`9A:3F:...`, smtpd_tls_fingerprint_digest)."""
        return self.ccert.fingerprint if self.ccert is not None else ""

    @property
    def ccert_pubkey_fingerprint(self) -> str:
        """The fingerprint of its public key, which stays when the certificate is renewed."""
        return self.ccert.pubkey_fingerprint if self.ccert is not None else ""

    @property
    def ccert_trusted(self) -> bool:
        """Whether an authority in smtpd_tls_CAfile vouches for the certificate."""
        return self.ccert is not None and self.ccert.trusted

    @property
    def security(self) -> Security:
        """What the auth service is told of the client's TLS session."""
        if not self.core.tls:
            return NO_SECURITY
        security = channel_security(self.transport.get_extra_info("ssl_object"))
        return security if self.ccert is not None else replace(security, certificate=None)

    def _take_for(self, origin: Origin) -> None:
        server = self.server
        self.origin = origin
        self.client = Client(origin.address, origin.port)
        self.trusted = origin.address in server.trusted
        self.core.profile = server.profile_for(origin.address)
        self.counted = server.limits.counting and origin.address not in server.exempt

    def _settle_name(self) -> None:
        found = self.server.names.known(self.client.address)
        if found is not None:
            self.client.settle(found.name, found)
            self._log_connect()
        else:
            self._name_task = self._loop.create_task(self._find_name())

    def take_over(self, event: XClient) -> None:
        """XCLIENT: the client is somebody else, of whom nothing is known but what the proxy says."""
        self._log_connect()
        if self._name_task is not None:
            self._name_task.cancel()
            self._name_task = None
        if self.registered:
            self.server.anvil.disconnect(self.server.service, self.server.clients.of(self.client.address))
            self.registered = False
        self.policy = None
        if self.tls is not None:  # the proxy has shown the certificate, not its client
            self.tls = replace(self.tls, certificate=None)
        proxy, attributes = self.client, event.attributes
        self._take_for(impersonated(attributes, self.origin))
        if not named_by_proxy(attributes, self.client, proxy):
            self._settle_name()
        self.core.granted = self.core.granted - {"EXPN"} | self.server.granted(self.client.address) & {"EXPN"}
        self.sasl_username = known(attributes, "LOGIN")
        self.sasl_method = "XCLIENT" if self.sasl_username else ""
        log.info(f"XCLIENT from {proxy.tag}: client={self.client.tag}")

    async def _find_name(self) -> None:
        server, client = self.server, self.client
        try:
            found = await server.names.find(client.address, server.limits.name_timeout)
        except OSError as error:
            log.warning(f"{client.address}: name look-up: {error}")
        else:
            client.settle(found.name, found)
        client.named = True
        self._log_connect()

    async def name_settled(self) -> None:
        """Wait until the client's name is known, or known not to be."""
        if self._name_task is not None and not self.client.named:
            await asyncio.wait((self._name_task,))

    def _secured(self) -> None:
        """The handshake is done."""
        self.tls = tls_facts(self.transport.get_extra_info("ssl_object"), self.server.fingerprint_digest)
        if self._connect_logged:  # else it waits for the client's name, as that line does
            self._log_tls(self.tls)

    def _log_tls(self, facts: TlsFacts) -> None:
        if not self.server.tls_log:
            return
        tag = self.client.tag
        if facts.certificate is not None and facts.certificate.problem:
            log.info(f"client certificate verification failed for {tag}: {facts.certificate.problem}")
        name = f" to {facts.name}" if facts.name else ""
        log.info(f"{facts.status} TLS connection established from {tag}{name}: {facts.details}")

    # --- the log
    @property
    def queue_id(self) -> str:
        """The id for log lines; NOQUEUE where there is none."""
        return self.transaction.queue_id if self.transaction is not None else "NOQUEUE"

    def log_rejection(self, stage: str, text: str, recipient: str | None = None) -> None:
        """A refusal."""
        self.log_decision("reject", stage, text, recipient)

    def log_decision(self, word: str, stage: str, text: str, recipient: str | None = None) -> None:
        """`ID: reject: RCPT from NAME[ADDRESS]: TEXT; from=<...> to=<...> proto=ESMTP helo=<...>`."""
        words = []
        if self.transaction is not None:
            words.append(f"from=<{self.transaction.sender}>")
        if recipient is not None:
            words.append(f"to=<{recipient}>")
        words.append(f"proto={self.core.protocol}")
        if self.core.helo_name:
            words.append(f"helo=<{self.core.helo_name}>")
        log.info(f"{self.queue_id}: {word}: {stage} from {self.client.tag}: {text}; {' '.join(words)}")

    def _log_connect(self) -> None:
        if not self._connect_logged:
            self._connect_logged = True
            log.info(f"connect from {self.client.tag}")
            if self.tls is not None:
                self._log_tls(self.tls)

    def _where(self) -> str:
        core = self.core
        return f"{core.where} ({core.content_size} bytes)" if core.in_content else core.where
