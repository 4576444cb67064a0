"""Every target holds for its seeds, and for a bounded number of inputs made from them."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tests.fuzz.__main__ import SEEDS, load, names, seeds

RUNS = 1000
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


class Series:
    """Runs one target after the other, in processes that one process prepares for all of them."""

    def __init__(self, directory: Path, program: Sequence[str] = ("-m", "tests.fuzz")) -> None:
        # The same random numbers each time: a change is judged by the change, `--seed 0` goes on looking.
        limits = ["--runs", str(RUNS), "--seconds", str(SECONDS), "--seed", "1"]
        self._said = directory / "said"
        with self._said.open("w") as said:
            self.process = subprocess.Popen(
                [sys.executable, *program, "-", *limits],
                cwd=directory,
                env={"PYTHONPATH": f"{_REPOSITORY / 'src'}:{_REPOSITORY}", "PATH": "/usr/bin:/bin"},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=said,
                text=True,
            )

    def run(self, name: str) -> tuple[str, str]:
        """The exit status of a target's run, and what was said in it."""
        assert self.process.stdin and self.process.stdout
        begin = self._said.stat().st_size
        self.process.stdin.write(f"{name}\n")
        self.process.stdin.flush()
        status = self.process.stdout.readline()
        return status.strip(), self._said.read_bytes()[begin:].decode("utf-8", "replace")


@pytest.fixture(scope="module")
def series(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Series]:
    running = Series(tmp_path_factory.mktemp("series"))
    with running.process:
        yield running


@pytest.mark.parametrize("name", names())
def test_bounded_run(name: str, series: Series) -> None:
    status, said = series.run(name)
    assert status == "0", said[-6000:]


_BROKEN = """
import sys
from tests.fuzz import __main__ as it
it.load = lambda name: lambda data: data.index(name.encode())
sys.exit(it.main())
"""


def test_a_run_that_breaks_is_told_from_one_that_does_not(tmp_path: Path) -> None:
    series = Series(tmp_path, ("-c", _BROKEN))
    with series.process:
        status, said = series.run("smtp_server")
        assert status not in ("", "0")
        assert "ValueError" in said
        assert series.run("xtext")[0] not in ("", "0")
