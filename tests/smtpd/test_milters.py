"""What milters cost where there are none: nothing."""

from __future__ import annotations

import pytest

from pillarbox.smtpd import milters
from tests.smtpd.stage import OPEN, run, stage

FUNCTIONS = {"connect", "_hello", "_mail", "_rcpt", "_data", "_end", "_unknown"}


def names(checks: object) -> set[str]:
    """The functions of this part in a row of checks."""
    assert isinstance(checks, dict)
    rows = [check for row in checks.values() for check in row if check.__module__ == milters.__name__]
    return {check.__name__ for check in rows}


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, set()),
        ({"non_smtpd_milters": "inet:127.0.0.1:9"}, set()),
        ({"smtpd_milters": "inet:127.0.0.1:9"}, FUNCTIONS),
        ({"smtpd_milter_maps": "inline:{192.0.2.1=DISABLE}"}, FUNCTIONS),
        ({"smtpd_milters": "inet:127.0.0.1:9", "receive_override_options": "no_milters"}, set()),
    ],
)
def test_checks_are_made_only_where_a_client_may_have_a_milter(settings: dict[str, str], expected: set[str]) -> None:
    async def scenario() -> None:
        async with stage(**settings) as scene:
            assert names(scene.server.checks) == expected

    run(scenario)


def test_a_session_without_milters_has_no_connection_to_the_service() -> None:
    async def scenario() -> None:
        async with stage() as scene:
            peer = await scene.connect()
            assert (await peer.say(*OPEN, "DATA")).startswith("354")
            (session,) = scene.server.sessions
            assert session.milters is None
            assert (await peer.say("hello\r\n.")).startswith("250")

    run(scenario)
