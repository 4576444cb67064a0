"""The benchmark's table says the median, the spread and the ratio, and its files keep the run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bench import report
from bench.measure import SCENARIOS, figures

FIGURE = f"{SCENARIOS[0].name}: delivered"


def row(text: str, name: str) -> list[str]:
    line = next(line for line in text.splitlines() if line.startswith(f"| {name} "))
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_the_table_has_medians_spread_and_ratio() -> None:
    text = report.table({FIGURE: [900, 1500, 1000]}, {FIGURE: [500]})
    assert row(text, FIGURE) == [FIGURE, "msg/s", "1000 (900-1500)", "500", "2.00", "more"]


def test_what_was_not_measured_has_no_ratio() -> None:
    text = report.table({}, {FIGURE: [500]})
    assert row(text, FIGURE)[2:5] == ["-", "500", "-"]


def test_every_figure_has_a_row() -> None:
    text = report.table({}, {})
    assert all(row(text, figure.name) for figure in figures())


def test_a_run_is_kept_as_record_and_as_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report, "RESULTS", tmp_path / "results")
    path = report.write("the table", {"messages": 5})
    assert json.loads(path.read_text()) == {"messages": 5}
    assert "the table" in (tmp_path / "results" / "latest.md").read_text()


def test_the_machine_is_described() -> None:
    found = report.machine(Path("/tmp"))
    assert found["processors"]
    assert found["file_system"]
