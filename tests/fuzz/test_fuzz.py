"""Every target holds for its seeds, and for a bounded number of inputs made from them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.fuzz.__main__ import SEEDS, load, names, seeds

RUNS = 2000
SECONDS = 5
"""At most; a target that is not through by then has been tried enough."""

_REPOSITORY = Path(__file__).resolve().parents[2]


def test_each_target_has_seeds_and_each_seed_a_target() -> None:
    assert sorted(path.name for path in SEEDS.iterdir()) == names()
    assert all(len(seeds(name)) >= 3 for name in names()), "a corpus begins with three inputs at least"


@pytest.mark.parametrize("name", names())
def test_seeds(name: str) -> None:
    fuzz = load(name)
    for path in seeds(name):
        data = path.read_bytes()
        fuzz(data)
        fuzz(data[: len(data) // 2])
        fuzz(data + data)


@pytest.mark.parametrize("name", names())
def test_bounded_run(name: str, tmp_path: Path) -> None:
    # The same random numbers each time: a change is judged by the change, `--seed 0` goes on looking.
    command = [sys.executable, "-m", "tests.fuzz", name, "--runs", str(RUNS), "--seconds", str(SECONDS), "--seed", "1"]
    done = subprocess.run(
        command,
        cwd=tmp_path,
        env={"PYTHONPATH": f"{_REPOSITORY / 'src'}:{_REPOSITORY}", "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
