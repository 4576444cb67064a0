"""An interpreter that every user of the machine can run, and the suite installed for it: for tests as another user.

The interpreter of the tests may lie where only one user can read it (below a home directory). So a virtual environment
is made from the system's python3, once per state of the code, and kept below .cache.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tests.lab.instance import Instance
from tests.peers.apt import locked

REPOSITORY = Path(__file__).resolve().parents[2]
SYSTEM_PYTHON = "/usr/bin/python3"

_NEEDED = ("cffi", "cryptography", "dnspython", "pycparser", "pyyaml", "setproctitle", "uvloop")

_TIMEOUT = 600  # seconds; packages come over the network


def environment(directory: Path, python: str = SYSTEM_PYTHON) -> Path:
    """Make a virtual environment in `directory` as `make venv` does, but with the suite itself installed, not linked.

    Only what the suite itself needs, and uvloop; linters and test tools are not installed a second time.
    Everyone can read it. Returns its bin directory. Raises AssertionError with what was said.
    """
    copy = directory / "source"
    for name in (".ci", "requirements.txt", "pyproject.toml", "README.md", "LICENSE", "Makefile"):
        _copy(REPOSITORY / name, copy / name)
    for name in sorted(each.name for each in (REPOSITORY / "src" / "pillarbox").iterdir() if each.is_symlink()):
        _copy(REPOSITORY / name, copy / name)
    shutil.copytree(REPOSITORY / "src", copy / "src", symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
    target = directory / "venv"
    pinned = (copy / "requirements.txt").read_text().splitlines()
    (copy / "requirements.txt").write_text("\n".join(line for line in pinned if _name(line) in _NEEDED) + "\n")
    script = (copy / ".ci" / "venv").read_text().replace("--no-deps -e .", "--no-deps .")
    script, compiling = re.subn(r"(?m)^.*-m compileall .*\n", "", script)  # pip does it for what it installs
    assert compiling == 1
    (copy / ".ci" / "venv").write_text(script)
    done = subprocess.run(
        ["sh", ".ci/venv", str(target)],
        cwd=copy,
        env={**os.environ, "PYTHON": python, "PIP_ROOT_USER_ACTION": "ignore"},
        capture_output=True,
        text=True,
        timeout=_TIMEOUT,
        umask=0o022,
    )
    if done.returncode != 0:
        raise AssertionError(f"no virtual environment could be made: {done.stdout}{done.stderr}")
    return target / "bin"


def _name(requirement: str) -> str:
    """The package that a line of requirements.txt names."""
    return re.split(r"[=;\s]", requirement, maxsplit=1)[0].lower()


def shared_environment() -> Path:
    """The bin directory of an environment that everyone can read, made when the code has changed since."""
    name = f"suite-{_state()}"
    cache = REPOSITORY / ".cache"
    if not all(parent.stat().st_mode & 0o001 for parent in cache.parents):
        cache = Path(tempfile.gettempdir()) / f"pillarbox-cache-{os.getuid()}"
    cache.mkdir(mode=0o755, exist_ok=True)
    place = cache / name
    with locked(cache / "suite.lock"):
        if not (place / "complete").exists():
            for old in cache.glob("suite-*"):
                if old.is_dir():
                    shutil.rmtree(old, ignore_errors=True)
            place.mkdir(mode=0o755)
            environment(place)
            (place / "complete").touch()
    return place / "venv" / "bin"


def _state() -> str:
    """A digest of all that goes into the environment."""
    digest = hashlib.sha256()
    for name in ("requirements.txt", "pyproject.toml", ".ci/venv", *sorted(os.listdir(REPOSITORY / "src/pillarbox"))):
        top = REPOSITORY / name
        for path in sorted(top.rglob("*")) if top.is_dir() else [top]:
            if path.is_file() and "__pycache__" not in path.parts:
                digest.update(str(path).encode() + path.read_bytes())
    return digest.hexdigest()[:16]


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
    elif source.exists():
        shutil.copyfile(source, target)


class InstalledInstance(Instance):
    """An instance whose commands are those that an installation has put into `bin`."""

    def __init__(self, bin: Path, **options: object) -> None:
        """`bin` is the environment's; the other options are those of Instance."""
        super().__init__(**options)  # type: ignore[arg-type]
        self._bin = bin

    def command(self, arguments: Sequence[str]) -> list[str]:
        """The installed command."""
        return [str(self._bin / arguments[0]), *arguments[1:]]

    def environment(self, configured: bool = True) -> dict[str, str]:
        """Nothing of the repository is on the path."""
        made = super().environment(configured)
        del made["PYTHONPATH"]
        return made
