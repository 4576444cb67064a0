"""How mail that a filter sends comes from the user's process to the one that hands it to cleanup.

Each is a frame of its own with a descriptor: a file in memory with the header block, or with all of it.  The process
that it comes from has the user's rights and may say anything: what is taken from it is bounded, and a user of the
machine could hand in the same mail by `sendmail`.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Final

from pillarbox.lib.delivery.content import HEADER_LIMIT
from pillarbox.lib.ipc import Attributes, Channel, ProtocolError
from pillarbox.lib.sieve_box.plan import Outgoing
from pillarbox.lib.system.files import write_all

MOST_MAILS: Final = 64
"""Mails of one report: the actions of the scripts are limited already, by sieve_max_actions."""
MOST_RECIPIENTS: Final = 20
HEAD_LIMIT: Final = 4 * HEADER_LIMIT
"""Octets of what stands in the file: a header that scripts have edited, or a whole reply, as long as its script, three
times as long in quoted-printable."""


@dataclass(frozen=True, slots=True)
class Mail:
    """A mail on its way between two processes.  `descriptor` belongs to whom it was given, -1 = none."""

    members: dict[str, object]
    descriptor: int

    @property
    def redirects(self) -> int:
        """To how many addresses the message itself goes on."""
        recipients = self.members["recipients"]
        return len(recipients) if self.members["with_body"] and isinstance(recipients, list) else 0

    def close(self) -> None:
        """Close the descriptor."""
        if self.descriptor >= 0:
            os.close(self.descriptor)


def send_mail(channel: Channel, outgoing: Outgoing) -> None:
    """The user's side."""
    members: dict[str, object] = {
        "sender": outgoing.sender,
        "recipients": list(outgoing.recipients),
        "with_body": outgoing.with_body,
    }
    if outgoing.head is None:
        channel.send({"mail": members, "more": True})
        return
    descriptor = os.memfd_create("mail", os.MFD_CLOEXEC)
    try:
        write_all(descriptor, outgoing.head)
        channel.send({"mail": members, "more": True}, [descriptor])
    finally:
        os.close(descriptor)


def taken_mail(frame: Attributes) -> Mail:
    """The parent's side, which looks at nothing but the form.  Raises ProtocolError."""
    try:
        if len(frame.fds) > 1:
            raise ProtocolError("a mail comes with one descriptor at most")
        mail = frame.attributes("mail")
        members: dict[str, object] = {
            "sender": mail.text("sender"),
            "recipients": list(mail.texts("recipients")),
            "with_body": mail.boolean("with_body"),
        }
    except ProtocolError:
        for descriptor in frame.fds:
            os.close(descriptor)
        raise
    return Mail(members, frame.fds[0] if frame.fds else -1)


def read_mail(mail: Attributes, descriptors: list[int]) -> Outgoing:
    """The side of the process that hands it to cleanup.  Raises ProtocolError, OSError."""
    recipients = tuple(mail.texts("recipients"))
    if not 0 < len(recipients) <= MOST_RECIPIENTS:
        raise ProtocolError(f"a mail of a filter has 1 to {MOST_RECIPIENTS} recipients")
    with_body = mail.boolean("with_body")
    head: bytes | None = None
    if descriptors:
        head = os.pread(descriptors[0], HEAD_LIMIT + 1, 0)
        if len(head) > HEAD_LIMIT:
            raise ProtocolError(f"a mail of a filter has at most {HEAD_LIMIT} octets beside the body")
    elif not with_body:
        raise ProtocolError("a mail of a filter without a body comes with its content")
    return Outgoing(mail.text("sender"), recipients, head, with_body)
