"""What passes between the parent and its children: a job one way, a report the other.

A job names what to do and carries the message as a descriptor.  A report holds what was done (`Outcome`s) and what
else has to be done, by someone with other rights: addresses to send on, files and commands for `default_privs`,
`:include:` files for their owners, the user's own mailbox.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from pillarbox.lib.delivery import (
    BOUNCED,
    DEFERRED,
    SENT,
    Content,
    DeliveryRecipient,
    DeliveryRequest,
    Result,
    text_content,
)
from pillarbox.lib.delivery.delivered import delivered_to, has_visited
from pillarbox.lib.ipc import Attributes, ProtocolError
from pillarbox.lib.sieve_box.plan import Outgoing
from pillarbox.lib.store.failure import DeliveryFailure
from pillarbox.lib.store.maildir.writer import MaildirDelivery
from pillarbox.local.mails import Mail

RELAY = "local"

ADDRESS_LIMIT = 10_000
"""Addresses that one recipient may become without a list; whoever wants more uses `:include:`."""

STEP_LIMIT = 100
"""Files, commands and lists that one alias or file may name."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one target of a recipient."""

    status: str
    dsn: str
    text: str
    handed: str = ""
    """What a success was (see `lib.delivery.result`); said by the parent, not by a child."""

    @classmethod
    def failure(cls, failure: DeliveryFailure) -> Outcome:
        """A failed delivery: bounced or deferred as its code says."""
        return cls(BOUNCED if failure.permanent else DEFERRED, failure.dsn, failure.text)

    @classmethod
    def sent(cls, text: str) -> Outcome:
        """A successful one."""
        return cls(SENT, "2.0.0", text)

    def result(self, recipient: DeliveryRecipient) -> Result:
        """As the queue manager wants it."""
        return Result(recipient.n, self.status, self.dsn, self.text, RELAY, handed=self.handed)


@dataclass(frozen=True, slots=True)
class Message:
    """The message and one recipient, as a child needs them.  `sender` may be an owner- address."""

    queue_id: str
    sender: str
    recipient: str
    original: str
    arrival: float
    size: int
    offset: int
    fd: int
    user: str = ""
    """The local part without extension, lower case: the name that aliases and passwd are asked for."""
    extension: str = ""
    domain: str = ""
    delimiter: str = ""
    envid: str = ""
    body: str = ""
    ret: str = ""
    orcpt: str = ""
    notify: str = ""
    """The values of NOTIFY with commas between them."""
    deliver_by: str = ""
    report: str = ""
    """`verify`: nothing is delivered, the outcomes say what would be (`lib.queue.Envelope`)."""
    smtputf8: bool = False
    requiretls: bool = False
    from_list: bool = False
    """Whether it is a list's message now, not its sender's (RFC 3461 section 5.2.7.3)."""
    attributes: Mapping[str, str] = field(default_factory=dict)

    @property
    def content(self) -> Content:
        """The content as text.  Raises DeliveryFailure."""
        return text_content(Content(self.fd, self.offset, self.size), self.body)

    def members(self) -> dict[str, object]:
        """The members that travel; the descriptor goes beside."""
        texts = {name: text for name in _TEXTS if (text := getattr(self, name))}
        flags = {name: True for name in _FLAGS if getattr(self, name)}
        place = {"arrival": self.arrival, "size": self.size, "offset": self.offset}
        return {**texts, **flags, **place, "attributes": dict(self.attributes)}

    @classmethod
    def parse(cls, frame: Attributes, fd: int) -> Message:
        """The child's side.  Raises ProtocolError."""
        attributes = frame.attributes("attributes")
        texts: dict[str, Any] = {name: frame.text(name, "") for name in _TEXTS}
        flags: dict[str, Any] = {name: True for name in _FLAGS if frame.boolean(name, False)}
        return cls(
            **texts,
            **flags,
            arrival=frame.number("arrival"),
            size=frame.integer("size"),
            offset=frame.integer("offset"),
            attributes={name: value for name, value in dict.items(attributes) if isinstance(value, str)},
            fd=fd,
        )

    def with_sender(self, sender: str) -> Message:
        """The same message from another sender: that of a list, who gets the reports from here on."""
        return replace(self, sender=sender, from_list=True, envid="", ret="", orcpt="", notify="", deliver_by="")


_WISHES = ("ret", "orcpt", "notify", "deliver_by")
_TEXTS = (
    "queue_id",
    "sender",
    "recipient",
    "original",
    "user",
    "extension",
    "domain",
    "delimiter",
    "envid",
    "body",
    "report",
    *_WISHES,
)
_FLAGS = ("smtputf8", "requiretls", "from_list")


def message_of(request: DeliveryRequest, recipient: DeliveryRecipient, user: str, extension: str, rest: str) -> Message:
    """The message of a request for one of its recipients; `rest` is `delimiter@domain`."""
    delimiter, _, domain = rest.partition("@")
    content = request.content
    return Message(
        queue_id=request.queue_id,
        sender=request.sender,
        recipient=recipient.address,
        original=recipient.original,
        arrival=request.arrival,
        size=content.size,
        offset=content.offset,
        fd=content.fd,
        user=user,
        extension=extension,
        domain=domain,
        delimiter=delimiter,
        envid=request.envid,
        body=request.body,
        ret=request.ret,
        orcpt=recipient.orcpt,
        notify=",".join(recipient.notify),
        deliver_by=request.deliver_by,
        report="verify" if request.probe else "",
        smtputf8=request.smtputf8,
        requiretls=request.requiretls,
        attributes=request.attributes,
    )


