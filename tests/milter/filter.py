"""A mail filter on Debian's libmilter, the C library that most milters are made with: `python filter.py LIBRARY SOCKET
SCRIPT LOG`.

SCRIPT is JSON: what to answer in each step, and what to do before, as `{"eom": ["addheader", "X-A", "b"], ...}` would
be `{"eom": [["addheader", "X-A", "b"], "accept"]}`.  Everything that the filter is told becomes a line of JSON in LOG:
`[connection, step, arguments, macros]`.
"""

from __future__ import annotations

import ctypes
import json
import os
import sys
import time
from ctypes import CFUNCTYPE, POINTER, c_char_p, c_int, c_size_t, c_ubyte, c_ulong, c_void_p
from typing import Any

ANSWERS = {
    "continue": 0,
    "reject": 1,
    "discard": 2,
    "accept": 3,
    "tempfail": 4,
    "noreply": 7,
    "skip": 8,
}
ALL_OPTIONS = 10
VERSION = 0x01000001
MACROS = (
    *("i", "j", "v", "_", "{daemon_name}", "{daemon_addr}", "{daemon_port}", "{client_addr}", "{client_name}"),
    *("{client_port}", "{client_ptr}", "{client_resolve}", "{auth_authen}", "{auth_type}", "{auth_author}"),
    *("{tls_version}", "{cipher}", "{cipher_bits}", "{mail_addr}", "{mail_host}", "{mail_mailer}"),
    *("{rcpt_addr}", "{rcpt_host}", "{rcpt_mailer}", "{if_addr}", "{cert_subject}", "{client_connections}"),
)
STEPS = ("connect", "helo", "envfrom", "envrcpt", "data", "eom", "eoh")

TEXT = CFUNCTYPE(c_int, c_void_p, c_char_p)
TEXTS = CFUNCTYPE(c_int, c_void_p, POINTER(c_char_p))
PLAIN = CFUNCTYPE(c_int, c_void_p)
CONNECT = CFUNCTYPE(c_int, c_void_p, c_char_p, c_void_p)
HEADER = CFUNCTYPE(c_int, c_void_p, c_char_p, c_char_p)
BODY = CFUNCTYPE(c_int, c_void_p, POINTER(c_ubyte), c_size_t)
NEGOTIATE = CFUNCTYPE(c_int, c_void_p, *[c_ulong] * 4, *[POINTER(c_ulong)] * 4)


class Description(ctypes.Structure):
    """struct smfiDesc (mfapi.h)."""

    _fields_ = (
        ("name", c_char_p),
        ("version", c_int),
        ("flags", c_ulong),
        ("connect", CONNECT),
        ("helo", TEXT),
        ("envfrom", TEXTS),
        ("envrcpt", TEXTS),
        ("header", HEADER),
        ("eoh", PLAIN),
        ("body", BODY),
        ("eom", PLAIN),
        ("abort", PLAIN),
        ("close", PLAIN),
        ("unknown", TEXT),
        ("data", PLAIN),
        ("negotiate", NEGOTIATE),
    )


class Filter:
    def __init__(self, library: str, script: dict[str, Any], log: str) -> None:
        self.library = ctypes.CDLL(library)
        self.library.smfi_getsymval.restype = c_char_p
        self.script = script
        self.log = open(log, "a", buffering=1)
        self.connections: dict[int, int] = {}
        self.count = 0

    def step(self, context: int, step: str, arguments: list[str], *, again: str = "") -> int:
        """Note a step, do what the script says, answer."""
        if step in ("negotiate", "connect") and context not in self.connections:
            self.count += 1
            self.connections[context] = self.count
        macros = {}
        if step not in ("negotiate", "close"):
            for name in MACROS:
                value = self.library.smfi_getsymval(c_void_p(context), name.encode())
                if value is not None:
                    macros[name.strip("{}")] = value.decode("utf-8", "replace")
        self.log.write(json.dumps([self.connections.get(context, 0), step, arguments, macros]) + "\n")
        if step == "close":
            self.connections.pop(context, None)
        answer = "continue"
        doings = self.script.get(step, "continue")
        if isinstance(doings, dict):  # by first argument
            doings = doings.get(arguments[0] if arguments else "", "continue")
        for doing in doings if isinstance(doings, list) else [doings]:
            if isinstance(doing, str):
                answer = doing
            else:
                self.act(context, *doing)
        return ANSWERS[answer]

    def act(self, context: int, action: str, *arguments: Any) -> None:
        """Call smfi_ACTION; texts as they are, numbers as int.  `wait` waits until a file is there."""
        if action == "repeat":
            for _ in range(arguments[0]):
                self.act(context, *arguments[1:])
            return
        if action == "wait":
            while not os.path.exists(arguments[0]):
                time.sleep(0.02)
            return
        values = [argument.encode() if isinstance(argument, str) else argument for argument in arguments]
        function = getattr(self.library, f"smfi_{action}")
        converted: list[Any] = [c_char_p(value) if isinstance(value, bytes) else value for value in values]
        if action == "replacebody":
            converted.append(c_int(len(values[0])))
        elif action == "setmlreply":
            converted.append(c_char_p(None))
        result = function(c_void_p(context), *converted)
        self.log.write(json.dumps([self.connections.get(context, 0), f"smfi_{action}", list(arguments), {}])[:-1])
        self.log.write(f", {result}]\n")

    def description(self, flags: int) -> Description:
        def words(values: Any) -> list[str]:
            found = []
            for value in values:
                if value is None:
                    break
                found.append(text(value))
            return found

        def negotiate(context: int, f0: int, f1: int, f2: int, f3: int, *out: Any) -> int:
            self.step(context, "negotiate", [hex(f0), hex(f1)])
            for step, macros in self.script.get("symlist", {}).items():
                self.act(context, "setsymlist", STEPS.index(step), macros)
            out[0][0] = flags
            out[1][0] = self.script.get("steps", 0) & f1
            out[2][0] = out[3][0] = 0
            return 0 if "steps" in self.script else ALL_OPTIONS

        def body(context: int, data: Any, size: int) -> int:
            return self.step(context, "body", [ctypes.string_at(data, size).decode("latin-1")])

        return Description(
            b"tests",
            VERSION,
            flags,
            CONNECT(lambda context, name, address: self.step(context, "connect", [text(name)])),
            TEXT(lambda context, name: self.step(context, "helo", [text(name)])),
            TEXTS(lambda context, values: self.step(context, "envfrom", words(values))),
            TEXTS(lambda context, values: self.step(context, "envrcpt", words(values))),
            HEADER(lambda context, name, value: self.step(context, "header", [text(name), text(value)])),
            PLAIN(lambda context: self.step(context, "eoh", [])),
            BODY(body),
            PLAIN(lambda context: self.step(context, "eom", [])),
            PLAIN(lambda context: self.step(context, "abort", [])),
            PLAIN(lambda context: self.step(context, "close", [])),
            TEXT(lambda context, line: self.step(context, "unknown", [text(line)])),
            PLAIN(lambda context: self.step(context, "data", [])),
            NEGOTIATE(negotiate),
        )


def text(value: bytes | None) -> str:
    return (value or b"").decode("utf-8", "surrogateescape")


def main() -> int:
    library, socket, script, log = sys.argv[1:]
    filter_ = Filter(library, json.loads(script), log)
    description = filter_.description(0x1FF)
    assert filter_.library.smfi_setconn(socket.encode()) == 0
    assert filter_.library.smfi_register(description) == 0
    return int(filter_.library.smfi_main())


if __name__ == "__main__":
    sys.exit(main())
