"""No accepted message is lost on its way out, whatever is killed while the world is flaky; see `flaky.py`.

`python -m tests.crash` does the same with 20,000 messages.
"""

from __future__ import annotations

import pytest

from tests.crash.flaky import run


@pytest.mark.timeout(280)
def test_deliveries_to_a_flaky_world_survive_every_kill() -> None:
    account = run(messages=800, kills=40, power_failures=1, seed=20261126)
    print(account)
    assert not account.lost, f"{account}: {account.lost[:20]}"
    assert not account.cut, f"{account}: {account.cut[:20]}"
    assert not account.unexplained, str(account)
    assert not account.corrupt, "a kill left a file that the queue manager could not read"
    assert {kill.program for kill in account.kills} >= {"qmgr", "smtp_client", "all"}
