"""Answers of policy servers, and the actions that they and access tables give."""

from __future__ import annotations

import contextlib

from pillarbox.lib.clients.policy_protocol import AnswerReader, PolicyProtocolError
from tests.policy.world import World

SERVER = "inet:127.0.0.1:1"


class _Tables(dict[str, dict[str, str]]):
    """An action may name any table: all are empty."""

    def __missing__(self, name: str) -> dict[str, str]:
        return {}


class _Servers(dict[str, str | None]):
    """And any server: all others are away."""

    def __missing__(self, name: str) -> None:
        return None


_world = World({"smtpd_recipient_restrictions": f"check_policy_service {SERVER}"}, tables=_Tables())


def fuzz(data: bytes) -> None:
    """An answer is an action or none; every action ends in a permission or a refusal, in whole lines."""
    action = data.decode("utf-8", "replace")
    with contextlib.suppress(PolicyProtocolError):
        action = AnswerReader().feed(data) or action
    _world.policy = _Servers({SERVER: action})
    said = _world.rcpt()
    assert said == "ok" or said[:1] in "45"
    assert not any(mark in said for mark in "\r\n\0")
    assert not any("\n" in effect.value for effect in _world.outcome.effects)
