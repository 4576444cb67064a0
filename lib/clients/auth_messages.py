"""What the auth service and its clients say to each other: the values, and their form in frames."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Literal, TypeAlias, get_args

from pillarbox.lib.ipc import Attributes, ProtocolError

FailureKind = Literal["credentials", "malformed", "mechanism", "privacy", "disabled", "locked", "delay", "temporary"]
"""Why an exchange failed.

`credentials`: wrong user or password (SMTP 535 5.7.8, IMAP AUTHENTICATIONFAILED, POP3 [AUTH]);
`malformed`: what the client sent breaks the mechanism's grammar (SMTP 501 5.5.2, IMAP BAD);
`mechanism`: not offered (SMTP 504 5.5.4); `privacy`: not offered without TLS (SMTP 538 5.7.11, IMAP PRIVACYREQUIRED);
`disabled`: the account may not log in (SMTP 535, IMAP CONTACTADMIN);
`locked`: too many failures, nothing was checked, try later (SMTP 454 4.7.0, IMAP UNAVAILABLE, POP3 [SYS/TEMP]);
`delay`: this user has logged in just now, try later (POP3 [LOGIN-DELAY]);
`temporary`: try later (SMTP 454 4.7.0, IMAP UNAVAILABLE, POP3 [SYS/TEMP]).
"""


@dataclass(frozen=True, slots=True)
class ClientCertificate:
    """What the TLS handshake has shown of a client.

    The fingerprints are SHA-256, of the certificate and of its public key (hex, with or without colons).  `trusted`:
    it was verified against the configured authorities; only then `mailboxes`, the addresses that it names (RFC 5280
    rfc822Name, RFC 8398 SmtpUTF8Mailbox), mean anything.
    """

    fingerprint: str
    pubkey_fingerprint: str = ""
    trusted: bool = False
    mailboxes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Security:
    """What TLS knows of a client's channel: channel bindings by type (RFC 5056), and the client's certificate."""

    bindings: Mapping[str, tuple[bytes, ...]] = field(default_factory=dict)
    certificate: ClientCertificate | None = None


NO_SECURITY = Security()
"""Without TLS."""


@dataclass(frozen=True, slots=True)
class Challenge:
    """The mechanism wants more: send `data` (base64 of it) to the client and hand its answer to `continue_`."""

    data: bytes
    exchange: int


@dataclass(frozen=True, slots=True)
class Success:
    """The client is `username` (a full address for hosted accounts, a login name for system users).

    `token` is the one-time token for the session service (32 hex digits, valid 30 seconds); empty for services
    that have no session part (smtp).
    """

    username: str
    token: str
    mechanism: str


@dataclass(frozen=True, slots=True)
class Failure:
    """The exchange is over without success; `reason` is printable text for the client and the log."""

    reason: str
    temporary: bool = False
    kind: FailureKind = "credentials"
    username: str = ""
    """The name that the client claimed, for the log; may be anything."""


Step: TypeAlias = Challenge | Success | Failure


@dataclass(frozen=True, slots=True)
class Account:
    """Who a user is and where the mail lies.

    `uid` and `gid` are None for hosted accounts: their mail belongs to the mailbox owner (`vmail_owner`).
    `mail` is the location of the store as `pillarbox.lib.store.open_store` takes it (`maildir:PATH`,
    `mbox:FOLDERS:INBOX=FILE`); `home` is the directory for the user's other files.  `quota` is what a hosted account
    may hold (`lib.config.quota`), "" where nothing is said for it alone.
    """

    address: str
    uid: int | None
    gid: int | None
    home: str
    mail: str
    system: bool
    quota: str = ""


_KINDS: dict[str, FailureKind] = {kind: kind for kind in get_args(FailureKind)}

Request: TypeAlias = dict[str, object]


def encode_security(security: Security) -> Request:
    """The members of a request that carry it; none for a channel without TLS."""
    members: Request = {}
    if security.bindings:
        members["bindings"] = {kind: [encode_data(data) for data in datas] for kind, datas in security.bindings.items()}
    if security.certificate is not None:
        members["certificate"] = asdict(security.certificate)
    return members


def decode_security(request: Attributes) -> Security:
    """Read such members; raises ProtocolError."""
    bindings: dict[str, tuple[bytes, ...]] = {}
    certificate = None
    if "bindings" in request:
        kinds = request.attributes("bindings")
        bindings = {kind: tuple(_octets(text) for text in kinds.texts(kind)) for kind in kinds}
    if "certificate" in request:
        one = request.attributes("certificate")
        certificate = ClientCertificate(
            one.text("fingerprint"), one.text("pubkey_fingerprint"), one.boolean("trusted"), one.texts("mailboxes")
        )
    return Security(bindings, certificate)


def encode_step(step: Step) -> Request:
    """The members of the service's reply to `begin` and `continue`."""
    match step:
        case Challenge():
            return {"step": "challenge", "data": encode_data(step.data)}
        case Success():
            return {"step": "success", **asdict(step)}
        case Failure():
            return {"step": "failure", **asdict(step)}


def decode_step(reply: Attributes, exchange: int) -> Step:
    """Read such a reply; raises ProtocolError."""
    match reply.text("step"):
        case "challenge":
            return Challenge(decode_data(reply, "data"), exchange)
        case "success":
            return Success(reply.text("username"), reply.text("token"), reply.text("mechanism"))
        case "failure":
            kind = _KINDS.get(reply.text("kind"), "temporary")
            return Failure(reply.text("reason"), reply.boolean("temporary"), kind, reply.text("username"))
        case other:
            raise ProtocolError(f'unknown step "{other}"')


def encode_account(account: Account | None) -> Request:
    """The members of the service's reply to `redeem` and `account`."""
    return {"account": None if account is None else asdict(account)}


def decode_account(reply: Attributes) -> Account | None:
    """Read such a reply; raises ProtocolError."""
    if reply.get("account") is None:
        return None
    one = reply.attributes("account")
    uid, gid = (None if one.get(name) is None else one.integer(name) for name in ("uid", "gid"))
    return Account(
        one.text("address"), uid, gid, one.text("home"), one.text("mail"), one.boolean("system"), one.text("quota", "")
    )


def decode_data(attributes: Attributes, name: str) -> bytes:
    """An attribute that holds octets as base64; raises ProtocolError."""
    return _octets(attributes.text(name))


def _octets(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except ValueError:
        raise ProtocolError(f'"{text[:20]}" is no base64') from None


def encode_data(data: bytes) -> str:
    """Octets as an attribute."""
    return base64.b64encode(data).decode()
