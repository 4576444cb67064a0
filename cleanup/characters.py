"""Characters that content may not have: message_reject_characters, message_strip_characters."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from pillarbox.cleanup.reports import report
from pillarbox.lib.clients.cleanup import Rejected
from pillarbox.lib.config import Config
from pillarbox.lib.config.parameters.content import MESSAGE_REJECT_CHARACTERS, MESSAGE_STRIP_CHARACTERS
from pillarbox.lib.tables.lines import decode

if TYPE_CHECKING:
    from pillarbox.cleanup.message import NewMessage

DISALLOWED: Final = Rejected(550, "5.7.1", "disallowed character")
_ESCAPE: Final = re.compile(r"\\(?:x([0-9A-Fa-f]{1,2})|([0-7]{1,3})|(.))", re.DOTALL)
_ESCAPED: Final = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}


class Characters:
    """The two sets of one configuration, as bytes."""

    def __init__(self, reject: bytes, strip: bytes) -> None:
        self._reject = re.compile(b"[" + re.escape(reject) + b"]") if reject else None
        self._strip = strip

    def clean(self, message: NewMessage, content: bytes) -> bytes:
        """A piece of content without what is to be stripped; what is to be refused is recorded and logged."""
        found = self._reject.search(content) if self._reject is not None and message.disposition.inspected else None
        if found is not None:
            end = content.find(b"\n", found.start())
            line = content[content.rfind(b"\n", 0, found.start()) + 1 : len(content) if end < 0 else end]
            report(message, "reject", "content", decode(line), f"{DISALLOWED.enhanced} {DISALLOWED.text}")
            message.disposition.reject(DISALLOWED)
        return content.translate(None, self._strip) if self._strip else content


def configured_characters(config: Config) -> Characters | None:
    """None where no set is configured."""
    reject = characters(config[MESSAGE_REJECT_CHARACTERS])
    strip = characters(config[MESSAGE_STRIP_CHARACTERS])
    return Characters(reject, strip) if reject or strip else None


def characters(text: str) -> bytes:
    """A set of characters with C-style escapes, each as a byte."""

    def plain(match: re.Match[str]) -> str:
        hexadecimal, octal, other = match.groups()
        if hexadecimal:
            return chr(int(hexadecimal, 16))
        if octal:
            return chr(int(octal, 8) & 255)
        return _ESCAPED.get(other, other)

    return _ESCAPE.sub(plain, text).encode("latin-1", "ignore")
