"""What XCLIENT and XFORWARD say of a client."""

from __future__ import annotations

from pillarbox.lib.smtp.client_attributes import XCLIENT, XFORWARD, parse_attributes
from pillarbox.lib.smtp.reply import Reply


def fuzz(data: bytes) -> None:
    """Values that are taken are printable and of a bounded length: they go into logs and trace fields."""
    text = data.decode("utf-8", "replace")
    for command, readers in (("XCLIENT", XCLIENT), ("XFORWARD", XFORWARD)):
        found = parse_attributes(command, text, readers)
        if isinstance(found, Reply):
            assert found.failed
            continue
        for name, value in found.items():
            assert name in readers and value.isprintable() and len(value) <= 255
