"""Sieve scripts, as anybody with a mailbox may write them."""

from __future__ import annotations

import pickle

from pillarbox.lib.sieve import ALL, Limits, SieveError, SieveMessage, SieveState, compile_script, execute

_REQUIRE = "require [" + ", ".join(f'"{name}"' for name in sorted(ALL)) + "];\n"
_MESSAGE = SieveMessage(
    b"From: a@example.org\nTo: b+c@example.com\nSubject: x\nDate: Tue, 3 Mar 2026 14:05:06 +0100\n"
    b"Content-Type: multipart/mixed; boundary=q\n",
    500,
    lambda: (b"--q\n\none\n--q\nContent-Type: text/html\n\n<b>two</b>\n--q--\n",),
    {"from": "a@example.org", "to": "b+c@example.com"},
)
_STATE = SieveState(now=0, mailbox_exists=bool, limits=Limits(work=5_000_000))


def fuzz(data: bytes) -> None:
    """A script or a fault with its place; what is a script runs to its end, and again when it has been stored."""
    text = data.decode("utf-8", "replace")
    for script in (text, _REQUIRE + text):
        try:
            compiled = compile_script(script, name="s", include=lambda _location, name: text if name == "s" else None)
        except SieveError as error:
            assert error.line >= 1 and error.column >= 1 and error.expected
            continue
        result = execute(compiled, _MESSAGE, _STATE)
        assert result.actions or not result.error
        again = execute(pickle.loads(pickle.dumps(compiled)), _MESSAGE, _STATE)
        assert again.actions == result.actions
