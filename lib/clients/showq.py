"""The client of `showq`, and the frames in which queue entries travel.

{"do": "list"} -> {"queue", "id", "arrival", "size", "sender", "forced_expire", "recipients": [...], "more"} ...
                  {"recipients": [...], "more"} ...        more recipients of the same message
                  {"end": true}
"""

from __future__ import annotations

from collections.abc import Iterator

from pillarbox.lib.clients.errors import ServiceUnavailable
from pillarbox.lib.config import Config
from pillarbox.lib.ipc import Attributes, Channel, ChannelClosed, ProtocolError
from pillarbox.lib.queue.listing import Entry, Waiting

SERVICE = "showq"

ANSWER_TIMEOUT = 60.0
"""Seconds between two messages of the list."""

_FRAME_TEXT = 20_000
"""Characters of recipients in one frame; escaped sixfold they stay below FRAME_LIMIT."""


def entry_frames(entry: Entry) -> Iterator[dict[str, object]]:
    """The frames of one message."""
    frame: dict[str, object] = {
        "queue": entry.queue,
        "id": entry.queue_id,
        "arrival": entry.arrival,
        "size": entry.size,
        "sender": entry.sender,
        "forced_expire": entry.forced_expire,
    }
    recipients: list[dict[str, str]] = []
    length = 0
    for waiting in entry.recipients:
        size = len(waiting.address) + len(waiting.original) + len(waiting.reason)
        if recipients and length + size > _FRAME_TEXT:
            yield {**frame, "recipients": recipients, "more": True}
            frame, recipients, length = {}, [], 0
        recipients.append({"address": waiting.address, "original": waiting.original, "reason": waiting.reason})
        length += size
    yield {**frame, "recipients": recipients, "more": False}


class ShowqClient:
    """Reads the list.  Raises ServiceUnavailable."""

    def __init__(self, config: Config) -> None:
        self._path = config.socket_path(SERVICE)

    def entries(self) -> Iterator[Entry]:
        """The messages in the queue; use each entry's recipients up before the next."""
        try:
            channel = Channel.connect(self._path, ANSWER_TIMEOUT)
        except ChannelClosed as error:
            raise ServiceUnavailable(f"Connect to the {SERVICE} service: {error}") from None
        try:
            channel.send({"do": "list"})
            while True:
                frame = channel.receive()
                if frame.boolean("end", False):
                    return
                if not frame.boolean("ok", True):
                    raise ServiceUnavailable(f"{SERVICE}: {frame.text('why', 'refused')}")
                recipients = _recipients(channel, frame)
                yield Entry(
                    frame.text("queue"),
                    frame.text("id"),
                    frame.number("arrival"),
                    frame.integer("size"),
                    frame.text("sender"),
                    frame.boolean("forced_expire"),
                    recipients,
                )
                for _ in recipients:
                    pass
        except (ChannelClosed, ProtocolError) as error:
            raise ServiceUnavailable(f"{SERVICE}: {error}") from None
        finally:
            channel.close()


def _recipients(channel: Channel, frame: Attributes) -> Iterator[Waiting]:
    while True:
        for item in frame.groups("recipients"):
            yield Waiting(item.text("address"), item.text("original"), item.text("reason"))
        if not frame.boolean("more"):
            return
        frame = channel.receive()
