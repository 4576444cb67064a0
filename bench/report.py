"""The table, and the files that keep it."""

from __future__ import annotations

import datetime
import json
import os
import platform
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path

from bench.measure import figures

Values = Mapping[str, Sequence[float]]

RESULTS = Path(__file__).parent / "results"


def table(ours: Values, theirs: Values) -> str:
    """A Markdown table: medians of the rounds, lowest and highest, and the ratio ours to theirs."""
    rows = [["figure", "unit", "Pillarbox", "Postfix", "ratio", "better is"]]
    for figure in figures():
        mine, other = ours.get(figure.name, ()), theirs.get(figure.name, ())
        ratio = f"{statistics.median(mine) / statistics.median(other):.2f}" if mine and other else "-"
        direction = "more" if figure.more_is_better else "less"
        rows.append([figure.name, figure.unit, _show(mine), _show(other), ratio, direction])
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |" for row in rows
    ]
    lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join(lines)


def write(text: str, record: Mapping[str, object]) -> Path:
    """Keep a run: the record as JSON under its time, the table as `latest.md`; gives the record's path."""
    RESULTS.mkdir(exist_ok=True)
    now = datetime.datetime.now(datetime.UTC)
    path = RESULTS / f"{now:%Y%m%dT%H%M%SZ}.json"
    path.write_text(json.dumps(record, indent=2) + "\n")
    (RESULTS / "latest.md").write_text(f"# Benchmark of {now:%Y-%m-%d %H:%M} UTC\n\n{text}\n")
    return path


def machine(directory: Path) -> dict[str, object]:
    """What the figures depend on."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "processors": os.cpu_count(),
        "processor": _processor(),
        "memory_mb": memory // 1_000_000,
        "kernel": platform.release(),
        "python": platform.python_version(),
        "file_system": _file_system(directory),
        "load_before": os.getloadavg()[0],
    }


def _show(values: Sequence[float]) -> str:
    if not values:
        return "-"
    digits = 0 if statistics.median(values) >= 100 else 1 if statistics.median(values) >= 10 else 2
    middle = f"{statistics.median(values):.{digits}f}"
    if len(values) == 1:
        return middle
    return f"{middle} ({min(values):.{digits}f}-{max(values):.{digits}f})"


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.machine()


def _file_system(directory: Path) -> str:
    best, kind = "", ""
    for line in Path("/proc/self/mounts").read_text().splitlines():
        _, place, found, *_rest = line.split()
        if (str(directory) + "/").startswith(place.rstrip("/") + "/") and len(place) >= len(best):
            best, kind = place, found
    return kind
