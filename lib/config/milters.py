"""Which milters, and how each is treated: the value of smtpd_milters and non_smtpd_milters.

    inet:localhost:8891, { unix:/run/rspamd/milter.sock, default_action=accept, connect_timeout=5s }

Endpoints are `inet:HOST:PORT` (an IPv6 address in brackets), `unix:PATH` or `local:PATH`; names in braces are those of
postconf(5): connect_timeout, command_timeout, content_timeout, default_action, protocol.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, fields, replace
from typing import Final

from pillarbox.lib.config.parameter import parse_seconds, split_words

ACTIONS: Final = ("accept", "reject", "tempfail", "quarantine", "shutdown")
"""What becomes of a session or message whose milter is broken."""

PROTOCOLS: Final = {"2": (2, False), "3": (3, False), "4": (4, False), "6": (6, False)}
"""milter_protocol: the version, which `no_header_reply` may follow."""

DISABLE: Final = "DISABLE"
"""The value in smtpd_milter_maps that turns all milters off."""

_INET: Final = re.compile(r"inet:(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+):([0-9]{1,5})")
_UNIX: Final = re.compile(r"(?:unix|local):(\S.*)")


@dataclass(frozen=True, slots=True)
class MilterSpec:
    """One milter.  `endpoint` as configured; times in seconds."""

    endpoint: str
    connect_timeout: float = 30.0
    command_timeout: float = 30.0
    content_timeout: float = 300.0
    default_action: str = "shutdown"
    protocol: str = "6"

    @property
    def version(self) -> int:
        """The highest protocol version to offer."""
        return parse_protocol(self.protocol)[0]

    @property
    def no_header_reply(self) -> bool:
        """Whether answers to header fields are dispensable also in old versions."""
        return parse_protocol(self.protocol)[1]

    def members(self) -> dict[str, object]:
        """For a frame."""
        return {field.name: getattr(self, field.name) for field in fields(self)}


def parse_protocol(text: str) -> tuple[int, bool]:
    """milter_protocol: version and no_header_reply.  Raises ValueError."""
    words = text.replace(",", " ").split()
    if not words or words[0] not in PROTOCOLS or words[1:] not in ([], ["no_header_reply"]):
        raise ValueError(f'2, 3, 4 or 6, optionally "no_header_reply" behind it, was expected, not "{text}"')
    return PROTOCOLS[words[0]][0], len(words) == 2


def parse_endpoint(text: str) -> tuple[str, int]:
    """(host, port) of an inet endpoint, (path, 0) of a UNIX one.  Raises ValueError."""
    if (match := _INET.fullmatch(text)) is not None:
        if not 0 < int(match[2]) < 65536:
            raise ValueError(f'"{text}" has no port between 1 and 65535')
        return match[1].strip("[]"), int(match[2])
    if (match := _UNIX.fullmatch(text)) is not None:
        return match[1], 0
    raise ValueError(f'"inet:HOST:PORT" or "unix:PATH" was expected, not "{text}"')


def parse_milters(items: tuple[str, ...] | str, defaults: MilterSpec) -> tuple[MilterSpec, ...]:
    """The milters of a list, in order.  `defaults` has what a milter does not set itself.  Raises ValueError."""
    found = []
    for item in split_words(items):
        if item.startswith("{"):
            if not item.endswith("}"):
                raise ValueError(f'"{item}" has no closing brace')
            endpoint, *settings = split_words(item[1:-1])[:] or [""]
        else:
            endpoint, settings = item, []
        parse_endpoint(endpoint)
        found.append(_with_settings(replace(defaults, endpoint=endpoint), _joined(settings)))
    return tuple(found)


def _joined(settings: list[str]) -> list[str]:
    """`name = value` may have blanks around the sign."""
    return re.sub(r"\s*=\s*", "=", " ".join(settings)).split()


def _with_settings(spec: MilterSpec, settings: list[str]) -> MilterSpec:
    for setting in settings:
        name, sign, value = setting.partition("=")
        value = value.strip("{}")
        if not sign:
            raise ValueError(f'"name=value" was expected after "{spec.endpoint}", not "{setting}"')
        if name in ("connect_timeout", "command_timeout", "content_timeout"):
            spec = replace(spec, **{name: parse_seconds(value)})  # type: ignore[arg-type]
        elif name == "default_action":
            if value not in ACTIONS:
                raise ValueError(f'default_action "{value}" is none of {", ".join(ACTIONS)}')
            spec = replace(spec, default_action=value)
        elif name == "protocol":
            parse_protocol(value)
            spec = replace(spec, protocol=value)
        else:
            raise ValueError(
                f'"{name}" is no setting of a milter; known are connect_timeout, command_timeout, content_timeout, '
                "default_action, protocol"
            )
    return spec
