"""The seam by which attackers get into workers: only code that calls it has it, and nothing that is shipped does."""

from __future__ import annotations

import ast
import inspect
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import pillarbox
from pillarbox.lib.config import Config, ConfigError, load
from pillarbox.lib.config.services import Service
from pillarbox.lib.process.worker import enter
from pillarbox.master.__main__ import main, run_master
from pillarbox.master.supervisor import Supervisor
from tests.breach.stage import REPOSITORY

SEAM = "inside"


def _modules() -> Iterator[tuple[str, ast.Module]]:
    for package in pillarbox.__path__:
        for room in sorted(Path(package).iterdir()):
            for path in sorted(room.rglob("*.py")) if room.is_dir() else [room] * (room.suffix == ".py"):
                yield f"{room.name}/{path.relative_to(room)}", ast.parse(path.read_text())


def test_the_seam_is_a_parameter_and_off_by_default() -> None:
    for function in (run_master, Supervisor.__init__, enter):
        assert inspect.signature(function).parameters[SEAM].default is None


def test_it_is_handed_on_from_run_master_only() -> None:
    passing = {
        (name, ast.unparse(call.func), ast.unparse(keyword.value))
        for name, module in _modules()
        for call in ast.walk(module)
        if isinstance(call, ast.Call)
        for keyword in call.keywords
        if keyword.arg == SEAM
    }
    assert passing == {
        ("master/__main__.py", "Supervisor", "inside"),
        ("master/supervisor.py", "enter", "self._inside"),
    }


def test_nothing_that_is_shipped_calls_run_master_with_it() -> None:
    calls = [
        call
        for _, module in _modules()
        for call in ast.walk(module)
        if isinstance(call, ast.Call) and ast.unparse(call.func).endswith("run_master")
    ]
    assert len(calls) == 1, "by main(), and by nobody else"
    assert len(calls[0].args) == list(inspect.signature(run_master).parameters).index(SEAM), "directory, descriptor"
    assert calls[0].keywords == []


def test_nothing_sets_it_afterwards() -> None:
    assignments = {
        (name, ast.unparse(statement))
        for name, module in _modules()
        for statement in ast.walk(module)
        if isinstance(statement, ast.Assign | ast.AnnAssign | ast.AugAssign)
        and "_inside" in ast.unparse(statement).partition("=")[0]
    }
    assert assignments == {("master/supervisor.py", "self._inside = inside")}


def test_the_master_has_no_option_for_it(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["pillarbox-master", "-c", "/nowhere", f"--{SEAM}", "x"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    assert f"unrecognized arguments: --{SEAM}" in capsys.readouterr().err


def test_the_start_command_has_no_option_for_it() -> None:
    done = subprocess.run(
        [sys.executable, "-P", "-m", "pillarbox.commands.pillarbox", "start", f"--{SEAM}", "x"],
        env={**os.environ, "PYTHONPATH": f"{REPOSITORY}/src"},
        capture_output=True,
        text=True,
    )
    assert done.returncode != 0


def test_no_parameter_and_no_key_of_a_service_has_its_name() -> None:
    assert not [name for name in Config.for_tests().values if SEAM in name]
    assert SEAM not in Service.__slots__


@pytest.mark.parametrize("file", ["main.yaml", "master.yaml"])
def test_a_configuration_that_names_it_is_refused(tmp_path: Path, file: str) -> None:
    for name in ("main.yaml", "master.yaml"):
        (tmp_path / name).write_text((REPOSITORY / "etc" / name).read_text())
    line = f"{SEAM}: x\n" if file == "main.yaml" else f"more:\n  command: anvil\n  {SEAM}: x\n"
    with (tmp_path / file).open("a") as added:
        added.write(line)
    with pytest.raises(ConfigError, match=SEAM):
        load(str(tmp_path))


def test_the_environment_leads_nowhere_near_it() -> None:
    """What master and workers read of their environment, by module; a new reader must be looked at and listed here."""
    readers = {
        name
        for name, module in _modules()
        if name.startswith(("master/", "lib/process/", "lib/system/", "lib/config/", "lib/log/"))
        for node in ast.walk(module)
        if isinstance(node, ast.Attribute) and node.attr in ("environ", "environb", "getenv")
    }
    assert readers == {
        "lib/config/files.py",  # MAIL_CONFIG
        "lib/process/worker.py",  # PILLARBOX_TRACEBACK: whether a fault is printed
        "lib/system/notify.py",  # the service manager's
    }
