"""Marionette: how Mozilla's programs are driven from outside, over a local TCP connection.

A frame is the decimal length of a JSON text, a colon and the text. The program greets; a command is
`[0, id, name, parameters]`, its answer `[1, id, error, result]` (Firefox source docs, "testing/marionette").
This speaks one command at a time and knows of scripts only: they run in the "chrome" context, where they may
do whatever the program's own windows do.
"""

from __future__ import annotations

import json
import socket
from typing import Any

_COMMAND = 0
_LONGEST_FRAME = 1 << 24  # bytes; an answer is a few lists of names

_WRAPPED = """\
const finished = arguments[arguments.length - 1];
const given = Array.from(arguments).slice(0, -1);
(async function () {
%s
})().then(
  value => finished({ value }),
  error => finished({ error: `${error}\\n${error.stack || ""}` })
);
"""


class ScriptError(AssertionError):
    """A script threw, or its promise was rejected; the text is what it said."""


class Marionette:
    """A session with a program that listens on `port` of 127.0.0.1; no answer takes longer than `timeout` seconds."""

    def __init__(self, port: int, timeout: float = 60) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout)
        self._input = self._socket.makefile("rb")
        self._last = 0
        if self._frame()["marionetteProtocol"] != 3:
            raise ScriptError("the program speaks another version of Marionette's protocol than 3")
        self.command("WebDriver:NewSession", unhandledPromptBehavior="accept")
        self.command("Marionette:SetContext", value="chrome")
        self.command("WebDriver:SetTimeouts", script=int(timeout * 900))

    def close(self) -> None:
        """Hang up; the program goes on."""
        self._input.close()
        self._socket.close()

    def command(self, name: str, **parameters: Any) -> Any:
        """Give a command and its result. Raises ScriptError where it failed."""
        self._last += 1
        text = json.dumps([_COMMAND, self._last, name, parameters]).encode()
        self._socket.sendall(b"%d:%s" % (len(text), text))
        _, number, error, result = self._frame()
        if number != self._last:
            raise ScriptError(f"an answer to command {number} where {self._last} was asked")
        if error is not None:
            raise ScriptError(f"{name}: {error['error']}: {error['message']}\n{error['stacktrace']}")
        return result

    def run(self, script: str, *arguments: Any) -> Any:
        """Run the body of an async function with `arguments`; what it returns (JSON). Raises ScriptError.

        Where a dialogue opens meanwhile it gives None; the next command says yes to that first.
        """
        result = self.command("WebDriver:ExecuteAsyncScript", script=_WRAPPED % script, args=list(arguments))
        value = result["value"] or {}
        if "error" in value:
            raise ScriptError(value["error"])
        return value.get("value")

    def _frame(self) -> Any:
        length = b""
        while not length.endswith(b":"):
            byte = self._input.read(1)
            if not byte or len(length) > 8:
                raise ScriptError("the program closed the connection, or sent something that is no frame")
            length += byte
        size = int(length[:-1])
        if size > _LONGEST_FRAME:
            raise ScriptError(f"a frame of {size} bytes")
        return json.loads(self._input.read(size))
