"""What the scripts want done, in the terms of a delivery agent: a `Plan`.

The language's actions become folders to write to, addresses to send on to, mail to send, and what to remember of it
all.  Pure, but for the memory of what has been done before.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

INBOX: Final = ""


@dataclass(frozen=True, slots=True)
class Put:
    """The message into a folder of the user's, "" for INBOX.  `header` where the script has changed it: the whole
    block."""

    folder: str = INBOX
    flags: tuple[str, ...] = ()
    create: bool = False
    header: bytes | None = None


@dataclass(frozen=True, slots=True)
class Outgoing:
    """Mail that a script sends.  `sender` "" is the null reverse-path.

    The content is `head`, and where `with_body` is set the body of the message behind it; then `head` is a header block
    without the empty line that ends it, None where it is the message's own.
    """

    sender: str
    recipients: tuple[str, ...]
    head: bytes | None = None
    with_body: bool = False


@dataclass(frozen=True, slots=True)
class Memory:
    """What to remember when it has been done (`Remembered.note`); `lifetime` in seconds."""

    kind: str
    value: str
    lifetime: float


@dataclass(slots=True)
class Plan:
    """What is to be done, in this order: the puts, the redirects, the replies.

    Where a put fails nothing else is done; where a redirect fails, what has been done is remembered (`undone`), so that
    the next attempt does the rest.  A reply that cannot be sent is left out, and so is one that cannot be remembered:
    nothing would end the replies to another program that replies.
    """

    puts: list[Put] = field(default_factory=list)
    redirects: list[Outgoing] = field(default_factory=list)
    replies: list[tuple[Outgoing, Memory | None]] = field(default_factory=list)
    rejection: str | None = None
    """The text for the sender, who gets the message back."""
    remember: list[Memory] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    """For the log."""

    def put(self, new: Put) -> None:
        """Add a put; a folder gets a message once (RFC 5228 section 2.10.3), with all flags that were asked for."""
        for place, put in enumerate(self.puts):
            if put.folder == new.folder:
                flags = tuple(dict.fromkeys((*put.flags, *new.flags)))
                header = new.header if new.header is not None else put.header
                self.puts[place] = Put(put.folder, flags, put.create or new.create, header)
                return
        self.puts.append(new)

    @property
    def summary(self) -> str:
        """What was done, for the log's delivery line, where all has been done."""
        done = ["delivered to mailbox" if put.folder == INBOX else f'filed into "{put.folder}"' for put in self.puts]
        done += [f"redirected to <{address}>" for one in self.redirects for address in one.recipients]
        return "sieve: " + (", ".join(done) or "discarded")
