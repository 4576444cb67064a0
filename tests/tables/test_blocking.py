"""The permission to wait."""

from __future__ import annotations

import threading

import pytest

from pillarbox.lib.tables.blocking import WouldBlock, about_to_wait, waiting_allowed


def test_waiting_needs_permission() -> None:
    with pytest.raises(WouldBlock):
        about_to_wait()
    with waiting_allowed():
        about_to_wait()
    with pytest.raises(WouldBlock):
        about_to_wait()


def test_the_permission_of_one_thread_is_not_that_of_another() -> None:
    outcome: list[str] = []

    def other() -> None:
        try:
            about_to_wait()
        except WouldBlock:
            outcome.append("refused")

    with waiting_allowed():
        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
    assert outcome == ["refused"]
