r"""How a scenario is written.

    # Comments; the first is the promise that the scenario shows.
    service: strict            which service to speak to (site.py); smtp if not given
    probe: no                  how the session is tried at the end: message (for smtp and lmtp), alive (NOOP), no
    once                       not to be played octet by octet: the scenario is about how octets come together

    C: EHLO client.example     a line of the client.  Lines without an S between them are sent in one piece
    C*20: NOOP                 the same line 20 times
    R: abc\r\n                 octets as they stand, with Python's escapes and no line end of their own; R*20 too
    B: abc\r\n                 the same as a chunk, with the BDAT command in front; B+ is the last chunk
    S: 250 2.1.0 Ok            one whole reply; this is its last line.  `...` stands for anything: `250 ...`
    S*20: 250 ...              20 replies like that
    S+ SIZE 10240000           the reply before has this line; S- that it has none with this text (both without code)
    S: closed                  the server closes the connection, and has said nothing more
    X: starttls                the client does a TLS handshake;  X: half-close  it sends no more
    X: ended                   the connection ends, whatever is said before
    X: trickle                 an octet now and then, until the server says something
    L: lost connection ...     a line with this (the wildcard too) comes in the log
    D: text                    a message with this text is delivered;  D- text: none is

In what the client says `{plain USER PASSWORD}` is the initial response of PLAIN, `{base64 TEXT}` any text in base64
(with escapes).
"""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass, field
from pathlib import Path

_LINE = re.compile(r"([CRBSXLD])(?:\*(\d+))?([:+-]) ?(.*)")
_SETTING = re.compile(r"(service|probe): (\S+)")
_BASE64 = re.compile(r"\{base64 ([^}]*)\}")
_PLAIN = re.compile(r"\{plain (\S+) ([^}]*)\}")


@dataclass(frozen=True, slots=True)
class Step:
    """One line: who or what (`C`, `R`, `B`, `B+`, `S`, `S+`, `S-`, `X`, `L`, `D`, `D-`), how often, and the text."""

    kind: str
    count: int
    text: str
    line: int

    @property
    def octets(self) -> bytes:
        """What the client sends."""
        text = _PLAIN.sub(lambda match: _encoded(f"\0{match[1]}\0{match[2]}"), self.text)
        text = _BASE64.sub(lambda match: _encoded(unescaped(match[1]).decode("latin-1")), text)
        if self.kind == "C":
            return (text.encode() + b"\r\n") * self.count
        raw = unescaped(text)
        if self.kind != "R":
            raw = b"BDAT %d%s\r\n" % (len(raw), b" LAST" if self.kind == "B+" else b"") + raw
        return raw * self.count


@dataclass(slots=True)
class Script:
    """A scenario."""

    name: str
    promise: str = ""
    service: str = "smtp"
    probe: str = ""
    once: bool = False
    steps: list[Step] = field(default_factory=list)


def unescaped(text: str) -> bytes:
    """Text with Python's escapes as octets; anything else as UTF-8."""
    return text.encode().decode("unicode_escape").encode("latin-1")


def _encoded(text: str) -> str:
    return base64.b64encode(text.encode("latin-1")).decode()


def read(path: Path) -> Script:
    """Raises ValueError for a line that cannot be understood."""
    script = Script(path.stem, service=path.parent.name)
    for number, line in enumerate(path.read_text("utf-8").splitlines(), 1):
        if not line.strip():
            continue
        if line.startswith("#"):
            script.promise = script.promise or line[1:].strip()
        elif setting := _SETTING.fullmatch(line):
            setattr(script, setting[1], setting[2])
        elif line == "once":
            script.once = True
        elif match := _LINE.fullmatch(line):
            kind = match[1] if match[3] == ":" else match[1] + match[3]
            script.steps.append(Step(kind, int(match[2] or 1), match[4], number))
        else:
            raise ValueError(f"{path.name}, line {number}: {line!r} is no line of a scenario")
    if not script.promise or not script.steps:
        raise ValueError(f"{path.name}: a scenario begins with a comment that says its promise, and has steps")
    if not script.probe:
        script.probe = "alive" if script.service.startswith("subm") else "message"
    return script
