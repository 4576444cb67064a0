"""Answers of policy servers (check_policy_service)."""

from __future__ import annotations

from pillarbox.lib.clients.policy_protocol import AnswerReader, PolicyProtocolError


def fuzz(data: bytes) -> None:
    """One action, without line ends, or PolicyProtocolError."""
    reader = AnswerReader()
    for start in range(0, len(data), 3):
        try:
            action = reader.feed(data[start : start + 3])
        except PolicyProtocolError:
            return
        if action is not None:
            assert "\n" not in action
            return
