"""One mail transaction: from MAIL to the receipt of cleanup, or its end without a message."""

from __future__ import annotations

import itertools
import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pillarbox.lib.clients.cleanup import AsyncMessage
from pillarbox.lib.message.trace import Origin, received_from
from pillarbox.lib.queue.edits import NO_EDITS, Edits
from pillarbox.lib.queue.envelope import Envelope, Recipient
from pillarbox.lib.smtp.events import Mail
from pillarbox.smtpd.filtered_message import FilteredMessage
from pillarbox.smtpd.forwarded import client_fields
from pillarbox.smtpd.policy.memory import Stretch

if TYPE_CHECKING:
    from pillarbox.smtpd.session import Session

_instances = itertools.count(1)


@dataclass(slots=True)
class Transaction:
    """What has been said since MAIL, and what policy wants to be done with the message.

    `sasl_sender` is who has submitted the message, where a client that is believed says so; `listed`: its client is in
    a table of local_header_rewrite_clients.  `message` is there from the first accepted recipient on.  `candidate` is
    the recipient that RCPT is deciding about, in complete form.
    `deliver_by`, `release`, `hold`, `filter`, `redirect` and `discard` are as in `Envelope`; `bcc` are recipients that
    the client did not name, `prepended` whole header fields (each with its LF) that go in front of the message; `edits`
    is what milters have changed.  `policy` is what access policy knows about the transaction, `instance` its name for
    policy servers.
    """

    mail: Mail
    sender: str
    arrival: float
    sasl_sender: str = ""
    listed: bool = False
    recipients: list[Recipient] = field(default_factory=list)
    message: AsyncMessage | FilteredMessage | None = None
    candidate: str = ""
    deliver_by: str = ""
    release: float = 0
    hold: str = ""
    filter: str = ""
    redirect: str = ""
    discard: bool = False
    bcc: list[str] = field(default_factory=list)
    prepended: list[str] = field(default_factory=list)
    policy: Stretch = field(default_factory=Stretch)
    _instance: str = ""
    edits: Edits = NO_EDITS
    _withdrawn: str = "NOQUEUE"

    @property
    def queue_id(self) -> str:
        """The id, also after the message was withdrawn; `NOQUEUE` before there is one."""
        return self.message.queue_id if self.message is not None else self._withdrawn

    def instance(self) -> str:
        """A name that no other transaction of this machine has, so that a policy server can tell them apart."""
        if not self._instance:
            self._instance = f"{os.getpid():x}.{int(self.arrival * 1000):x}.{next(_instances):x}.0"
        return self._instance

    def abort(self) -> None:
        """Withdraw the message."""
        self.edits.close()
        self.edits = NO_EDITS
        if self.message is not None:
            self._withdrawn = self.message.queue_id
            self.message.abort()
            self.message = None

    def begin_content(self, session: Session) -> None:
        """Give cleanup the envelope and our trace field; nothing is sent yet."""
        message = self.message
        assert message is not None
        examine = bool(session.server.settings.end_of_data)
        examine = examine or (session.milters is not None and session.milters.wants("end"))
        message.begin(self.envelope(session), examine=examine)
        message.gather(self.trace_field(session, message.queue_id))
        if self.prepended:
            message.gather("".join(self.prepended).encode("utf-8", "replace"))

    def envelope(self, session: Session) -> Envelope:
        """The envelope for cleanup."""
        mail = self.mail
        return Envelope(
            self.sender,
            (*self.recipients, *(Recipient(address, notify=("never",)) for address in self.bcc)),
            self.arrival,
            envid=mail.envid,
            ret=mail.ret,
            body=mail.body,
            smtputf8=mail.smtputf8,
            requiretls=mail.requiretls,
            deliver_by=self.deliver_by,
            release=self.release,
            filter=self.filter,
            hold=self.hold,
            redirect=self.redirect,
            discard=self.discard,
            overrides=session.server.overrides,
            verp=mail.verp or "",
            **client_fields(session, protocol_name(session, mail)),
            sasl_method=session.sasl_method,
            sasl_username=session.sasl_username,
            origin="smtpd",
            service=session.server.service,
            attributes=session.server.submission.attributes(session, self.sasl_sender, listed=self.listed),
        )

    def trace_field(self, session: Session, queue_id: str) -> bytes:
        """The Received: field (RFC 5321 section 4.4)."""
        server, client = session.server, session.client
        facts = session.tls if server.tls_received else None
        origin = Origin(
            session.core.helo_name or client.name,
            client.name,
            client.address,
            protocol_name(session, self.mail),
            tls=facts.text if facts is not None else "",
            tls_exchange=facts.exchange if facts is not None else "",
            tls_client=facts.presence if facts is not None else "",
            user=session.sasl_username if server.sasl_received else "",
        )
        recipient = self.recipients[0].address if len(self.recipients) == 1 else ""
        return received_from(origin, host=server.host, queue_id=queue_id, when=self.arrival, recipient=recipient)


def protocol_name(session: Session, mail: Mail) -> str:
    """SMTP, ESMTP, ESMTPS, ESMTPSA, LMTPA, UTF8SMTPS... (RFC 3848, RFC 6531 section 4.3)."""
    core = session.core
    base = core.protocol
    if base == "SMTP" and not mail.smtputf8:
        return base
    if mail.smtputf8:
        base = "UTF8LMTP" if base == "LMTP" else "UTF8SMTP"
    return f"{base}{'S' if core.tls else ''}{'A' if core.authenticated else ''}"
