"""An SMTP session for the postmaster: its transcript, and which kinds of problem it had (notify_classes).

The cores call `received`, `replied` and their like where their owner has given them a conversation; passwords are
left out.
"""

from __future__ import annotations

from typing import Final

from pillarbox.lib.message.transcript import Transcript
from pillarbox.lib.smtp.reply import Reply

CLASSES: Final = ("bounce", "data", "policy", "protocol", "resource", "software")

HIDDEN: Final = b"[hidden]"

_BY_ENHANCED: Final = {
    # a recipient that does not exist
    "1.1": "bounce",
    # addresses that are none
    "1.3": "protocol",
    "1.7": "protocol",
    "6.7": "protocol",
    # no room on the disk, no queue file
    "3.1": "resource",
    # a configuration that cannot be used
    "3.5": "software",
    "3.4": "policy",
    "5.3": "policy",
    # what belongs to the conversation and is nobody's fault
    "3.2": "",
    "4.2": "",
    "7.8": "policy",
}
_BY_SUBJECT: Final = {"1": "policy", "5": "protocol", "6": "policy", "7": "policy"}


def problem_of(reply: Reply) -> str:
    """The class of notify_classes that a refusal of our server falls into; "" where nobody need be told."""
    if reply.code < 400:
        return ""
    detail = reply.enhanced[2:]
    if detail == "3.0":
        text = reply.text.lower()
        if "lookup" in text or "table" in text:
            return "data"
        return "resource" if "write error" in text or "queue file" in text else "software"
    found = _BY_ENHANCED.get(detail)
    return _BY_SUBJECT.get(detail[:1], "") if found is None else found


class Conversation:
    """One session.  `problems` are the classes of what went wrong in it."""

    __slots__ = ("problems", "transcript")

    def __init__(self) -> None:
        self.transcript = Transcript()
        self.problems: set[str] = set()

    # --- our server
    def received(self, line: bytes) -> None:
        """The client's command."""
        if line[:5].upper() == b"AUTH ":
            line = b" ".join((*line.split(b" ", 2)[:2], HIDDEN))
        self.transcript.add("In", line)

    def received_secret(self) -> None:
        """The client's answer to a challenge."""
        self.transcript.add("In", HIDDEN)

    def replied(self, reply: Reply) -> None:
        """Our reply."""
        self.transcript.add("Out", HIDDEN if reply.code == 334 else reply.encode())
        if reply.code >= 400 and (problem := problem_of(reply)):
            self.problems.add(problem)

    # --- our client
    def sent(self, command: bytes) -> None:
        """Our command."""
        if command[:5].upper() == b"AUTH " and len(words := command.split(b" ", 2)) > 2:
            command = b" ".join((*words[:2], HIDDEN))
        self.transcript.add("Out", command)

    def sent_secret(self) -> None:
        """Our answer to a challenge."""
        self.transcript.add("Out", HIDDEN)

    def answered(self, code: int, text: str) -> None:
        """The server's reply.

        Codes below 510 say that it does not understand what we say: that alone is a mistake of one of the two
        programs (Postfix's smtp_trouble.c).
        """
        text = HIDDEN.decode() if code == 334 else text
        self.transcript.add("In", f"{code} {text}".encode("utf-8", "replace"))
        if 500 <= code < 510:
            self.problems.add("protocol")

    def unreadable(self, why: str) -> None:
        """What came was no reply."""
        self.transcript.add("In", f"[{why}]".encode("utf-8", "replace"))
        self.problems.add("protocol")
