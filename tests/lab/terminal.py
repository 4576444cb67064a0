"""Running a program that wants a terminal, with a terminal of its own, and keeping what it showed."""

from __future__ import annotations

import os
import select
import subprocess
import threading
from collections.abc import Callable, Mapping, Sequence

_TIMEOUT = 90  # seconds; a program that waits for a key that nobody presses is ended

_SILENCE = 0.05  # seconds without output after which a program waits for a key


def in_terminal(
    command: Sequence[str],
    environment: Mapping[str, str],
    dialogue: Sequence[tuple[str | Callable[[], bool], str]] = (),
) -> str:
    """Run `command` to its end; what it showed. Raises AssertionError when it fails or does not end.

    `dialogue`: what is typed once the program has shown something and is silent, pair by pair: many throw away what
    was typed before they asked. What it must have done before, but does not show, is a function that says so.
    """
    waiting = [(prompt.encode() if isinstance(prompt, str) else prompt, keys.encode()) for prompt, keys in dialogue]
    seen = 0
    ours, theirs = os.openpty()
    shown = b""
    with subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env=environment) as process:
        os.close(theirs)
        timer = threading.Timer(_TIMEOUT, process.kill)
        timer.start()
        try:
            while True:
                if not waiting or select.select([ours], [], [], _SILENCE)[0]:
                    if not (piece := os.read(ours, 65536)):
                        break
                    shown += piece
                    continue
                prompt, keys = waiting[0]
                if callable(prompt):
                    if not prompt():
                        continue
                elif (found := shown.find(prompt, seen)) >= 0:
                    seen = found + len(prompt)
                else:
                    continue
                os.write(ours, keys)
                waiting.pop(0)
        except OSError:
            pass  # the terminal's other end is closed: the program has ended
        finally:
            timer.cancel()
            os.close(ours)
    text = shown.decode("utf-8", "replace")
    assert process.returncode == 0, f"{command[0]} ended with status {process.returncode}; it showed:\n{text[-4000:]}"
    return text
