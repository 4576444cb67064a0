"""What restrictions know: who the client is, what it has said, and answers of others that are known so far.

A fact of the first kind is a field here.  One of the second kind is named by a key, a tuple whose first member is its
kind, and `Run.fact` gives its value or notes that it is missing.

    ("name",)                              the client's name in the DNS           -> ClientName
    ("recipient", ADDRESS)                 what tables say about a recipient      -> RecipientVerdict | Trouble
    ("route", ADDRESS)                     its address class                      -> Route | Trouble
    ("access", TABLES, KEYS, PARTIAL)      the first of the keys in access tables -> AccessValue | None | Trouble
    ("owners", TABLES, ADDRESS)            the same for an address, with is_own   -> AccessValue | None | Trouble
    ("dns", NAME, TYPE)                    records                                -> Outcome of lib.dns
    ("quota", ADDRESS, SIZE)               whether a mailbox has room             -> Full | None | Trouble
    ("verify", ADDRESS)                    whether a probe says it is there       -> Verified | Trouble
    ("policy", SERVER, ATTRIBUTES)         a policy server's action               -> str | Trouble
    ("greylist", RECIPIENT)                a deferral, or "" to let it pass       -> Reply | str
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from pillarbox.lib.dns import UNKNOWN, ClientName

Key: TypeAlias = "tuple[object, ...]"
"""The name of a fact that others know."""

CONNECTION: Final = 0
HELO: Final = 1
TRANSACTION: Final = 2
RECIPIENT: Final = 3
SCOPES: Final = (CONNECTION, HELO, TRANSACTION, RECIPIENT)
"""How long a fact is kept: until the connection ends, the next HELO, the next MAIL, the end of this decision."""

ALONE: Final = frozenset(("policy", "greylist", "verify"))
"""Kinds of question that change something where they are asked (a greylist remembers, a probe goes out): never
asked on suspicion."""


@dataclass(frozen=True, slots=True)
class Trouble:
    """The fact cannot be known now; `reason` is for the log."""

    reason: str


@dataclass(frozen=True, slots=True)
class Certificate:
    """The client's certificate; all "" where there is none.  `trusted`: it was verified."""

    subject: str = ""
    issuer: str = ""
    fingerprint: str = ""
    pubkey_fingerprint: str = ""
    trusted: bool = False


NO_CERTIFICATE: Final = Certificate()


@dataclass(slots=True)
class Facts:
    """Everything at hand.

    `sender` and `recipient` are in complete form; `given_sender` and `given_recipient` as the client wrote them.  None:
    it has not been said, or (recipient) there are several.  `recipients` counts those that were accepted.  `instance`
    gives the transaction's name for policy servers.  `buffered`: the client has sent more than the command that is
    decided.  `name` is None until the DNS has answered.
    """

    address: str
    port: int = 0
    name: ClientName | None = field(default_factory=ClientName)
    server_address: str = ""
    server_port: int = 0
    trusted: bool = False
    helo: str | None = None
    verb: str = ""
    protocol: str = "SMTP"
    sender: str | None = None
    given_sender: str = ""
    recipient: str | None = None
    given_recipient: str = ""
    recipients: int = 0
    size: int = 0
    queue_id: str = ""
    instance: Callable[[], str] = str
    etrn: str = ""
    buffered: bool = False
    discarding: bool = False
    sasl_method: str = ""
    sasl_username: str = ""
    sasl_sender: str = ""
    encrypted: bool = False
    tls_protocol: str = ""
    tls_cipher: str = ""
    tls_bits: int = 0
    certificate: Certificate = NO_CERTIFICATE

    @property
    def tag(self) -> str:
        """The client as logs and replies write it."""
        name = self.name.name if self.name is not None else UNKNOWN
        return f"{name}[{self.address}]"
