"""pickup's rounds: who may wake it, and how often it looks."""

from __future__ import annotations

import socket
from typing import Any, cast

from pillarbox.lib.ipc import Channel
from pillarbox.pickup.program import Rounds


class Counting:
    """Stands for a Collector."""

    def __init__(self) -> None:
        self.looks = 0

    def collect(self) -> int:
        self.looks += 1
        return 0


def test_it_looks_at_start_and_then_only_when_woken() -> None:
    collector = Counting()
    rounds = Rounds(cast(Any, collector))
    rounds.round_ended()
    rounds.round_ended()
    assert collector.looks == 1
    rounds.wake()
    rounds.round_ended()
    assert collector.looks == 2


def test_many_who_wake_it_in_one_round_cause_one_look_and_get_no_answer() -> None:
    collector = Counting()
    rounds = Rounds(cast(Any, collector))
    rounds.round_ended()
    ours, theirs = socket.socketpair()
    with ours, theirs:
        channel = Channel(ours)
        rounds.opened(channel)
        for _ in range(3):
            theirs.sendall(b'\0\0\0\x0d{"do":"wake"}')
        channel.fill()
        rounds.arrived(channel, None)
        rounds.round_ended()
        theirs.setblocking(False)
        assert collector.looks == 2
        try:
            answer = theirs.recv(1)
        except BlockingIOError:
            answer = b""
        assert answer == b""
