"""In which form a message's body goes to a server: as it is, declared or not, in one piece, or converted.

| body | server | what goes out |
|---|---|---|
| 7 bit, by declaration or by its octets | any | as it is |
| 8 bit | 8BITMIME | as it is, BODY=8BITMIME |
| 8 bit | none | 7 bit, re-encoded; with disable_mime_output_conversion as it is |
| binary | BINARYMIME and CHUNKING | as it is, BODY=BINARYMIME, BDAT |
| binary | 8BITMIME | lines, re-encoded where a part is none, BODY=8BITMIME |
| binary | none | 7 bit, re-encoded |

What is declared to be 7 bit is believed, as Postfix believes it; what is not declared is looked at.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from pillarbox.lib.delivery import Content, DeliveryRequest
from pillarbox.lib.delivery.content import CHUNK, CONVERSION, ConvertedContent
from pillarbox.lib.mime.downgrade import Target, Unconvertible, headers_are_ascii
from pillarbox.lib.smtp.client_capabilities import Capabilities
from pillarbox.smtp_client.misfit import Misfit
from pillarbox.smtp_client.route import Server
from pillarbox.smtp_client.settings import Settings

AT_ONCE = 256 * 1024
"""Bytes of content that are gone through on the event loop; more is a thread's work, so that others are not held up."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Body:
    """What is sent; `declared` is 8bitmime, binarymime or ""; `chunked`: with BDAT."""

    content: Content
    declared: str = ""
    whole: bytes = b""
    """All of a small content, where it has been read already."""

    @property
    def chunked(self) -> bool:
        """Whether the body is octets, not lines."""
        return self.declared == "binarymime"


def plain_body(request: DeliveryRequest, *, eight_bit: bool) -> Body | None:
    """The body of nearly every message, which is small and undeclared; None = see `fit_body`.

    Raises OSError, EOFError.
    """
    content = request.content
    if request.body == "7bit":
        return Body(content)
    if request.body or content.size > CHUNK:
        return None
    whole = content.read(0, CHUNK)
    if len(whole) < content.size:
        return None
    if whole.isascii():
        return Body(content, "", whole)
    return Body(content, "8bitmime", whole) if eight_bit else None


async def fit_body(request: DeliveryRequest, capabilities: Capabilities, server: Server, settings: Settings) -> Body:
    """The body for a server with these capabilities.  Raises Misfit, OSError, EOFError."""
    content = request.content
    eight_bit = "8BITMIME" in capabilities
    if request.body == "binarymime":
        if capabilities.binary:
            return Body(content, "binarymime")
        target = Target.EIGHT_BIT if eight_bit else Target.SEVEN_BIT
        return Body(await _converted(content, target, server, settings, exact=True), "8bitmime" if eight_bit else "")
    if request.body == "7bit" or (request.body != "8bitmime" and await _with(content, content.is_ascii)):
        return Body(content)
    if eight_bit:
        return Body(content, "8bitmime")
    if settings.disable_conversion:
        return Body(content)
    return Body(await _converted(content, Target.SEVEN_BIT, server, settings, exact=False))


async def _converted(content: Content, target: Target, server: Server, settings: Settings, *, exact: bool) -> Content:
    if settings.disable_conversion:
        raise Misfit("5.6.3", f"{CONVERSION} for host {server.name}: disable_mime_output_conversion is set")
    try:
        return await _with(content, lambda: ConvertedContent(content, target, exact=exact))
    except Unconvertible as error:
        raise Misfit("5.6.3", f"{CONVERSION} for host {server.name}: {error}") from None


async def needs_utf8(content: Content) -> bool:
    """Whether a header, of the message or of a part of it, is not ASCII (RFC 6532)."""
    if not content.header().isascii():
        return True
    return not await _with(content, lambda: headers_are_ascii(content.chunks))


async def _with(content: Content, work: Callable[[], T]) -> T:
    return work() if content.size <= AT_ONCE else await asyncio.to_thread(work)
