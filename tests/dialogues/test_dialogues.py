"""Plays every scenario."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.dialogues import site
from tests.dialogues.player import Player, matches
from tests.dialogues.script import Script, read
from tests.lab.instance import Instance

SCRIPTS = [read(path) for path in sorted(Path(__file__).parent.glob("*/*.txt"))]
LEAST = 150
"""Fewer scenarios than this were lost, not found."""


@pytest.fixture(scope="module")
def mail() -> Iterator[Instance]:
    with site.running() as instance:
        yield instance
        said = instance.log_lines()
    assert not [line for line in said if re.search(r"fatal:|panic:|Traceback|killed by|exit status", line)]


def test_all_scenarios_are_there() -> None:
    assert len(SCRIPTS) >= LEAST
    assert len({script.name for script in SCRIPTS}) == len(SCRIPTS)


@pytest.mark.parametrize("script", SCRIPTS, ids=[script.name for script in SCRIPTS])
def test_scenario(script: Script, mail: Instance) -> None:
    Player(mail, site.port(mail, script.service), script, bytewise=False).play()


_EITHER_WAY = [script for script in SCRIPTS if not script.once]


@pytest.mark.parametrize("script", _EITHER_WAY, ids=[script.name for script in _EITHER_WAY])
def test_scenario_octet_by_octet(script: Script, mail: Instance) -> None:
    Player(mail, site.port(mail, script.service), script, bytewise=True).play()


def test_a_player_can_fail(mail: Instance, tmp_path: Path) -> None:
    """A scenario that expects what does not happen fails, and says where."""
    path = tmp_path / "smtp" / "wrong.txt"
    path.parent.mkdir()
    path.write_text("# Wrong.\nS: 220 ...\nC: NOOP\nS: 250 2.0.0 Fine\n")
    with pytest.raises(AssertionError, match=r"line 4: expected '250 2.0.0 Fine'"):
        Player(mail, site.port(mail, "smtp"), read(path), bytewise=False).play()


def test_the_wildcard() -> None:
    assert matches("250 2.0.0 Ok: queued as X", "250 2.0.0 Ok: queued as ...")
    assert not matches("250 2.0.0 Ok", "250 2.0.0 Ok...x")
