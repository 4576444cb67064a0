"""The envelope: who sends a message to whom, under which conditions, and where it came from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from pillarbox.lib.ipc import Attributes, ProtocolError

NOTIFY = ("never", "success", "failure", "delay")
"""Values of the DSN NOTIFY parameter (RFC 3461 section 4.1)."""

LATEST_ARRIVAL = 1 << 40
"""Seconds since the epoch; computing with it never overflows."""

BODIES = ("7bit", "8bitmime", "binarymime")


@dataclass(frozen=True, slots=True)
class Recipient:
    """One recipient.

    `original` is the address before rewriting and expansion ("" = the same), `orcpt` the ORCPT parameter as
    "type;address" with xtext decoded, `notify` its NOTIFY values, lower case (RFC 3461).  `expanded`: the message has
    gone on to several others in its place, and what is left to do is to report that (section 5.2.7.2).
    """

    address: str
    original: str = ""
    orcpt: str = ""
    notify: tuple[str, ...] = ()
    expanded: bool = False

    def members(self) -> dict[str, object]:
        """What is written to a frame or a queue file: only what differs from the default."""
        members: dict[str, object] = {"address": self.address}
        if self.original:
            members["original"] = self.original
        if self.orcpt:
            members["orcpt"] = self.orcpt
        if self.notify:
            members["notify"] = list(self.notify)
        if self.expanded:
            members["expanded"] = True
        return members

    @classmethod
    def parse(cls, frame: Attributes) -> Recipient:
        """Raises ProtocolError where the members are not those of a recipient."""
        if len(frame) == 1:
            return cls(frame.text("address"))  # nearly every one
        notify = frame.texts("notify", [])
        if any(value not in NOTIFY for value in notify):
            raise ProtocolError(f"unknown NOTIFY value in {notify}")
        expanded = "expanded" in frame and frame.boolean("expanded")
        return cls(frame.text("address"), frame.text("original", ""), frame.text("orcpt", ""), notify, expanded)


def notify_of_members(notify: tuple[str, ...]) -> tuple[str, ...]:
    """NOTIFY of the addresses that one was expanded to: its success is reported where it is expanded
    (RFC 3461 section 5.2.7.2)."""
    if "success" not in notify:
        return notify
    return tuple(value for value in notify if value != "success") or ("never",)


@dataclass(frozen=True, slots=True)
class Envelope:
    """An envelope.  `arrival` is in seconds since the epoch; `sender` "" is the null reverse-path.

    `attributes` holds what describes the message's way in: client_name, client_address, client_port, client_helo,
    protocol, sasl_method, sasl_username, sasl_sender, full_name, service and others; each a text.
    `origin` names the program that brought the message; `uid` is the local submitter's.

    What was asked for, or decided, on the way in: `deliver_by` is "DEADLINE;MODE" (seconds since the epoch; R, N, RT or
    NT: RFC 2852); before `release` (seconds since the epoch) nothing is delivered (RFC 4865); `filter` is the
    transport:nexthop that all recipients go to first (FILTER in access(5)); `hold` is the reason why the message is to
    wait in hold/; `redirect` is the one address that replaces all recipients; with `discard` the message is taken and
    thrown away; `overrides` are the words of receive_override_options, for cleanup.  `verp` are the two delimiters of a
    variable envelope return path (`lib.address.verp`), "" for none.  `report` is "verify" where nothing is delivered
    and the sender hears what would be (`sendmail -bv`), "record" where he hears what the first attempt has done
    (`sendmail -v`).
    """

    sender: str
    recipients: tuple[Recipient, ...]
    arrival: float
    envid: str = ""
    ret: str = ""
    body: str = ""
    smtputf8: bool = False
    requiretls: bool = False
    deliver_by: str = ""
    release: float = 0
    filter: str = ""
    hold: str = ""
    redirect: str = ""
    discard: bool = False
    overrides: str = ""
    verp: str = ""
    report: str = ""
    client_name: str = ""
    client_address: str = ""
    client_port: str = ""
    client_helo: str = ""
    protocol: str = ""
    sasl_method: str = ""
    sasl_username: str = ""
    origin: str = ""
    uid: int | None = None
    full_name: str = ""
    service: str = ""
    attributes: Mapping[str, str] = field(default_factory=dict)

    def members(self) -> dict[str, object]:
        """What is written to a frame or a queue file, without the recipients: only what differs from the default."""
        members: dict[str, object] = {"sender": self.sender, "arrival": self.arrival}
        for name in _OPTIONAL:
            if value := getattr(self, name):
                members[name] = value
        if self.uid is not None:
            members["uid"] = self.uid
        if self.attributes:
            members["attributes"] = dict(self.attributes)
        return members

    @classmethod
    def parse(cls, frame: Attributes, recipients: tuple[Recipient, ...]) -> Envelope:
        """Raises ProtocolError where the members are not those of an envelope."""
        values: dict[str, object] = {}
        for name, value in dict.items(frame):
            kind = _KINDS.get(name)
            if kind is None:
                raise ProtocolError(f'an envelope has no "{name}"')
            if type(value) is not kind and not (kind is float and type(value) is int):
                raise ProtocolError(f'"{name}" of the envelope is not of type {kind.__name__}')
            values[name] = value
        if "sender" not in values or "arrival" not in values:
            raise ProtocolError("an envelope needs a sender and an arrival time")
        attributes = values.get("attributes", {})
        for name in ("arrival", "release"):
            moment = values.get(name, 0)
            if not (isinstance(moment, int | float) and 0 <= moment <= LATEST_ARRIVAL):  # neither does NaN pass
                raise ProtocolError(f"the {name} time of the envelope is out of range")
        if not (isinstance(attributes, dict) and all(type(value) is str for value in attributes.values())):
            raise ProtocolError("an attribute of the envelope is not a text")
        return cls(recipients=recipients, **values)  # type: ignore[arg-type]


_OPTIONAL = (
    "envid",
    "ret",
    "body",
    "smtputf8",
    "requiretls",
    "deliver_by",
    "release",
    "filter",
    "hold",
    "redirect",
    "discard",
    "overrides",
    "verp",
    "report",
    "client_name",
    "client_address",
    "client_port",
    "client_helo",
    "protocol",
    "sasl_method",
    "sasl_username",
    "origin",
    "full_name",
    "service",
)
_KINDS: dict[str, type] = {
    "sender": str,
    "arrival": float,
    **dict.fromkeys(_OPTIONAL, str),
    "smtputf8": bool,
    "requiretls": bool,
    "discard": bool,
    "release": float,
    "uid": int,
    "attributes": dict,
}
