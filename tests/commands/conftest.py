"""An instance directory without running programs."""

from __future__ import annotations

from pathlib import Path

import pytest

from pillarbox.lib.queue import Queue


@pytest.fixture
def instance(tmp_path: Path) -> Path:
    """A directory with etc/ (two small configuration files) and spool/."""
    etc = tmp_path / "instance" / "etc"
    etc.mkdir(parents=True)
    (etc / "main.yaml").write_text("myhostname: mx.test\nmydomain: test\nmyorigin: mx.test\n")
    (etc / "master.yaml").write_text("cleanup: {command: cleanup}\nshowq: {command: showq, listen: public}\n")
    Queue(str(etc.parent / "spool")).create()
    (etc.parent / "log").mkdir()
    return etc.parent
