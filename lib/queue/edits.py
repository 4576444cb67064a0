"""What is to be changed in a message that cleanup holds and has not published: the sum of the edits of all milters.

    edits = Edits(sender="x@y.example", recipients=(RecipientEdit(Recipient("z@y.example")),), header=fd)
    message.commit(edits)

`header` and `body` are descriptors of sealed memory files, -1 where the message keeps its own.  Whoever has the value
last closes them.
"""

from __future__ import annotations

from dataclasses import dataclass

from pillarbox.lib.ipc import Attributes, ProtocolError, close_all
from pillarbox.lib.queue.envelope import Recipient


@dataclass(frozen=True, slots=True)
class RecipientEdit:
    """A recipient that is added or, with `delete`, taken away; of the latter only the address counts."""

    recipient: Recipient
    delete: bool = False


@dataclass(frozen=True, slots=True)
class Edits:
    """`sender` None: it stays; `ret` and `envid` go with a new sender (RFC 3461).  `recipients` are in the order in
    which they are to be made.  `hold` is the reason to put the message into hold/; `filter` is the
    transport:nexthop that it goes to first; with `discard` it is thrown away."""

    sender: str | None = None
    ret: str = ""
    envid: str = ""
    recipients: tuple[RecipientEdit, ...] = ()
    hold: str = ""
    filter: str = ""
    discard: bool = False
    header: int = -1
    body: int = -1

    def __bool__(self) -> bool:
        """Whether there is anything to change."""
        return self != NO_EDITS

    @property
    def descriptors(self) -> tuple[int, ...]:
        """The files to send along."""
        return tuple(descriptor for descriptor in (self.header, self.body) if descriptor >= 0)

    def close(self) -> None:
        """Close the files."""
        close_all(self.descriptors)

    def members(self) -> dict[str, object]:
        """For a frame; the files go beside it."""
        members: dict[str, object] = {}
        if self.sender is not None:
            members["sender"] = self.sender
        for name in ("ret", "envid", "hold", "filter"):
            if value := getattr(self, name):
                members[name] = value
        if self.discard:
            members["discard"] = True
        if self.recipients:
            members["recipients"] = [
                {**edit.recipient.members(), **({"delete": True} if edit.delete else {})} for edit in self.recipients
            ]
        members["files"] = [name for name in ("header", "body") if getattr(self, name) >= 0]
        return members

    @classmethod
    def parse(cls, frame: Attributes, descriptors: list[int]) -> Edits:
        """Takes the descriptors over.  Raises ProtocolError, having closed them."""
        try:
            files = frame.texts("files")
            if len(files) != len(descriptors) or not set(files) <= {"header", "body"} or len(set(files)) != len(files):
                raise ProtocolError("edits whose files do not fit")
            edits = cls(
                frame.text("sender") if "sender" in frame else None,
                frame.text("ret", ""),
                frame.text("envid", ""),
                tuple(
                    RecipientEdit(Recipient.parse(item), item.boolean("delete", False))
                    for item in (frame.groups("recipients") if "recipients" in frame else ())
                ),
                frame.text("hold", ""),
                frame.text("filter", ""),
                frame.boolean("discard", False),
                **dict(zip(files, descriptors, strict=True)),
            )
        except ProtocolError:
            close_all(descriptors)
            raise
        return edits


NO_EDITS = Edits()
