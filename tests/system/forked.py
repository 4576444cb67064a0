"""Running a check in a child process, so that what it gives up is not lost to the tests after it."""

from __future__ import annotations

import json
import os
import signal
import sys
import traceback
from collections.abc import Callable
from typing import Any


class ChildDied(AssertionError):
    """The child ended without an answer."""


def in_child(function: Callable[[], Any]) -> Any:
    """Fork, run `function` in the child, return its (JSON) result here.  A traceback there fails the test here."""
    reading, writing = os.pipe()
    sys.stdout.flush()
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            os.close(reading)
            signal.alarm(30)
            answer: dict[str, Any] = {"value": function()}
        except BaseException:
            answer = {"traceback": traceback.format_exc()}
        try:
            os.write(writing, json.dumps(answer).encode())
            code = 0
        finally:
            os._exit(code)
    os.close(writing)
    with os.fdopen(reading, "rb") as stream:
        text = stream.read()
    _, status = os.waitpid(pid, 0)
    if not text:
        raise ChildDied(f"the child ended with wait status {status}")
    answer = json.loads(text)
    assert "traceback" not in answer, answer["traceback"]
    return answer["value"]


def errno_of(function: Callable[[], object]) -> int:
    """0 where `function` succeeds, else the errno of its OSError."""
    try:
        function()
    except OSError as error:
        return error.errno or -1
    return 0