def refuse_loop(message: Message) -> None:
    """Raises DeliveryFailure for a message that was delivered to this recipient before, or that cannot be read."""
    try:
        visited = delivered_to(message.content.header())
    except (OSError, EOFError) as error:
        raise DeliveryFailure("4.3.0", f"cannot read the queue file: {error}") from error
    if has_visited(visited, message.recipient):
        raise DeliveryFailure("5.4.6", f"mail forwarding loop for {message.recipient}")


def completed(address: str, origin: str, extension: str = "") -> str:
    """An address with a domain, and with `extension` (its delimiter before it) where it has none of its own."""
    local, at, domain = address.rpartition("@")
    if not at or '"' in domain:
        local, domain = address, origin
    if extension and extension[0] not in local:
        quoted = local.endswith('"')
        local = f'{local[:-1]}{extension}"' if quoted else f"{local}{extension}"
    return f"{local}@{domain}"


def alias_names(message: Message) -> tuple[str, ...]:
    """The names that may be aliases, in their order: user+extension, then user (aliases(5))."""
    if not message.extension:
        return (message.user,)
    return (f"{message.user}{message.delimiter}{message.extension}".lower(), message.user)


@dataclass(slots=True)
class Report:
    """What a child did and what it leaves to others."""

    outcomes: list[Outcome] = field(default_factory=list)
    forward: list[str] = field(default_factory=list)
    """Addresses to send the message on to, complete."""
    files: list[str] = field(default_factory=list)
    commands: list[str] = field(default_factory=list)
    includes: list[str] = field(default_factory=list)
    mailbox: bool = False
    """Deliver to the user's own mailbox; from the expander: the name is no alias, or stands in its own alias."""
    sender: str | None = None
    """The sender that the message has from here on (owner-NAME), None = as it was."""
    transport: str = ""
    """`transport:nexthop` that gets the message in place of the mailbox; without `mailbox`: because there is no user of
    this name."""
    table: int = -1
    """The number of the table in alias_maps that an alias is from, -1 where that makes no difference."""
    listed: int = 0
    """How many addresses an `:include:` file holds, which are read again when all else is done."""
    signature: str = ""
    """Which state of that file this was."""
    warnings: list[str] = field(default_factory=list)
    """For the log, which children do not have."""
    outgoing: list[Outgoing] = field(default_factory=list)
    """What a filter sends; it travels in frames of its own, and becomes `mails`."""
    filing: MaildirDelivery | None = None
    """What the child still has to do; it does not travel."""
    mails: list[Mail] = field(default_factory=list)
    """The parent's side of that."""

    def drop_mails(self) -> None:
        """Give back the descriptors of mails that nobody takes."""
        for mail in self.mails:
            mail.close()
        self.mails.clear()

    @property
    def deferred(self) -> bool:
        """Whether something has to be tried again."""
        return any(outcome.status == DEFERRED for outcome in self.outcomes)

    def members(self) -> dict[str, object]:
        """The members that travel."""
        members: dict[str, object] = {
            "outcomes": [[outcome.status, outcome.dsn, outcome.text] for outcome in self.outcomes],
            "mailbox": self.mailbox,
        }
        for name in _SELDOM:
            if value := getattr(self, name):
                members[name] = value
        if self.table >= 0:
            members["table"] = self.table
        if self.sender is not None:
            members["sender"] = self.sender
        return members

    @classmethod
    def parse(cls, frame: Attributes) -> Report:
        """The parent's side: a child is not trusted to speak well.  Raises ProtocolError."""
        outcomes = []
        for item in frame.items("outcomes"):
            if not (isinstance(item, list) and len(item) == 3 and all(isinstance(part, str) for part in item)):
                raise ProtocolError("an outcome is a list of three texts")
            if item[0] not in (SENT, DEFERRED, BOUNCED):
                raise ProtocolError(f'a delivery status is not "{item[0]}"')
            outcomes.append(Outcome(*item))
        return cls(
            outcomes,
            list(frame.texts("forward", [])),
            list(frame.texts("files", [])),
            list(frame.texts("commands", [])),
            list(frame.texts("includes", [])),
            frame.boolean("mailbox"),
            frame.text("sender") if "sender" in frame else None,
            frame.text("transport", ""),
            frame.integer("table", -1),
            frame.integer("listed", 0),
            frame.text("signature", ""),
            list(frame.texts("warnings", [])),
        )


_SELDOM = ("forward", "files", "commands", "includes", "transport", "listed", "signature", "warnings")
"""Members that travel where there is something to say."""


def combined(outcomes: list[Outcome]) -> Outcome:
    """One outcome for a recipient with several targets: what must be tried again first, then what failed."""
    for status in (DEFERRED, BOUNCED, SENT):
        found = [outcome for outcome in outcomes if outcome.status == status]
        if found:
            return next((outcome for outcome in found if outcome.handed), found[0])
    return Outcome(DEFERRED, "4.3.0", "delivery gave no result")
