"""Frames and chunks between the programs: a broken neighbour is a ProtocolError, nothing else."""

from __future__ import annotations

from pillarbox.lib.ipc import Attributes, ProtocolError
from pillarbox.lib.ipc.frames import ContentAborted, FrameReader
from pillarbox.lib.queue.envelope import Envelope, Recipient


def fuzz(data: bytes) -> None:
    """The first octet says whether a frame or a chunk is expected."""
    reader = FrameReader()
    wanted, data = data[:1], data[1:]
    for start in range(0, len(data), 5):
        reader.feed(data[start : start + 5])
        try:
            if wanted < b"\x80":
                frame = reader.frame()
                if frame is not None:
                    assert isinstance(frame, Attributes)
                    _envelope(frame)
            else:
                reader.chunk()
        except (ProtocolError, ContentAborted):
            return


def _envelope(frame: Attributes) -> None:
    try:
        envelope = Envelope.parse(frame, ())
        assert Envelope.parse(Attributes(envelope.members()), ()) == envelope
    except ProtocolError:
        pass
    try:
        recipient = Recipient.parse(frame)
        assert Recipient.parse(Attributes(recipient.members())) == recipient
    except ProtocolError:
        pass
