"""What a milter says: packets, options, answers, however it lies about lengths."""

from __future__ import annotations

from pillarbox.lib.milter.answers import parse_answer
from pillarbox.lib.milter.options import Offer, parse_agreement
from pillarbox.lib.milter.packets import MilterError, PacketReader


def _packets(data: bytes, step: int) -> tuple[list[tuple[bytes, bytes]], bool]:
    reader = PacketReader()
    found: list[tuple[bytes, bytes]] = []
    try:
        for start in range(0, len(data), step):
            reader.feed(data[start : start + step])
            while (packet := reader.packet()) is not None:
                found.append(packet)
    except MilterError:
        return found, True
    return found, False


def fuzz(data: bytes) -> None:
    """Nothing but MilterError, and the same packets however they come."""
    found = _packets(data, max(1, len(data)))
    assert found == _packets(data, 1)
    for command, content in [*found[0], (data[:1], data[1:])]:
        try:
            parse_answer(command, content)
        except MilterError:
            pass
        for version in (2, 3, 4, 6):
            try:
                agreement = parse_agreement(Offer.of(version), content)
            except MilterError:
                continue
            assert agreement.version <= version
