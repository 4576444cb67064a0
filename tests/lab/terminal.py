"""Running a program that wants a terminal, with a terminal of its own, and keeping what it showed."""

from __future__ import annotations

import os
import subprocess
import threading
from collections.abc import Mapping, Sequence

_TIMEOUT = 20  # seconds; a program that waits for a key that nobody presses is ended


def in_terminal(command: Sequence[str], environment: Mapping[str, str]) -> str:
    """Run `command` to its end; what it showed. Raises AssertionError when it fails or does not end."""
    ours, theirs = os.openpty()
    shown = b""
    with subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env=environment) as process:
        os.close(theirs)
        timer = threading.Timer(_TIMEOUT, process.kill)
        timer.start()
        try:
            while piece := os.read(ours, 65536):
                shown += piece
        except OSError:
            pass  # the terminal's other end is closed: the program has ended
        finally:
            timer.cancel()
            os.close(ours)
    text = shown.decode("utf-8", "replace")
    assert process.returncode == 0, f"{command[0]} ended with status {process.returncode}; it showed:\n{text[-4000:]}"
    return text
