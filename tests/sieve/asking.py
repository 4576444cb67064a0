"""Running scripts on small messages: what the tests of this folder share."""

from __future__ import annotations

from collections.abc import Mapping

from pillarbox.lib.sieve import ALL, Result, SieveMessage, SieveState, compile_script, execute
from pillarbox.lib.sieve.actions import FileInto
from tests.sieve.corpus import MESSAGES

ENVELOPE = {"from": "bob@example.org", "to": "me+lists@example.com"}
NOW = 1_772_543_106.0  # Tue, 3 Mar 2026 13:05:06 UTC


def everything() -> str:
    """A `require` for all there is."""
    return "require [" + ", ".join(f'"{name}"' for name in sorted(ALL)) + "];\n"


def as_message(octets: bytes, envelope: Mapping[str, str] = ENVELOPE) -> SieveMessage:
    """A message in the form that delivery gives it."""
    text = octets.replace(b"\r\n", b"\n")
    header, empty, body = text.partition(b"\n\n")
    return SieveMessage(header + b"\n", len(octets), lambda: (body,) if empty else (), envelope)


def run(
    script: str,
    message: bytes | str = MESSAGES["plain"],
    *,
    envelope: Mapping[str, str] = ENVELOPE,
    state: SieveState | None = None,
    scripts: Mapping[tuple[str, str], str] | None = None,
    required: bool = True,
) -> Result:
    """What the script does; it may use everything unless it requires what it needs itself."""
    octets = message.encode() if isinstance(message, str) else message
    prefix = everything() if required else ""
    include = (lambda location, name: scripts.get((location, name))) if scripts else None
    compiled = compile_script(prefix + script, name="test", include=include)
    return execute(compiled, as_message(octets, envelope), state or SieveState(now=NOW))


def fits(test: str, message: bytes | str = MESSAGES["plain"], **more: object) -> bool:
    """Whether a test holds."""
    result = run(f'if {test} {{ fileinto "yes"; }}', message, **more)  # type: ignore[arg-type]
    assert not result.error, result.error
    return FileInto("yes") in result.actions


def becomes(text: str, message: bytes | str = MESSAGES["plain"], before: str = "", **more: object) -> str:
    """What a string with variables becomes, behind some commands."""
    result = run(f'{before} notify :message "{text}" "mailto:a@example.org";', message, **more)  # type: ignore[arg-type]
    assert not result.error, result.error
    return str(getattr(result.actions[0], "message", ""))
