"""What a start does not do: each of these was a noticeable part of its work once.

Master loads every program at each start, and the tests start hundreds of instances.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.lab.instance import Instance

ROOT = Path(__file__).resolve().parents[2]

LOAD = """
import re, sys
from re import _compiler

wide = []
optimize = _compiler._optimize_charset
def watched(charset, *rest, **more):
    if any(str(kind) == "RANGE" and item[1] == 0x10FFFF for kind, item in charset):
        wide.append(sys._getframe(1).f_code.co_name)
    return optimize(charset, *rest, **more)
_compiler._optimize_charset = watched

ours = []
compile_pattern = re._compile
def noting(pattern, flags):
    before = len(wide)
    compiled = compile_pattern(pattern, flags)
    caller = sys._getframe(2).f_globals.get("__name__", "")
    if len(wide) > before and caller.startswith("pillarbox."):
        ours.append(caller)
    return compiled
re._compile = noting

import pillarbox.master.__main__
from pillarbox.lib.process.loop import preload
from pillarbox.lib.process.program import load_program
for command in sys.argv[1:]:
    load_program(command)
preload()
print(" ".join(ours) or "none")
print(" ".join(sys.modules))
"""

FOREIGN = {"platform", "multiprocessing", "unittest", "xml", "http", "pytest", "encodings.zlib_codec", "encodings.mbcs"}
"""Modules that something imported in passing, or may."""


@pytest.fixture(scope="module")
def loaded() -> list[str]:
    commands = [
        str(file.parent.relative_to(ROOT)).replace("/", ".")
        for pattern in ("*/program.py", "*/*/program.py")
        for file in ROOT.glob(pattern)
        if file.parent.parent.name not in ("lib", "tests") and not file.parent.name.startswith(".")
    ]
    command = [sys.executable, "-P", "-c", LOAD, *sorted(commands)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()


def test_no_program_compiles_a_set_of_all_characters(loaded: list[str]) -> None:
    """Python takes up to ten milliseconds for one; see lib/address/domain.py for the way out."""
    assert loaded[0] == "none"


def test_no_program_brings_in_what_nobody_needs(loaded: list[str]) -> None:
    modules = set(loaded[1].split())
    assert "pillarbox.smtpd.session" in modules, "the programs are there"
    assert modules & FOREIGN == set()


def test_what_was_compiled_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else each of the instances of the tests compiles a thousand files anew: more than half of a start."""
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    mail = Instance()
    try:
        assert "PYTHONDONTWRITEBYTECODE" not in mail.environment()
    finally:
        mail.close()
